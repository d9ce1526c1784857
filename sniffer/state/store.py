"""The state of a watch: findings, ledger, alerts and what waits for receivers, in one SQLite file that survives its process."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.errors import StateCorrupt
from sniffer.outputs.text import clean
from sniffer.state import database, queue, retention, rows, schema
from sniffer.state.reader import Interval, Reader
from sniffer.state.reckoning import Reckoning

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sniffer.alert import Alert
    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.outputs.sink import Item

# A note is a sentence and a ticket number.
_NOTE_TEXT = 1000


class Transaction:
    """What one report brings. All of it is on record when ``State.transaction`` ends, or none of it."""

    def __init__(self, db: sqlite3.Connection, now: int, bound: Callable[[str], int]) -> None:
        self._db = db
        self._now = now
        self._bound = bound

    def findings(self, rows_: Sequence[Finding]) -> set[str]:
        """Record findings by id: counts are added, the worst severity and the best-known outcome stay. The ids that are new."""
        return rows.put_findings(self._db, rows_, self._now)

    def channels(self, rows_: Sequence[Channel]) -> list[Channel]:
        """Merge rows that hold what came since the last ones (``Channel.merge``); the rows as they now stand."""
        return rows.put_channels(self._db, rows_, self._now)

    def alerts(self, alerts: Sequence[Alert], told: Mapping[str, int] | None = None) -> None:
        """Record alerts by id, the latest word of each; ``told`` is when they were last handed out, where that is not now."""
        rows.put_alerts(self._db, alerts, self._now, told or {})

    def enqueue(self, sink: str, items: Sequence[Item]) -> int:
        """Queue items for a sink; how many were let go for want of room, which the state counts too (see ``queue.enqueue``)."""
        return queue.enqueue(self._db, sink, items, self._bound(sink), self._now)

    def heartbeat(self, now: int) -> None:
        """The watch is there (nanoseconds since the epoch)."""
        self._db.execute("UPDATE watch SET heartbeat = ?", (now,))

    def unwatched(self, interval: Interval) -> None:
        """Record a time in which something was not watched: a worker was down, a report could not be written."""
        rows.put_interval(self._db, interval)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter that outlives the process."""
        rows.count(self._db, name, number)


