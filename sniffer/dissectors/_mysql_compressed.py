"""MySQL's compressed protocol (MySQL internals manual, "Compression"): what follows a login that asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors import _codings
from sniffer.dissectors._buffer import Buffer
from sniffer.errors import Malformed
from sniffer.events import Side, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of one compressed packet, as it stands on the wire and unpacked: both ends write by pieces of 16 KiB to 1 MiB.
MAX_PACKED = 1 << 20
MAX_UNPACKED = 4 << 20
_HEAD = 7  # length, sequence number, length before compression


class TooLong(Exception):
    """A packet beyond the limits: where the next of the packets inside begins is lost."""


class Layer:
    """The bytes inside: each side's compressed packets hold pieces of one stream of ordinary packets."""

    __slots__ = ("_buffers", "_coding", "_inside")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._buffers = (Buffer(2 * MAX_PACKED), Buffer(2 * MAX_PACKED))
        self._inside = [0, 0]

    def feed(self, side: Side, offset: int, data: bytes) -> Iterator[tuple[Span, int, bytes]]:
        """Where a compressed packet stood, the offset of what was in it among all that was packed, and that itself."""
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        while (head := buffer.peek(_HEAD)) is not None:
            size, unpacked, start = int.from_bytes(head[:3], "little"), int.from_bytes(head[4:], "little"), buffer.start
            if size > MAX_PACKED or unpacked > MAX_UNPACKED:
                raise TooLong
            packet = buffer.take(_HEAD + size)
            if packet is None:
                return
            inside = packet[_HEAD:]
            if unpacked:  # too short to be worth it otherwise
                inside, _ = _codings.decode(inside, (self._coding,), unpacked)
                if len(inside) != unpacked:
                    raise Malformed("a compressed MySQL packet that does not unpack to its length")
            at = self._inside[side]
            self._inside[side] += len(inside)
            yield Span(side, start, buffer.start), at, inside
