"""Messages between a worker and its parent over a socket pair: neither ever waits for the other."""

from __future__ import annotations

import socket
import struct

_HEAD = struct.Struct("<Q")
# One report at the ledger's and the collector's bounds is some 300 MB; nothing honest is longer.
MAX_MESSAGE = 1 << 30
_CHUNK = 1 << 20


class Outbox:
    """Sends one message at a time without blocking. While one is under way the sender keeps the next to itself."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.setblocking(False)
        self._left = memoryview(b"")

    @property
    def busy(self) -> bool:
        return len(self._left) > 0

    def put(self, data: bytes) -> None:
        """Begin to send; only when not ``busy``."""
        assert not self.busy
        self._left = memoryview(_HEAD.pack(len(data)) + data)
        self.push()

    def push(self) -> None:
        """Send what the socket takes now. OSError when the other end is gone."""
        while self._left:
            try:
                sent = self._end.send(self._left[:_CHUNK])
            except BlockingIOError:
                return
            self._left = self._left[sent:]


class Inbox:
    """Takes in what has come, and gives whole messages."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.setblocking(False)
        self._buffer = bytearray()
        self.closed = False
        self.received = 0  # bytes

    def take(self, limit: int = 8) -> list[bytes]:
        """Whole messages that are there, at most about ``limit``; ``closed`` is set when the other end is gone."""
        out: list[bytes] = []
        while len(out) < limit:
            whole = self._whole()
            if whole is not None:
                out.append(whole)
                continue
            try:
                data = self._end.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self._buffer += data
            self.received += len(data)
        return out

    def _whole(self) -> bytes | None:
        if len(self._buffer) < _HEAD.size:
            return None
        (size,) = _HEAD.unpack_from(self._buffer)
        if size > MAX_MESSAGE:
            self.closed = True
            self._buffer.clear()
            return None
        if len(self._buffer) < _HEAD.size + size:
            return None
        message = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
        del self._buffer[: _HEAD.size + size]
        return message
