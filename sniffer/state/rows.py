"""Findings, channels and alerts put into their tables; called inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sniffer.events import Outcome
from sniffer.outputs import record
from sniffer.state import codec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from sniffer.alert import Alert
    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.state.reader import Interval

# Rows asked for in one statement: below every limit SQLite has had on parameters (999 up to 3.31).
_CHUNK = 500
# When the first watch into the file began (nanoseconds since the epoch): kept among the counters, once.
BEGUN = "begun"
# The earliest time at which anything in a file was last recorded: for files of before BEGUN.
EARLIEST = """
SELECT min(at) FROM (SELECT min(start) AS at FROM intervals UNION ALL SELECT min(recorded) FROM findings
  UNION ALL SELECT min(recorded) FROM channels UNION ALL SELECT nullif(heartbeat, 0) FROM watch)
"""
# What is known of a login, by how much it says; the index is what the column holds.
OUTCOMES = (None, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.ACCEPTED)
# The counter of all time that was not watched, in nanoseconds.
UNWATCHED = "unwatched_ns"
_WEIGHT = {outcome: weight for weight, outcome in enumerate(OUTCOMES)}

_NEW_FINDING = """
INSERT INTO findings (id, rule, severity, outcome, channel, first_seen, last_seen, count, acknowledged, recorded, record)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce((SELECT at FROM acknowledgements WHERE id = ?1), 0), ?9, ?10)
"""
# A better outcome may be what makes it worse: both are kept at the most they have been.
_SAME_FINDING = """
UPDATE findings SET severity = max(severity, ?2), outcome = max(outcome, ?3), first_seen = min(first_seen, ?4),
  last_seen = max(last_seen, ?5), count = count + ?6, recorded = ?7 WHERE id = ?1
"""
_CHANNEL_COLUMNS = (
    "id", "client", "server", "port", "transport", "protocol", "tier", "path", "encryption", "sessions",
    "client_bytes", "server_bytes", "first_seen", "last_seen", "one_sided", "findings", "recorded", "detail",
)  # fmt: skip
CHANNELS = ", ".join(_CHANNEL_COLUMNS)
# The ends are what the id is made of and do not change.
_CHANGING = ", ".join(f"{name} = excluded.{name}" for name in _CHANNEL_COLUMNS if name not in ("id", "client", "server", "port", "transport", "protocol", "path"))
_PUT_CHANNEL = f"INSERT INTO channels ({CHANNELS}) VALUES ({', '.join('?' * len(_CHANNEL_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET {_CHANGING}"  # noqa: S608  (our own names)
_PUT_ALERT = """
INSERT INTO alerts (id, state, rule, channel, recorded, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, recorded = excluded.recorded, body = excluded.body
"""


def known(db: sqlite3.Connection, query: str, ids: Sequence[str], before: Sequence[object] = ()) -> Iterable[tuple[Any, ...]]:
    """The rows of a query that ends in ``IN`` for any number of ids; ``before`` are the parameters that come first."""
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        yield from db.execute(f"{query} ({', '.join('?' * len(part))})", (*before, *part))


def put_findings(db: sqlite3.Connection, rows: Sequence[Finding], recorded: int) -> set[str]:
    """Add what was seen to what is on record; the ids that were not."""
    seen = {id for (id,) in known(db, "SELECT id FROM findings WHERE id IN", [f.id for f in rows])}
    new, first, again, cracks = set(), [], [], []
    for found in rows:
        severity, outcome = int(found.severity), _WEIGHT[found.outcome]
        begun, last, count = codec.integer(found.first_seen), codec.integer(found.last_seen), codec.integer(found.count)
        if found.id not in seen:
            seen.add(found.id)
            new.add(found.id)
            body = codec.dumps(record.finding(found))
            first.append((found.id, found.rule.id, severity, outcome, found.channel, begun, last, count, recorded, body))
            continue
        again.append((found.id, severity, outcome, begun, last, count, recorded))
        if found.crack is not None:
            cracks.append(found)
    db.executemany(_NEW_FINDING, first)
    db.executemany(_SAME_FINDING, again)
    _put_cracks(db, cracks)
    return new


def _put_cracks(db: sqlite3.Connection, rows: Iterable[Finding]) -> None:
    """How a hash is cracked may be known only when it is seen again, with the challenge this time."""
    bodies = {found.id: found for found in rows}
    for id, text in list(known(db, "SELECT id, record FROM findings WHERE id IN", list(bodies))):
        with codec.sound():
            body = dict(codec.loads(text).items())
        if "crack" not in body:
            body["crack"] = record.finding(bodies[id])["crack"]
            db.execute("UPDATE findings SET record = ? WHERE id = ?", (codec.dumps(body), id))


def put_channels(db: sqlite3.Connection, rows: Sequence[Channel], recorded: int) -> list[Channel]:
    """Merge what came since into what is on record; the rows as they now stand, each once, in the order given."""
    merged: dict[str, Channel] = {}
    ids = [row.id for row in rows]
    for columns in known(db, f"SELECT {CHANNELS} FROM channels WHERE id IN", ids):  # noqa: S608
        with codec.sound():
            merged[columns[0]] = codec.channel_of(columns)
    for id, row in zip(ids, rows, strict=True):
        whole = merged.get(id)
        if whole is None:
            # Its own copy: a second delta of the same channel is added to it, and the caller's row is the caller's.
            whole = merged[id] = replace(row, verdicts=dict(row.verdicts), findings=dict(row.findings))
        else:
            whole.merge(row)
    order = list(dict.fromkeys(ids))
    db.executemany(_PUT_CHANNEL, [codec.channel_row(merged[id], id, recorded) for id in order])
    return [merged[id] for id in order]


def put_alerts(db: sqlite3.Connection, alerts: Iterable[Alert], recorded: int, told: Mapping[str, int]) -> None:
    """The latest word of each alert stands."""
    db.executemany(_PUT_ALERT, [(a.id, str(a.state), a.rule, a.channel, recorded, codec.alert_body(a, told.get(a.id, recorded))) for a in alerts])


def put_interval(db: sqlite3.Connection, interval: Interval) -> None:
    """A time that was not watched; counted too, for retention takes the interval one day and a counter must not go back."""
    db.execute("INSERT INTO intervals VALUES (?, ?, ?)", interval)
    count(db, UNWATCHED, max(0, interval.until - interval.start))


def count(db: sqlite3.Connection, name: str, number: int) -> None:
    """Add to a counter that outlives the process."""
    db.execute("INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value", (name, number))
