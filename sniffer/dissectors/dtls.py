"""DTLS 1.0 to 1.3, RFC 4347, 6347 and 9147."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors._spec import Match, Spec
from sniffer.dissectors._tls_state import Handshake
from sniffer.events import Anomaly, Done, Encryption, Event, Posture, Side, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _APPLICATION, _WITH_ID = 20, 21, 22, 23, 25
_VERSIONS = (b"\xfe\xff", b"\xfe\xfd", b"\x01\x00")
_HEADER, _MESSAGE = 13, 12
_COOKIE = b"\x21\x12\xa4\x42"
# Fragments held for one message, and messages begun and not finished: a handshake has a dozen messages.
MAX_MESSAGE = 64 * 1024
MAX_OPEN = 16
# A handshake takes four flights; retransmissions included, this many datagrams are plenty (STUN beside it is not counted).
MAX_DATAGRAMS = 64


class Dtls:
    """Puts handshake messages together until records are under new keys."""

    __slots__ = ("_changed", "_datagrams", "_done", "_ended", "_handshake", "_open")

    def __init__(self) -> None:
        self._handshake = Handshake("d")
        self._open: dict[tuple[Side, int, int], tuple[bytearray, bytearray]] = {}
        self._done: set[tuple[Side, int, int]] = set()
        self._changed = [False, False]
        self._datagrams = 0
        self._ended = False

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        if _stun(data, 0):
            return ()  # its first bytes can be read as those of a record
        self._datagrams += 1
        events: list[Event] = []
        span = Span(side, offset, offset + len(data))
        at = 0
        while at < len(data):
            if data[at] >> 5 == 1:  # the unified header of DTLS 1.3: encrypted (RFC 9147, section 4)
                return [*events, *self._ends(span)]
            if len(data) - at < _HEADER or data[at + 1 : at + 3] not in _VERSIONS:
                break
            size = int.from_bytes(data[at + 11 : at + 13], "big")
            epoch = int.from_bytes(data[at + 3 : at + 5], "big")
            body = data[at + _HEADER : at + _HEADER + size]
            at += _HEADER + size
            if data[at - size - _HEADER] == _CHANGE_CIPHER:
                self._changed[side] = True
            elif epoch or data[at - size - _HEADER] == _APPLICATION:
                return [*events, *self._ends(span)]
            elif data[at - size - _HEADER] == _HANDSHAKE:
                events += self._messages(side, body, span)
            elif data[at - size - _HEADER] == _ALERT and body[:1] == b"\2" and not self._ended:
                self._ended = True
                return [*events, Posture(span=span, encryption=Encryption.UNKNOWN, why=f"the handshake failed with alert {body[1] if len(body) > 1 else 0}"), Done(span=span)]
        if self._datagrams > MAX_DATAGRAMS:
            events += [Anomaly(span=span, reason="a handshake without end"), Done(span=span)]
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        return ()

    def close(self) -> Sequence[Event]:
        """The server has chosen: nothing of the rest could be read."""
        if self._ended or not self._handshake.version:
            return ()
        span = Span(Side.SERVER, 0, 0)
        return [self._handshake.established(span, seen=False)]

    def _ends(self, span: Span) -> list[Event]:
        self._ended = True
        return [self._handshake.established(span), Done(span=span)]

    def _messages(self, side: Side, body: bytes, span: Span) -> list[Event]:
        events: list[Event] = []
        at = 0
        while at + _MESSAGE <= len(body):
            kind = body[at]
            total, part, size = (int.from_bytes(body[at + a : at + b], "big") for a, b in ((1, 4), (6, 9), (9, 12)))
            number = int.from_bytes(body[at + 4 : at + 6], "big")
            data = body[at + _MESSAGE : at + _MESSAGE + size]
            at += _MESSAGE + size
            if len(data) < size or part + size > total or total > MAX_MESSAGE:
                break
            whole = self._whole((side, number, kind), total, part, data)
            if whole is not None:
                events += self._handshake.message(kind, whole, span)
        return events

    def _whole(self, key: tuple[Side, int, int], total: int, part: int, data: bytes) -> bytes | None:
        """The message once all its fragments are there; None before, and for repetitions."""
        if key in self._done:
            return None
        if len(data) == total:
            self._finish(key)
            return data
        if key not in self._open and len(self._open) >= MAX_OPEN:
            return None
        held, covered = self._open.setdefault(key, (bytearray(total), bytearray(total)))
        if len(held) != total:
            return None
        held[part : part + len(data)] = data
        covered[part : part + len(data)] = b"\1" * len(data)
        if 0 in covered:
            return None
        self._finish(key)
        return bytes(held)

    def _finish(self, key: tuple[Side, int, int]) -> None:
        self._open.pop(key, None)
        if len(self._done) < 4 * MAX_OPEN:
            self._done.add(key)


def probe(client: bytes, server: bytes) -> Match:
    """A record header with a version of DTLS, a length that fits, and a hello behind it, or any record of a later epoch.

    Between browsers and conference servers STUN comes first on the same ports (RFC 7983).
    """
    said = [_record_like(_after_stun(data)) for data in (client, server) if data]
    if Match.NO in said:
        return Match.NO
    return Match.YES if Match.YES in said else Match.MORE


def _stun(data: bytes, at: int) -> int:
    """How long the STUN message is that begins there (RFC 8489, section 5); 0 where none does."""
    if data[at + 4 : at + 8] != _COOKIE or data[at] > 0x3F or data[at + 3] & 3:
        return 0
    return 20 + (data[at + 2] << 8 | data[at + 3])


def _after_stun(data: bytes) -> bytes:
    """What a side said after its STUN messages; the last may be cut where a probe's view ends."""
    at = 0
    while at < len(data) and (size := _stun(data, at)):
        at += size
    return data[at:]


def _record_like(data: bytes) -> Match:
    if not data:
        return Match.MORE
    if len(data) >= _HEADER + 8 and data[0] == _WITH_ID and data[1:3] == _VERSIONS[1]:
        # A connection id of a length that only the handshake told stands before the length (RFC 9146, section 4).
        return Match.YES if 0 < int.from_bytes(data[3:5], "big") <= 64 else Match.NO
    if len(data) < _HEADER or data[0] not in (_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _APPLICATION) or data[1:3] not in _VERSIONS:
        return Match.NO
    size, epoch = int.from_bytes(data[11:13], "big"), int.from_bytes(data[3:5], "big")
    if not size or epoch > 64 or (size + _HEADER > len(data) and len(data) < 1000):
        return Match.NO
    if data[0] == _HANDSHAKE and not epoch:
        return Match.YES if len(data) >= 25 and data[13] in (0, 1, 2, 3, 11, 12, 13, 14, 16) else Match.NO
    return Match.YES if data[0] != _CHANGE_CIPHER or size in (1, 3) else Match.NO


SPEC = Spec(name="dtls", title="DTLS, RFC 9147", ports=(2221, 3391, 4433, 5349, 5684, 10161), probe=probe, datagram=Dtls, encrypted=True)
