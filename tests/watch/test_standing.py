"""Time in which the machine slept or the process was stopped is on record as not watched; nothing is concluded from it."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass, field

import pytest

from sniffer import transport
from sniffer.alert import State as AlertState
from sniffer.capture.source import Counters
from sniffer.metrics import Metrics
from sniffer.session import Report
from sniffer.summary import Summary
from sniffer.watch import crew, standing, worker
from sniffer.watch.accounts import Accounts
from sniffer.watch.crew import Crew
from sniffer.watch.messages import Link, Message, Plan
from sniffer.watch.pipe import Inbox
from sniffer.watch.recorder import Said
from sniffer.watch.sources import RemotePlan
from sniffer.watch.standing import SLEPT_FROM, STOOD_FROM, Clocks, Missed, Pulse
from sniffer.watch.status import Status
from sniffer.watch.watcher import Watcher
from sniffer.watch.worker import Worker
from tests.streams import PCAPS
from tests.watch.test_crew import KEY, Heard, nowhere
from tests.watch.test_pieces import Waiting, reports
from tests.watch.test_recorder import Sink
from tests.watch.test_watcher import Notes, configured

SECOND, HOUR = 1_000_000_000, 3_600_000_000_000


@dataclass
class Hands:
    """Clocks that go when they are told to."""

    day: int = field(default_factory=time.time_ns)
    awake: int = 500 * SECOND
    real: int = 900 * SECOND
    worked: int = 0

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.day, lambda: self.awake, lambda: self.real, lambda: self.worked)

    def runs(self, nanoseconds: int, *, worked: int = 0) -> None:
        self.day, self.awake, self.real, self.worked = self.day + nanoseconds, self.awake + nanoseconds, self.real + nanoseconds, self.worked + worked

    def sleeps(self, nanoseconds: int) -> None:
        self.day, self.real = self.day + nanoseconds, self.real + nanoseconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_a_pulse_tells_sleep_from_standstill_and_work_from_both(hands):
    pulse = Pulse(hands.clocks())
    hands.runs(SECOND // 4)
    assert pulse.beat() is None
    hands.sleeps(HOUR)
    hands.runs(SECOND // 4)
    assert pulse.beat() == Missed(HOUR, 0, hands.day)
    assert pulse.beat() is None, "once"
    hands.runs(HOUR)
    assert pulse.beat() == Missed(0, HOUR, hands.day)
    hands.runs(HOUR, worked=HOUR - STOOD_FROM + 1)
    assert pulse.beat() is None, "it was busy"
    hands.day += HOUR
    assert pulse.beat() is None, "the clock was set"
    hands.sleeps(SLEPT_FROM - 1)
    assert pulse.beat() is None


def test_the_real_clocks_go_on_together():
    pulse = Pulse()
    time.sleep(0.01)
    assert pulse.beat() is None
    assert standing.boottime() > 0


@pytest.fixture
def watcher(tmp_path, hands):
    made = Watcher(configured(tmp_path, "kept"), [nowhere()], [Sink("kept")], KEY, Notes(), reread=lambda: configured(tmp_path, "kept"), clocks=hands.clocks())
    made._crew.prepare(drop=False)
    with made._undo:
        made._begin()
        yield made
        made._receivers.stop(5.0)


class Still:
    """Signals that never come."""

    stops = 0

    def __init__(self) -> None:
        self._ends = os.pipe()

    def fileno(self) -> int:
        return self._ends[0]

    def clear(self) -> None: ...

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


@pytest.fixture
def still():
    made = Still()
    yield made
    made.close()


def alerts(watcher: Watcher) -> list[tuple[str, str]]:
    return [(alert.rule, alert.channel) for alert in watcher._state.alerts()]


def test_a_machine_that_slept_is_on_record_as_unwatched(watcher, hands, still):
    """CLOCK_MONOTONIC stands still in sleep: by it alone nothing had happened."""
    before = watcher._state.unwatched
    hands.sleeps(HOUR)
    watcher._turn(still)
    watcher._journal.commit(watcher._receivers, force=True)
    assert watcher._state.intervals() == [(hands.day - HOUR, hands.day, "machine slept")]
    assert watcher._state.unwatched - before == pytest.approx(3600)
    assert ("not watched for 3,600.0 s (machine slept)", True) in watcher._view.said
    assert alerts(watcher) == [("capture/unwatched", "sleep")]
    watcher._turn(still)
    watcher._journal.commit(watcher._receivers, force=True)
    assert len(watcher._state.intervals()) == 1, "once"


def test_a_worker_that_was_stopped_and_went_on_is_on_record_as_unwatched(watcher, hands):
    report = Report([], [], Summary(), {}, 0)
    name = next(iter(watcher.status.links))
    now = time.time_ns()
    watcher._take(Message(0, 0, report, [Link(name, Counters(), 0, 0, None, False)], 0, 0.0, now, stood=((now - 40 * SECOND, now),)))
    watcher._journal.commit(watcher._receivers, force=True)
    assert watcher._state.intervals() == [(now - 40 * SECOND, now, "worker 0 stood still")]
    assert ("not watched for 40.0 s (worker 0 stood still)", True) in watcher._view.said
    assert alerts(watcher) == [("capture/unwatched", "standstill")]


def test_what_stops_all_workers_is_counted_once():
    kept = Accounts([RemotePlan("eth1")], 3, Status(), Metrics(["eth1"]))
    report = Report([], [], Summary(), {}, 0)
    for number, (start, until) in enumerate([(100, 200), (90, 190), (150, 205)]):
        kept.stood(Message(number, 0, report, [], 0, 0.0, until, stood=((start, until),)))
    assert kept.unread() == [(100, 200, "worker 0 stood still"), (200, 205, "worker 2 stood still")]


def test_a_worker_tells_when_it_stood_still(hands):
    """Stopped between two turns of its loop, as by SIGSTOP or a frozen machine."""
    parent, mine = socket.socketpair()

    class Stopping(Waiting):
        @property
        def ended(self) -> bool:
            return not self.batches

        def read(self, wait: float):
            hands.runs(HOUR if self.batches else 0)
            return super().read(wait)

    with parent, mine:
        Worker(Plan(0, 0, KEY, (Stopping(),)), mine, hands.clocks()).run()
        mine.close()
        inbox = Inbox(parent)
        told: list[Message] = []
        while not inbox.closed:
            told += [transport.loads(data) for data in inbox.take()]
    assert [pair for message in told for pair in message.stood] == [(hands.day - HOUR, hands.day)]


def test_standstills_that_cannot_be_told_are_bounded(hands, monkeypatch):
    monkeypatch.setattr(worker, "MAX_STOOD", 2)
    parent, mine = socket.socketpair()
    with parent, mine:
        held = Worker(Plan(0, 0, KEY, (Waiting(),)), mine, hands.clocks())
        for _ in range(5):
            hands.runs(HOUR)
            held._feel()
        assert len(held._stood) == 2


def test_a_standstill_of_the_parent_resolves_no_alert_and_silences_no_link(watcher, hands, still, monkeypatch):
    """All that had fired was resolved as quiet, when the one that listens had been stopped for longer than resolve_minutes."""
    watcher._recorder.take(reports(PCAPS / "demo.pcap"))
    watcher._journal.commit(watcher._receivers, force=True)
    firing = len(watcher._state.alerts())
    assert firing > 10
    real, steady, seconds = time.time_ns, time.monotonic_ns, time.monotonic
    monkeypatch.setattr(time, "time_ns", lambda: real() + HOUR)
    monkeypatch.setattr(time, "monotonic_ns", lambda: steady() + HOUR)
    monkeypatch.setattr(time, "monotonic", lambda: seconds() + HOUR / 1e9)
    hands.runs(HOUR)
    watcher._turn(still)
    watcher._journal.commit(watcher._receivers, force=True)
    assert len(watcher._state.alerts()) == firing
    assert watcher._state.alerts(AlertState.RESOLVED) == []
    assert watcher._accounts.heard() == {} or max(watcher._accounts.heard().values()) > time.time_ns() - 60 * SECOND
    assert watcher._receivers.wedged() == []


def test_workers_are_not_killed_as_hung_when_it_was_the_parent_that_did_not_listen(monkeypatch):
    """After a stop of the whole group the first look would have found every worker silent for too long."""
    with Heard(Crew([nowhere()], KEY)) as heard:
        heard.listen(lambda: heard.messages)
        (pid,) = heard.team.pids()
        os.kill(pid, signal.SIGSTOP)
        try:
            real = time.monotonic
            monkeypatch.setattr(time, "monotonic", lambda: real() + crew.HUNG_AFTER + 1)
            heard.team.forgive()
            for _ in range(3):
                heard.team.hear(heard.messages.append, heard._lost)
                time.sleep(0.05)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert heard.lost == []
        before = len(heard.messages)
        heard.listen(lambda: len(heard.messages) > before)
        assert heard.team.restarts == 0


def test_a_condition_taken_up_in_a_standstill_stays(watcher, hands):
    watcher._journal.say(Said("sink/undelivered", "kept", True, "kept, 3 waiting"))
    watcher._journal.commit(watcher._receivers, force=True)
    hands.runs(HOUR)
    watcher._missed(Missed(0, HOUR, hands.day))
    assert alerts(watcher) == [("sink/undelivered", "kept")]
