"""QUIC, RFC 9000, 9001 and 9369: the hellos in its Initial packets, then nothing readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors._spec import Match, Spec
from sniffer.dissectors._tls_hello import CLIENT_HELLO, SERVER_HELLO
from sniffer.dissectors._tls_state import Handshake
from sniffer.errors import Malformed
from sniffer.events import Done, Encryption, Event, Posture, Side, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

V1, V2, _V2_DRAFT = 0x00000001, 0x6B3343CF, 0x709A50C4
_MVFST = 0xFACEB0
# A hello with post-quantum shares takes two datagrams; loss and retries a few more.
MAX_DATAGRAMS = 16
MAX_CRYPTO = 64 * 1024
_MAX_ID = 20


class Quic:
    """Opens Initial packets with the keys that anybody can derive, and reads the hellos."""

    __slots__ = ("_connection", "_crypto", "_datagrams", "_handshake", "_said", "_version")

    def __init__(self) -> None:
        self._handshake = Handshake("q")
        self._connection: bytes | None = None
        self._version = 0
        self._crypto: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        self._datagrams = 0
        self._said = False

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        span = Span(side, offset, offset + len(data))
        events: list[Event] = []
        self._datagrams += 1
        if not self._said and self._google(side, data):
            self._said = True
            return [Posture(span=span, encryption=Encryption.ENCRYPTED, why="Google QUIC"), Done(span=span)]
        at = 0
        while at < len(data) and data[at] & 0x80:
            taken = self._long(side, data[at:], span, events)
            if not taken:
                break
            at += taken
        finished = bool(self._handshake.version) or self._datagrams >= MAX_DATAGRAMS
        if finished and self._said:
            events.append(Done(span=span))
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        return ()

    def close(self) -> Sequence[Event]:
        return ()

    @staticmethod
    def _google(side: Side, data: bytes) -> bool:
        """A server's short header may come first where the capture begins late: it says nothing of the kind."""
        return side is Side.CLIENT and bool(data) and not data[0] & 0x80 and _google_like(data) is Match.YES

    def _long(self, side: Side, packet: bytes, span: Span, events: list[Event]) -> int:
        """One packet with a long header (RFC 9000, 17.2); how many bytes it takes, 0 where nothing more can be read."""
        head = _long_header(packet)
        if head is None:
            return 0
        version, target, place = head
        if not version:
            return 0
        if not self._said:
            self._said = True
            events.append(Posture(span=span, encryption=Encryption.ENCRYPTED, why=_name(version)))
        kind = packet[0] >> 4 & 3
        initial = kind == (1 if version == V2 else 0)
        if initial:
            size, place = _varint(packet, place)
            place += size
        elif kind == (0 if version == V2 else 3) or version >> 24 == 0x51 or _forces_negotiation(version):
            return 0  # Retry has no length, and Google's own versions another layout
        size, place = _varint(packet, place)
        if initial and place + 20 <= len(packet):
            if side is Side.CLIENT and (self._connection is None or self._version != version):
                self._connection, self._version = target, version
            self._initial(side, packet, place, min(place + size, len(packet)), span, events)
        return place + size if size else 0

    def _initial(self, side: Side, packet: bytes, place: int, end: int, span: Span, events: list[Event]) -> None:
        from sniffer.dissectors._quic_keys import keys, open_packet

        if self._connection is None:
            return
        material = keys(self._version, self._connection, server=bool(side))
        plain = open_packet(packet, place, end, material) if material else None
        if plain is None:
            # After a Retry the keys come from the new connection id.
            head = _long_header(packet)
            if side is Side.CLIENT and head is not None and head[1] != self._connection:
                self._connection = head[1]
                material = keys(self._version, self._connection, server=False)
                plain = open_packet(packet, place, end, material) if material else None
            if plain is None:
                return
        self._frames(side, plain)
        events += self._hello(side, span)

    def _frames(self, side: Side, plain: bytes) -> None:
        """CRYPTO frames among padding, ping and acknowledgements (RFC 9000, section 19)."""
        at = 0
        held = self._crypto[side]
        while at < len(plain):
            kind = plain[at]
            at += 1
            if kind in (0, 1):
                continue
            if kind in (2, 3):
                for _ in range(2):
                    _, at = _varint(plain, at)
                ranges, at = _varint(plain, at)
                for _ in range(min(2 * ranges + 1, 512) + (3 if kind == 3 else 0)):
                    _, at = _varint(plain, at)
                continue
            if kind != 6:
                return
            offset, at = _varint(plain, at)
            size, at = _varint(plain, at)
            piece = plain[at : at + size]
            # What is sent again may be cut another way: the longer piece stays.
            if offset + size <= MAX_CRYPTO and len(held) < 256 and len(piece) > len(held.get(offset, b"")):
                held[offset] = piece
            at += size

    def _hello(self, side: Side, span: Span) -> list[Event]:
        data = b""
        for offset in sorted(self._crypto[side]):
            piece = self._crypto[side][offset]
            if offset > len(data):
                break
            data += piece[max(0, len(data) - offset) :]
        wanted = SERVER_HELLO if side else CLIENT_HELLO
        if len(data) < 4 or data[0] != wanted:
            return []
        size = int.from_bytes(data[1:4], "big")
        if len(data) < 4 + size or self._crypto[side].get(-1) is not None:
            return []
        self._crypto[side][-1] = b""  # told once
        try:
            return self._handshake.message(data[0], data[4 : 4 + size], span)
        except Malformed:
            return []


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000, section 16); past the end it is 0."""
    if at >= len(data):
        return 0, at
    width = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + width], "big") & ((1 << (8 * width - 2)) - 1), at + width


def _long_header(data: bytes) -> tuple[int, bytes, int] | None:
    """(version, destination connection id, where what follows the ids begins)."""
    if len(data) < 7 or not data[0] & 0x80:
        return None
    version = int.from_bytes(data[1:5], "big")
    size = data[5]
    at = 6 + size
    if at >= len(data):
        return None
    return version, data[6:at], at + 1 + data[at]


def _name(version: int) -> str:
    if version >> 24 == 0x51:
        return f"Google QUIC {version.to_bytes(4, 'big').decode('ascii', 'replace')}"
    if version >> 8 == 0xFF0000:
        return f"QUIC draft {version & 0xFF}"
    if version >> 8 == _MVFST:
        return "QUIC (mvfst)"
    return {V1: "QUIC v1", V2: "QUIC v2"}.get(version, "QUIC")


def probe(client: bytes, server: bytes) -> Match:
    """A long header of a known version; Google's versions with a public header in front."""
    data = client or server
    if not data:
        return Match.MORE
    if data[0] & 0x80:
        return _long_like(data)
    return _google_like(client) if client else Match.NO


