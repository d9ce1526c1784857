"""TCP connections and datagrams as frames with valid lengths, checksums, windows and handshakes, so that every tool takes them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

MSS = 1460
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_ETHERNET = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00"
_SYN_OPTIONS = b"\x02\x04\x05\xb4\x01\x01\x04\x02"
_IP = struct.Struct("!BBHHHBBHII")
_TCP = struct.Struct("!HHIIBBHHH")
_UDP = struct.Struct("!HHHH")

Packet = tuple[int, bytes]  # nanoseconds, frame


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): a sum in ones' complement is a remainder modulo 65535."""
    if len(data) & 1:
        data += b"\0"
    rest = int.from_bytes(data, "big") % 65535
    return 0xFFFF ^ (rest or (0xFFFF if any(data) else 0))


def ipv4(source: int, target: int, protocol: int, payload: bytes, ident: int) -> bytes:
    """An Ethernet frame holding an IPv4 packet."""
    head = _IP.pack(0x45, 0, 20 + len(payload), ident & 0xFFFF, 0x4000, 64, protocol, 0, source, target)
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return _ETHERNET + head + payload


def udp(source: tuple[int, int], target: tuple[int, int], data: bytes, ident: int = 0) -> bytes:
    head = _UDP.pack(source[1], target[1], 8 + len(data), 0)
    pseudo = struct.pack("!IIBBH", source[0], target[0], 0, 17, 8 + len(data))
    total = checksum(pseudo + head + data) or 0xFFFF
    return ipv4(source[0], target[0], 17, head[:6] + total.to_bytes(2, "big") + data, ident)


@dataclass
class Connection:
    """One TCP connection: say things, then take ``packets``."""

    client: tuple[int, int]
    server: tuple[int, int]
    rng: random.Random
    now: int
    pace: int = 200_000  # nanoseconds between packets
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seq = [self.rng.getrandbits(32), self.rng.getrandbits(32)]
        self.ident = self.rng.getrandbits(16)
        self._unacked = 0

    def _send(self, side: int, data: bytes, flags: int, options: bytes = b"") -> None:
        source, target = (self.server, self.client) if side else (self.client, self.server)
        length = 20 + len(options)
        ack = self.seq[1 - side] if flags & ACK else 0
        head = _TCP.pack(source[1], target[1], self.seq[side], ack, length << 2, flags, 64240, 0, 0)
        pseudo = struct.pack("!IIBBH", source[0], target[0], 0, 6, length + len(data))
        total = checksum(pseudo + head + options + data)
        segment = head[:16] + total.to_bytes(2, "big") + head[18:] + options + data
        self.ident += 1
        self.now += self.rng.randint(self.pace // 2, self.pace * 2)
        self.packets.append((self.now, ipv4(source[0], target[0], 6, segment, self.ident)))
        self.seq[side] = (self.seq[side] + len(data) + (1 if flags & (SYN | FIN) else 0)) & 0xFFFFFFFF

    def open(self) -> None:
        self._send(0, b"", SYN, _SYN_OPTIONS)
        self._send(1, b"", SYN | ACK, _SYN_OPTIONS)
        self._send(0, b"", ACK)

    def say(self, side: int, data: bytes) -> None:
        """Send a message in segments; the other side acknowledges every second one, as hosts do."""
        for at in range(0, len(data), MSS):
            piece = data[at : at + MSS]
            self._send(side, piece, ACK | (PSH if at + MSS >= len(data) else 0))
            self._unacked += 1
            if self._unacked == 2:
                self._send(1 - side, b"", ACK)
                self._unacked = 0

    def close(self) -> None:
        self._send(0, b"", FIN | ACK)
        self._send(1, b"", FIN | ACK)
        self._send(0, b"", ACK)
