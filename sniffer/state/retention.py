"""What is let go of, and in which order: by days first, then by size until the file is within its bound again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sniffer.state import queue
from sniffer.state.database import writing
from sniffer.state.rows import count

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

DAY = 86_400_000_000_000
# Rows a step deletes: some ten milliseconds of holding the file, and a log that stays small.
STEP = 2000
# Once over the bound, go this far below it (in eighths), or every report would prune again.
_EIGHTHS = 7


@dataclass(slots=True)
class Pruned:
    """How many rows were let go."""

    findings: int = 0
    channels: int = 0
    alerts: int = 0
    intervals: int = 0
    queued: int = 0

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
    with writing(db, path):
        gone = db.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {condition} ORDER BY {order} LIMIT {STEP})"  # noqa: S608  (our own names and numbers)
        ).rowcount
        if gone:
            count(db, f"pruned_{table}", gone)
    setattr(out, table, getattr(out, table) + gone)
    return gone


def shrink(db: sqlite3.Connection, path: Path) -> None:
    """Give the pages that became free back to the file system, some at a time."""
    while int(db.execute("PRAGMA freelist_count").fetchone()[0]) > STEP:
        with writing(db, path):
            db.execute(f"PRAGMA incremental_vacuum({STEP})").fetchall()
