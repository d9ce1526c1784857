"""A pipe between two processes that carries messages: a length and so many bytes."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress

_LENGTH = struct.Struct("<Q")
# What the kernel is asked to hold of a message that nobody has read yet; without it the writer waits every 64 KiB.
_HELD = 1 << 20
# From here on a message is not copied behind its length.
_LONG = 1 << 16


class Pipe:
    """Made before a fork; afterwards each side keeps its end, or a reader would not learn that the writer has ended."""

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # beyond what a user may have
                fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, _HELD)

    def keep_reading(self) -> None:
        """Only read from here on."""
        self._writing = _closed(self._writing)

    def keep_writing(self) -> None:
        """Only write from here on."""
        self._reading = _closed(self._reading)

    def close(self) -> None:
        self._reading, self._writing = _closed(self._reading), _closed(self._writing)

    def send(self, message: bytes) -> None:
        """Hand over a message; waits for room. OSError where nobody reads any more."""
        length = _LENGTH.pack(len(message))
        for part in (length + message,) if len(message) < _LONG else (length, message):
            data = memoryview(part)
            while data:
                data = data[os.write(self._writing, data) :]

    def receive(self) -> bytearray | None:
        """The next message; None where the other side is gone."""
        length = self._read(_LENGTH.size)
        return None if length is None else self._read(_LENGTH.unpack(length)[0])

    def _read(self, size: int) -> bytearray | None:
        data = bytearray(size)
        room = memoryview(data)
        while room:
            more = os.readv(self._reading, [room])
            if not more:
                return None
            room = room[more:]
        return data


def _closed(handle: int) -> int:
    if handle >= 0:
        os.close(handle)
    return -1
