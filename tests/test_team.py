"""Several processes on one capture: the same as one, whatever the capture, and honest when one of them ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import sniffer
from bench.lab import until
from sniffer.capture import open_capture
from sniffer.outputs import jsonl
from sniffer.reading import Reading
from sniffer.scanning import reading_with
from sniffer.team import Team
from tests.streams import PCAPS
from tests.test_captures import CASES

KEY = b"k" * 32
# Of a pipe the reader takes small bites: many small batches, in every slot in turn.
BITE = 700


def said(session: Reading) -> list[str]:
    session.summary.seconds = 0.0
    return list(jsonl.lines(session, reveal=True))


def read(paths: list[str], jobs: int) -> Reading:
    with reading_with(KEY, strict=True, jobs=jobs) as session:
        session.scan(paths)
        return session


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Every recorded case as one set of captures."""
    made = tmp_path_factory.mktemp("all")
    for path in [*CASES, PCAPS / "demo.pcap"]:
        shutil.copy(path, made / f"{path.parent.name}-{path.name}")
    return made


@pytest.mark.parametrize("jobs", [2, 3, 5])
def test_many_processes_say_what_one_says(folder, jobs):
    assert said(read([str(folder)], jobs)) == said(read([str(folder)], 1))


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_lines_made_by_each_process_are_the_lines_of_all(folder, jobs):
    with reading_with(KEY, strict=True, jobs=jobs, digest=partial(jsonl.digest, reveal=True)) as session:
        session.scan([str(folder)])
    assert len(session.digests) == jobs
    assert said(session) == said(read([str(folder)], 1))


def bitten(path: Path, jobs: int) -> Reading:
    """A capture read through a pipe that gives it in small pieces."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        data = path.read_bytes()
        for at in range(0, len(data), BITE):
            os.write(writing, data[at : at + BITE])
        os._exit(0)
    os.close(writing)
    try:
        with reading_with(KEY, strict=True, jobs=jobs) as session:
            session.scan([f"/dev/fd/{reading}"])
            session.summary.sources.clear()
            return session
    finally:
        os.close(reading)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork beside the workers' threads, from Python 3.12 on
def test_small_batches_and_every_slot():
    path = PCAPS / "demo.pcap"
    lines = [line for line in said(bitten(path, 2)) if '"summary"' not in line]
    wanted = [line for line in said(read([str(path)], 1)) if '"summary"' not in line]
    assert [without_source(line) for line in lines] == [without_source(line) for line in wanted]


def without_source(line: str) -> dict:
    row = json.loads(line)
    row.pop("source", None)
    return row


def test_datagrams_put_together_from_fragments_reach_the_others(tmp_path):
    """A batch with reassembled datagrams has a buffer of its own: its tail crosses to the other processes."""
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    frames = []
    for host in range(40):
        body = snmp(b"secret-%d" % host, bytes(1800))
        packet = IP(src=f"10.0.0.{host + 1}", dst="10.0.1.1", id=host + 1) / UDP(sport=40000, dport=161) / Raw(body)
        frames += [bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / part) for part in fragment(packet, 800)]
    path = tmp_path / "fragments.pcap"
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for i, frame in enumerate(frames):
            out.write(struct.pack("<IIII", 1_700_000_000, i, len(frame), len(frame)) + frame)
    alone, shared = read([str(path)], 1), read([str(path)], 2)
    assert sum(found.rule.id == "credential/snmp" for found in alone.findings) == 40
    assert said(alone) == said(shared)


def snmp(name: bytes, value: bytes) -> bytes:
    """A v2c GetResponse whose only binding is long."""

    def tlv(tag: int, body: bytes) -> bytes:
        size = len(body)
        length = bytes((size,)) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return bytes((tag,)) + length + body

    binding = tlv(0x30, tlv(6, b"\x2b\x06\x01\x02\x01\x01\x01\x00") + tlv(4, value))
    pdu = tlv(0xA3, tlv(2, b"\x01") + tlv(2, b"\0") + tlv(2, b"\0") + tlv(0x30, binding))
    return tlv(0x30, tlv(2, b"\x01") + tlv(4, name) + pdu)


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(processes: list[int]) -> bool:
    return any(Path(f"/proc/{process}").exists() for process in processes)


def members(team: Team) -> list[int]:
    """The processes that follow flows, once they are there."""
    until(lambda: len(children(team._process)) >= team.size, 30, 0.01)
    return children(team._process)


def team(jobs: int) -> Team:
    made = reading_with(KEY, jobs=jobs)
    assert isinstance(made, Team)
    return made


@pytest.mark.parametrize("whom", [0, 1])
def test_a_worker_that_is_killed_is_told(whom):
    with team(2) as session:
        os.kill(members(session)[whom], signal.SIGKILL)
        session.scan([str(PCAPS / "demo.pcap")])
    assert session.summary.problems == ["a worker process was ended from outside: what it had read is lost"]


def test_the_process_that_loads_for_all_is_killed():
    """The members are there by themselves; it is only waited for."""
    with team(2) as session:
        members(session)
        os.kill(session._process, signal.SIGKILL)
        session.scan([str(PCAPS / "demo.pcap")])
    assert said(session)[:-1] == said(read([str(PCAPS / "demo.pcap")], 1))[:-1]


def test_nobody_is_left_to_follow():
    with team(2) as session:
        for process in members(session):
            os.kill(process, signal.SIGKILL)
        session.scan([str(PCAPS / "demo.pcap")])
    assert session.summary.problems == ["a worker process was ended from outside: what it had read is lost"]
    assert list(session.findings) == []


def test_a_fault_of_a_member_shows_no_value():
    """Its traceback is told by kind and place: an exception's text may hold bytes from the wire."""
    program = """
from sniffer.session import Session
from sniffer.team import Team


class Broken(Session):
    def follow(self, packets, paths, now):
        raise KeyError("Canary-Secret-4711")


with Team(2, lambda: Broken(b"k" * 32)) as reading:
    reading.scan([%r])
print(reading.summary.problems)
"""
    done = subprocess.run([sys.executable, "-c", program % str(PCAPS / "demo.pcap")], cwd=PCAPS.parent, capture_output=True, text=True, check=True)
    assert "a worker process was ended" in done.stdout
    assert "KeyError" in done.stderr
    assert "Canary" not in done.stderr + done.stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_look_for_cycles_at_the_end(tmp_path, jobs):
    """What a process has found is much to look through, and it is about to end."""
    program = """
import gc, os, sys
from sniffer.cli import command
from sniffer.session import Session

looks = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
conclude = Session.conclude


def watched(session):
    gc.callbacks.append(lambda phase, info: os.write(looks, phase.encode()))
    return conclude(session)


Session.conclude = watched
sys.argv[1:] = ["scan", "--fail-on", "never", "--jobs", sys.argv[2], *sys.argv[3:]]
command()
"""
    captures = [str(path) for path in CASES[:40]]
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "looks"), str(jobs), *captures], cwd=PCAPS.parent, stdout=subprocess.DEVNULL, check=True)
    assert (tmp_path / "looks").read_text() == ""


