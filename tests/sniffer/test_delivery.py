"""Delivery: everything within the bound arrives, in order, whatever the receiver does meanwhile; what does not is counted."""

from __future__ import annotations

import http.client
import http.server
import json
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sniffer import delivery
from sniffer.delivery import IDLE_WAIT, LAST_WAIT, MAX_ITEMS, MAX_REFUSED, Courier, Delivery
from sniffer.errors import StateError, StateFull
from sniffer.outputs.sink import Item, SinkError
from sniffer.state import State, queue
from tests.sniffer.state_lab import NOW, SECOND, item

QUICK = 10.0  # seconds a thread may take on a busy machine


class Receiver:
    """A sink that is up or down, and refuses what it is told to."""

    def __init__(self, name: str = "siem") -> None:
        self.name = name
        self.wants = frozenset({"alert"})
        self.up = True
        self.refuses: set[str] = set()
        self.chokes: dict[str, Exception] = {}
        self.got: list[Item] = []
        self.sends = 0
        self.closed = False
        self.heard = threading.Event()

    def send(self, items: Sequence[Item]) -> None:
        self.sends += 1
        if not self.up:
            raise SinkError(f"{self.name}: connection refused\r\n2026-01-01 forged line")
        for one in items:
            if one.id in self.chokes:
                raise self.chokes[one.id]
        if self.refuses & {one.id for one in items}:
            raise SinkError(f"{self.name}: 400 Bad Request", permanent=True)
        self.got += items
        self.heard.set()

    def check(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.got]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def state(path: Path):
    with State(path, queue_bytes=200_000) as opened:
        yield opened


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def courier(state, path, receiver):
    chance = random.Random(1)
    made = Courier(path, receiver, now=lambda: NOW, chance=chance.uniform)
    yield made
    made.close()


def enqueue(state: State, *items: Item, sink: str = "siem") -> int:
    with state.transaction() as put:
        return put.enqueue(sink, items)


def drain(courier: Courier) -> None:
    while courier.step() == 0.0:
        pass


def test_all_arrives_in_order_and_in_batches(state, courier, receiver):
    items = [item(n) for n in range(MAX_ITEMS * 2 + 5)]
    enqueue(state, *items)
    assert [courier.step() for _ in range(5)] == [0.0, 0.0, 0.0, IDLE_WAIT, IDLE_WAIT]
    assert receiver.got == items
    assert receiver.sends == 3
    stands = state.sinks()["siem"]
    assert (stands.queued, stands.queued_bytes, stands.sent, stands.failures, stands.lost, stands.last_success) == (0, 0, len(items), 0, 0, NOW)


def test_a_batch_is_bounded_in_bytes_too(state, monkeypatch, courier, receiver):
    monkeypatch.setattr(delivery, "MAX_BYTES", 5000)
    enqueue(state, *(item(n, size=1500) for n in range(6)), item(7, size=20_000))
    drain(courier)
    assert receiver.sends == 3 or receiver.sends == 4
    assert len(receiver.got) == 7


def test_alerts_pass_a_backlog_of_ledger_rows(state, courier, receiver):
    enqueue(state, *(item(n, "channel") for n in range(MAX_ITEMS)), item(1), item(1, "finding"), item(2))
    courier.step()
    assert receiver.ids[:3] == ["a1", "a2", "f1"]


def test_an_hour_down_loses_nothing_within_the_bound(state, courier, receiver):
    """A clock of its own: every ten seconds an alert, and the courier when its wait is over."""
    receiver.up = False
    due, put_in, waits = 0.0, [], []
    for second in range(5400):
        receiver.up = second >= 3600
        if second < 3000 and second % 10 == 0:
            put_in.append(item(second))
            assert enqueue(state, put_in[-1]) == 0
        while due <= second:
            wait = courier.step()
            if not receiver.up:
                waits.append(wait)
            due += wait or 0.001
    assert receiver.got == put_in
    assert state.sinks()["siem"].lost == 0
    assert state.sinks()["siem"].failures == len(waits)
    # 1 s to 5 min, the ceiling doubling, spread by chance.
    assert all(1.0 <= wait <= min(LAST_WAIT, 2.0 ** (n + 1)) for n, wait in enumerate(waits))
    assert len(waits) < 60
    assert len({round(w, 3) for w in waits[8:]}) == len(waits[8:])


