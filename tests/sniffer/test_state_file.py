"""The state's file over the years: older schemas, damage, a full disk, bounds in days and bytes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sniffer.alert import State as AlertState
from sniffer.errors import StateCorrupt, StateError, StateFull
from sniffer.findings import Severity
from sniffer.state import Interval, State, acknowledge, retention, schema
from tests.sniffer.state_lab import DAY, NOW, SECOND, alert, channel, finding, item

ROOT = Path(__file__).parents[2]
LIVE = os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


# Schemas.


def of_version(path: Path, number: int) -> sqlite3.Connection:
    """A file as that version of the schema made it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    for step in schema.MIGRATIONS[:number]:
        db.executescript(step)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    db.execute(f"PRAGMA user_version = {number}")
    return db


# Rows as version 1 wrote them. Written out, so that a change to today's code cannot change them too.
VERSION_1 = """
UPDATE watch SET heartbeat = 1800000000000000000, clean = 1, sensor = 'old';
INSERT INTO findings VALUES ('f000000000000001', 'credential/ftp', 3, 3, 'c1', 1800000000000000000, 1800000000000000001, 7, 5, 1800000000000000000,
  '{"type":"finding","schema":1,"id":"f000000000000001","rule":"credential/ftp","severity":"low","count":1}');
INSERT INTO channels VALUES ('%s', '10.0.0.1', '192.0.2.9', 5432, 'tcp', 'postgresql', 'database', '["vlan:10","vxlan:77"]', 'cleartext', 3, 100, 200,
  1800000000000000000, 1800000001000000000, 0, 1, 1800000000000000000,
  '{"verdicts":{"cleartext":[3,"told"]},"tls":{"version":"TLS 1.2","certificate":{"subject":"CN=a","issuer":"CN=b","not_before":"x","not_after":"y","key":"rsa 2048","self_signed":false,"names":["a"],"signature":""}},"findings":{"3":1}}');
INSERT INTO intervals VALUES (1, 2, 'killed');
INSERT INTO counters VALUES ('pruned_findings', 4);
INSERT INTO acknowledgements VALUES ('f000000000000001', 5, 'known');
"""


def test_every_version_becomes_the_newest_with_its_data(path):
    db = of_version(path, 1)
    db.executescript(VERSION_1 % channel(1).id)
    db.execute("INSERT INTO alerts VALUES (?, 'firing', 'credential/ftp', 'c1', 1, ?)", (alert(1).id, json.dumps(alert_fields())))
    db.close()
    with State(path) as state:
        assert state._rows("PRAGMA user_version") == [(schema.NEWEST,)]
        (found,) = state.findings()
        assert (found.record["count"], found.record["severity"], found.record["outcome"], found.note) == (7, "high", "accepted", "known")
        assert state.alerts() == [alert(1)]
        assert state.intervals() == [Interval(1, 2, "killed")]
        assert state.counters() == {"pruned_findings": 4}
        with state.transaction() as put:
            (row,) = put.channels([channel(1)])
            assert put.findings([finding(1)]) == set()
            put.enqueue("siem", [item(1)])
        assert row.sessions == 4
        assert row.certificate is not None
        assert row.certificate.names == ("a",)
        assert row.findings == {Severity.HIGH: 1}
        assert state.begin(NOW + SECOND) == [Interval(NOW, NOW + SECOND, "stopped")]


def alert_fields() -> dict:
    return {name: getattr(alert(1), name) for name in alert(1).__slots__}


