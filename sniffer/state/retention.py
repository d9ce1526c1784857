"""What is let go of, and in which order: by days first, then by size until the file is within its bound again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sniffer.state import queue
from sniffer.state.database import alone, explained, writing
from sniffer.state.rows import count

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

DAY = 86_400_000_000_000
# Rows a step deletes, pages it gives back: some ten milliseconds of holding the file, and a log that stays small.
STEP = 2000
# How much one call shrinks the file: 64 MB in pages of 4 KiB, below a second.
_SHRINK_STEPS = 8
# Once over the bound, go this far below it (in eighths), or every report would prune again.
_EIGHTHS = 7


# Channels named to whoever counts them: as many as anybody remembers, the latest, since the oldest are taken first.
MAX_IDS = 200_000


@dataclass(slots=True)
class Pruned:
    """How many rows were let go."""

    findings: int = 0
    channels: int = 0
    alerts: int = 0
    intervals: int = 0
    queued: int = 0
    ids: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_IDS), compare=False)  # of the channels

    @property
    def total(self) -> int:
        return self.findings + self.channels + self.alerts + self.intervals + self.queued


# What the size bound takes, first to last: what is done with, then what can be seen again, evidence after all that. Of each
# the longest untouched first, so that noise made now pushes out older noise before it comes to findings. What waits for
# a receiver has a bound of its own and is never taken.
_BY_SIZE = (
    ("alerts", "state = 'resolved'"),
    ("findings", "acknowledged > 0"),
    ("channels", "findings = 0"),
    ("channels", "findings <> 0"),
    ("findings", "acknowledged = 0"),
    ("alerts", "state = 'firing'"),
)


def used(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, page = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * page


def by_age(db: sqlite3.Connection, path: Path, before: int, out: Pruned) -> None:
    """Let go of everything last touched before a time; of alerts only those that are over."""
    for table, column, condition in (
        ("findings", "recorded", "1"),
        ("channels", "recorded", "1"),
        ("alerts", "recorded", "state = 'resolved'"),
        ("intervals", "until", "1"),
    ):
        while _step(db, path, table, f"{column} < {int(before)} AND {condition}", column, out) == STEP:
            pass
    with writing(db, path):
        out.queued += queue.expire(db, before)


def of_now(db: sqlite3.Connection, now: int) -> None:
    """Whatever was recorded in the future, by a clock that has been set back since, begins to age now. In a transaction."""
    for table in ("findings", "channels", "alerts", "queue"):
        db.execute(f"UPDATE {table} SET recorded = ?1 WHERE recorded > ?1", (int(now),))  # noqa: S608


def by_size(db: sqlite3.Connection, path: Path, bound: int, out: Pruned) -> bool:
    """Bring the file below its bound; False if there is nothing left that may be taken."""
    if used(db) <= bound:
        return True
    goal = bound // 8 * _EIGHTHS
    for table, condition in _BY_SIZE:
        while used(db) > goal:
            if not _step(db, path, table, condition, "recorded", out):
                break
    return used(db) <= bound


def _step(db: sqlite3.Connection, path: Path, table: str, condition: str, order: str, out: Pruned) -> int:
    """Delete up to STEP rows of a kind, the oldest first, and count them here and for good."""
    name = "id" if table == "channels" else "''"
    with writing(db, path):
        rows = db.execute(f"SELECT rowid, {name} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {STEP}").fetchall()  # noqa: S608  (our own names and numbers)
        db.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(row,) for row, _ in rows])  # noqa: S608
        gone = len(rows)
        if gone:
            count(db, f"pruned_{table}", gone)
    if table == "channels":
        out.ids.extend(id for _, id in rows)
    setattr(out, table, getattr(out, table) + gone)
    return gone


def shrink(db: sqlite3.Connection, path: Path) -> None:
    """Give free pages at the file's end back to the file system, some at a time; STEP are kept for what comes next."""
    for _ in range(_SHRINK_STEPS):
        free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        if free <= STEP:
            return
        # A script, since execute() would stop after the first page: each is a row, without columns.
        with alone(path), explained(path):
            db.executescript(f"PRAGMA incremental_vacuum({min(free - STEP, STEP)})")
