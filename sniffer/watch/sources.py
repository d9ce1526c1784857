"""What a worker reads from: made by the parent with its privileges, opened by the worker without any."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from sniffer.capture import live, open_capture
from sniffer.capture.overip import Stream, connect
from sniffer.capture.source import Counters
from sniffer.errors import CaptureError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from sniffer.capture.frames import Frames, Reader
    from sniffer.capture.source import LiveSource, RingSettings

_ENDED = "the writer has ended"
# Between attempts to reach a pcap-over-IP server (seconds).
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class SourcePlan(Protocol):
    """Crosses to the worker process, where it is opened."""

    @property
    def name(self) -> str: ...

    @property
    def again(self) -> bool:
        """Whether a worker that comes after a dead one can go on with it."""

    @property
    def live(self) -> bool:
        """Whether silence on it is worth a word."""

    def open(self) -> LiveSource: ...


@dataclass(frozen=True, slots=True)
class RingPlan:
    """An interface: the socket was opened by the parent, which keeps it for the worker that comes after this one."""

    settings: RingSettings
    socket: socket.socket
    again = live = True

    @property
    def name(self) -> str:
        return self.settings.interface

    def open(self) -> LiveSource:
        return live.Ring(self.socket, self.settings)


@dataclass(frozen=True, slots=True)
class PortablePlan:
    """An interface where there is no AF_PACKET: the worker opens it itself, with the privileges it was started with."""

    settings: RingSettings
    again = live = True

    @property
    def name(self) -> str:
        return self.settings.interface

    def open(self) -> LiveSource:
        from sniffer.capture.portable import Portable

        return Portable(self.settings)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A FIFO, standard input or a capture file, as an open descriptor (a Connection is what carries one across)."""

    name: str
    descriptor: Connection
    live: bool = True
    again = False  # its beginning, with the header, is gone

    def open(self) -> LiveSource:
        fd = os.dup(self.descriptor.fileno())
        return Once(Stream(self.name, fd, _ENDED)) if self.live else FileSource(self.name, fd)


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """pcap-over-IP: the worker connects by itself, and again when the connection is lost."""

    url: str
    again = live = True

    @property
    def name(self) -> str:
        return self.url

    def open(self) -> LiveSource:
        return Reconnecting(self.url)


class Once:
    """A stream that is over when its writer has ended."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.name = stream.name
        self.fileno, self.read, self.counters, self.close = stream.fileno, stream.read, stream.counters, stream.close

    @property
    def ended(self) -> bool:
        return self._stream.problem is not None

    @property
    def problem(self) -> str | None:
        """An end where a record ends is none."""
        said = self._stream.problem
        return None if said is None or said.endswith(_ENDED) else said


class Reconnecting:
    """A pcap-over-IP server that may come and go. Connecting is done aside: the worker goes on hearing its parent."""

    def __init__(self, url: str) -> None:
        self.name = url
        self.problem: str | None = None
        self._stream: Stream | None = None
        self._before = Counters()
        self._pause, self._due = FIRST_PAUSE, 0.0
        self._thread: threading.Thread | None = None

    def fileno(self) -> int:
        return self._stream.fileno() if self._stream else -1

    def read(self, wait: float) -> Frames | None:
        """The next batch, or None; while there is no connection it only waits."""
        if self._stream is None and not self._connected(wait):
            return None
        assert self._stream is not None
        frames = self._stream.read(wait)
        if frames is not None:
            self._pause = FIRST_PAUSE
        elif self._stream.problem:
            self._lost(self._stream.problem)
        return frames

    def _connected(self, wait: float) -> bool:
        if self._thread is None and time.monotonic() >= self._due:
            self._thread = threading.Thread(target=self._connect, name="connects", daemon=True)
            self._thread.start()
        if self._thread is None:
            time.sleep(min(wait, max(0.0, self._due - time.monotonic())))
            return False
        self._thread.join(wait)
        if self._thread.is_alive():
            return False
        self._thread = None
        return self._stream is not None

    def _connect(self) -> None:
        try:
            self._stream, self.problem = connect(self.name), None
        except CaptureError as error:
            self.problem = str(error)
            self._wait()

    def _lost(self, why: str) -> None:
        assert self._stream is not None
        self._before = self.counters()
        self._stream.close()
        self._stream, self.problem = None, why
        self._wait()

    def _wait(self) -> None:
        self._due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def counters(self) -> Counters:
        """Over all connections."""
        now = self._stream.counters() if self._stream else Counters()
        return Counters(self._before.packets + now.packets, self._before.bytes + now.bytes)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class FileSource:
    """A capture file read once, with its packets' times; ``ended`` when it is over. See ``capture.live.LiveSource``."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.problem: str | None = None
        self.ended = False
        self._counters = Counters()
        # The descriptor becomes this process's standard input, which is how a capture without a path is read.
        os.dup2(descriptor, 0)
        os.close(descriptor)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)))
        self._reader: Reader | None = None
        self._batches: Iterator[Frames] = self._read()

    def _read(self) -> Iterator[Frames]:
        self._reader = open_capture("-")
        self._reader.name = self.name
        yield from self._reader.batches()

    def fileno(self) -> int:
        return 0

    def read(self, wait: float) -> Frames | None:
        """The next batch, or None at the end."""
        if self.ended:
            return None
        try:
            frames = next(self._batches, None)
        except CaptureError as error:
            self.problem, self.ended = str(error).replace("standard input", self.name), True
            return None
        if frames is None:
            self.ended = True
            self.problem = self._reader.problem if self._reader else None
            return None
        self._counters.packets += len(frames)
        self._counters.bytes += int(frames.wire.sum())
        return frames

    def counters(self) -> Counters:
        return replace(self._counters)

    def close(self) -> None:
        self.ended = True
