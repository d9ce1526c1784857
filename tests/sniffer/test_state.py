"""The state: what is recorded stays, merged as the ledger merges, once, and without a value."""

from __future__ import annotations

import copy
import json
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import pytest

from sniffer import state as state_package
from sniffer.alert import State as AlertState
from sniffer.channels import Channel
from sniffer.errors import StateError
from sniffer.events import Crack, Encryption, Outcome
from sniffer.findings import Severity
from sniffer.outputs import record
from sniffer.outputs.sink import Item
from sniffer.secret import Secret
from sniffer.state import Interval, State, Transaction, queue
from tests.sniffer.state_lab import CANARY, NOW, SECOND, alert, channel, finding, hashed, item, tls_channel
from tests.test_privacy import forms

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(record.__file__).parent / "schema.json").read_text())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def state(path: Path):
    with State(path, sensor="lab", clock=lambda: NOW) as opened:
        yield opened


def test_file_and_directory_are_for_the_owner_alone(state, path):
    with state.transaction() as put:
        put.findings([finding(1)])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm", "state.db.lock"), 0o600)


def test_permissions_given_to_others_are_taken_back(path):
    State(path).close()
    path.chmod(0o644)
    State(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_finding_is_its_record(state):
    with state.transaction() as put:
        assert put.findings([finding(1)]) == {finding(1).id}
    (found,) = state.findings()
    assert found.record == record.finding(finding(1))
    assert (found.acknowledged, found.note) == (0, "")


def test_a_finding_seen_again_counts_and_keeps_worst_and_best(state):
    worse = finding(1, severity=Severity.CRITICAL, outcome=Outcome.ACCEPTED, first_seen=NOW + 5 * SECOND, last_seen=NOW + 9 * SECOND, count=4)
    less = finding(1, severity=Severity.LOW, outcome=Outcome.REJECTED, first_seen=NOW - SECOND, last_seen=NOW - SECOND)
    with state.transaction() as put:
        assert put.findings([finding(1), worse, finding(2)]) == {finding(1).id, finding(2).id}
    with state.transaction() as put:
        assert put.findings([less, finding(3)]) == {finding(3).id}
    found = next(f.record for f in state.findings() if f.record["id"] == finding(1).id)
    assert (found["severity"], found["outcome"], found["count"]) == ("critical", "accepted", 6)
    assert found["time"] == found["first_seen"] == record.timestamp(NOW - SECOND)
    assert found["last_seen"] == record.timestamp(NOW + 9 * SECOND)
    jsonschema.validate(found, SCHEMA)


def test_a_crack_that_comes_later_is_kept(state):
    with state.transaction() as put:
        put.findings([finding(1, secret=Secret(CANARY, "hash"))])
        put.findings([hashed(1)])
        put.findings([hashed(1, crack=Crack("other", None, Secret(CANARY)))])
    assert state.findings()[0].record["crack"] == {"format": "netntlmv2", "hashcat": 5600}


def test_findings_are_chosen(state):
    with state.transaction() as put:
        put.findings([finding(1, severity=Severity.LOW), finding(2, last_seen=NOW + 9), finding(3, last_seen=NOW + 5)])
    state.acknowledge(finding(3).id, "known")

    def ids(**wanted: object) -> list[int]:
        return [int(f.record["id"][1:], 16) for f in state.findings(**wanted)]

    assert ids() == [2, 3, 1]
    assert ids(severity=Severity.HIGH) == [2, 3]
    assert ids(since=NOW + 6) == ids(limit=1) == [2]
    assert ids(acknowledged=True) == [3]
    assert ids(acknowledged=False) == [2, 1]
    assert ids(channel=finding(1).channel, rule="credential/ftp") == [1]
    assert ids(rule="credential/http") == []


def random_channel(chance: random.Random, number: int) -> Channel:
    make = tls_channel if chance.random() < 0.5 else channel
    row = make(
        number,
        sessions=chance.randrange(3),
        client_bytes=chance.randrange(9999),
        first=NOW + chance.randrange(99),
        last=NOW + 100 + chance.randrange(99),
        one_sided=chance.randrange(2),
        verdicts={v: (chance.randrange(-2, 4), chance.choice(("", f"why {v}"))) for v in chance.sample(list(Encryption), 3)},
        findings={s: chance.randrange(1, 4) for s in chance.sample(list(Severity), 2)},
    )
    if row.tls and chance.random() < 0.5:
        row.tls = {"version": "TLS 1.3", "certificate": "not visible"}
    return row


@pytest.mark.parametrize("seed", range(5))
def test_channels_merge_as_the_ledger_merges(state, seed):
    chance = random.Random(seed)
    whole: dict[str, Channel] = {}
    for _ in range(20):
        rows = [random_channel(chance, chance.randrange(4)) for _ in range(chance.randrange(1, 6))]
        for row in rows:
            if row.id in whole:
                whole[row.id].merge(copy.deepcopy(row))
            else:
                whole[row.id] = copy.deepcopy(row)
        given = copy.deepcopy(rows)
        with state.transaction() as put:
            stands = put.channels(rows)
        assert rows == given, "the caller's rows are the caller's"
        assert stands == [whole[id] for id in dict.fromkeys(row.id for row in rows)]
    assert {row.id: row for row in state.channels()} == whole
    assert {row.id: (row.encryption, row.why) for row in state.channels()} == {id: (row.encryption, row.why) for id, row in whole.items()}


def test_a_verdict_taken_back_leaves_the_later_one(state):
    with state.transaction() as put:
        put.channels([channel(1, verdicts={Encryption.UNKNOWN: (1, "nothing of it was read")})])
        (row,) = put.channels([tls_channel(1, protocol="postgresql", sessions=0, verdicts={Encryption.UNKNOWN: (-1, ""), Encryption.ENCRYPTED: (1, "TLS 1.2")})])
    assert row.encryption is Encryption.ENCRYPTED
    assert row.verdicts[Encryption.UNKNOWN] == (0, "nothing of it was read")


def test_numbers_and_texts_of_a_hostile_capture(state):
    far = 1 << 70
    wild = "half \ud800 a pair, \0, \x1b[2J, ' OR 1=1 --"
    with state.transaction() as put:
        put.findings([finding(1, username=wild, first_seen=-far, last_seen=far, count=far)])
        put.channels([channel(1, client_bytes=far, last=far, product=wild, tls={"sni": wild})])
    assert state.findings()[0].record["username"] == wild
    (row,) = state.channels()
    assert (row.client_bytes, row.product, row.tls) == ((1 << 63) - 1, wild, {"sni": wild})


def test_alerts_come_back_as_they_were(state):
    with state.transaction() as put:
        put.alerts([alert(1), alert(2), alert(3)])
        put.alerts([alert(2, 2), alert(1, 2, AlertState.RESOLVED)])
    assert {a.id: a for a in state.alerts()} == {a.id: a for a in (alert(2, 2), alert(3))}
    assert state.alerts(AlertState.RESOLVED) == [alert(1, 2, AlertState.RESOLVED)]
    assert len(state.alerts(None)) == 3


def test_acknowledgements_outlive_their_findings(state):
    with state.transaction() as put:
        put.findings([finding(1)])
        put.alerts([alert(1)])
    assert state.acknowledge(finding(1).id, "replaced\nin May")
    assert state.acknowledge(alert(1).id, "")
    assert not state.acknowledge(finding(9).id, "not there yet")
    assert state.findings()[0].acknowledged == NOW
    assert state.findings()[0].note == "replaced\\x0ain May"
    with state.transaction() as put:
        put.findings([finding(9)])
    assert {f.note for f in state.findings(acknowledged=True)} == {"replaced\\x0ain May", "not there yet"}
    assert state.acknowledgements()[finding(9).id] == (NOW, "not there yet")


def test_a_transaction_is_whole_or_nothing(state):
    def fails() -> None:
        with state.transaction() as put:
            everything(put)
            1 / 0  # noqa: B018

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not any((state.findings(), state.channels(), state.alerts(), state.sinks(), state.counters(), state.intervals(), state.heartbeat))
    with state.transaction() as put:
        everything(put)
    assert all((state.findings(), state.channels(), state.alerts(), state.sinks(), state.counters(), state.intervals(), state.heartbeat))


def everything(put: Transaction) -> None:
    put.findings([finding(1)])
    put.channels([channel(1)])
    put.alerts([alert(1)])
    put.enqueue("siem", [item(1)])
    put.heartbeat(NOW)
    put.count("seen")
    put.unwatched(Interval(1, 2, "x"))


def test_time_not_watched_is_on_record(path):
    with State(path) as state:
        assert state.begin(NOW) == []
        with state.transaction() as put:
            put.heartbeat(NOW + 5 * SECOND)
    killed = Interval(NOW + 5 * SECOND, NOW + 60 * SECOND, "killed")
    with State(path) as state:
        assert state.begin(NOW + 60 * SECOND) == [killed]
        state.stopped(NOW + 70 * SECOND)
    stopped = Interval(NOW + 70 * SECOND, NOW + 90 * SECOND, "stopped")
    with State(path) as state:
        assert state.begin(NOW + 90 * SECOND) == [stopped]
        with state.transaction() as put:
            put.unwatched(Interval(NOW + 91 * SECOND, NOW + 92 * SECOND, "worker"))
    with State(path) as state:  # the clock was set back meanwhile
        assert state.begin(NOW) == [Interval(NOW + 90 * SECOND, NOW + 90 * SECOND, "killed")]
        assert state.intervals() == [killed, stopped, Interval(NOW + 90 * SECOND, NOW + 90 * SECOND, "killed"), (NOW + 91 * SECOND, NOW + 92 * SECOND, "worker")]
        assert state.intervals(NOW + 91 * SECOND) == [(NOW + 91 * SECOND, NOW + 92 * SECOND, "worker")]


def test_one_process_holds_it_and_others_read_and_acknowledge(state, path):
    with pytest.raises(StateError, match=r"in use by another cleartap watch \(process \d+\)"):
        State(path)
    with State.open_readonly(path) as reader:
        assert reader.findings() == []
        with state.transaction() as put:
            put.findings([finding(1)])
            assert reader.findings() == [], "not before it is whole"
        assert len(reader.findings()) == 1
        assert reader.sensor == "lab"
        with pytest.raises(sqlite3.OperationalError):
            reader._db.execute("DELETE FROM findings")
    assert state_package.acknowledge(path, finding(1).id, "known")
    assert state.findings()[0].note == "known"


def test_another_process_reads_while_it_is_written(state, path):
    look = "import sys; from sniffer.state import State; r = State.open_readonly(sys.argv[1]); print(len(r.findings())); r.close()"
    with state.transaction() as put:
        put.findings([finding(1)])
    with state.transaction() as put:
        put.findings([finding(2)])
        seen = subprocess.run([sys.executable, "-c", look, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    assert seen == "1\n"


def test_reading_where_nothing_is(tmp_path):
    with pytest.raises(StateError, match="there is no state database here"):
        State.open_readonly(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_threads_share_a_state(state):
    def write(first: int) -> None:
        for n in range(first, first + 10):
            with state.transaction() as put:
                put.findings([finding(n), finding(0)])
            state.findings()

    threads = [threading.Thread(target=write, args=(n * 100 + 1,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = sorted(f.record["count"] for f in state.findings())
    assert counts == [1] * 40 + [40]


def test_no_value_lies_in_the_file(path):
    with State(path) as state:
        with state.transaction() as put:
            put.findings([finding(1), hashed(2)])
            put.findings([hashed(1)])
            revealed = record.finding(hashed(3), reveal=True)
            assert CANARY in str(revealed)
            put.enqueue("siem", [raw_item(revealed), raw_item({"finding": revealed})])
            put.alerts([alert(1, finding=revealed)])
        text = b"".join(p.read_bytes() for p in path.parent.iterdir())
        assert b"user1" in text
        assert not [form for form in forms(CANARY) if form.encode("latin-1") in text]


def raw_item(body: dict) -> Item:
    return Item("x", "alert", body)


# The queue.


def test_the_queue_counts_itself(state):
    with state.transaction() as put:
        assert put.enqueue("siem", [item(n, kind) for n in range(5) for kind in ("alert", "finding", "channel")]) == 0
        assert put.enqueue("mail", [item(1)]) == 0
    stands = state.sinks()
    rows = state._rows("SELECT count(*), sum(size) FROM queue JOIN sinks ON sinks.id = sink WHERE name = 'siem'")
    assert (stands["siem"].queued, stands["siem"].queued_bytes) == rows[0] == (15, rows[0][1])
    assert (stands["mail"].queued, stands["mail"].lost) == (1, 0)


def test_a_newer_finding_takes_the_place_of_one_that_waits_and_an_alert_does_not(state):
    with state.transaction() as put:
        put.enqueue("siem", [item(1, "finding", count=1), item(2, "finding"), item(1, "alert", revision=1)])
    with state.transaction() as put:
        put.enqueue("siem", [item(1, "finding", 500, count=2), item(1, "alert", revision=2)])
    waiting = queue.waiting(state._db, 1, 99, 1 << 20)
    assert [w.item.id for w in waiting] == ["a1", "a1", "f1", "f2"]
    assert waiting[2].item.body["count"] == 2
    assert state.sinks()["siem"].queued_bytes == state._rows("SELECT sum(size) FROM queue")[0][0]


def test_marking_an_older_form_delivered_leaves_the_newer(state):
    with state.transaction() as put:
        put.enqueue("siem", [item(1, "channel", count=1)])
    sent = queue.waiting(state._db, 1, 99, 1 << 20)
    with state.transaction() as put:
        put.enqueue("siem", [item(1, "channel", count=2)])
    queue.delivered(state._db, 1, sent, NOW)
    (left,) = queue.waiting(state._db, 1, 99, 1 << 20)
    assert left.item.body["count"] == 2


def size(one: Item) -> int:
    return len(queue.codec.dumps(one.body)) + len(one.id) + queue.ROW_BYTES


def test_past_the_bound_the_new_is_let_go_and_counted(path):
    alerts = [item(n, size=300) for n in range(20)]
    with State(path, queue_bytes=sum(map(size, alerts[:10])), limits={"roomy": 1 << 20}) as state:
        with state.transaction() as put:
            assert put.enqueue("siem", alerts[:12]) == 2
            assert put.enqueue("roomy", alerts) == 0
        with state.transaction() as put:
            assert put.enqueue("siem", alerts[12:]) == 8
        assert [w.item.id for w in queue.waiting(state._db, 1, 99, 1 << 20)] == [a.id for a in alerts[:10]]
    with State(path) as state:
        assert state.losses() == {"siem": {"full": 10}}
        assert state.sinks()["siem"].lost == 10


def test_an_alert_takes_the_room_of_ledger_rows_and_they_never_take_its(path):
    rows = [item(n, "channel", size=300) for n in range(10)]
    with State(path, queue_bytes=sum(map(size, rows))) as state:
        with state.transaction() as put:
            put.enqueue("siem", rows)
            assert put.enqueue("siem", [item(50, "alert", size=400)]) == 2, "two of the latest rows make room for it"
            assert put.enqueue("siem", [item(60, "channel", size=300), item(61, "channel", size=300)]) == 2
        kinds = [w.item.kind for w in queue.waiting(state._db, 1, 99, 1 << 20)]
        assert kinds == ["alert"] + ["channel"] * 8
        with state.transaction() as put:
            flood = put.enqueue("siem", [item(n, "alert", size=300) for n in range(100, 200)])
            put.enqueue("siem", [item(n, "channel", size=300) for n in range(200, 300)])
        waiting = queue.waiting(state._db, 1, 99, 1 << 20)
        assert {w.item.kind for w in waiting} == {"alert"}
        assert waiting[0].item.id == "a50"
        assert flood == 100 + 8 - (len(waiting) - 1)
        assert state.sinks()["siem"].queued_bytes <= sum(map(size, rows))


@pytest.mark.parametrize("seed", range(4))
def test_the_queue_never_goes_past_its_bound_and_nothing_is_lost_uncounted(path, seed):
    chance = random.Random(seed)
    with State(path, queue_bytes=8000) as state:
        put_in = lost = 0
        for _ in range(30):
            items = [item(chance.randrange(10_000), chance.choice(("alert", "finding", "channel", "other")), chance.randrange(2000)) for _ in range(chance.randrange(8))]
            items = list({(i.kind, i.id): i for i in items}.values())
            with state.transaction() as put:
                lost += put.enqueue("siem", items)
                put_in += len(items)
            if chance.random() < 0.2:
                with state.transaction():
                    sent = queue.waiting(state._db, 1, 3, 1 << 20)
                    queue.delivered(state._db, 1, sent, NOW)
            stands = state.sinks()["siem"]
            assert stands.queued_bytes <= 8000
            assert (stands.queued, stands.queued_bytes) == state._rows("SELECT count(*), coalesce(sum(size), 0) FROM queue")[0]
            assert stands.lost == lost
            assert put_in == stands.queued + stands.sent + stands.lost
        assert lost