class State(Reader):
    """Opens the file, or makes it: 0600, in a directory 0700 where that is made too; brings an older schema up to date.

    One process at a time holds it; others may read (``open_readonly``) and acknowledge. ``retention_days`` and
    ``max_bytes`` bound what is kept (``prune``), ``queue_bytes`` what waits for a sink, ``limits`` the same for sinks by
    name; the queues count towards ``max_bytes``. ``clock`` gives nanoseconds since the epoch, ``real`` those that have
    really passed, sleep included, counted from anywhere; without it the clock is believed whatever it says.

    A damaged file is set aside and a new one begun: ``notices`` says so, one line each. StateError if the file cannot be
    used: another program's, a newer schema's, in use, no permission; StateFull if there is no room for it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sensor: str = "",
        retention_days: int = 90,
        max_bytes: int = 1 << 30,
        queue_bytes: int = 64 << 20,
        limits: Mapping[str, int] | None = None,
        clock: Callable[[], int] = time.time_ns,
        real: Callable[[], int] | None = None,
    ) -> None:
        self.notices: list[str] = []
        self.retention_days, self.max_bytes, self.queue_bytes = retention_days, max_bytes, queue_bytes
        self.limits = dict(limits or {})
        self._name, self._clock = clean(sensor), clock
        self._reckoning = Reckoning(real)
        self._taken = retention.Pruned()  # for the size bound, since the last ``prune``
        self._lost_since = 0  # when a file that was set aside was last written
        path = Path(path)
        self._held = database.occupy(path)
        with ExitStack() as undo:
            undo.callback(os.close, self._held)
            super().__init__(path, self._open(path))
            undo.pop_all()

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            return self._opened(path)
        except StateCorrupt:
            aside, self._lost_since = database.set_aside(path)
            self.notices.append(_anew(path, aside))
            return self._opened(path)

    def _opened(self, path: Path) -> sqlite3.Connection:
        database.prepare(path)
        database.check(path)
        db = database.connect(path, synchronous=database.FULL, checkpoints=True)
        with database.closed_if_it_fails(db):
            with database.alone(path), database.explained(path):
                schema.migrate(db, str(path))
            with database.writing(db, path):
                db.execute("UPDATE watch SET sensor = ?", (self._name,))
            self._reckoning.load(db, self._clock())
        return db

    @staticmethod
    def open_readonly(path: str | os.PathLike[str]) -> Reader:
        """A state to read from, also while another process writes it. StateError if it is not there or of another schema."""
        name = Path(path)
        return Reader(name, database.read_only(name))

    def close(self) -> None:
        """Let go of the file; say ``stopped`` before, or the next run takes this one for killed."""
        with self._lock:
            with database.alone(self.path):
                self._db.close()
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    def renew(self) -> None:
        """After StateCorrupt, with all deliveries stopped: set the file aside and begin a new one, then ``begin`` again."""
        with self._lock:
            with database.alone(self.path):
                self._db.close()
            aside, self._lost_since = database.set_aside(self.path)
            self.notices.append(_anew(self.path, aside))
            self._db = self._opened(self.path)

    def begin(self, now: int) -> list[Interval]:
        """A watch begins: the time since the last one's heartbeat is recorded as not watched, and given."""
        with self._lock, database.writing(self._db, self.path):
            last, clean_stop = self._db.execute("SELECT heartbeat, clean FROM watch").fetchone()
            found = []
            if last:
                self._doubt(self._reckoning.begin(self._db, last, now, self._keep))
                found.append(Interval(last, max(now, last), "stopped" if clean_stop else "killed"))
            elif self._lost_since:
                found.append(Interval(self._lost_since, max(now, self._lost_since), "state lost"))
            self._lost_since = 0
            for interval in found:
                rows.put_interval(self._db, interval)
            self._db.execute(f"INSERT OR IGNORE INTO counters VALUES (?, coalesce(({rows.EARLIEST}), ?))", (rows.BEGUN, now))  # noqa: S608  (our own query)
            self._db.execute("UPDATE watch SET heartbeat = ?, clean = 0", (now,))
        return found

    def stopped(self, now: int) -> None:
        """The watch ends as it should."""
        with self._lock, database.writing(self._db, self.path):
            self._db.execute("UPDATE watch SET heartbeat = ?, clean = 1", (now,))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """What is put in is on record when the block ends; whatever is raised in it, nothing is.

        Keeps the size bound first. StateFull when the disk has no room: the same block may be tried again later.
        StateCorrupt when the file is found to be damaged: see ``renew``.
        """
        with self._lock:
            self._keep_bound()
            with database.writing(self._db, self.path):
                yield Transaction(self._db, self._clock(), lambda sink: self.limits.get(sink, self.queue_bytes))

    def _keep_bound(self) -> None:
        with database.explained(self.path):
            retention.by_size(self._db, self.path, self.max_bytes, self._taken)

    def prune(self, now: int) -> retention.Pruned:
        """Let go of what is older than the retention or beyond the size bound (see ``retention``); how much that was, with what
        transactions had to take for the size bound since the last call.

        ``now`` is this machine's time in nanoseconds. Every few minutes is enough.
        """
        out = self._taken
        with self._lock, database.explained(self.path):
            with database.writing(self._db, self.path):
                self._doubt(self._reckoning.look(self._db, now, self._keep))
                retention.of_now(self._db, now)
            retention.by_age(self._db, self.path, self._reckoning.time(now) - self._keep, out)
            retention.by_size(self._db, self.path, self.max_bytes, out)
            retention.shrink(self._db, self.path)
            self._taken = retention.Pruned()
        return out

    @property
    def _keep(self) -> int:
        return self.retention_days * retention.DAY

    def _doubt(self, ahead: int) -> None:
        if ahead:
            self.notices.append(
                f"{self.path}: the clock went {ahead / retention.DAY:,.1f} days forward, and that so much time has passed is not proven."
                f" Nothing is deleted for it: what is on record goes when it has really aged {self.retention_days} days"
            )

    def acknowledge(self, id: str, note: str) -> bool:
        """Somebody knows of a finding (or alert) and says why it stays; whether it is on record. Kept past the finding itself."""
        with self._lock:
            return acknowledge_in(self._db, self.path, id, note, self._clock())


def _anew(path: Path, aside: Path) -> str:
    return f"{path}: the state database is damaged; set aside as {aside}. Findings, ledger and what waited for receivers begin anew"


def acknowledge_in(db: sqlite3.Connection, path: Path, id: str, note: str, now: int) -> bool:
    """Record an acknowledgement over an open connection."""
    with database.writing(db, path):
        db.execute("INSERT INTO acknowledgements VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, note = excluded.note", (id, now, clean(note, _NOTE_TEXT)))
        found = db.execute("UPDATE findings SET acknowledged = ? WHERE id = ?", (now, id)).rowcount
        return bool(found or db.execute("SELECT 1 FROM alerts WHERE id = ?", (id,)).fetchone())


def acknowledge(path: str | os.PathLike[str], id: str, note: str) -> bool:
    """The same from another process, whether or not a watch runs."""
    name = Path(path)
    database.read_only(name).close()  # there, ours, and of this schema
    db = database.connect(name, synchronous=database.FULL, checkpoints=False)
    try:
        return acknowledge_in(db, name, id, note, time.time_ns())
    finally:
        db.close()


def retract(path: str | os.PathLike[str], ids: Sequence[str]) -> set[str]:
    """Take acknowledgements back, from another process too; the ids that were acknowledged."""
    name = Path(path)
    database.read_only(name).close()
    db = database.connect(name, synchronous=database.FULL, checkpoints=False)
    try:
        with database.writing(db, name):
            found = {id for id in ids if db.execute("DELETE FROM acknowledgements WHERE id = ?", (id,)).rowcount}
            db.executemany("UPDATE findings SET acknowledged = 0 WHERE id = ?", [(id,) for id in ids])
        return found
    finally:
        db.close()
