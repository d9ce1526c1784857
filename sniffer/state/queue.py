"""What waits for each receiver, bounded in bytes: put there with the report that gave it, taken away once delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sniffer.outputs.sink import Item
from sniffer.outputs.text import clean
from sniffer.state import codec
from sniffer.state.rows import known

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

# What a row costs beside its text: columns, two indexes.
ROW_BYTES = 100
# What is worth more is sent first, and let go last. An alert is what somebody is to act on; a finding is on record here
# too; a channel's row is said again, whole, whenever it changes.
_RANKS = {"alert": 0, "finding": 1, "channel": 2}
_LEAST = max(_RANKS.values())
# Why something was never delivered: the queue was full, the receiver refused it for good, it waited past retention, what lay
# in the file could not be read.
FULL, REFUSED, EXPIRED, UNREADABLE = "full", "refused", "expired", "unreadable"
_ERROR_TEXT = 300

_PUT = """
INSERT INTO queue (sink, rank, kind, id, size, recorded, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sink, kind, id) WHERE rank > 0 DO UPDATE SET body = excluded.body, size = excluded.size, version = version + 1
"""


@dataclass(frozen=True, slots=True)
class SinkStats:
    """How a receiver stands. Counts are since the state was made; ``last_success`` is nanoseconds since the epoch, 0 for never."""

    queued: int
    queued_bytes: int
    sent: int
    failures: int
    lost: int
    last_success: int
    last_error: str


class Row(NamedTuple):
    """A row of the queue and which version of it this is."""

    seq: int
    version: int


class Waiting(NamedTuple):
    """A queued item and which version of it this is."""

    seq: int
    version: int
    item: Item


def sink_number(db: sqlite3.Connection, name: str) -> int:
    """The row of a sink, made if it is new. In a transaction."""
    db.execute("INSERT OR IGNORE INTO sinks (name) VALUES (?)", (name,))
    return int(db.execute("SELECT id FROM sinks WHERE name = ?", (name,)).fetchone()[0])


def enqueue(db: sqlite3.Connection, sink: str, items: Sequence[Item], bound: int, recorded: int) -> int:
    """Queue items; how many, of these or of those waiting, were let go for want of room.

    Of two findings or channels with one id the newer takes the older's place: it holds all the older said. Alerts are
    events in time, and each is kept. When the queue is full, a more important item takes the room of the least important
    ones, the latest of them first. Otherwise the NEW item is let go: what waits is the beginning of what happened, which
    an investigation needs most; whoever makes noise later cannot push it out; and an alert that still fires is repeated,
    while one pushed out of the front would never be told. Findings and channels stay on record here in any case.
    """
    number = sink_number(db, sink)
    room = bound - int(db.execute("SELECT queued_bytes FROM sinks WHERE id = ?", (number,)).fetchone()[0])
    sizes = _sizes(db, number, items)
    lost = 0
    for item in items:
        rank = _RANKS.get(item.kind, _LEAST)
        body = codec.dumps(codec.sealed(item.body))
        size = len(body) + len(item.id) + ROW_BYTES
        need = size - sizes.get((item.kind, item.id), 0)
        if need > room:
            displaced, freed = _displace(db, number, rank, need - room)
            if displaced:
                lost, room, sizes = lost + displaced, room + freed, _sizes(db, number, items)
            if need > room:
                lost += 1
                continue
        db.execute(_PUT, (number, rank, item.kind, item.id, size, recorded, body))
        room -= need
        if rank:
            sizes[item.kind, item.id] = size
    if lost:
        _lose(db, number, FULL, lost)
    return lost


def _sizes(db: sqlite3.Connection, sink: int, items: Iterable[Item]) -> dict[tuple[str, str], int]:
    """The sizes of those waiting that these items would replace."""
    out = {}
    for kind in {item.kind for item in items if _RANKS.get(item.kind, _LEAST)}:
        ids = [item.id for item in items if item.kind == kind]
        rows = known(db, "SELECT id, size FROM queue WHERE rank > 0 AND sink = ? AND kind = ? AND id IN", ids, (sink, kind))
        out.update({(kind, id): size for id, size in rows})
    return out


def _displace(db: sqlite3.Connection, sink: int, rank: int, need: int) -> tuple[int, int]:
    """Let go of less important items until ``need`` bytes are free; how many and how much. None if that would not suffice."""
    found: list[tuple[int]] = []
    freed = 0
    rows = db.execute("SELECT seq, size FROM queue WHERE sink = ? AND rank > ? ORDER BY rank DESC, seq DESC", (sink, rank))
    for seq, size in rows:
        found.append((seq,))
        freed += size
        if freed >= need:
            break
    rows.close()
    if freed < need:
        return 0, 0
    db.executemany("DELETE FROM queue WHERE seq = ?", found)
    return len(found), freed


def _lose(db: sqlite3.Connection, sink: int, reason: str, number: int) -> None:
    db.execute("INSERT INTO losses VALUES (?, ?, ?) ON CONFLICT (sink, reason) DO UPDATE SET count = count + excluded.count", (sink, reason, number))


# As bytes: for text that is not UTF-8 SQLite's module would fail the whole query.
_NEXT = """
SELECT seq, version, CAST(kind AS BLOB), CAST(id AS BLOB), CAST(body AS BLOB) FROM queue WHERE sink = ? ORDER BY rank, seq LIMIT ?
"""


def waiting(db: sqlite3.Connection, sink: int, most: int, most_bytes: int, broken: list[Row] | None = None) -> list[Waiting]:
    """What is to be sent next: by importance, then by age. One at least, if there is any that can be read; those that cannot are
    added to ``broken``.
    """
    out: list[Waiting] = []
    total = 0
    for seq, version, kind, id, body in db.execute(_NEXT, (sink, most)):
        total += len(body) + len(id) + ROW_BYTES
        if out and total > most_bytes:
            break
        item = _item(kind, id, body)
        if item is not None:
            out.append(Waiting(seq, version, item))
        elif broken is not None:
            broken.append(Row(seq, version))
    return out


def _item(kind: bytes, id: bytes, body: bytes) -> Item | None:
    """None for what ``enqueue`` did not write: a disk or somebody else has changed it."""
    try:
        record = codec.loads(body.decode())
        return Item(id.decode(), kind.decode(), record) if isinstance(record, dict) else None
    except (ValueError, RecursionError):  # no JSON, no UTF-8; brackets without end
        return None


def unreadable(db: sqlite3.Connection, sink: int, rows: Sequence[Row]) -> None:
    """Let go of what nobody can read any more. In a transaction."""
    gone = sum(db.execute("DELETE FROM queue WHERE seq = ? AND version = ?", row).rowcount for row in rows)
    if gone:
        _lose(db, sink, UNREADABLE, gone)
        failed(db, sink, f"{gone} queued could not be read from the state, which is damaged there")


def delivered(db: sqlite3.Connection, sink: int, rows: Sequence[Waiting], now: int) -> None:
    """The receiver took these. One that was replaced meanwhile stays, to be sent in its newer form."""
    db.executemany("DELETE FROM queue WHERE seq = ? AND version = ?", [(row.seq, row.version) for row in rows])
    db.execute("UPDATE sinks SET sent = sent + ?, last_success = ? WHERE id = ?", (len(rows), now, sink))


def refused(db: sqlite3.Connection, sink: int, row: Waiting, why: str) -> None:
    """The receiver will never take this one."""
    if db.execute("DELETE FROM queue WHERE seq = ? AND version = ?", (row.seq, row.version)).rowcount:
        _lose(db, sink, REFUSED, 1)
    failed(db, sink, why)


def failed(db: sqlite3.Connection, sink: int, why: str) -> None:
    """An attempt that did not succeed."""
    db.execute("UPDATE sinks SET failures = failures + 1, last_error = ? WHERE id = ?", (clean(why, _ERROR_TEXT), sink))


def expire(db: sqlite3.Connection, before: int) -> int:
    """Let go of what has waited since before a time; how many."""
    lost = db.execute("SELECT sink, count(*) FROM queue WHERE recorded < ? GROUP BY sink", (before,)).fetchall()
    for sink, number in lost:
        _lose(db, sink, EXPIRED, number)
    return int(db.execute("DELETE FROM queue WHERE recorded < ?", (before,)).rowcount) if lost else 0


def standing(db: sqlite3.Connection) -> dict[str, SinkStats]:
    """All sinks by name."""
    rows = db.execute(
        "SELECT name, queued, queued_bytes, sent, failures, (SELECT coalesce(sum(count), 0) FROM losses WHERE sink = sinks.id),"
        " last_success, last_error FROM sinks ORDER BY name"
    )
    return {name: SinkStats(*numbers) for name, *numbers in rows}


def losses(db: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """What was never delivered, by sink and reason."""
    out: dict[str, dict[str, int]] = {}
    for name, reason, number in db.execute("SELECT name, reason, count FROM losses JOIN sinks ON sinks.id = losses.sink"):
        out.setdefault(name, {})[reason] = number
    return out