def test_a_receiver_that_asks_to_be_left_alone_is(state, courier, receiver):
    """Retry-After (RFC 9110, 10.2.3) is a least wait; the next failure without one goes by our own."""
    enqueue(state, item(1))
    receiver.chokes[item(1).id] = SinkError("siem: answered 429", retry_after=900.0)
    assert courier.step() == 900.0
    receiver.chokes[item(1).id] = SinkError("siem: answered 503")
    assert courier.step() <= LAST_WAIT
    receiver.chokes.clear()
    drain(courier)
    assert receiver.ids == [item(1).id]


def test_past_the_bound_the_loss_is_counted(state, courier, receiver):
    receiver.up = False
    items = [item(n, size=500) for n in range(500)]
    lost = sum(enqueue(state, *items[start : start + 50]) for start in range(0, 500, 50))
    courier.step()
    assert lost
    receiver.up = True
    drain(courier)
    assert receiver.got == items[: len(items) - lost], "what waited longest is what was kept"
    stands = state.sinks()["siem"]
    assert (stands.sent, stands.lost, stands.queued) == (len(items) - lost, lost, 0)


def test_a_success_ends_the_back_off(state, courier, receiver):
    receiver.up = False
    enqueue(state, item(1))
    for _ in range(8):
        courier.step()
    assert courier.failing
    receiver.up = True
    assert courier.step() == 0.0
    assert not courier.failing
    receiver.up = False
    enqueue(state, item(2))
    assert courier.step() <= 2.0


def test_an_error_is_kept_on_one_line(state, courier, receiver):
    receiver.up = False
    enqueue(state, item(1))
    courier.step()
    assert state.sinks()["siem"].last_error == r"siem: connection refused\x0d\x0a2026-01-01 forged line"


@pytest.mark.parametrize("bad", [{"a3"}, {"a0", "a99"}, {"a40", "a41", "a42"}, {f"a{n}" for n in range(0, 90, 11)}])
def test_only_what_is_refused_is_let_go(state, courier, receiver, bad):
    receiver.refuses = bad
    items = [item(n) for n in range(100)]
    enqueue(state, *items)
    drain(courier)
    assert sorted(receiver.ids) == sorted(one.id for one in items if one.id not in bad)
    assert state.losses() == {"siem": {"refused": len(bad)}}
    assert state.sinks()["siem"].queued == 0


def test_a_receiver_that_refuses_everything_does_not_empty_the_queue(state, courier, receiver):
    receiver.refuses = {f"a{n}" for n in range(150)}
    enqueue(state, *(item(n) for n in range(150)))
    waits = [courier.step() for _ in range(4)]
    assert all(waits), "set up wrongly, it is left in peace"
    assert state.losses() == {"siem": {"refused": MAX_REFUSED + 3}}
    receiver.refuses.clear()  # somebody has put it right
    drain(courier)
    assert len(receiver.got) == 150 - MAX_REFUSED - 3


@pytest.mark.parametrize("error", [KeyError("user-secret"), ValueError("user-secret"), RecursionError(), TypeError()])
def test_an_item_our_own_formatter_chokes_on_stops_nobody(state, courier, receiver, error):
    receiver.chokes = {"a5": error}
    enqueue(state, *(item(n) for n in range(10)))
    drain(courier)
    assert receiver.ids == [f"a{n}" for n in range(10) if n != 5]
    assert state.losses() == {"siem": {"refused": 1}}
    assert state.sinks()["siem"].last_error == f"siem: {type(error).__name__} while it was written"


@pytest.mark.parametrize(
    "change",
    ["body = 'no JSON'", "body = ''", "body = '[1]'", "body = '{\"a\": 1'", "body = CAST(x'7BFF7D' AS TEXT)", "id = CAST(x'FF' AS TEXT)", "kind = CAST(x'80' AS TEXT)", f"body = '{'[' * 100_000}'"],
    ids=["text", "empty", "list", "half", "bytes", "id", "kind", "deep"],
)
def test_a_row_that_cannot_be_read_is_counted_as_lost_and_stops_nobody(state, courier, receiver, change):
    """It ended the receiver's thread, and nothing was delivered any more; text that is no UTF-8 held it for ever."""
    enqueue(state, *map(item, range(5)))
    state._rows(f"UPDATE queue SET {change} WHERE id = '{item(2).id}'")
    drain(courier)
    assert receiver.ids == [item(n).id for n in (0, 1, 3, 4)]
    stats = state.sinks()["siem"]
    assert (stats.queued, stats.sent, stats.lost, state.losses()) == (0, 4, 1, {"siem": {"unreadable": 1}})
    assert stats.last_error == "1 queued could not be read from the state, which is damaged there"
    enqueue(state, item(9))
    drain(courier)
    assert receiver.ids[-1] == item(9).id


