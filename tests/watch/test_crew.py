"""Worker processes under a parent that is the test itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import pytest

from sniffer.watch import crew
from sniffer.watch.crew import Crew, Place
from sniffer.watch.messages import Message
from sniffer.watch.sources import RemotePlan, StreamPlan
from tests.sniffer.outputs.servers import free_port
from tests.streams import PCAPS

KEY = b"k" * 32


class Heard:
    """What a crew says."""

    def __init__(self, team: Crew) -> None:
        self.team, self.messages, self.lost = team, [], []
        team.prepare(drop=False)
        team.start()

    def __enter__(self) -> Heard:
        return self

    def __exit__(self, *_: object) -> None:
        self.team.close()

    def listen(self, until, patience: float = 20.0) -> None:
        deadline = time.monotonic() + patience
        while not until():
            assert time.monotonic() < deadline, (len(self.messages), self.lost)
            self.team.hear(self.messages.append, self._lost)
            time.sleep(0.02)

    def _lost(self, place: Place) -> None:
        self.lost.append(place.number)

    @property
    def latest(self) -> Message:
        return self.messages[-1]


def file(path) -> tuple[StreamPlan, ...]:
    return (StreamPlan(path.name, Connection(os.open(path, os.O_RDONLY), writable=False), live=False),)


def nowhere() -> tuple[RemotePlan, ...]:
    """A live source that never brings anything."""
    return (RemotePlan(f"tcp://127.0.0.1:{free_port()}"),)


def test_two_workers_read_two_captures_and_end():
    paths = [PCAPS / name / "accepted.pcap" for name in ("ftp", "pop3")]
    with Heard(Crew([file(path) for path in paths], KEY, strict=True)) as heard:
        heard.listen(lambda: heard.team.done)
        assert {message.number for message in heard.messages} == {0, 1}
        found = {finding.rule.id for message in heard.messages for finding in message.report.findings}
        assert found == {"credential/ftp", "credential/pop3"}
        # Between the processes of one run the value crosses, or it could not be fingerprinted.
        assert all(finding.secret.reveal() for message in heard.messages for finding in message.report.findings)
        assert heard.lost == []


def test_an_idle_worker_says_that_it_is_there_and_stops_when_told():
    with Heard(Crew([nowhere()], KEY)) as heard:
        heard.listen(lambda: len(heard.messages) >= 2)
        assert heard.latest.report.findings == []
        assert heard.messages[1].at > heard.messages[0].at
        heard.team.stop()
        heard.listen(lambda: heard.team.done)
        assert heard.latest.last


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_worker_is_replaced(number):
    with Heard(Crew([nowhere()], KEY)) as heard:
        heard.listen(lambda: heard.messages)
        os.kill(heard.team.pids()[0], number)
        heard.listen(lambda: heard.latest.generation == 1)
        assert heard.lost == [0]
        assert heard.team.restarts == 1


def test_a_worker_that_hangs_is_replaced(monkeypatch):
    monkeypatch.setattr(crew, "HUNG_AFTER", 1.5)
    with Heard(Crew([nowhere()], KEY)) as heard:
        heard.listen(lambda: heard.messages)
        os.kill(heard.team.pids()[0], signal.SIGSTOP)
        heard.listen(lambda: heard.latest.generation == 1)
        assert heard.team.restarts == 1


def test_a_worker_that_dies_at_once_is_started_ever_more_slowly():
    team = Crew([nowhere()], KEY)
    place = team.places[0]
    place.since = time.monotonic()
    pauses = []
    for _ in range(5):
        team._leave(place)
        pauses.append(place.pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10 * crew.FIRST_PAUSE
    for _ in range(10):
        team._leave(place)
    assert place.pause == crew.LONGEST_PAUSE


def test_a_worker_that_cannot_be_started_is_tried_again(monkeypatch):
    fails = [EOFError(), OSError(11, "Resource temporarily unavailable")]

    def start(self) -> None:
        if fails:
            raise fails.pop()
        real_start(self)

    team = Crew([nowhere()], KEY)
    kind = team._context.Process
    real_start = kind.start
    monkeypatch.setattr(kind, "start", start)
    with Heard(team) as heard:
        assert team.alive == 0
        heard.listen(lambda: heard.messages)
        assert (team.restarts, heard.lost) == (2, [])


def test_no_helper_is_started_that_would_keep_the_privileges_of_the_start():
    code = (
        "import os, pathlib\nfrom sniffer.watch.crew import Crew\ncrew = Crew([], b'k' * 32)\ncrew.prepare(drop=False)\n"
        "stats = [(p, p.read_text().rpartition(')')[2].split()) for p in pathlib.Path('/proc').glob('[0-9]*/stat')]\n"
        "print([(p.parent / 'cmdline').read_text() for p, fields in stats if int(fields[1]) == os.getpid()], flush=True)\ncrew.tidy()\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "forkserver" in done.stdout, done.stderr
    assert "resource_tracker" not in done.stdout
