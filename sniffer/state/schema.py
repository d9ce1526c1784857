"""The tables of the state database and how an older file becomes a newer one (SQLite, ``PRAGMA user_version``)."""

from __future__ import annotations

import sqlite3

from sniffer.errors import StateError

# "cltp": tells our file from another program's (PRAGMA application_id).
APPLICATION = 0x636C7470
# STRICT keeps columns to their types. An older library (RHEL 9 has 3.34) does not know it and makes its files without.
_KNOWS_STRICT = sqlite3.sqlite_version_info >= (3, 37)

# ``recorded`` is when a row was last written, by this machine's clock: what retention goes by, since the times of
# packets are whatever a capture says they are. All times are nanoseconds since the epoch.
_WATCH = """
CREATE TABLE watch (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  sensor TEXT NOT NULL,
  heartbeat INTEGER NOT NULL,
  clean INTEGER NOT NULL
) STRICT;
INSERT INTO watch VALUES (1, '', 0, 1);
CREATE TABLE findings (
  id TEXT PRIMARY KEY NOT NULL,
  rule TEXT NOT NULL,
  severity INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  channel TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  count INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX findings_recorded ON findings (recorded);
CREATE TABLE channels (
  id TEXT PRIMARY KEY NOT NULL,
  client TEXT NOT NULL,
  server TEXT NOT NULL,
  port INTEGER NOT NULL,
  transport TEXT NOT NULL,
  protocol TEXT NOT NULL,
  tier TEXT NOT NULL,
  path TEXT NOT NULL,
  encryption TEXT NOT NULL,
  sessions INTEGER NOT NULL,
  client_bytes INTEGER NOT NULL,
  server_bytes INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  one_sided INTEGER NOT NULL,
  findings INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX channels_recorded ON channels (recorded);
CREATE TABLE alerts (
  id TEXT PRIMARY KEY NOT NULL,
  state TEXT NOT NULL,
  rule TEXT NOT NULL,
  channel TEXT NOT NULL,
  recorded INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_state ON alerts (state, recorded);
CREATE TABLE intervals (
  start INTEGER NOT NULL,
  until INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;
CREATE INDEX intervals_until ON intervals (until);
CREATE TABLE counters (
  name TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) STRICT;
CREATE TABLE acknowledgements (
  id TEXT PRIMARY KEY NOT NULL,
  at INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT;
"""

# ``rank`` orders by what is worth most (0: alerts). ``version`` rises when a waiting row is replaced by a newer one, so
# that marking the older one delivered leaves the newer. The totals of a sink are kept by the database itself.
_DELIVERY = """
CREATE TABLE sinks (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  queued INTEGER NOT NULL DEFAULT 0,
  queued_bytes INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  last_success INTEGER NOT NULL DEFAULT 0,
  last_error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE queue (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  sink INTEGER NOT NULL REFERENCES sinks (id),
  rank INTEGER NOT NULL,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX queue_order ON queue (sink, rank);
CREATE UNIQUE INDEX queue_latest ON queue (sink, kind, id) WHERE rank > 0;
CREATE TABLE losses (
  sink INTEGER NOT NULL REFERENCES sinks (id),
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (sink, reason)
) STRICT;
CREATE TRIGGER queue_in AFTER INSERT ON queue BEGIN
  UPDATE sinks SET queued = queued + 1, queued_bytes = queued_bytes + NEW.size WHERE id = NEW.sink;
END;
CREATE TRIGGER queue_out AFTER DELETE ON queue BEGIN
  UPDATE sinks SET queued = queued - 1, queued_bytes = queued_bytes - OLD.size WHERE id = OLD.sink;
END;
CREATE TRIGGER queue_new AFTER UPDATE OF size ON queue BEGIN
  UPDATE sinks SET queued_bytes = queued_bytes - OLD.size + NEW.size WHERE id = NEW.sink;
END;
"""

# The n-th (from 1) brings a file of version n-1 to version n. Never edited once released; a change is a new one.
MIGRATIONS = (_WATCH, _DELIVERY)
NEWEST = len(MIGRATIONS)


def version(db: sqlite3.Connection, path: str) -> int:
    """The schema version of a file of ours, 0 of an empty one. StateError if it is newer than this program or not ours."""
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application != APPLICATION and not (empty and found == 0):
        raise StateError(f"{path}: this is another program's database; name another file as state")
    if found > NEWEST:
        raise StateError(f"{path}: written by a newer cleartap (schema {found}, this one knows up to {NEWEST}); use that version, or name another file")
    return found


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring a file up to date, each step whole or not at all."""
    for number in range(version(db, path), NEWEST):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(MIGRATIONS[number]):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: ``executescript`` would commit before the first."""
    out, begun = [], ""
    for line in script.strip().splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            out.append(begun if _KNOWS_STRICT else begun.replace(") STRICT;", ");"))
            begun = ""
    return out