def test_a_whole_batch_that_cannot_be_read_is_passed_at_once(state, courier, receiver, monkeypatch):
    monkeypatch.setattr("sniffer.delivery.MAX_ITEMS", 3)
    enqueue(state, *map(item, range(5)))
    state._rows(f"UPDATE queue SET body = '' WHERE id <> '{item(4).id}'")
    assert courier.step() == 0.0
    drain(courier)
    assert receiver.ids == [item(4).id]
    assert state.sinks()["siem"].lost == 4


def test_a_damaged_row_that_was_replaced_meanwhile_is_sent(state, courier):
    enqueue(state, item(1, kind="finding"))
    state._rows("UPDATE queue SET body = ''")
    courier._open()
    broken: list[queue.Row] = []
    assert courier._waiting(broken) == []
    enqueue(state, item(1, kind="finding"))
    courier._unreadable(broken)
    assert (state.sinks()["siem"].queued, state.losses()) == (1, {})


def test_an_operating_system_error_is_tried_again(state, courier, receiver):
    receiver.chokes = {"a1": ConnectionResetError(104, "Connection reset by peer")}
    enqueue(state, item(1))
    assert courier.step() > 0
    receiver.chokes = {}
    drain(courier)
    assert receiver.ids == ["a1"]
    assert state.sinks()["siem"].last_error == "siem: Connection reset by peer"


def test_what_cannot_be_marked_is_not_sent_again_by_this_process(state, courier, receiver, monkeypatch):
    enqueue(state, item(1), item(2))
    mark, full = queue.delivered, True

    def delivered(*args: object) -> None:
        if full:
            raise StateFull("no room")
        mark(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "delivered", delivered)
    assert courier.step() > 0
    assert courier.step() > 0
    full = False
    drain(courier)
    assert receiver.ids == ["a1", "a2"]
    assert state.sinks()["siem"].sent == 2


def test_a_finding_replaced_while_it_is_sent_is_sent_in_its_newer_form(state, courier, receiver):
    enqueue(state, item(1, "finding", count=1))
    send = receiver.send

    def slow(items: Sequence[Item]) -> None:
        send(items)
        if len(receiver.got) == 1:
            enqueue(state, item(1, "finding", count=2))

    receiver.send = slow  # type: ignore[method-assign]
    drain(courier)
    assert [one.body["count"] for one in receiver.got] == [1, 2]


def test_each_sink_has_its_own_queue(state, path):
    one, other = Receiver("one"), Receiver("other")
    other.up = False
    couriers = [Courier(path, one), Courier(path, other)]
    with state.transaction() as put:
        put.enqueue("one", [item(1)])
        put.enqueue("other", [item(2)])
    for courier in couriers:
        courier.step()
        courier.close()
    assert (one.ids, other.ids) == (["a1"], [])
    assert state.sinks()["other"].queued == 1


def test_a_state_that_is_not_there_is_waited_for(tmp_path, receiver):
    courier = Courier(tmp_path / "none.db", receiver)
    assert courier.step() >= 1.0
    assert courier.failing
    courier.close()


# Threads.


def wait_for(what, seconds: float = QUICK) -> None:
    over = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < over, "not in time"
        time.sleep(0.005)


def test_wake_sends_at_once_and_stop_flushes(state, path, receiver):
    sending = Delivery(path, [receiver])
    assert sending.stats()["siem"].queued == 0
    sending.start()
    wait_for(lambda: "siem" in state.sinks())
    time.sleep(0.05)  # asleep by now
    begun = time.monotonic()
    enqueue(state, item(1))
    sending.wake()
    assert receiver.heard.wait(IDLE_WAIT)
    assert time.monotonic() - begun < IDLE_WAIT / 2
    wait_for(lambda: sending.stats()["siem"].sent == 1)
    enqueue(state, *(item(n) for n in range(2, 900)))
    assert sending.stop(QUICK)
    assert len(receiver.got) == 899
    assert receiver.closed
    assert sending.stats()["siem"].queued == 0


