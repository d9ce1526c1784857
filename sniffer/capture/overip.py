"""Captures that come as a stream: pcap-over-IP (a TCP server that sends a pcap or pcapng), a FIFO, standard input."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sniffer.capture.blocks import Input
from sniffer.capture.pcap import MAGICS, PcapReader
from sniffer.capture.pcapng import PcapngReader
from sniffer.capture.source import Counters
from sniffer.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from sniffer.capture.frames import Frames, Reader

# Seconds for a server to take the connection.
CONNECT_WAIT = 10.0
# Seconds of bytes that come one after the other that make a batch: small reads cost as much as large ones.
GATHER = 0.05
# As much as Linux lets anybody have between a writer and a busy reader.
PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_PCAPNG = b"\x0a\x0d\x0d\x0a"
# Seconds of silence until TCP asks whether the server still lives, and between the questions.
_KEEPALIVE = 30


def connect(url: str) -> Stream:
    """A pcap-over-IP server by ``tcp://host:port``. CaptureError when it cannot be reached, UsageError for the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = None
    if parts is None or parts.scheme != "tcp" or not host or not port or parts.path not in ("", "/"):
        raise UsageError(f"{url}: a pcap-over-IP server is named tcp://HOST:PORT")
    try:
        sock = socket.create_connection((host, port), CONNECT_WAIT)
    except (OSError, UnicodeError) as error:  # a host whose name IDNA does not take
        raise CaptureError(f"{url}: cannot connect: {getattr(error, 'strerror', None) or error}") from None
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE)
    return Stream(url, sock.detach(), "the server closed the connection")


def open_stream(path: str) -> Stream:
    """Standard input (``-``) or a FIFO, which may have no writer yet. CaptureError when it cannot be opened."""
    try:
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}") from None
    return Stream("standard input" if path == "-" else path, fd, "the writer has ended")


class _Bytes(Input):
    """What the readers of capture files take for a file: bytes from a descriptor, until it ends or ``stop`` is closed."""

    def __init__(self, name: str, fd: int, stop: int) -> None:
        self.name = name
        self.size = None
        self.compression = self.damage = None
        self.plentiful = False
        self.place = None
        self.error: str | None = None
        self._fd = fd
        self._count = 0
        self._kept = b""
        self._poll = select.poll()
        for each in (fd, stop):
            self._poll.register(each, select.POLLIN)
        self._stop = stop
        self.head = b""

    @property
    def position(self) -> int:
        return self._count

    def begin(self) -> None:
        """Wait for the first bytes."""
        first = bytearray(4)
        while len(self.head) < 4:
            count = self._some(memoryview(first)[: 4 - len(self.head)], 0)
            if not count:
                break
            self.head += bytes(first[:count])
        self._kept = self.head

    def readinto(self, buffer: memoryview, /) -> int:
        count = len(self._kept)
        if count:
            buffer[:count] = self._kept
            self._kept = b""
            return count
        return self._some(buffer, GATHER)

    def _some(self, buffer: memoryview, gather: float) -> int:
        """Wait for bytes, then take what comes at once; 0 at the end."""
        got, until = 0, 0.0
        while got < len(buffer) and (not got or time.monotonic() < until):
            events = dict(self._poll.poll(0 if got else None))
            if self._stop in events:
                return got
            if not events:
                break
            try:
                count = os.readv(self._fd, [buffer[got:]])
            except BlockingIOError:
                continue
            except OSError as error:
                self.error = error.strerror
                break
            if not count:
                break
            until = until or time.monotonic() + gather
            got += count
        self._count += got
        return got

    def close(self) -> None:
        """The owner closes the descriptor."""


class Stream:
    """A capture that is being written. See ``source.LiveSource``.

    A thread reads ahead by one batch, so that ``read`` never waits for the rest of a record that does not come.
    ``problem`` tells the end; opening it again is the caller's.
    """

    def __init__(self, name: str, fd: int, ended: str) -> None:
        self.name = name
        self.problem: str | None = None
        self._fd = fd
        self._ended = ended
        self._batch: Frames | None = None
        self._end = ""
        self._lent = False
        self._closed = False
        self._counters = Counters()
        self._wake, self._signal = os.pipe()
        self._stop, self._stopper = os.pipe()
        self._taken = threading.Semaphore(0)
        self._bytes = _Bytes(name, fd, self._stop)
        _widen(fd)
        self._thread = threading.Thread(target=self._run, name=f"reads {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """The thread. However it ends, that is told: whoever waits must not wait for ever."""
        self._end = f"{self.name}: could not be read any further"
        try:
            self._follow()
        finally:
            if not self._closed:
                self._batch = None
                os.write(self._signal, b"-")

    def _follow(self) -> None:
        """One batch at a time, the next when that was taken and given back."""
        self._bytes.begin()
        reader = self._reader()
        if reader is None:
            self._end = f"{self.name}: {'not a capture (neither pcap nor pcapng)' if self._bytes.head else self._ended}"
            return
        for frames in reader.batches():
            self._batch = frames
            os.write(self._signal, b"+")
            self._taken.acquire()
            if self._closed:
                return
        self._end = reader.problem or f"{self.name}: {self._bytes.error or self._ended}"

    def _reader(self) -> Reader | None:
        if self._bytes.head in MAGICS:
            return PcapReader(self._bytes)
        return PcapngReader(self._bytes) if self._bytes.head == _PCAPNG else None

    def fileno(self) -> int:
        return self._wake

    def read(self, wait: float) -> Frames | None:
        """The next batch. After the end, which ``problem`` tells, it only waits."""
        if self._lent:
            self._lent = False
            self._taken.release()
        ready, _, _ = select.select([self._wake], [], [], max(wait, 0))
        if not ready:
            return None
        os.read(self._wake, 1)
        frames = self._batch
        if frames is None:
            self.problem = self._end
            return None
        self._lent = True
        self._counters.packets += len(frames)
        self._counters.bytes += int(frames.wire.sum())
        return frames

    def counters(self) -> Counters:
        """What the writer dropped before it wrote is not known here."""
        return Counters(self._counters.packets, self._counters.bytes)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        os.close(self._stopper)
        self._taken.release()
        self._thread.join()
        for fd in (self._stop, self._wake, self._signal, self._fd):
            os.close(fd)


def _widen(fd: int) -> None:
    """Give a pipe the room to hold what comes while a batch is worked on; sockets and other systems have their own."""
    try:
        import fcntl

        fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_BYTES)
    except (OSError, ImportError, ValueError):
        pass
