"""What is on record, for whoever asks: the watch itself, or another process while it goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sniffer.alert import State as AlertState
from sniffer.findings import Severity
from sniffer.outputs.record import timestamp
from sniffer.state import codec, database, queue
from sniffer.state.rows import CHANNELS as COLUMNS
from sniffer.state.rows import OUTCOMES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from sniffer.alert import Alert
    from sniffer.channels import Channel


class Interval(NamedTuple):
    """A time that was not watched, in nanoseconds since the epoch, and why: ``stopped``, ``killed``, ``state lost`` …"""

    start: int
    until: int
    reason: str


class Recorded(NamedTuple):
    """A finding as it stands: its schema-1 record, when somebody acknowledged it (nanoseconds, 0: nobody) and what they said."""

    record: dict[str, Any]
    acknowledged: int
    note: str


class Acknowledgement(NamedTuple):
    """Somebody knows of it: when they said so (nanoseconds since the epoch), and their words."""

    at: int
    note: str


class Reader:
    """Reads a state. Made by ``State.open_readonly``; a ``State`` is one too. Each call sees one moment.

    Threads may share one; StateError if the file cannot be read.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, database.explained(self.path):
            return self._db.execute(query, tuple(values)).fetchall()

    def findings(
        self, *, rule: str = "", channel: str = "", severity: Severity = Severity.INFO, acknowledged: bool | None = None, since: int = 0, limit: int | None = None
    ) -> list[Recorded]:
        """Findings, the last seen first: of one rule or channel, at least so severe, seen since a time (nanoseconds)."""
        tests = ["f.severity >= ?", "f.last_seen >= ?"]
        values: list[object] = [int(severity), since]
        for column, wanted in (("rule", rule), ("channel", channel)):
            if wanted:
                tests.append(f"f.{column} = ?")
                values.append(wanted)
        if acknowledged is not None:
            tests.append("f.acknowledged > 0" if acknowledged else "f.acknowledged = 0")
        rows = self._rows(
            "SELECT f.record, f.severity, f.outcome, f.first_seen, f.last_seen, f.count, f.acknowledged, coalesce(a.note, '')"  # noqa: S608  (our own names)
            f" FROM findings f LEFT JOIN acknowledgements a ON a.id = f.id WHERE {' AND '.join(tests)}"
            " ORDER BY f.last_seen DESC, f.id LIMIT ?",
            (*values, -1 if limit is None else limit),
        )
        return [Recorded(_record(*row[:6]), *row[6:]) for row in rows]

    def channels(self, *, since: int = 0, limit: int | None = None) -> list[Channel]:
        """Rows of the ledger as they were merged, the last seen first. ``Ledger.absorb`` folds unread ones into read ones."""
        rows = self._rows(f"SELECT {COLUMNS} FROM channels WHERE last_seen >= ? ORDER BY last_seen DESC, id LIMIT ?", (since, -1 if limit is None else limit))  # noqa: S608
        return [codec.channel_of(row) for row in rows]

    def alerts(self, state: AlertState | None = AlertState.FIRING) -> list[Alert]:
        """The latest word of each alert, the oldest first; those that fire, those that are over, or with None all."""
        states = [str(state)] if state else [str(s) for s in AlertState]
        rows = self._rows(f"SELECT body FROM alerts WHERE state IN ({', '.join('?' * len(states))}) ORDER BY recorded, id", states)  # noqa: S608
        return [codec.alert_of(text) for (text,) in rows]

    def intervals(self, since: int = 0) -> list[Interval]:
        """Times not watched that end after a time, in order."""
        return [Interval(*row) for row in self._rows("SELECT start, until, reason FROM intervals WHERE until >= ? ORDER BY start, until", (since,))]

    def acknowledgements(self) -> dict[str, Acknowledgement]:
        """What has been acknowledged, by id."""
        return {id: Acknowledgement(at, note) for id, at, note in self._rows("SELECT id, at, note FROM acknowledgements")}

    def counters(self) -> dict[str, int]:
        """What was counted over all runs: ``pruned_findings``, ``pruned_channels`` … and what ``Transaction.count`` named."""
        return dict(self._rows("SELECT name, value FROM counters"))

    def sinks(self) -> dict[str, queue.SinkStats]:
        """How each receiver's queue stands."""
        with self._lock, database.explained(self.path):
            return queue.standing(self._db)

    def losses(self) -> dict[str, dict[str, int]]:
        """What was never delivered, by sink and reason: ``full``, ``refused``, ``expired``."""
        with self._lock, database.explained(self.path):
            return queue.losses(self._db)

    @property
    def heartbeat(self) -> int:
        """When the watch last said that it was there (nanoseconds since the epoch), 0 for never."""
        return int(self._rows("SELECT heartbeat FROM watch")[0][0])

    @property
    def sensor(self) -> str:
        """The name of the sensor that last watched into this file."""
        return str(self._rows("SELECT sensor FROM watch")[0][0])

    @property
    def size(self) -> int:
        """Bytes on disk, the log included."""
        return database.size(self.path)


def _record(text: str, severity: int, outcome: int, first: int, last: int, count: int) -> dict[str, Any]:
    """The record as it was when the finding was new, with what has become of it since."""
    record: dict[str, Any] = codec.loads(text)
    record["severity"] = str(Severity(severity))
    best = OUTCOMES[outcome]
    if best is not None:
        record["outcome"] = str(best)
    record["time"] = record["first_seen"] = timestamp(first)
    record["last_seen"] = timestamp(last)
    record["count"] = count
    return record
