"""Time in which we did not run: the machine slept, or the process was stopped and went on (clock_gettime(2))."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# Only sleep makes CLOCK_BOOTTIME gain on CLOCK_MONOTONIC. They are read one after the other, which is far below this (ns).
SLEPT_FROM = 1_000_000_000
# Between two turns of a loop that neither ran nor slept (ns): it was stopped, or its machine was. A turn waits for a quarter of a
# second at most; the rest allows for a disk or a processor that others have taken.
STOOD_FROM = 10_000_000_000


def boottime() -> int:
    """Nanoseconds that have really passed, sleep included. Where there is no such clock, those awake."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns()


class Clocks(NamedTuple):
    """Four clocks in nanoseconds: of the day, of the time awake, of all time, of the processor time we took."""

    day: Callable[[], int] = time.time_ns
    awake: Callable[[], int] = time.monotonic_ns
    real: Callable[[], int] = boottime
    worked: Callable[[], int] = time.process_time_ns


class Missed(NamedTuple):
    """For how long (nanoseconds) the machine slept and the process stood still, and when that ended (since the epoch)."""

    slept: int
    stood: int
    until: int


class Pulse:
    """Felt once in each turn of a loop; says what went by unseen since the turn before."""

    def __init__(self, clocks: Clocks | None = None) -> None:
        self._clocks = clocks or Clocks()
        self._last = self._read()

    def _read(self) -> tuple[int, int, int]:
        return self._clocks.awake(), self._clocks.real(), self._clocks.worked()

    def beat(self) -> Missed | None:
        """What was missed since the last call, if it is worth a word. Work is no standstill, however long it took."""
        before, self._last = self._last, self._read()
        awake, real, worked = (now - then for now, then in zip(self._last, before, strict=True))
        slept, stood = real - awake, awake - worked
        if slept < SLEPT_FROM and stood < STOOD_FROM:
            return None
        return Missed(slept if slept >= SLEPT_FROM else 0, stood if stood >= STOOD_FROM else 0, self._clocks.day())
