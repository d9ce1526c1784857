"""What retention deletes has really aged: a clock that jumps is not believed, and said to have jumped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sniffer.state import State
from sniffer.state.reckoning import JUMP
from tests.sniffer.state_lab import DAY, NOW, SECOND, channel, finding, item

KEEP = 30


@dataclass
class Time:
    """A clock, and what really passes."""

    day: int = NOW
    real: int = 7 * SECOND

    def passes(self, nanoseconds: int) -> None:
        self.day, self.real = self.day + nanoseconds, self.real + nanoseconds

    def open(self, path: Path) -> State:
        return State(path, retention_days=KEEP, clock=lambda: self.day, real=lambda: self.real)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def put(state: State, number: int) -> None:
    with state.transaction() as tx:
        tx.findings([finding(number)])
        tx.channels([channel(number)])
        tx.enqueue("siem", [item(number)])
        tx.heartbeat(state._clock())


def left(state: State) -> set[int]:
    return {int(found.record["id"][1:], 16) for found in state.findings()}


def live(state: State, time: Time, days: int) -> None:
    """Days of sweeps."""
    for _ in range(days):
        time.passes(DAY)
        state.prune(time.day)


def test_a_clock_that_jumps_beyond_retention_deletes_nothing(path, time):
    """Findings, channels and what waited were all gone after an NTP server's mistake."""
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        time.day += 3650 * DAY
        assert state.prune(time.day).total == 0
        (notice,) = state.notices
        assert "the clock went 3,650.0 days forward" in notice
        live(state, time, 3)
        assert len(state.notices) == 1, "said once"
        assert (left(state), len(state.channels()), state.sinks()["siem"].queued) == ({1}, 1, 1)


def test_after_a_jump_each_goes_when_it_has_really_aged(path, time):
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        live(state, time, 10)
        put(state, 2)
        time.day += 100 * DAY
        state.prune(time.day)
        put(state, 3)
        live(state, time, KEEP - 10)
        assert left(state) == {1, 2, 3}
        live(state, time, 1)
        assert left(state) == {2, 3}
        put(state, 4)
        live(state, time, 10)
        assert left(state) == {4}, "by then the clock is believed again"
        live(state, time, KEEP)
        assert left(state) == set()
        assert len(state.notices) == 1


def test_a_restart_does_not_make_a_jump_believed(path, time):
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        time.day += 3650 * DAY
        state.prune(time.day)
        put(state, 2)
        state.stopped(time.day)
    time.real = 0  # the machine started anew as well
    with time.open(path) as state:
        state.begin(time.day)
        live(state, time, KEEP - 1)
        assert left(state) == {1, 2}
        assert state.notices == []
        live(state, time, 2)
        assert left(state) == set()


def test_a_machine_that_starts_with_a_wrong_clock_deletes_nothing(path, time):
    """Its battery is empty: nothing tells how long it was off, but all would be gone."""
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        state.stopped(time.day)
    time.day += 3650 * DAY
    with time.open(path) as state:
        state.begin(time.day)
        assert len(state.notices) == 1
        assert state.prune(time.day).total == 0
        assert left(state) == {1}
        live(state, time, KEEP + 1)
        assert left(state) == set(), "and not for ever"


def test_a_stop_shorter_than_retention_counts_as_age(path, time):
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        state.stopped(time.day)
    time.day += (KEEP - 1) * DAY
    with time.open(path) as state:
        state.begin(time.day)
        live(state, time, 2)
        assert left(state) == set()
        assert state.notices == []


@pytest.mark.parametrize("off", [False, True])
def test_a_clock_that_is_set_right_again_is_believed(path, time, off):
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        live(state, time, 1)
        time.day += 1000 * DAY
        state.prune(time.day)
        with state.transaction() as tx:
            tx.heartbeat(time.day)
        if not off:
            time.day -= 1000 * DAY
            state.prune(time.day)
    if off:
        time.day -= 1000 * DAY
    with time.open(path) as state:
        state.begin(time.day)
        assert state._reckoning.time(time.day) == time.day
        live(state, time, KEEP - 1)
        assert left(state) == {1}
        live(state, time, 1)
        assert left(state) == set()


def test_what_was_recorded_in_the_future_does_not_stay_until_then(path, time):
    with time.open(path) as state:
        state.begin(time.day)
        time.day += 3650 * DAY
        put(state, 1)
        time.day -= 3650 * DAY
        live(state, time, KEEP)
        assert left(state) == {1}
        live(state, time, 2)
        assert left(state) == set()
        assert (state.channels(), state.losses()) == ([], {"siem": {"expired": 1}})


def test_sleep_and_small_corrections_are_no_jumps(path, time):
    with time.open(path) as state:
        state.begin(time.day)
        put(state, 1)
        time.day += JUMP - 1
        time.passes(KEEP * DAY)  # asleep, which is time as well
        state.prune(time.day)
        assert left(state) == set()
        assert state.notices == []
        assert set(state.counters()) == {"pruned_findings", "pruned_channels"}


def test_what_is_kept_of_jumps_is_no_counter(path, time):
    with time.open(path) as state:
        time.day += 1000 * DAY
        state.prune(time.day)
        assert state.counters() == {}