def test_wake_does_not_cut_a_back_off_short(state, path, receiver, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_WAIT", 30.0)
    receiver.up = False
    enqueue(state, item(1))
    sending = Delivery(path, [receiver])
    sending.start()
    wait_for(lambda: receiver.sends == 1)
    for _ in range(20):
        sending.wake()
        time.sleep(0.005)
    assert receiver.sends == 1
    assert sending.stop(QUICK)
    assert receiver.sends == 2, "one last try"
    assert state.sinks()["siem"].queued == 1
    assert sending.dead() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_of_a_bug_is_named(state, path, receiver):
    receiver.chokes = {"a1": MemoryError()}
    enqueue(state, item(1))
    sending = Delivery(path, [receiver, Receiver("other")])
    sending.start()
    wait_for(sending.dead)
    assert sending.dead() == ["siem"]
    assert sending.stop(QUICK)
    assert state.sinks()["siem"].queued == 1


def test_stop_does_not_wait_for_a_receiver_that_hangs(state, path, receiver):
    hang = threading.Event()
    receiver.send = lambda items: hang.wait(QUICK)  # type: ignore[method-assign,assignment]
    enqueue(state, item(1))
    sending = Delivery(path, [receiver])
    sending.start()
    begun = time.monotonic()
    assert not sending.stop(0.2)
    assert time.monotonic() - begun < QUICK / 2
    hang.set()
    wait_for(lambda: receiver.closed)


def test_two_sinks_of_one_name(path):
    with pytest.raises(ValueError, match="one name"):
        Delivery(path, [Receiver(), Receiver()])


def test_stats_say_when_the_state_cannot_be_read(tmp_path, receiver):
    with pytest.raises(StateError):
        Delivery(tmp_path / "none.db", [receiver]).stats()


def test_many_sinks_and_a_writer_at_once(path):
    receivers = [Receiver(f"sink{n}") for n in range(6)]
    with State(path) as state:
        sending = Delivery(path, receivers)
        sending.start()
        for start in range(0, 1000, 10):
            with state.transaction() as put:
                for receiver in receivers:
                    put.enqueue(receiver.name, [item(n) for n in range(start, start + 10)])
            sending.wake()
        assert sending.stop(QUICK)
        for receiver in receivers:
            assert receiver.ids == [f"a{n}" for n in range(1000)], "each once, in order"
        assert {s.queued for s in sending.stats().values()} == {0}


# A real receiver.


class HttpSink:
    """Posts a batch as JSON."""

    name = "http"
    wants = frozenset({"alert"})

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, items: Sequence[Item]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", "/", json.dumps([one.id for one in items]))
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SinkError(f"{self.name}: HTTP {answer.status}", permanent=answer.status == 400)
        except (OSError, http.client.HTTPException) as error:
            raise SinkError(f"{self.name}: {type(error).__name__}") from error
        finally:
            connection.close()

    def check(self) -> None: ...

    def close(self) -> None: ...


class HttpReceiver:
    """A web server that can be taken down and brought up again on its port; answers 503 to every third request."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.requests = 0
        self.port = 0
        self.up()

    def up(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.requests += 1
                ids = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                busy = receiver.requests % 3 == 0
                if not busy:
                    receiver.got += ids
                self.send_response(503 if busy else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.HTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def down(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_a_web_server_that_goes_down_and_comes_up(state, path, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(delivery, "LAST_WAIT", 0.05)
    receiver = HttpReceiver()
    sending = Delivery(path, [HttpSink(receiver.port)])
    sending.start()
    try:
        sent = []
        for round in range(4):
            for n in range(20):
                sent.append(item(round * 100 + n))
                enqueue(state, sent[-1], sink="http")
                sending.wake()
            if round % 2:
                receiver.down()
                failures = sending.stats()["http"].failures
                sent.append(item(round * 100 + 50))
                enqueue(state, sent[-1], sink="http")
                sending.wake()
                wait_for(lambda before=failures: sending.stats()["http"].failures > before)
                receiver.up()
        wait_for(lambda: sending.stats()["http"].queued == 0)
        assert receiver.got == [one.id for one in sent], "all, in order; none twice, since every answer came through"
        stands = sending.stats()["http"]
        assert (stands.lost, stands.sent) == (0, len(sent))
        assert stands.last_success > NOW - 10**12 * SECOND
    finally:
        assert sending.stop(QUICK)
        receiver.down()
