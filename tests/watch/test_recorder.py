"""From reports to the record: all or nothing, also what alerting and the ledger's own findings have said."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from types import SimpleNamespace

import pytest

from sniffer.config import Config, Expected, OutputSettings, SeverityOverride
from sniffer.errors import StateFull
from sniffer.outputs import record
from sniffer.outputs.alertmanager import AlertmanagerSink
from sniffer.state import State, Transaction, queue
from sniffer.watch.recorder import Recorder, Said
from tests.streams import PCAPS
from tests.watch.test_pieces import KEY, reports

DEMO = PCAPS / "demo.pcap"


@dataclass
class Sink:
    name: str = "all"
    wants: frozenset[str] = frozenset({"alert", "finding", "channel"})

    def send(self, items) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


def config(**more) -> Config:
    return Config(sensor="test", outputs=(OutputSettings(name="all", type="file", min_severity=more.pop("least", "info")),), **more)


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / "state.sqlite") as opened:
        opened.begin(time.time_ns())
        yield opened


def queued(state: State) -> Counter[str]:
    return Counter(kind for (kind,) in state._rows("SELECT kind FROM queue"))


def bodies(state: State, kind: str) -> list[dict]:
    return [json.loads(body) for (body,) in state._rows("SELECT body FROM queue WHERE kind = ?", (kind,))]


def test_a_failed_transaction_takes_back_all_it_had_said(state, monkeypatch):
    recorder = Recorder(state, config(), [Sink()], KEY)
    recorder.take(reports(DEMO))
    real, fails = Transaction.heartbeat, [True, True]

    def heartbeat(self, now: int) -> None:
        if fails and fails.pop():
            raise StateFull("no room")
        real(self, now)

    monkeypatch.setattr(Transaction, "heartbeat", heartbeat)
    for _ in range(2):
        assert recorder.commit(time.time_ns(), force=True) is None
        assert "no room" in recorder.trouble
        assert queued(state) == Counter()
    assert recorder.commit(time.time_ns()) is None, "not asked again at once"
    recorded = recorder.commit(time.time_ns(), force=True)
    assert recorded is not None
    assert recorder.trouble == ""
    assert recorder.errors["full"] == 2
    found = state.findings()
    assert len(found) == len(recorded.new) == queued(state)["finding"] == 24
    assert {row.record["count"] for row in found if row.record["rule"].startswith("channel/encryption")} == {1}
    assert queued(state)["alert"] == len(recorded.alerts) == sum(recorder.alerting.firing().values()) > 10
    assert queued(state)["channel"] == len(state.channels()) == sum(recorder.channels.values())


def test_a_restart_goes_on_where_it_stood(state):
    first = Recorder(state, config(), [Sink()], KEY)
    first.take(reports(DEMO))
    first.commit(time.time_ns())
    before = queued(state)
    again = Recorder(state, config(), [Sink()], KEY)
    again.remember()
    again.take(reports(DEMO))
    recorded = again.commit(time.time_ns())
    assert recorded.new == []
    assert recorded.alerts == []
    assert queued(state) == before


def test_restarts_in_short_order_leave_no_alert_to_expire_at_alertmanager(tmp_path, monkeypatch):
    """Each run was over before it had repeated anything: what fired all the while was resolved after six hours."""
    minute, begun = 60_000_000_000, time.time_ns()
    settings = OutputSettings(name="all", type="alertmanager", url="http://127.0.0.1:9093", min_severity="info")
    policy = replace(config(), outputs=(settings,))
    clock, posted = [begun], []
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    believed: dict[str, str] = {}
    for run in range(60):
        at = clock[0] = begun + run * 20 * minute
        sink = AlertmanagerSink(settings, "test", frozenset({"alert"}), policy.alerts.resend_minutes * 60)
        monkeypatch.setattr(sink, "_requester", SimpleNamespace(request=lambda method, path, body, headers: posted.extend(json.loads(body))))
        with State(tmp_path / "state.sqlite", clock=lambda: clock[0]) as state:
            state.begin(at)
            recorder = Recorder(state, policy, [sink], KEY)
            if not run:
                recorder.take(reports(DEMO))
            assert all(ends > record.timestamp(at) for ends in believed.values()), f"expired before run {run}"
            recorder.commit(at)
            waiting = queue.waiting(state._db, 1, 1000, 1 << 30)
            sink.send([row.item for row in waiting])
            with state.transaction() as tx:
                queue.delivered(tx._db, 1, waiting, at)
            firing = len(state.alerts())
        believed.update({json.dumps(alert["labels"]): alert["endsAt"] for alert in posted})
    assert firing > 10
    tells = Counter(json.dumps(alert["labels"]) for alert in posted)
    assert set(tells.values()) == {1 + 59 * 20 // policy.alerts.resend_minutes}, "and no oftener for the restarts"


def test_counts_of_a_channel_are_of_different_findings(state):
    """A worker forgets what it has reported, and says it again as new."""
    recorder = Recorder(state, config(), [Sink()], KEY)
    for _ in range(3):
        recorder.take(reports(DEMO))
        recorder.commit(time.time_ns())
    total = sum(sum(row.findings.values()) for row in state.channels())
    assert total == len(state.findings())


def test_policy_decides_what_is_told(state):
    policy = config(
        least="high",
        severities=(SeverityOverride(rule="credential/ftp", severity="medium"),),
        expected=(Expected(rule="credential/telnet", owner="somebody", reason="old switch", expires=date(2999, 1, 1), server="10.20.1.1"),),
    )
    recorder = Recorder(state, policy, [Sink()], KEY)
    recorder.take(reports(DEMO))
    recorded = recorder.commit(time.time_ns())
    rules = Counter(body["rule"] for body in bodies(state, "alert"))
    assert rules["credential/telnet"] == rules["credential/ftp"] == 0, "expected, and below what the receiver wants"
    assert rules["credential/http"] == 2
    assert {body["severity"] for kind in ("alert", "finding") for body in bodies(state, kind)} <= {"high", "critical"}
    assert [shown.suppressed for shown in recorded.new if shown.finding.rule.id == "credential/telnet"] == [True]


@pytest.mark.parametrize("change", ["channels SET detail = 'x'", "findings SET record = '[]'"])
def test_a_row_that_cannot_be_read_is_a_damaged_state_and_ends_no_watch(state, change):
    """It ended the parent, and every parent after it."""
    recorder = Recorder(state, config(), [Sink()], KEY)
    recorder.take(reports(DEMO))
    recorder.commit(time.time_ns())
    state._rows(f"UPDATE {change}")
    recorder.take(reports(DEMO))
    assert recorder.commit(time.time_ns()) is None
    assert recorder.damaged
    state.renew()
    state.begin(time.time_ns())
    recorder.renewed()
    assert recorder.commit(time.time_ns(), force=True) is not None
    assert len(state.findings()) == 24


def test_conditions_of_the_sensor_are_alerts(state):
    recorder = Recorder(state, config(), [Sink()], KEY)
    now = time.time_ns()
    recorder.commit(now, [Said("sink/undelivered", "mail", True, "mail, 3 waiting")], {"eth1": now - 6 * 60 * 10**9, "eth2": now})
    recorder.commit(now + 1, [Said("sink/undelivered", "mail", False)], {"eth1": now})
    said = [(body["rule"], body["channel"], body["state"]) for body in bodies(state, "alert")]
    assert sorted(said) == sorted((rule, key, how) for rule, key in (("sink/undelivered", "mail"), ("capture/silent-link", "eth1")) for how in ("firing", "resolved"))


def test_were_we_killed_now_the_unwatched_time_would_begin_at_the_last_report(state):
    recorder = Recorder(state, config(), [], KEY)
    now = time.time_ns()
    recorder.commit(now, watched=now - 5)
    assert state.heartbeat == now - 5
    assert state.begin(now + 10)[0][:2] == (now - 5, now + 10)


def test_of_a_large_record_the_latest_is_remembered(state, monkeypatch):
    first = Recorder(state, config(), [Sink()], KEY)
    first.take(reports(DEMO))
    first.commit(time.time_ns())
    latest = [row.id for row in state.channels()][:3]
    monkeypatch.setattr("sniffer.watch.recorder.MAX_VERDICTS", 3)
    again = Recorder(state, config(), [Sink()], KEY)
    assert [row.id for row in again.remember()] == latest[::-1]
    assert list(again._verdicts) == latest[::-1]


def test_a_clock_that_is_set_forward_resolves_nothing(state):
    recorder = Recorder(state, config(), [Sink()], KEY)
    recorder.take(reports(DEMO))
    now = time.time_ns()
    recorder.commit(now)
    firing = sum(recorder.alerting.firing().values())
    assert firing > 10
    day = 86_400_000_000_000
    assert {str(alert.state) for alert in recorder.commit(now + day).alerts} <= {"firing"}
    assert sum(recorder.alerting.firing().values()) == firing
