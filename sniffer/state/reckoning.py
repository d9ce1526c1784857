"""The time that retention goes by: the clock's, but for what it gained without that time having passed.

What was recorded before a jump of the clock is only as old as time has really passed since; what was recorded after it is
younger still. So the clock is taken back by all that it jumped, until ``retention_days`` have really passed since the last
jump: then all of before is old enough in any case, and the clock is believed again. Kept in the file, for a restart is
no proof of anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

# By less (nanoseconds) a clock is adjusted, not set, as far as a retention of days is concerned.
JUMP = 3_600_000_000_000
# Kept among the counters: what the clock is ahead by, and when it jumped last, both in nanoseconds, the latter as reckoned.
AHEAD, JUMPED = "clock_ahead", "clock_jumped"
NAMES = (AHEAD, JUMPED)


class Reckoning:
    """Compares a clock with the time that really passes (``real``, nanoseconds from anywhere, sleep included). Where that is not
    known, the clock is believed.
    """

    def __init__(self, real: Callable[[], int] | None) -> None:
        self._real = real
        self._last = (0, 0)  # the clock, and real time, when they were last compared
        self._ahead = self._jumped = 0

    def load(self, db: sqlite3.Connection, now: int) -> None:
        """A file was opened; ``now`` is what the clock says, in nanoseconds since the epoch, here as everywhere."""
        kept = dict(db.execute("SELECT name, value FROM counters WHERE name IN (?, ?)", NAMES))
        self._ahead, self._jumped = kept.get(AHEAD, 0), kept.get(JUMPED, 0)
        self._last = (now, self._real() if self._real else 0)

    def begin(self, db: sqlite3.Connection, newest: int, now: int, keep: int) -> int:
        """A watch begins, and the ``newest`` record is so old. Off for longer than everything is kept (``keep``, nanoseconds), or the
        clock is wrong: that cannot be told, and nothing is deleted for it. By how much the clock is newly in doubt. In a transaction.
        """
        if self._real is None:
            return 0
        self._last = (now, self._real())
        gap = now - newest
        return self._take(db, gap, now) if gap >= max(keep, JUMP) or gap <= -JUMP else 0

    def look(self, db: sqlite3.Connection, now: int, keep: int) -> int:
        """Compare; by how much the clock has jumped forward since the last time. In a transaction."""
        if self._real is None:
            return 0
        (day, real), self._last = self._last, (now, self._real())
        jump = (now - day) - (self._last[1] - real)
        ahead = self._take(db, jump, now) if abs(jump) >= JUMP else 0
        if self._ahead and self.time(now) - keep >= self._jumped:
            self._keep(db, 0, 0)
        return ahead

    def time(self, now: int) -> int:
        """What the clock would say had it not jumped."""
        return now - self._ahead

    def _take(self, db: sqlite3.Connection, jump: int, now: int) -> int:
        ahead = max(0, self._ahead + jump)
        self._keep(db, ahead, now - ahead if jump > 0 else self._jumped)
        return max(0, jump)

    def _keep(self, db: sqlite3.Connection, ahead: int, jumped: int) -> None:
        self._ahead, self._jumped = ahead, jumped
        db.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?)", [(AHEAD, ahead), (JUMPED, jumped)])
