"""kill -9 at any moment: what was committed is there, once; what was queued arrives, at least once, under the same id."""

from __future__ import annotations

import copy
import json
import os
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from sniffer.alert import Alert
from sniffer.channels import Channel
from sniffer.delivery import Delivery
from sniffer.events import Encryption
from sniffer.findings import Finding
from sniffer.outputs.sink import Item, SinkError
from sniffer.state import State
from tests.sniffer.state_lab import alert, channel, finding, item, tls_channel

ROOT = Path(__file__).parents[2]
KILLS = 22


class Batch:
    """What the n-th report brings; the same in the process that is killed and in the one that looks afterwards."""

    def __init__(self, n: int) -> None:
        chance = random.Random(n)
        known = [finding(chance.randrange(30), count=chance.randrange(1, 5)) for _ in range(3)]
        self.findings: list[Finding] = [*known, finding(1000 + n)]
        make = chance.choice((channel, tls_channel))
        taken_back = {Encryption.UNKNOWN: (-1, ""), Encryption.ENCRYPTED: (1, "TLS 1.2")}
        self.channels: list[Channel] = [channel(chance.randrange(5)), make(chance.randrange(5)), channel(2, sessions=0, verdicts=taken_back)]
        self.alerts: list[Alert] = [alert(n % 20, n)]
        self.items: list[Item] = [item(n), item(n % 40, "finding", seen=n), item(n % 5, "channel", seen=n)]


class Expected:
    """What all reports up to the n-th come to."""

    def __init__(self, reports: int) -> None:
        self.counts: dict[str, int] = {}
        self.channels: dict[str, Channel] = {}
        self.alerts: dict[str, Alert] = {}
        self.items: set[str] = set()
        for n in range(reports):
            batch = Batch(n)
            for found in batch.findings:
                self.counts[found.id] = self.counts.get(found.id, 0) + found.count
            for row in batch.channels:
                if row.id in self.channels:
                    self.channels[row.id].merge(row)
                else:
                    self.channels[row.id] = copy.deepcopy(row)
            self.alerts.update({a.id: a for a in batch.alerts})
            self.items.update(i.id for i in batch.items)


class LineSink:
    """Sends the ids of a batch over TCP and waits for the receiver's word."""

    name = "siem"
    wants = frozenset({"alert", "finding", "channel"})

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, items: Sequence[Item]) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as peer, peer.makefile("rw") as lines:
                lines.write(json.dumps([one.id for one in items]) + "\n")
                lines.flush()
                if lines.readline() != "ok\n":
                    raise SinkError("siem: closed before it answered")
        except OSError as error:
            raise SinkError(f"siem: {type(error).__name__}") from error

    def check(self) -> None: ...

    def close(self) -> None: ...


def watch(path: str, port: int) -> None:
    """Record and deliver until killed; say on stdout what is committed."""
    with State(path) as state:
        state.begin(time.time_ns())
        os.write(1, b"begun\n")
        sending = Delivery(path, [LineSink(port)])
        sending.start()
        n = state.counters().get("reports", 0)
        while True:
            batch = Batch(n)
            with state.transaction() as put:
                put.findings(batch.findings)
                put.channels(batch.channels)
                put.alerts(batch.alerts)
                put.enqueue("siem", batch.items)
                put.count("reports")
                put.heartbeat(time.time_ns())
            n += 1
            os.write(1, f"{n}\n".encode())
            sending.wake()
            if n % 7 == 0:
                state.prune(time.time_ns())


class Receiver(socketserver.ThreadingTCPServer):
    """Takes every batch, and says so."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.got: list[str] = []
        super().__init__(("127.0.0.1", 0), Taker)


class Taker(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline()
        if line.endswith(b"\n"):
            self.server.got += json.loads(line)  # type: ignore[attr-defined]
            try:
                self.wfile.write(b"ok\n")
            except OSError:  # killed before it heard
                pass


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def killed_at_random(chance: random.Random, path: Path, port: int) -> tuple[int, int]:
    """One life: how many times it said it had begun, and the last report it said was committed (0: none)."""
    command = [sys.executable, "-m", "tests.sniffer.test_state_kill", str(path), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = b""
        if chance.random() < 0.75:  # else it may die while it opens the file
            while said.count(b"\n") < 2:
                piece = os.read(child.stdout.fileno(), 4096)
                assert piece, "it ended by itself"
                said += piece
        time.sleep(chance.uniform(0, 0.15))
        child.kill()
        said += child.stdout.read()
    lines = said.decode().splitlines()
    return lines.count("begun"), max((int(line) for line in lines if line.isdecimal()), default=0)


def test_nothing_is_lost_or_doubled(tmp_path, receiver):
    path, chance = tmp_path / "state.db", random.Random(20_26)
    begun, told = 0, 0
    for _ in range(KILLS):
        begins, last = killed_at_random(chance, path, receiver.server_address[1])
        begun += begins
        told = max(told, last)
        if path.exists() and told:
            with State.open_readonly(path) as reader:
                reports = reader.counters().get("reports", 0)
            assert told <= reports <= told + 1, "a commit it could no longer speak of, at most"
            told = reports
    assert told > KILLS
    whole = Expected(told)
    with State(path) as state:
        assert state.notices == []
        assert state._rows("PRAGMA integrity_check") == [("ok",)]
        assert {f.record["id"]: f.record["count"] for f in state.findings()} == whole.counts
        assert {row.id: row for row in state.channels()} == whole.channels
        assert {a.id: a for a in state.alerts()} == whole.alerts
        intervals = state.intervals()
        assert {i.reason for i in intervals} == {"killed"}
        assert begun - 1 <= len(intervals) <= KILLS - 1
        assert all(one.until <= other.start for one, other in pairwise(intervals))
        sending = Delivery(path, [LineSink(receiver.server_address[1])])
        sending.start()
        assert sending.stop(10)
        stands = sending.stats()["siem"]
        assert (stands.queued, stands.queued_bytes, stands.lost) == (0, 0, 0)
    assert set(receiver.got) == whole.items


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]))
