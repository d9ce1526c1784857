"""SSH transport, RFC 4253: identification, negotiated algorithms, then nothing readable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._sealed import MAX_SAMPLE, MIN_SAMPLE, TEXT, begins_sealed, sealed
from sniffer.dissectors._spec import Match, Spec
from sniffer.events import Anomaly, Done, Encryption, Event, Greeting, Posture, Side, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

_BANNER = re.compile(rb"SSH-([0-9.]+)(?:-([^\s]*))?")
_LATER = re.compile(rb"(?:[\t\r\x20-\x7e\x80-\xff]*\n){1,50}?SSH-[0-9]\.")
# RFC 4253, 4.2: a server may say other lines before its identification, each at most 255 bytes.
_MAX_LINE = 1024
_MAX_LINES = 50
# RFC 4253, 6.1: implementations must take 35000 bytes.
_MAX_PACKET = 64 * 1024
_KEXINIT = 20
# Where the name lists of a KEXINIT have the ciphers (7.1): key exchange, host key, cipher client to server, …
_CIPHER_TO_SERVER, _CIPHER_TO_CLIENT = 2, 3
_OBSOLETE = re.compile(r"arcfour|3des|blowfish|cast128|des-cbc|rijndael|idea|twofish")


class Ssh:
    """Both identifications, both KEXINITs, then Done."""

    __slots__ = ("_buffers", "_lines", "_lists", "_version")

    def __init__(self) -> None:
        self._buffers = (Buffer(1 << 18), Buffer(1 << 18))
        self._version: list[str | None] = [None, None]
        self._lists: list[list[list[str]] | None] = [None, None]
        self._lines = 0

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        if self._version == [None, None] and not self._lines and (joined := self._joined(buffer, Span(side, offset, offset + 1))) is not None:
            return joined
        while self._version[side] is None:
            start = buffer.start
            line = buffer.line(_MAX_LINE)
            if line is None:
                return events
            events += self._line(side, line, Span(side, start, buffer.start))
        if self._lists[side] is None and (head := buffer.peek(6)) is not None:
            size = int.from_bytes(head[:4], "big")
            if size > _MAX_PACKET or ((self._version[side] or "").startswith("1.") and self._version[side] != "1.99"):
                return [*events, *self._established(Span(side, buffer.start, buffer.start + 1))]
            start = buffer.start
            packet = buffer.take(4 + size)
            if packet is None:
                return events
            self._lists[side] = _name_lists(packet)
            if self._lists[side.other] is not None:
                events += self._established(Span(side, start, buffer.start))
        elif self._lists[side] is not None and len(buffer) > 4096:
            events += self._established(Span(side, buffer.start, buffer.start + 1))
        return events

    def _joined(self, buffer: Buffer, span: Span) -> list[Event] | None:
        """The identifications were before the capture; on SSH's port, what looks like ciphertext is taken for it.

        None for what may be lines; nothing until both sides together have said enough (a keystroke takes 36 bytes).
        """
        held = buffer.peek(min(len(buffer), MAX_SAMPLE)) or b""
        if held.startswith(b"SSH-") or not held.translate(None, TEXT):
            return None
        sample = b"".join(b.peek(min(len(b), MAX_SAMPLE)) or b"" for b in self._buffers)
        if len(sample) < MIN_SAMPLE:
            return []
        if not sealed(sample):
            return None
        return [Posture(span=span, encryption=Encryption.ENCRYPTED, why="joined after the identification; looks encrypted"), Done(span=span)]

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        return self._established(Span(side, offset, offset)) if any(self._version) else ()

    def close(self) -> Sequence[Event]:
        seen = next((s for s in (Side.SERVER, Side.CLIENT) if self._lists[s] is not None), None)
        if seen is None:
            return ()
        end = self._buffers[seen].start
        return self._established(Span(seen, end, end))

    def _line(self, side: Side, line: bytes, span: Span) -> list[Event]:
        self._lines += 1
        found = _BANNER.match(line)
        if found is None:
            return [Done(span=span)] if self._lines > _MAX_LINES else []
        version = found[1].decode("ascii")
        self._version[side] = version
        events: list[Event] = []
        if version.startswith("1.") and version != "1.99":
            events.append(Anomaly(span=span, reason="SSH protocol 1"))
        if side is Side.SERVER:
            product, _, number = (found[2] or b"").decode("ascii", "replace").partition("_")
            events.append(Greeting(span=span, product=product or "SSH", version=number or None))
        return events

    def _established(self, span: Span) -> list[Event]:
        client, server = self._lists
        done = Done(span=span)
        version = self._version[0] or self._version[1] or "2.0"
        if client is None or server is None:
            return [Posture(span=span, encryption=Encryption.ENCRYPTED, why=f"SSH-{version}"), done]
        ciphers = {_chosen(client[i], server[i]) for i in (_CIPHER_TO_SERVER, _CIPHER_TO_CLIENT) if len(client) > i and len(server) > i}
        if "none" in ciphers:
            return [Posture(span=span, encryption=Encryption.CLEARTEXT, why="SSH negotiated the cipher none"), done]
        names = ", ".join(sorted(filter(None, ciphers))) or "unknown cipher"
        weak = ", an obsolete cipher" if _OBSOLETE.search(names) else ""
        return [Posture(span=span, encryption=Encryption.ENCRYPTED, why=f"SSH-{version}, {names}{weak}"), done]


def _name_lists(packet: bytes) -> list[list[str]]:
    """The name lists of a KEXINIT packet; empty if it is none."""
    if len(packet) < 22 or packet[5] != _KEXINIT:
        return []
    lists: list[list[str]] = []
    at = 22
    while len(lists) < 10 and at + 4 <= len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        if at + 4 + size > len(packet):
            break
        lists.append(packet[at + 4 : at + 4 + size].decode("ascii", "replace").split(","))
        at += 4 + size
    return lists


def _chosen(client: list[str], server: list[str]) -> str | None:
    """RFC 4253, 7.1: the first of the client's that the server has too."""
    return next((name for name in client if name in server), None)


def probe(client: bytes, server: bytes) -> Match:
    """Either side's identification."""
    for data in (client, server):
        if data.startswith(b"SSH-"):
            return Match.YES if re.match(rb"SSH-[0-9]", data) else Match.MORE if len(data) == 4 else Match.NO
    # A server may say other lines before its identification (RFC 4253, 4.2).
    if _LATER.match(server) and b"SSH-".startswith(client[:4]):
        return Match.YES
    for data in (client, server):
        # Joined later, of which only the port can tell.
        if not b"SSH-".startswith(data[:4]) and begins_sealed(data) is Match.NO:
            return Match.NO
    return Match.MORE


SPEC = Spec(name="ssh", title="SSH, RFC 4253", ports=(22, 2222, 830), probe=probe, stream=Ssh, tier="management", encrypted=True)
