"""The parts of the watch by themselves."""

from __future__ import annotations

import base64
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bench.wire import Connection
from sniffer import transport
from sniffer.capture import open_capture
from sniffer.capture.frames import PAD, Frames
from sniffer.capture.source import Counters
from sniffer.channels import Channel
from sniffer.events import Encryption
from sniffer.metrics import Metrics
from sniffer.session import Report
from sniffer.summary import Summary
from sniffer.watch import pending, shedding
from sniffer.watch.accounts import Accounts
from sniffer.watch.merge import HOLD, Merger, together
from sniffer.watch.messages import STOP, Link, Message, Plan
from sniffer.watch.notify import Notifier
from sniffer.watch.pipe import Inbox, Outbox
from sniffer.watch.posture import AGAIN_AFTER, Posture
from sniffer.watch.shedding import CONTENT, FLOWS, NOTHING, Shedder, SheddingSession
from sniffer.watch.signals import Signals
from sniffer.watch.sources import RemotePlan
from sniffer.watch.status import Status
from sniffer.watch.worker import Clock, Worker
from tests.sniffer.capture.files import pcap
from tests.streams import PCAPS

KEY = b"k" * 32


def test_a_pipe_neither_waits_nor_mixes():
    one, two = socket.socketpair()
    with one, two:
        outbox, inbox = Outbox(one), Inbox(two)
        sent = [os.urandom(size) for size in (0, 1, 3_000_000, 17)]
        got: list[bytes] = []
        for message in sent:
            outbox.put(message)
            while outbox.busy:
                got += inbox.take()
                outbox.push()
        got += inbox.take()
        assert got == sent
        one.close()
        assert inbox.take() == []
        assert inbox.closed


def test_a_slow_reader_makes_a_busy_sender_not_a_waiting_one():
    one, two = socket.socketpair()
    with one, two:
        outbox = Outbox(one)
        outbox.put(bytes(50_000_000))  # returns, though nobody reads
        assert outbox.busy


def test_a_message_beyond_the_bound_ends_the_connection():
    one, two = socket.socketpair()
    with one, two:
        one.send((1 << 40).to_bytes(8, "little") + b"x")
        inbox = Inbox(two)
        assert inbox.take() == []
        assert inbox.closed


def test_shedding_goes_step_by_step_and_back():
    shedder = Shedder()
    calm = {"dropped": 7, "fill": 0.1, "late": 0.0}
    assert shedder.look(0.0, **calm) == NOTHING, "drops from before this worker are no pressure"
    assert shedder.look(0.5, **{**calm, "fill": 0.9}) == CONTENT
    assert shedder.look(1.0, **{**calm, "dropped": 8}) == FLOWS
    assert shedder.look(1.5, **{**calm, "dropped": 8, "late": 3.0}) == FLOWS
    calm["dropped"] = 8
    assert shedder.look(11.0, **calm) == FLOWS
    assert shedder.look(12.0, **calm) == CONTENT
    assert shedder.look(22.5, **calm) == NOTHING


def shed(step: int, path) -> tuple[set[str], Counter[str]]:
    session = SheddingSession(KEY, strict=True)
    session.step = step
    rules: set[str] = set()
    total: Counter[str] = Counter()
    for frames in open_capture(str(path)).batches():
        for start in range(0, len(frames), 50):
            part = slice(start, start + 50)
            session.feed(replace(frames, **{name: getattr(frames, name)[part] for name in ("offset", "size", "wire", "time", "link", "number")}))
    session.end()
    report = session.report(session.summary.last)
    total.update(report.summary.shed)
    rules.update(found.rule.id for found in report.findings)
    return rules, total


