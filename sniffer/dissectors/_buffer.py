"""Bytes of one side that a dissector has not consumed yet."""

from __future__ import annotations

from sniffer.errors import Malformed

# A peer that never finishes its message costs at most this much memory per side; a dissector that must hold
# more (a PostgreSQL row, a mail) names its own limit or skips.
MAX_BUFFER = 1 << 20


class Buffer:
    """A window of one side's stream. ``start`` is the stream offset of the next byte, ``end`` of the byte after the last.

    Takers return None when the bytes are not there yet, and then consume nothing. Taking is O(taken): the window
    moves over the chunk and what is left is copied only when more arrives.
    """

    __slots__ = ("_data", "_pos", "limit", "start")

    def __init__(self, limit: int = MAX_BUFFER) -> None:
        self._data = b""
        self._pos = 0
        self.start = 0
        self.limit = limit

    def feed(self, offset: int, data: bytes) -> None:
        """Append what comes at ``offset``; bytes that don't follow on restart the window there (after a gap or skip)."""
        left = len(self._data) - self._pos
        if left and offset == self.start + left:
            if left + len(data) > self.limit:
                self.clear()
                raise Malformed("message longer than the limit")
            self._data = self._data[self._pos :] + data
        else:
            self._data, self.start = data, offset
        self._pos = 0

    @property
    def end(self) -> int:
        return self.start + len(self._data) - self._pos

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def peek(self, size: int) -> bytes | None:
        """The next ``size`` bytes, not consumed."""
        if len(self._data) - self._pos < size:
            return None
        return self._data[self._pos : self._pos + size]

    def find(self, needle: bytes, limit: int | None = None) -> int:
        """How many bytes lie before ``needle`` (within ``limit`` bytes), or -1."""
        stop = len(self._data) if limit is None else self._pos + limit
        found = self._data.find(needle, self._pos, stop)
        return found - self._pos if found >= 0 else -1

    def take(self, size: int) -> bytes | None:
        """The next ``size`` bytes."""
        taken = self.peek(size)
        if taken is not None:
            self._pos += size
            self.start += size
        return taken

    def window(self) -> tuple[bytes, int]:
        """The bytes that hold what is not consumed, and where in them that begins: for loops that look before they take."""
        return self._data, self._pos

    def skip(self, size: int) -> None:
        """Consume ``size`` bytes that are known to be there."""
        self._pos += size
        self.start += size

    def rest(self) -> bytes:
        """All that is held, consumed."""
        taken = self._data[self._pos :]
        self.clear()
        return taken

    def line(self, limit: int = 65536) -> bytes | None:
        """The next line without its CRLF or LF. Malformed if none ends within ``limit`` bytes."""
        length = self.find(b"\n", limit)
        if length < 0:
            if len(self) >= limit:
                raise Malformed("line longer than the limit")
            return None
        taken = self._data[self._pos : self._pos + length]
        self._pos += length + 1
        self.start += length + 1
        return taken[:-1] if taken.endswith(b"\r") else taken

    def clear(self) -> None:
        """Forget what is held (after a gap, or when the rest belongs to another protocol)."""
        self.start = self.end
        self._data, self._pos = b"", 0