def test_nothing_to_read_leaves_no_process(tmp_path):
    with team(2) as session:
        processes = [session._process, *members(session)]
        with pytest.raises(sniffer.errors.CaptureError):
            session.scan([str(tmp_path / "none.pcap")])
    assert not alive(processes)


def test_a_member_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("sniffer.team.PATIENCE", 0.1)
    session = team(2)
    processes = members(session)
    os.kill(processes[0], signal.SIGSTOP)
    session.close()
    assert until(lambda: not alive(processes), 10, 0.01)


def test_the_others_end_with_the_reader():
    """Killed, it can tell nobody: the pipes do."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        session = team(2)
        os.write(writing, " ".join(map(str, [session._process, *members(session)])).encode())
        signal.pause()
    processes = list(map(int, os.read(reading, 100).split()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert until(lambda: not alive(processes), 10, 0.01)


def test_pairs_stay_with_their_process():
    """New pairs go where less was done; known ones stay, in both directions and whatever the port."""
    session = team(3)
    try:
        from sniffer.decode import Decoder

        decoder = Decoder()
        owners: dict[tuple, set[int]] = {}
        for frames in open_capture(str(PCAPS / "demo.pcap")).batches():
            packets = decoder.decode(frames)
            for row, owner in enumerate(session._owners(packets).tolist()):
                ends = frozenset((int(packets.src_low[row]), int(packets.dst_low[row])))
                owners.setdefault((ends, int(packets.src_high[row])), set()).add(owner)
        assert all(len(found) == 1 for found in owners.values())
        assert len({next(iter(found)) for found in owners.values()}) > 1
    finally:
        session.close()


def test_the_library_call_takes_jobs():
    alone, shared = (sniffer.scan(PCAPS / "demo.pcap", key=KEY, jobs=jobs) for jobs in (1, 2))
    assert [(f.id, f.secret) for f in alone.findings] == [(f.id, f.secret) for f in shared.findings]
    assert len(alone.channels) == len(shared.channels)


def test_findings_of_all_are_bounded(monkeypatch):
    """Each member keeps as many as one process may; together they are cut to that, and what is left out is counted."""
    whole = read([str(PCAPS / "demo.pcap")], 1)
    monkeypatch.setattr("sniffer.collect.MAX_FINDINGS", 1)
    shared = read([str(PCAPS / "demo.pcap")], 2)
    assert len(list(shared.findings)) == 1
    assert shared.summary.omitted > 0
    assert len(list(whole.findings)) > 1
