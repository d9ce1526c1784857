"""What is on record, for whoever asks: the watch itself, or another process while it goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sniffer.alert import State as AlertState
from sniffer.findings import Severity
from sniffer.outputs.record import timestamp
from sniffer.state import choosing, codec, database, queue, reckoning
from sniffer.state import rows as rows_
from sniffer.state.rows import CHANNELS as COLUMNS
from sniffer.state.rows import OUTCOMES, UNWATCHED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from sniffer.alert import Alert
    from sniffer.channels import Channel

_COLUMNS = "f.record, f.severity, f.outcome, f.first_seen, f.last_seen, f.count, f.acknowledged, coalesce(a.note, '')"
_FROM = "FROM findings f LEFT JOIN acknowledgements a ON a.id = f.id"
_FINDINGS = f"SELECT {_COLUMNS} {_FROM}"
_FINDINGS_AND_ID = f"SELECT {_COLUMNS}, f.id {_FROM}"


class Interval(NamedTuple):
    """A time that was not watched, in nanoseconds since the epoch, and why: ``stopped``, ``killed``, ``machine slept`` …"""

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


class Tally(NamedTuple):
    """How many findings nobody has acknowledged, and how many somebody has; ``expected`` are those of the former that policy excuses,
    of which the state by itself knows nothing.
    """

    new: int
    acknowledged: int
    expected: int = 0


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
        """Findings, the last seen first: of rules (a GLOB: ``*``, ``?``) or a channel, at least so severe, seen since a time (nanoseconds)."""
        where, values = choosing.findings(rule, channel, severity, acknowledged, since)
        rows = self._rows(f"{_FINDINGS} WHERE {where} ORDER BY f.last_seen DESC, f.id LIMIT ?", (*values, -1 if limit is None else limit))
        return [self._recorded(row) for row in rows]

    def finding_ids(
        self, *, rule: str = "", channel: str = "", severity: Severity = Severity.INFO, acknowledged: bool | None = None, since: int = 0, limit: int | None = None
    ) -> list[str]:
        """The ids of findings chosen in the same way, the worst first and of those the last seen: to read them part by part.

        A reader that takes its time must not hold one moment of the file for so long: the log behind it could not be brought back.
        """
        where, values = choosing.findings(rule, channel, severity, acknowledged, since)
        rows = self._rows(f"SELECT f.id FROM findings f WHERE {where} ORDER BY f.severity DESC, f.last_seen DESC, f.id LIMIT ?", (*values, -1 if limit is None else limit))  # noqa: S608
        return [id for (id,) in rows]

    def findings_of(self, ids: Sequence[str]) -> list[Recorded]:
        """The findings of some ids, in that order; those that are gone by now are left out."""
        rows = {row[-1]: row[:-1] for row in self._known(f"{_FINDINGS_AND_ID} WHERE f.id IN", ids)}
        return [self._recorded(rows[id]) for id in ids if id in rows]

    def finding_counts(self, *, rule: str = "", channel: str = "", severity: Severity = Severity.INFO, acknowledged: bool | None = None, since: int = 0) -> dict[Severity, Tally]:
        """How many findings, by severity, the worst first."""
        where, values = choosing.findings(rule, channel, severity, acknowledged, since)
        rows = self._rows(f"SELECT f.severity, sum(f.acknowledged = 0), sum(f.acknowledged > 0) FROM findings f WHERE {where} GROUP BY 1 ORDER BY 1 DESC", values)  # noqa: S608
        return {Severity(number): Tally(new, known) for number, new, known in rows}

    def _recorded(self, row: Sequence[Any]) -> Recorded:
        with codec.sound(self.path):
            return Recorded(_record(*row[:6]), *row[6:])

    def channels(self, *, since: int = 0, limit: int | None = None) -> list[Channel]:
        """Rows of the ledger as they were merged, the last seen first. Unread ones stand beside the read ones for the same ends."""
        rows = self._rows(f"SELECT {COLUMNS} FROM channels WHERE last_seen >= ? ORDER BY last_seen DESC, id LIMIT ?", (since, -1 if limit is None else limit))  # noqa: S608
        with codec.sound(self.path):
            return [codec.channel_of(row) for row in rows]

    def channel_ids(self, *, encryption: str = "", tier: str = "", since: int = 0, limit: int | None = None) -> list[str]:
        """The ids of channels with a verdict, of a tier, seen since a time: those with findings first, then by verdict, the worst first."""
        where, values = choosing.channels(encryption, tier, since)
        rows = self._rows(f"SELECT id FROM channels WHERE {where} ORDER BY findings > 0 DESC, {choosing.WORST_FIRST}, last_seen DESC, id LIMIT ?", (*values, -1 if limit is None else limit))  # noqa: S608
        return [id for (id,) in rows]

    def channels_of(self, ids: Sequence[str]) -> dict[str, Channel]:
        """The channels of some ids, in that order; those that are gone by now are left out."""
        rows = {row[0]: row for row in self._known(f"SELECT {COLUMNS} FROM channels WHERE id IN", ids)}  # noqa: S608
        with codec.sound(self.path):
            return {id: codec.channel_of(rows[id]) for id in ids if id in rows}

    def channel_counts(self, *, encryption: str = "", tier: str = "", since: int = 0) -> dict[tuple[str, str], int]:
        """How many channels, by verdict (the worst first) and tier."""
        where, values = choosing.channels(encryption, tier, since)
        rows = self._rows(f"SELECT encryption, tier, count(*) FROM channels WHERE {where} GROUP BY 1, 2 ORDER BY {choosing.WORST_FIRST}, 3 DESC, 2", values)  # noqa: S608
        return {(verdict, of): count for verdict, of, count in rows}

    def found_on(self, rule: str, limit: int) -> list[str]:
        """The channels with a finding of a rule, by id, the last seen first."""
        return [id for (id,) in self._rows("SELECT channel FROM findings WHERE rule = ? ORDER BY last_seen DESC, id LIMIT ?", (rule, limit))]

    def alerts(self, state: AlertState | None = AlertState.FIRING) -> list[Alert]:
        """The latest word of each alert, the oldest first; those that fire, those that are over, or with None all."""
        states = [str(state)] if state else [str(s) for s in AlertState]
        rows = self._rows(f"SELECT body FROM alerts WHERE state IN ({', '.join('?' * len(states))}) ORDER BY recorded, id", states)  # noqa: S608
        with codec.sound(self.path):
            return [codec.alert_of(text) for (text,) in rows]

    def told(self) -> dict[str, int]:
        """When each alert that fires was last handed out (nanoseconds since the epoch), 0 where that is not known."""
        rows = self._rows("SELECT id, body FROM alerts WHERE state = ?", (str(AlertState.FIRING),))
        with codec.sound(self.path):
            return {id: codec.told_of(text) for id, text in rows}

    def intervals(self, since: int = 0) -> list[Interval]:
        """Times not watched that end after a time, in order."""
        return [Interval(*row) for row in self._rows("SELECT start, until, reason FROM intervals WHERE until >= ? ORDER BY start, until", (since,))]

    def acknowledgements(self) -> dict[str, Acknowledgement]:
        """What has been acknowledged, by id."""
        return {id: Acknowledgement(at, note) for id, at, note in self._rows("SELECT id, at, note FROM acknowledgements")}

    def counters(self) -> dict[str, int]:
        """What was counted over all runs: ``pruned_findings``, ``pruned_channels`` … and what ``Transaction.count`` named."""
        return dict(self._rows("SELECT name, value FROM counters WHERE name NOT IN (?, ?, ?)", (rows_.BEGUN, *reckoning.NAMES)))

    @property
    def unwatched(self) -> float:
        """Seconds not watched over all runs, also those of intervals that retention has taken."""
        return self.counters().get(UNWATCHED, 0) / 1e9

    def sinks(self) -> dict[str, queue.SinkStats]:
        """How each receiver's queue stands."""
        with self._lock, database.explained(self.path):
            return queue.standing(self._db)

    def losses(self) -> dict[str, dict[str, int]]:
        """What was never delivered, by sink and reason: ``full``, ``refused``, ``expired``, ``unreadable``."""
        with self._lock, database.explained(self.path):
            return queue.losses(self._db)

    def on_record(self, ids: Sequence[str]) -> set[str]:
        """Those of some ids that a finding or an alert has."""
        return {id for table in ("findings", "alerts") for (id,) in self._known(f"SELECT id FROM {table} WHERE id IN", ids)}  # noqa: S608

    def _known(self, query: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        with self._lock, database.explained(self.path):
            return list(rows_.known(self._db, query, ids))

    @property
    def begun(self) -> int:
        """When the first watch into this file began (nanoseconds since the epoch), 0 for never.

        Files of before this was written down have the earliest time at which something in them was last recorded.
        """
        rows = self._rows("SELECT value FROM counters WHERE name = ?", (rows_.BEGUN,))
        return int(rows[0][0]) if rows else int(self._rows(rows_.EARLIEST)[0][0] or 0)

    @property
    def stopped_cleanly(self) -> bool:
        """Whether the last watch ended as it should; False also while one runs."""
        return bool(self._rows("SELECT clean FROM watch")[0][0])

    @property
    def holder(self) -> int | None:
        """The process that watches into this file, 0 if its number is not known; None when there is none."""
        return database.holder(self.path)

    @property
    def schema(self) -> int:
        """The version of the tables."""
        return int(self._rows("PRAGMA user_version")[0][0])

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
