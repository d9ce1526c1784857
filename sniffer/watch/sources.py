"""What a worker reads from: made by the parent with its privileges, opened by the worker without any."""

from __future__ import annotations

import io
import os
import select
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sniffer.capture import open_capture
from sniffer.capture.frames import PAD, Frames
from sniffer.capture.live import Counters
from sniffer.errors import CaptureError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from sniffer.capture.frames import Reader
    from sniffer.capture.live import LiveSource, RingSettings


class SourcePlan(Protocol):
    """Crosses to the worker process, where it is opened."""

    @property
    def name(self) -> str: ...

    def open(self) -> LiveSource: ...


@dataclass(frozen=True, slots=True)
class RingPlan:
    """An interface: the socket was opened by the parent, which keeps it for the worker that comes after this one."""

    settings: RingSettings
    socket: socket.socket

    @property
    def name(self) -> str:
        return self.settings.interface

    def open(self) -> LiveSource:
        from sniffer.capture.ring import Ring

        return Ring(self.socket, self.settings)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A FIFO, standard input or a capture file, as an open descriptor (a Connection is what carries one across)."""

    name: str
    descriptor: Connection

    def open(self) -> LiveSource:
        return StreamSource(self.name, os.dup(self.descriptor.fileno()))


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """pcap-over-IP: the worker connects by itself, and again when the connection is lost."""

    host: str
    port: int

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def open(self) -> LiveSource:
        from sniffer.capture.overip import OverIp

        return OverIp(self.host, self.port)


class StreamSource:
    """A capture that comes through a descriptor; ``ended`` when it is over. See ``capture.live.LiveSource``."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.problem: str | None = None
        self.ended = False
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLHUP)
        self._reader: Reader | None = None
        self._batches: Iterator[Frames] | None = None
        self._counters = Counters(0, 0, 0, 0)

    def fileno(self) -> int:
        return self._descriptor

    def read(self, wait: float) -> Frames | None:
        """The next batch, or None when ``wait`` seconds brought none."""
        if self.ended or not self._poll.poll(wait * 1000):
            return None
        try:
            frames = next(self._opened(), None)
        except CaptureError as error:
            self.problem, self.ended = str(error), True
            return None
        if frames is None:
            self.ended = True
            self.problem = self._reader.problem if self._reader else None
            return None
        self._counters.packets += len(frames)
        self._counters.bytes += int(frames.size.sum())
        return frames

    def _opened(self) -> Iterator[Frames]:
        """Opened when its first bytes are there: a capture that waits for its first packet sends not even a header."""
        if self._batches is None:
            # The descriptor becomes this process's standard input, unbuffered: a buffer would wait until it is full.
            os.dup2(self._descriptor, 0)
            sys.stdin = io.TextIOWrapper(io.FileIO(0, "rb", closefd=False))
            self._reader = open_capture("-")
            self._reader.name = self.name
            self._batches = self._reader.batches()
        return self._batches

    def counters(self) -> Counters:
        return replace(self._counters)

    def close(self) -> None:
        self.ended = True
        os.close(self._descriptor)


def together(batches: Sequence[Frames]) -> Frames:
    """Batches of several sources as one in the order of time: a tap gives each direction on a link of its own."""
    if len(batches) == 1:
        return batches[0]
    parts, starts, total = [], [], 0
    for frames in batches:
        end = int((frames.offset + frames.size).max(initial=0))
        parts.append(memoryview(frames.buffer)[:end])
        starts.append(total)
        total += end
    columns = {name: np.concatenate([getattr(frames, name) for frames in batches]) for name in _COLUMNS if getattr(batches[0], name, None) is not None}
    columns["offset"] = np.concatenate([frames.offset + start for frames, start in zip(batches, starts, strict=True)])
    order = np.argsort(columns["time"], kind="stable")
    buffer = b"".join((*parts, bytes(PAD)))
    return replace(batches[0], buffer=buffer, source="+".join(frames.source for frames in batches), **{name: column[order] for name, column in columns.items()})


_COLUMNS = tuple(name for name in Frames.__dataclass_fields__ if name not in ("buffer", "source"))
