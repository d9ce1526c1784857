"""Capture files built by hand, in every variant."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from sniffer.capture import open_capture

Packet = tuple[int, bytes]  # nanoseconds, bytes


def pcap(packets: Iterable[Packet], *, order: str = "<", nano: bool = False, link: int = 1, kuznetzov: bool = False, snaplen: int = 65535) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2CD34 if kuznetzov else 0xA1B2C3D4
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for time, data in packets:
        seconds, rest = divmod(time, 1_000_000_000)
        out.append(struct.pack(f"{order}IIII", seconds, rest if nano else rest // 1000, len(data[:snaplen]), len(data)))
        if kuznetzov:
            out.append(struct.pack(f"{order}IHBx", 0, 0, 0))
        out.append(data[:snaplen])
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, *, order: str = "<", snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snaplen) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(data: bytes, ticks: int, *, number: int = 0, order: str = "<", wire: int | None = None, options: bytes = b"") -> bytes:
    head = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) if wire is None else wire)
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def simple(data: bytes, *, order: str = "<", wire: int | None = None) -> bytes:
    return block(3, struct.pack(f"{order}I", len(data) if wire is None else wire) + data, order)


def old(data: bytes, ticks: int, *, number: int = 0, order: str = "<") -> bytes:
    return block(2, struct.pack(f"{order}HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)) + data, order)


def read(path: Path | str) -> tuple[list[tuple[int, bytes]], str | None]:
    """(time, bytes) of every frame, and the reader's problem."""
    reader = open_capture(str(path))
    out: list[tuple[int, bytes]] = []
    for frames in reader.batches():
        assert len(frames.buffer) >= int((frames.offset + frames.size).max()) + 256
        for at, size, time in zip(frames.offset.tolist(), frames.size.tolist(), frames.time.tolist(), strict=True):
            out.append((time, bytes(frames.buffer[at : at + size])))
    return out, reader.problem


SAMPLE: list[Packet] = [(1_700_000_000_123_456_000 + i * 1_000_001_000, bytes([i]) * (20 + i * 7 % 90)) for i in range(12)]