def _long_like(data: bytes) -> Match:
    if len(data) < 7 or not data[0] & 0x40:
        return Match.NO
    version = int.from_bytes(data[1:5], "big")
    known = version in (V1, V2, _V2_DRAFT) or (version >> 8 == 0xFF0000 and 20 <= version & 0xFF <= 34) or version >> 8 == _MVFST or data[1:3] in (b"Q0", b"T0")
    # Only a client's first datagram asks for another version, and is as long as one must be (RFC 9000, 14.1 and 15).
    known = known or (_forces_negotiation(version) and data[5] >= 8 and len(data) >= 1000)
    if not known or data[5] > _MAX_ID:
        return Match.NO if data[1:3] not in (b"Q0", b"T0") else Match.YES
    return Match.YES if len(data) > 30 else Match.NO


def _forces_negotiation(version: int) -> bool:
    """Reserved versions, 0x?a?a?a?a (RFC 9000, section 15)."""
    return version & 0x0F0F0F0F == 0x0A0A0A0A


def _google_like(data: bytes) -> Match:
    """GQUIC up to Q043: flags with version and connection id, eight bytes of id, then the version."""
    if data[0] & 0x09 == 0x09 and len(data) > 26 and data[9:11] == b"Q0" and data[11:13].isdigit():
        return Match.YES
    return Match.NO


SPEC = Spec(name="quic", title="QUIC, RFC 9000", ports=(443, 784, 853, 8853), probe=probe, datagram=Quic, encrypted=True)