def test_a_migration_that_fails_leaves_the_older_file(path, monkeypatch):
    of_version(path, 1).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (schema.MIGRATIONS[0], "CREATE TABLE one (a);\nCREATE TABLE one (a);\n"))
    with pytest.raises(StateError, match="already exists"):
        State(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert not db.execute("SELECT * FROM sqlite_master WHERE name = 'one'").fetchall()
    db.close()


def test_an_older_file_is_not_read_before_the_watch_has_brought_it_up_to_date(path):
    of_version(path, 1).close()
    for read in (lambda: State.open_readonly(path), lambda: acknowledge(path, "f1", "")):
        with pytest.raises(StateError, match="schema 1 is older"):
            read()


def test_a_newer_file_is_refused_and_not_touched(path):
    State(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    for use in (State, State.open_readonly, lambda p: acknowledge(p, "f1", "")):
        with pytest.raises(StateError, match=r"written by a newer cleartap \(schema 99, this one knows up to \d+\)") as error:
            use(path)
        assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert not set_aside(path)


def test_another_programs_database_is_refused(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (a)")
    db.close()
    with pytest.raises(StateError, match="another program's database"):
        State(path)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        State(tmp_path / "file" / "state.db")


# Damage.


def filled(path: Path, *, clean: bool = False) -> None:
    with State(path) as state:
        state.begin(NOW)
        with state.transaction() as put:
            put.findings([finding(n) for n in range(200)])
            put.heartbeat(NOW + SECOND)
        if clean:
            state.stopped(NOW + SECOND)


def set_aside(path: Path) -> list[Path]:
    return [p for p in path.parent.glob("state.db.corrupt-*") if not p.name.endswith(("-wal", "-shm"))]


def rubbish(path: Path) -> None:
    path.write_bytes(b"this is no database at all " * 1000)


def torn(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(3, 20):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


@pytest.mark.parametrize("damage", [rubbish, torn])
def test_a_damaged_file_is_set_aside_and_watching_goes_on(path, damage):
    filled(path)
    damage(path)
    os.utime(path, ns=(NOW + 2 * SECOND, NOW + 2 * SECOND))
    damaged = path.read_bytes()
    with State(path) as state:
        (aside,) = set_aside(path)
        (notice,) = state.notices
        assert str(aside) in notice
        assert "\n" not in notice
        assert aside.read_bytes() == damaged
        assert state.findings() == []
        assert state.begin(NOW + 9 * SECOND) == [Interval(NOW + 2 * SECOND, NOW + 9 * SECOND, "state lost")]
        with state.transaction() as put:
            put.findings([finding(1)])
    with State(path) as state:
        assert len(state.findings()) == 1
        assert state.notices == []


def test_only_some_damaged_files_are_kept(path):
    for _ in range(5):
        rubbish(path)
        State(path).close()
    assert len(set_aside(path)) == 3


def test_damage_found_while_watching(path):
    """A page of the file goes bad under the open database."""
    filled(path, clean=True)  # not read whole when it is opened
    with State(path) as state:
        state.begin(NOW + 2 * SECOND)
        torn(path)
        with pytest.raises(StateCorrupt, match="damaged"), state.transaction() as put:
            put.findings([finding(n) for n in range(200)])
        state.renew()
        assert "set aside as" in state.notices[0]
        assert state.begin(NOW + 3 * SECOND)[0].reason == "state lost"
        with state.transaction() as put:
            assert len(put.findings([finding(n) for n in range(200)])) == 200
    assert len(set_aside(path)) == 1


# Retention.


class Clock:
    """This machine's time, as a test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def numbers(state: State) -> set[int]:
    return {int(f.record["id"][1:], 16) for f in state.findings()}


def test_what_is_older_than_the_retention_goes(path):
    clock = Clock()
    with State(path, retention_days=30, clock=clock) as state:
        with state.transaction() as put:
            # What a capture says of its time does not matter: these were recorded now.
            put.findings([finding(1, last_seen=0), finding(2)])
            put.channels([channel(1, last=0), channel(2)])
            put.alerts([alert(1), alert(2, 2, AlertState.RESOLVED)])
            put.unwatched(Interval(NOW - DAY, NOW, "killed"))
            put.enqueue("siem", [item(1)])
        clock.now += 20 * DAY
        assert state.prune(clock.now).total == 0
        with state.transaction() as put:
            put.findings([finding(2)])
            put.channels([channel(2)])
            put.enqueue("siem", [item(2)])
        clock.now += 20 * DAY
        gone = state.prune(clock.now)
        assert gone == retention.Pruned(findings=1, channels=1, alerts=1, intervals=1, queued=1)
        assert list(gone.ids) == [channel(1).id]
        assert numbers(state) == {2}
        assert [c.client for c in state.channels()] == ["10.0.0.2"]
        assert state.alerts(None) == [alert(1)], "one that fires is not over"
        assert state.losses() == {"siem": {"expired": 1}}
        assert state.counters() == {"pruned_findings": 1, "pruned_channels": 1, "pruned_alerts": 1, "pruned_intervals": 1, "unwatched_ns": DAY}
        assert state.unwatched == 86_400, "a counter does not go back with what is taken"


def test_the_size_bound_takes_what_is_done_with_first(path, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 50)
    clock = Clock()
    with State(path, clock=clock) as state:
        for n in range(100):
            clock.now += SECOND
            with state.transaction() as put:
                put.findings([finding(n)])
                put.channels([channel(n, findings={Severity.HIGH: 1}), channel(1000 + n)])
                put.alerts([alert(n), alert(1000 + n, state=AlertState.RESOLVED)])
        for n in range(50, 100):
            state.acknowledge(finding(n).id, "known")

        def left() -> tuple[int, int, int, int, int, int]:
            acknowledged = sum(f.acknowledged > 0 for f in state.findings())
            with_findings = sum(bool(c.findings) for c in state.channels())
            return (len(state.alerts(AlertState.RESOLVED)), acknowledged, len(state.channels()) - with_findings, with_findings, len(state.findings()) - acknowledged, len(state.alerts()))

        before = [left()]
        while any(before[-1]):
            state.max_bytes = retention.used(state._db) - 1
            state.prune(clock.now)
            before.append(left())
        assert before[0] == (100, 50, 100, 100, 50, 100)
        for earlier, later in pairwise(before):
            changed = [kind for kind in range(6) if earlier[kind] != later[kind]]
            assert changed
            assert all(later[kind] == 0 for kind in range(changed[-1])), "the next kind only when one is used up"


def test_of_each_kind_the_longest_untouched_goes_first(path, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 10)
    clock = Clock()
    with State(path, clock=clock) as state:
        with state.transaction() as put:
            put.findings([finding(n) for n in range(400)])
        clock.now += SECOND
        with state.transaction() as put:
            put.findings([finding(n) for n in range(0, 400, 2)])
        state.max_bytes = retention.used(state._db) - 1
        state.prune(clock.now)
        left = numbers(state)
        assert 0 < len(left) < 400
        assert left >= set(range(0, 400, 2)) or left <= set(range(0, 400, 2))


def test_the_bound_holds_under_a_flood_and_the_file_shrinks_again(path, monkeypatch):
    bound = 2 << 20
    clock = Clock()
    with State(path, max_bytes=bound, clock=clock) as state:
        with state.transaction() as put:
            put.findings([finding(n) for n in range(20)])
        biggest = 0
        for start in range(0, 12_000, 1000):
            clock.now += SECOND
            with state.transaction() as put:
                put.channels([channel(n) for n in range(start, start + 1000)])
            biggest = max(biggest, path.stat().st_size)
        assert biggest < bound + (1 << 20), "one report beyond, at most"
        assert numbers(state) == set(range(20)), "noise does not push out findings"
        taken = state.prune(clock.now)
        kept = {c.client for c in state.channels()}
        assert taken.channels == len(taken.ids) == state.counters()["pruned_channels"], "also what transactions took"
        assert not {row.id for row in state.channels()} & set(taken.ids)
        assert state.prune(clock.now).total == 0
        assert channel(11_999).client in kept
        assert len(kept) + state.counters()["pruned_channels"] == 12_000
        clock.now += 100 * DAY
        monkeypatch.setattr(retention, "STEP", 100)
        for _ in range(10):  # some at a time
            state.prune(clock.now)
        state._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < 1 << 20


# A full disk.


def test_a_full_disk_is_said_and_the_state_goes_on_when_there_is_room(tmp_path):
    """On a file system of 3 MB in a mount namespace of its own: fill it, be told, make room, lose nothing."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return missing("unshare is not installed")
    script = 'mount -t tmpfs -o size=3m cleartap "$1" && exec "$2" -m tests.sniffer.test_state_file "$1"'
    command = [unshare, "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    done = subprocess.run([*command, "sh", "-c", script, "sh", str(tmp_path), sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and ("unshare" in done.stderr or "mount:" in done.stderr):
        return missing(f"no mount namespace to be had: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["full", "read", "room", "whole"]
    return None


def missing(reason: str) -> None:
    if LIVE:
        pytest.fail(reason)
    pytest.skip(reason)


def on_a_small_disk(where: Path) -> None:
    path = where / "state.db"
    with State(path) as state:
        state.begin(NOW)
        with state.transaction() as put:
            put.findings([finding(n) for n in range(100)])
        ballast = where / "ballast"
        ballast.write_bytes(b"x" * (1 << 20))
        done = 100
        try:
            while True:
                with state.transaction() as put:
                    put.findings([finding(n) for n in range(done, done + 100)])
                    put.enqueue("siem", [item(n) for n in range(done, done + 100)])
                done += 100
        except StateFull as error:
            assert "no room" in str(error)
            print("full")
        for _ in range(3):
            try:
                with state.transaction() as put:
                    put.findings([finding(n, count=1) for n in range(done, done + 100)])
                    put.enqueue("siem", [item(n) for n in range(done, done + 100)])
            except StateFull:
                continue
            raise AssertionError("there was room after all")
        assert numbers(state) == set(range(done))
        print("read")
        ballast.unlink()
        with state.transaction() as put:
            assert len(put.findings([finding(n) for n in range(done, done + 100)])) == 100
            put.enqueue("siem", [item(n) for n in range(done, done + 100)])
        print("room")
        state.stopped(NOW)
    with State(path) as state:
        assert numbers(state) == set(range(done + 100))
        assert {f.record["count"] for f in state.findings()} == {1}
        assert state.sinks()["siem"].queued == done
        assert state._rows("PRAGMA integrity_check") == [("ok",)]
        print("whole")


if __name__ == "__main__":
    on_a_small_disk(Path(sys.argv[1]))
