"""Sends what the state has queued to its receivers: one thread a sink, at least once, the same id on a repeat."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.errors import StateError
from sniffer.outputs.sink import SinkError
from sniffer.state import Reader, SinkStats, database, queue

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sniffer.outputs.sink import Sink

# What is sent at once: large enough that a backlog drains in minutes, small enough for any receiver's limit on a request.
MAX_ITEMS = 200
MAX_BYTES = 1 << 20
# Waits between attempts, in seconds: the ceiling doubles from the first to the last, and chance chooses below it ("full
# jitter"), so that many sensors do not come back to a receiver that just rose all at once.
FIRST_WAIT, LAST_WAIT = 1.0, 300.0
# Whoever queues calls wake(); this is how long a queue that somebody else filled may wait.
IDLE_WAIT = 5.0
# A receiver that refuses one item was sent a bad item; one that refuses so many in a row, with nothing taken in between, is
# itself set up wrongly. From then on it costs one item an attempt, with waits between, not the whole queue at once.
MAX_REFUSED = 10
# What a formatter raises on a record it was not written for. The record is let go like one the receiver refused: a hostile
# host must not stop all alerts with one odd name. The text may quote the record, so only its type is told.
_OUR_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Courier:
    """One sink's deliveries. Has no clock: ``step`` says how long to wait before the next."""

    def __init__(self, path: Path, sink: Sink, *, now: Callable[[], int] = time.time_ns, chance: Callable[[float, float], float] = random.uniform) -> None:
        self.sink = sink
        self._path, self._now, self._chance = path, now, chance
        self._db: sqlite3.Connection | None = None
        self._number = 0
        self._attempts = 0  # in a row that failed
        self._refusals = 0  # in a row
        self._taken: list[queue.Waiting] = []  # by the receiver, and not yet written down

    @property
    def failing(self) -> bool:
        """Whether the next step is due only when its wait is over, whatever is queued meanwhile."""
        return self._attempts > 0

    def step(self) -> float:
        """Send one batch. Seconds to wait: 0 if there may be more, IDLE_WAIT if there is none, else what the back-off says."""
        try:
            self._open()
            if self._taken:
                self._write_down()
            broken: list[queue.Row] = []
            batch = self._waiting(broken)
            if broken:
                self._unreadable(broken)
            if batch:
                self._send(batch)
        except SinkError as error:
            return max(self._failed(str(error)), error.retry_after or 0.0)
        except StateError:  # the watch hears of it from its own writes
            return self._back_off()
        self._attempts = 0
        return 0.0 if batch or broken else IDLE_WAIT

    def close(self) -> None:
        """Let go of the file and the receiver."""
        if self._db is not None:
            with database.alone(self._path):
                self._db.close()
            self._db = None
        self.sink.close()

    def _open(self) -> None:
        if self._db is not None:
            return
        database.read_only(self._path).close()  # there, and of this schema
        db = database.connect(self._path, synchronous=database.NORMAL, checkpoints=False)
        with database.closed_if_it_fails(db), database.writing(db, self._path):
            self._number = queue.sink_number(db, self.sink.name)
        self._db = db

    def _writing(self) -> tuple[sqlite3.Connection, AbstractContextManager[None]]:
        assert self._db is not None
        return self._db, database.writing(self._db, self._path)

    def _waiting(self, broken: list[queue.Row]) -> list[queue.Waiting]:
        assert self._db is not None
        with database.explained(self._path):
            return queue.waiting(self._db, self._number, MAX_ITEMS, MAX_BYTES, broken)

    def _unreadable(self, rows: Sequence[queue.Row]) -> None:
        db, writing = self._writing()
        with writing:
            queue.unreadable(db, self._number, rows)

    def _send(self, batch: list[queue.Waiting]) -> None:
        """Send a batch; halve what is refused until the items that are refused stand alone."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                self._offer(part)
            except SinkError as error:
                if not error.permanent:
                    raise
                if len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                else:
                    self._refused(part[0], str(error))
            else:
                self._refusals = 0
                self._taken = part
                self._write_down()

    def _offer(self, part: Sequence[queue.Waiting]) -> None:
        try:
            self.sink.send([row.item for row in part])
        except OSError as error:
            raise SinkError(f"{self.sink.name}: {error.strerror or type(error).__name__}") from error
        except _OUR_BUGS as error:
            raise SinkError(f"{self.sink.name}: {type(error).__name__} while it was written", permanent=True) from error

    def _write_down(self) -> None:
        db, writing = self._writing()
        with writing:
            queue.delivered(db, self._number, self._taken, self._now())
        self._taken = []

    def _refused(self, row: queue.Waiting, why: str) -> None:
        db, writing = self._writing()
        with writing:
            queue.refused(db, self._number, row, why)
        self._refusals += 1
        if self._refusals >= MAX_REFUSED:
            raise SinkError(f"{self._refusals} refused in a row, the last: {why}")

    def _failed(self, why: str) -> float:
        try:
            db, writing = self._writing()
            with writing:
                queue.failed(db, self._number, why)
        except StateError:  # no room to write that down; the next attempt says it
            pass
        return self._back_off()

    def _back_off(self) -> float:
        self._attempts += 1
        return self._chance(FIRST_WAIT, min(LAST_WAIT, FIRST_WAIT * 2.0 ** min(self._attempts, 16)))


class _Thread(threading.Thread):
    """Walks a courier's steps and sleeps its waits."""

    def __init__(self, courier: Courier) -> None:
        super().__init__(name=f"deliver-{courier.sink.name}", daemon=True)
        self._courier = courier
        self._bell = threading.Event()
        self._ends: float | None = None  # monotonic: when to give up what is left

    def wake(self) -> None:
        self._bell.set()

    def end(self, at: float) -> None:
        self._ends = at
        self._bell.set()

    @property
    def died(self) -> bool:
        return self._ends is None and self.ident is not None and not self.is_alive()

    def run(self) -> None:
        try:
            while self._ends is None or time.monotonic() < self._ends:
                wait = self._courier.step()
                if wait and self._ends is not None:
                    break  # nothing is left, or the receiver does not take it
                self._sleep(wait)
        finally:
            self._courier.close()

    def _sleep(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        while self._ends is None and (left := over - time.monotonic()) > 0:
            if self._bell.wait(left):
                self._bell.clear()
                if not self._courier.failing:
                    return


class Delivery:
    """Delivers to all sinks from the queues of the state at ``state_path``, which is there and stays open meanwhile."""

    def __init__(self, state_path: str | os.PathLike[str], sinks: Sequence[Sink]) -> None:
        self._path = Path(state_path)
        self._threads = {sink.name: _Thread(Courier(self._path, sink)) for sink in sinks}
        if len(self._threads) < len(sinks):
            raise ValueError("two sinks bear one name")

    def start(self) -> None:
        """Begin, with what earlier runs left."""
        for thread in self._threads.values():
            thread.start()

    def wake(self) -> None:
        """Something was queued: look at once. A receiver that does not answer is left in peace until its wait is over."""
        for thread in self._threads.values():
            thread.wake()

    def stop(self, timeout: float) -> bool:
        """Send what can be sent within ``timeout`` seconds, then end; the rest stays queued for the next run.

        Whether all threads ended. One that still waits for its receiver ends with the process.
        """
        over = time.monotonic() + timeout
        for thread in self._threads.values():
            thread.end(over)
        for thread in self._threads.values():
            thread.join(max(0.0, over - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads.values())

    def dead(self) -> list[str]:
        """Sinks whose thread ended though it was not told to: a bug, of which the interpreter has written where."""
        return [name for name, thread in self._threads.items() if thread.died]

    def stats(self) -> dict[str, SinkStats]:
        """How each sink stands, by name; of those that have not begun yet nothing but zeros. StateError if the state cannot be read."""
        with Reader(self._path, database.read_only(self._path)) as reader:
            found = reader.sinks()
        return {name: found.get(name, SinkStats(0, 0, 0, 0, 0, 0, "")) for name in self._threads}
