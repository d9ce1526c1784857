"""Signals as words read in the loop: stop (SIGTERM, SIGINT), stop at once (a second one), reread (SIGHUP)."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """In force during a ``with`` block of the main thread. ``fileno`` becomes readable when one has come."""

    def __init__(self) -> None:
        self.stops = 0
        self.reread = False
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> Signals:
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._out.close()
        self._in.close()

    def fileno(self) -> int:
        return self._out.fileno()

    def clear(self) -> None:
        """Nothing left to read until the next one comes."""
        try:
            while self._out.recv(64):
                pass
        except BlockingIOError:
            pass

    def _came(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.reread = True
        else:
            self.stops += 1