@pytest.fixture(scope="module")
def bulk(tmp_path_factory):
    """A login form and a large page with a card number in it, then a megabyte on one connection and a login after it."""
    made = Connection((0x0A000001, 40000), (0x0A000002, 80), random.Random(1), 1_700_000_000_000_000_000)
    made.open()

    def request(body: bytes) -> None:
        made.say(0, b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        made.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def login(user: bytes) -> None:
        made.say(0, b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic " + base64.b64encode(user + b":password-" + user) + b"\r\n\r\n")
        made.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    login(b"first")
    request(b"words " * 5000 + b"card 4111 1111 1111 1111 " + b"words " * 100)
    for _ in range(10):
        request(b"words " * 30000)
    login(b"second")
    made.close()
    path = tmp_path_factory.mktemp("bulk") / "bulk.pcap"
    path.write_bytes(pcap([(when, frame) for when, frame in made.packets]))
    return path


def test_what_is_shed_is_counted_and_logins_are_last(bulk):
    whole, nothing = shed(NOTHING, bulk)
    assert {"credential/http", "pii/payment-card"} <= whole
    assert not nothing
    some, counted = shed(CONTENT, bulk)
    assert "credential/http" in some
    assert "pii/payment-card" not in some
    assert counted["content"] > 1_000_000
    least, counted = shed(FLOWS, bulk)
    assert "credential/http" in least, "the login before the bulk is told"
    assert counted["flows"] > 0


def frames(name: str, times: list[int]) -> Frames:
    buffer = b"".join(bytes([when % 251]) * 10 for when in times) + bytes(PAD)
    column = np.array(times, np.int64)
    each = np.full(len(times), 10, np.int64)
    return Frames(buffer, np.arange(len(times), dtype=np.int64) * 10, each, each, column, each // 10, column, name)


def test_an_answer_read_before_its_question_waits_for_it():
    merger = Merger()
    assert merger.put([frames("answers", [20, 40])], HOLD) is None
    assert merger.put([], HOLD + 5) is None
    first = merger.put([frames("questions", [10, 30])], HOLD + 35)
    assert first.time.tolist() == [10, 20, 30]
    assert [first.buffer[at] for at in first.offset.tolist()] == [10, 20, 30]
    assert merger.flush().time.tolist() == [40]
    assert merger.flush() is None


def test_a_clock_that_is_set_back_holds_nothing_back():
    merger, hour = Merger(), 3_600_000_000_000
    assert merger.put([frames("a", [hour])], hour) is None
    assert merger.put([frames("b", [5])], 10 + HOLD).time.tolist() == [5, hour]


def test_one_capture_of_two_links_is_in_the_order_of_time():
    one = together([frames("a", [1, 4, 9]), replace(frames("b", [2, 3, 11]), vlan=np.full(3, 5, np.int64))])
    assert one.time.tolist() == [1, 2, 3, 4, 9, 11]
    assert [one.buffer[at] for at in one.offset.tolist()] == [1, 2, 3, 4, 9, 11]
    assert one.vlan.tolist() == [-1, 5, 5, -1, -1, 5]
    assert len(one.buffer) >= int((one.offset + one.size).max()) + PAD


def channel(verdict: Encryption = Encryption.CLEARTEXT, sessions: int = 1, last: int = 10**18, **more) -> Channel:
    row = Channel("10.0.0.1", "10.0.0.2", 5432, "tcp", "postgresql", "database", first=last, last=last, sessions=sessions, **more)
    if sessions:
        row.count(verdict, "why", sessions)
    return row


def test_posture_is_told_once_while_it_lasts_and_its_alert_kept_alive():
    posture = Posture(KEY)
    whole = channel()
    (told,) = posture.look(whole, whole)
    assert (told.rule.id, told.count) == ("channel/cleartext-backend", 1)
    assert posture.look(whole, whole) == [], "not twice in one transaction"
    posture.forget()
    assert posture.look(whole, whole), "a transaction that failed is told again"
    posture.keep()
    assert posture.look(whole, whole) == []
    # A connection that has lasted for weeks has no new session, and is still there.
    later = channel(last=whole.last + AGAIN_AFTER, sessions=0)
    whole.merge(later)
    (again,) = posture.look(whole, later)
    assert (again.id, again.count) == (told.id, 0)
    posture.keep()
    # Mended: the new sessions are encrypted, the old ones stay in the row.
    mended = channel(Encryption.ENCRYPTED, last=whole.last + AGAIN_AFTER)
    whole.merge(mended)
    assert whole.encryption is Encryption.MIXED
    assert posture.look(whole, mended) == []


def test_posture_told_before_a_restart_is_not_told_again():
    posture, row = Posture(KEY), channel()
    posture.remember([(row.id, "channel/cleartext-backend")])
    assert [found.count for found in posture.look(row, row)] == [0]


def reports(path) -> Report:
    session = SheddingSession(KEY, strict=True)
    for frames in open_capture(str(path)).batches():
        session.feed(frames)
    session.end()
    return session.report(session.summary.last)


def test_what_waits_is_merged_and_bounded(monkeypatch):
    held = pending.Pending()
    for _ in range(2):
        held.add(reports(PCAPS / "demo.pcap"))
    findings, channels = held.rows()
    assert len({found.id for found in findings}) == len(findings)
    assert min(found.count for found in findings) >= 2
    assert len({row.id for row in channels}) == len(channels)
    held.rows(5)
    assert not held.all_taken
    held.recorded()
    assert len(held) == len(findings) - 5
    some, rows = held.rows(5)
    assert {found.channel for found in some} <= {row.id for row in rows} | {row.id for row in channels}
    held.rows()
    assert held.all_taken
    held.recorded()
    assert not held
    monkeypatch.setattr(pending, "MAX_FINDINGS", 3)
    monkeypatch.setattr(pending, "MAX_CHANNELS", 2)
    held.add(reports(PCAPS / "demo.pcap"))
    assert (len(held), len(held.rows()[1])) == (3, 2)
    assert held.lost_findings == len(findings) - 3
    assert held.lost_channels == len(channels) - 2


def link(packets: int, *, opened: int = 0, dropped: int = 0, **more) -> Link:
    return Link("eth1", Counters(packets, packets * 100, dropped, 0), opened, 1, None, False, **more)


def message(generation: int, source: Link, **more) -> Message:
    return Message(0, generation, Report([], [], Summary(), {}, 5), [source], more.pop("step", 0), 0.0, more.pop("at", 1), **more)


def accounts() -> tuple[Accounts, Status, Metrics]:
    status, metrics = Status(), Metrics(["eth1"])
    return Accounts([RemotePlan("eth1")], 1, status, metrics), status, metrics


def test_what_a_dead_worker_had_read_is_counted_as_lost_once():
    kept, status, metrics = accounts()
    kept.take(message(0, link(100)))
    assert metrics.snapshot()["cleartap_flows_active"][()] == 5
    kept.died(0)
    assert status.active == metrics.snapshot()["cleartap_flows_active"][()] == 0
    (interval,) = kept.unread()
    assert interval.reason == "worker 0 died"
    assert kept.unread() == []
    # The ring's counter goes on: 40 packets were read by the dead worker after its last word.
    kept.take(message(1, link(150, opened=140)))
    kept.take(message(1, link(160, opened=140)))
    kept.tick(1, 1)
    assert (status.links["eth1"].packets, status.links["eth1"].lost) == (120, 40)
    values = metrics.snapshot()
    assert values["cleartap_capture_packets_total"][("eth1",)] == 120
    assert values["cleartap_capture_dropped_packets_total"][("eth1", "worker")] == 40
    assert [said.rule for said in kept.conditions()] == ["capture/worker-restarted"]
    assert kept.conditions() == []


def test_counts_of_a_source_that_is_opened_anew_go_on():
    """A server of pcap-over-IP, to which the next worker connects again."""
    kept, status, metrics = accounts()
    kept.take(message(0, link(100, dropped=3)))
    for generation in (1, 2):
        kept.died(0)
        kept.take(message(generation, link(10, dropped=1)))
    kept.take(message(2, link(25, dropped=1)))
    kept.tick(1, 2)
    shown = status.links["eth1"]
    assert (shown.packets, shown.bytes, shown.dropped, shown.lost) == (135, 13_500, 5, 0)
    assert metrics.snapshot()["cleartap_capture_packets_total"][("eth1",)] == 135


def test_drops_and_shedding_are_conditions():
    kept, status, _ = accounts()
    kept.take(message(0, link(100, dropped=7), step=1))
    kept.tick(1, 0)
    assert {(said.rule, said.count) for said in kept.conditions()} == {("capture/dropping", 7), ("capture/shedding", 1)}
    assert status.dropped == 7


def test_a_clock_that_is_set_makes_no_link_silent(monkeypatch):
    kept, status, _ = accounts()
    kept.take(message(0, link(100)))
    real = time.time_ns
    for moved in (3_600_000_000_000, -3_600_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda moved=moved: real() + moved)
        assert abs(kept.heard()["eth1"] - time.time_ns()) < 60_000_000_000
    kept.tick(1, 0, silent_minutes=5)
    assert not status.links["eth1"].silent
    mono = time.monotonic_ns
    monkeypatch.setattr(time, "monotonic_ns", lambda: mono() + 300_000_000_000)
    assert time.time_ns() - kept.heard()["eth1"] >= 300_000_000_000
    kept.tick(1, 0, silent_minutes=5)
    assert status.links["eth1"].silent
    kept.tick(1, 0, silent_minutes=0)
    assert not status.links["eth1"].silent


def test_the_heartbeat_waits_for_the_slowest_worker():
    kept, _, _ = accounts()
    kept.take(message(0, link(1), at=123))
    assert kept.watched() == 123
    kept.take(message(0, link(1), at=200, last=True))
    assert kept.watched() > 1 << 61, "one that has ended owes nothing"


def test_packet_time_goes_on_while_nothing_comes():
    clock = Clock()
    clock.saw(1_000)
    first = clock.now()
    assert first >= 1_000
    assert clock.now() > first - 1
    clock.saw(500)
    assert clock.now() >= 1_000, "not back"


def test_systemd_is_told(tmp_path, monkeypatch):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "1")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        notifier = Notifier()
        notifier.say("READY=1")
        notifier.beat("fine")
        assert listener.recv(100) == b"READY=1"
        assert listener.recv(100) == b"WATCHDOG=1\nSTATUS=fine"
    monkeypatch.delenv("NOTIFY_SOCKET")
    Notifier().say("READY=1")


def test_signals_are_words():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.reread
        assert signals.stops == 0
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stops == 2
        signals.clear()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_fault_of_our_own_shows_its_place_and_no_value():
    code = "from sniffer.boundary import Boundary\nwith Boundary('it'):\n    int('hunter2-canary')"
    _shows_no_value(code, "it ended by a fault of its own: ValueError", 70)


def test_nor_does_one_in_a_thread():
    code = "import threading\nfrom sniffer.boundary import Boundary\nwith Boundary('it'):\n    t = threading.Thread(target=lambda: int('hunter2-canary'), name='reads')\n    t.start()\n    t.join()"
    _shows_no_value(code, "it, reads ended by a fault of its own: ValueError", 0)


def _shows_no_value(code: str, said: str, ends: int) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ends
    assert said in done.stderr
    assert "hunter2-canary'" not in done.stderr.replace("int('hunter2-canary')", "")


class Waiting:
    """A ring that holds a capture, read by nobody yet."""

    name, problem, fill, again, live = "eth1", None, 0.0, True, True

    def __init__(self) -> None:
        self.batches = list(open_capture(str(PCAPS / "ftp" / "accepted.pcap")).batches())

    def open(self) -> Waiting:
        return self

    def fileno(self) -> int:
        return -1

    def read(self, wait: float) -> Frames | None:
        return self.batches.pop(0) if self.batches else None

    def counters(self) -> Counters:
        return Counters()

    def close(self) -> None: ...


def test_what_waits_in_the_ring_at_a_stop_is_read():
    parent, mine = socket.socketpair()
    with parent, mine:
        parent.send(STOP)
        ring = Waiting()
        Worker(Plan(0, 0, KEY, (ring,)), mine).run()
        mine.close()
        inbox = Inbox(parent)
        (last,) = [transport.loads(data) for data in inbox.take()]
        assert ring.batches == []
        assert [found.rule.id for found in last.report.findings] == ["credential/ftp"]


def test_steps_are_told_in_words():
    assert len(shedding.STEPS) == FLOWS + 1
