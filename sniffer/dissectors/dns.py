"""DNS, RFC 1035, over UDP and TCP; mDNS, RFC 6762; LLMNR, RFC 4795. Inventory only."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sniffer.dissectors._spec import Match, Spec
from sniffer.events import Done, Encryption, Event, Posture, Side, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct("!6H")
# Response, opcode, reserved Z bit: those that a message in use can have.
_OPCODES = frozenset((0, 1, 2, 4, 5, 6))
_NB, _NBSTAT, _OPT = 32, 33, 41
_MAX_QUESTIONS, _MAX_RECORDS = 64, 4096
_CLASSES = frozenset((1, 3, 4, 254, 255, 0x8001, 0x80FF))


# A question without a question, for a cookie alone (RFC 7873, 5.4): the root's name, and type OPT.
_ONLY_OPTIONS = b"\0\0\x29"
# What the names of hosts and services are made of.
_NAME = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


class Dns:
    """One message is enough to know what it is."""

    __slots__ = ()

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        span = Span(side, offset, offset + 1)
        return (Posture(span=span, encryption=Encryption.CLEARTEXT, why="DNS without encryption"), Done(span=span))

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        return ()

    def close(self) -> Sequence[Event]:
        return ()


def message(data: bytes) -> bool:
    """Whether a datagram begins like a DNS message: plausible header, and a first name and class that parse."""
    if len(data) < 12:
        return False
    _, flags, questions, answers, authority, extra = _HEADER.unpack_from(data)
    records = answers + authority + extra
    if (flags >> 11) & 15 not in _OPCODES or flags & 0x40 or questions > _MAX_QUESTIONS or records > _MAX_RECORDS:
        return False
    if not questions and not (records and (flags & 0x8000 or data.startswith(_ONLY_OPTIONS, 12))):
        return False
    at = _after_name(data, 12)
    if at is None or at + 4 > len(data):
        return False
    kind, group = struct.unpack_from("!HH", data, at)
    # The class of an OPT record, which an error may consist of, is a size (RFC 6891, 6.1.2).
    return not _netbios(data, kind) and (group in _CLASSES or (kind == _OPT and not questions and group >= 512))


def _netbios(data: bytes, kind: int) -> bool:
    """RFC 1002: the same header, and first a name of 32 letters A to P of type NB or NBSTAT: no DNS."""
    return kind in (_NB, _NBSTAT) and data[12] == 32 and all(0x41 <= c <= 0x50 for c in data[13:45])


def _after_name(data: bytes, at: int) -> int | None:
    """Where a name ends (RFC 1035, 3.1); a pointer ends it too."""
    total = 0
    while at < len(data):
        size = data[at]
        if size == 0:
            return at + 1
        if size >= 0xC0:
            return at + 2
        total += size + 1
        if size > 63 or total > 255:
            return None
        at += size + 1
    return None


def _runs_on(data: bytes) -> bool:
    """Whether a datagram is a question or its answer cut by a snap length in the name asked for: a host's, with at least one whole label."""
    if len(data) < 12 or data[2] & 0x78 or data[3] & 0x40 or data[4:6] != b"\0\1":
        return False
    at, whole = 12, 0
    while at < len(data):
        size = data[at]
        label = data[at + 1 : at + 1 + size]
        if not 0 < size < 64 or label.translate(None, _NAME):
            return False
        whole += len(label) == size
        at += size + 1
    return whole > 0 and at - 12 < 256


def probe(client: bytes, server: bytes) -> Match:
    """A whole message in the first datagram, or after the two length bytes that TCP puts in front (RFC 7766)."""
    data = client or server
    if not data:
        return Match.MORE
    if message(data) or _runs_on(data):
        return Match.YES
    return _framed(data)


def _framed(data: bytes) -> Match:
    """A length, then a message that may not be all there yet."""
    if data[0] >= 8:
        return Match.NO  # longer than 2 KiB: nobody's first message
    if len(data) < 14:
        return Match.MORE
    size = data[0] << 8 | data[1]
    _, flags, questions, answers, authority, extra = _HEADER.unpack_from(data, 2)
    records = answers + authority + extra
    if size < 17 or (flags >> 11) & 15 not in _OPCODES or flags & 0x40 or not 0 < questions + records <= _MAX_RECORDS or questions > _MAX_QUESTIONS:
        return Match.NO
    if message(data[2 : 2 + size]):
        return Match.YES
    name_runs_on = _after_name(data, 14) is None and _labels_fit(data)
    return Match.MORE if len(data) < 2 + size and len(data) < 300 and (name_runs_on or len(data) < (_after_name(data, 14) or 0) + 4) else Match.NO


def _labels_fit(data: bytes) -> bool:
    """Whether a name that is not all there could still be one."""
    at = 14
    while at < len(data):
        if data[at] > 63:
            return False
        at += data[at] + 1
    return True


SPEC = Spec(
    name="dns",
    title="DNS, RFC 1035",
    ports=(53, 5353, 5355),
    probe=probe,
    stream=Dns,
    datagram=Dns,
    tier="infrastructure",
    remedy="Use DNS over TLS or HTTPS where the path is not trusted.",
)
