"""The parent by itself: what a reload exchanges, what it says of its endpoint."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from sniffer.capture.source import Counters
from sniffer.config import AlertSettings, Config, MetricsSettings, OutputSettings, StateSettings
from sniffer.errors import StateFull
from sniffer.session import Report
from sniffer.state import State
from sniffer.summary import Summary
from sniffer.watch.messages import Link, Message
from sniffer.watch.receivers import needs_anew
from sniffer.watch.recorder import Said
from sniffer.watch.watcher import Watcher
from tests.sniffer.state_lab import alert
from tests.streams import PCAPS
from tests.watch.test_crew import KEY, nowhere
from tests.watch.test_pieces import reports
from tests.watch.test_recorder import Sink


class Notes:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []

    def finding(self, shown) -> None: ...
    def refresh(self, status) -> None: ...
    def close(self, status) -> None: ...

    def note(self, text: str, *, bad: bool = False) -> None:
        self.said.append((text, bad))


def configured(path, *names: str) -> Config:
    outputs = tuple(OutputSettings(name=name, type="file") for name in names)
    return Config(sensor="test", state=StateSettings(path=str(path / "state.sqlite")), metrics=MetricsSettings(listen=""), outputs=outputs)


@pytest.fixture
def systemd(tmp_path, monkeypatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_systemd_is_asked_for_patience_before_the_state_is_read(systemd, watcher):
    assert systemd.recv(200).startswith(b"EXTEND_TIMEOUT_USEC=")
    assert systemd.recv(200).startswith(b"READY=1")


@pytest.fixture
def watcher(tmp_path) -> Iterator[Watcher]:
    made = Watcher(configured(tmp_path, "kept", "gone"), [nowhere()], [Sink("kept"), Sink("gone")], KEY, Notes(), reread=lambda: configured(tmp_path, "kept"))
    made._crew.prepare(drop=False)
    with made._undo:
        made._begin()
        yield made
        made._receivers.stop(5.0)


def test_of_a_receiver_that_is_configured_no_more_nobody_is_alarmed(watcher, monkeypatch):
    monkeypatch.setattr("sniffer.watch.watcher.open_sinks", lambda config: [Sink(output.name) for output in config.outputs])
    watcher._journal.say(Said("sink/undelivered", "gone", True, "gone, 7 waiting"))
    watcher._journal.commit(watcher._receivers, force=True)
    assert [alert.channel for alert in watcher._state.alerts() if alert.rule == "sink/undelivered"] == ["gone"]
    watcher.metrics.sinks({"gone": SimpleNamespace(queued=7, queued_bytes=70, sent=3, failures=2, lost=1, last_success=1)})
    watcher._reload()
    watcher._journal.commit(watcher._receivers, force=True)
    assert [alert for alert in watcher._state.alerts() if alert.rule == "sink/undelivered"] == []
    found = watcher.metrics.snapshot()
    assert [found[f"cleartap_sink_{name}"][("gone",)] for name in ("queue_length", "queue_bytes", "sent_total", "lost_total")] == [0, 0, 3, 1]


def test_receivers_that_keep_what_fires_are_told_of_it_when_they_are_opened(watcher, monkeypatch):
    @dataclass
    class Keen(Sink):
        told: tuple = ()

        def remember(self, items) -> None:
            self.told = tuple(item.body["rule"] for item in items)

    keen = Keen("kept")
    monkeypatch.setattr("sniffer.watch.watcher.open_sinks", lambda config: [keen])
    watcher._journal.say(Said("capture/unwatched", "start", True))
    watcher._journal.commit(watcher._receivers, force=True)
    watcher._reload()
    assert keen.told == ("capture/unwatched",)


def test_what_needs_a_restart_is_said_at_each_reload_and_not_half_taken(watcher, tmp_path):
    wanted = configured(tmp_path, "kept", "gone")
    watcher._reread = lambda: Config(**{**{name: getattr(wanted, name) for name in ("state", "metrics", "outputs")}, "sensor": "another"})
    for _ in range(2):
        watcher._reload()
        assert "sensor only after a restart" in watcher._view.said[-1][0]
    assert watcher._recorder._config.sensor == "test", "the ids of its conditions hold the name"


def test_a_web_configuration_that_cannot_be_read_is_said(watcher):
    watcher._endpoint = SimpleNamespace(problem="web.yaml: no such file")
    watcher._links()
    watcher._links()
    watcher._endpoint.problem = None
    watcher._links()
    assert watcher._view.said[-2:] == [("web.yaml: no such file", True), ("the metrics' web configuration: well again", False)]


def test_what_a_worker_did_not_tell_in_time_is_said_and_on_record(watcher, monkeypatch):
    monkeypatch.setattr("sniffer.watch.watcher.LAST_REPORTS", 0.0)
    assert watcher._stop(SimpleNamespace(stops=1, fileno=lambda: -1, clear=lambda: None)) == 0
    assert any("was not done after" in text and bad for text, bad in watcher._view.said)
    assert [interval.reason for interval in watcher._state.intervals()] == ["worker 0 died"]


def test_an_end_without_a_record_is_no_clean_one(watcher, monkeypatch):
    watcher._crew.close()

    @contextmanager
    def full():
        raise StateFull("no room")
        yield

    monkeypatch.setattr(watcher._state, "transaction", full)
    assert watcher._stop(SimpleNamespace(stops=1, fileno=lambda: -1, clear=lambda: None)) == 3
    assert any("not recorded" in text for text, _ in watcher._view.said)


def test_alertmanager_is_opened_anew_when_alerts_are_to_be_believed_longer():
    mine = Config(outputs=(OutputSettings(name="am", type="alertmanager"),))
    longer = Config(outputs=mine.outputs, alerts=AlertSettings(resend_minutes=600))
    assert needs_anew(mine, longer)
    assert not needs_anew(mine, mine)
    assert not needs_anew(Config(), Config(alerts=longer.alerts))


def test_the_main_loop_standing_still_is_not_healthy(watcher):
    assert watcher.healthy() is None
    watcher._turned = time.monotonic() - 31
    assert watcher.healthy() is not None


def test_a_damaged_state_is_renewed_when_that_can_be_done(watcher, monkeypatch):
    """Not while a delivery has the old file open, and not at once where there is no room: the watch goes on meanwhile."""
    recorder, journal, receivers = watcher._recorder, watcher._journal, watcher._receivers
    real_stop, busy = receivers.stop, [True]
    real_renew, full = watcher._state.renew, [True]

    def renew() -> None:
        if full:
            full.pop()
            raise StateFull("no room")
        real_renew()

    monkeypatch.setattr(receivers, "stop", lambda timeout: not (busy and busy.pop()) and real_stop(timeout))
    monkeypatch.setattr(watcher._state, "renew", renew)
    recorder.damaged = True
    recorder._posture.remember([("channel", "rule")])
    journal.commit(receivers, force=True)
    assert (recorder.damaged, busy, full) == (True, [], [True])
    journal.commit(receivers, force=True)
    assert recorder.damaged
    assert journal.trouble == "no room"
    journal.commit(receivers, force=True)
    assert not recorder.damaged
    assert not recorder._posture._told, "the new state is to hold it too"
    assert journal.trouble == ""
    assert receivers._delivery.dead() == []
    assert any("begin anew" in text for text, _ in watcher._view.said)


def test_a_state_with_a_row_that_cannot_be_read_is_set_aside_at_the_start(tmp_path):
    """No watch could start any more."""
    config = configured(tmp_path)
    with State(config.state.path) as state:
        state.begin(time.time_ns())
        with state.transaction() as tx:
            tx.alerts([alert(1)])
        state._rows("UPDATE alerts SET body = 'x'")
        state.stopped(time.time_ns())
    made = Watcher(config, [nowhere()], [], KEY, Notes(), reread=lambda: config)
    made._crew.prepare(drop=False)
    with made._undo:
        made._begin()
        made._receivers.stop(5.0)
        assert any("set aside as" in text and bad for text, bad in made._view.said)
        assert made._state.intervals()[0].reason == "state lost"


def test_what_retention_takes_is_counted_no_more(watcher):
    watcher._recorder.take(reports(PCAPS / "demo.pcap"))
    watcher._journal.commit(watcher._receivers, force=True)
    known = len(watcher._state.channels())
    assert sum(watcher.metrics.snapshot()["cleartap_channels"].values()) == sum(watcher._recorder.channels.values()) == known > 10
    watcher._state.retention_days = -1
    watcher._prune()
    assert watcher._state.channels() == []
    assert sum(watcher.metrics.snapshot()["cleartap_channels"].values()) == sum(watcher._recorder.channels.values()) == 0


def test_what_the_pages_on_alerts_look_for_in_the_journal_is_there(watcher, monkeypatch):
    said = watcher._view.said
    monkeypatch.setattr(watcher._receivers, "wedged", lambda: ["gone"])
    stats = SimpleNamespace(queued=7, last_error="siem:6514: Connection refused")
    monkeypatch.setattr(watcher._receivers, "stats", {"gone": stats, "kept": stats})
    for stats.queued in (7, 8):
        watcher._links()
    assert [text for text, bad in said if bad] == ["output gone takes nothing of what waits: siem:6514: Connection refused"]
    report = Report([], [], Summary(bugs=Counter({"http: KeyError at http.py:7": 1})), {}, 0)
    link = Link(next(iter(watcher.status.links)), Counters(), 0, 0, None, False)
    for _ in range(2):
        watcher._take(Message(0, 0, report, [link], 0, 0.0, time.time_ns()))
    assert [text for text, _ in said if "http.py:7" in text] == [text for text, _ in said][-1:]
