"""Captures that come as a stream: over TCP, through a FIFO, on standard input; whole, in drops, cut, and never."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sniffer.capture.live import is_stream, open_named
from sniffer.capture.overip import Stream, connect, open_stream
from sniffer.errors import CaptureError, UsageError
from tests.sniffer.capture.files import SAMPLE, enhanced, interface, pcap, section
from tests.sniffer.capture.lab import rows, until

ROOT = Path(__file__).parents[3]
PCAP = pcap(SAMPLE, nano=True)
PCAPNG = section() + interface(options=b"\x09\x00\x01\x00\x09\x00\x00\x00") + b"".join(enhanced(data, moment) for moment, data in SAMPLE)


@contextmanager
def server() -> Iterator[tuple[str, socket.socket]]:
    """An address, and a listener of which one connection is to be taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", listener


@contextmanager
def connected() -> Iterator[tuple[Stream, socket.socket]]:
    with server() as (url, listener):
        source = connect(url)
        conn, _ = listener.accept()
        try:
            with conn:
                yield source, conn
        finally:
            source.close()


def collect(source: Stream, count: int, seconds: float = 5) -> list[tuple[int, bytes]]:
    out: list[tuple[int, bytes]] = []
    end = time.monotonic() + seconds
    while len(out) < count and time.monotonic() < end:
        batch = source.read(0.1)
        if batch is not None:
            out.extend((moment, data) for _, moment, data, _ in rows(batch))
    return out


@pytest.mark.parametrize("content", [PCAP, PCAPNG, pcap(SAMPLE, order=">", nano=True)], ids=["pcap", "pcapng", "big-endian"])
def test_over_tcp(content):
    with connected() as (source, conn):
        conn.sendall(content)
        assert collect(source, len(SAMPLE)) == SAMPLE
        assert source.problem is None
        counters = source.counters()
        assert (counters.packets, counters.bytes, counters.dropped) == (len(SAMPLE), sum(len(d) for _, d in SAMPLE), 0)
        conn.close()
        until(lambda: source.read(0.02) is None and source.problem)
        assert source.problem == f"{source.name}: the server closed the connection"


@pytest.mark.parametrize("content", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
def test_in_drops_the_last_bytes_too(content):
    cuts = [*range(120), *range(120, len(content), 7), len(content)]
    with connected() as (source, conn):
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer = threading.Thread(target=lambda: [conn.send(content[a:b]) for a, b in pairwise(cuts)])
        writer.start()
        assert collect(source, len(SAMPLE), 20) == SAMPLE
        writer.join()


@pytest.mark.parametrize("kept", [0, 2, 10, 30, 200])
def test_half_a_record_keeps_nobody_waiting(kept):
    with connected() as (source, conn):
        conn.sendall(PCAP[:kept])
        time.sleep(0.05)
        start = time.monotonic()
        source.read(0.1)
        source.read(0.1)
        assert time.monotonic() - start < 1
        conn.sendall(PCAP[kept:])
        collect(source, len(SAMPLE), 0.5)
        assert source.counters().packets == len(SAMPLE)


def test_a_record_cut_by_the_end():
    with connected() as (source, conn):
        conn.sendall(PCAP[:-5])
        assert collect(source, len(SAMPLE) - 1) == SAMPLE[:-1]
        conn.close()
        until(lambda: source.read(0.02) is None and source.problem)
        assert source.problem is not None
        assert "cut off" in source.problem


@pytest.mark.parametrize("content", [b"HTTP/1.1 400 Bad Request\r\n\r\n", PCAP[:3]])
def test_what_is_no_capture(content):
    with connected() as (source, conn):
        conn.sendall(content)
        conn.close()
        until(lambda: source.read(0.02) is None and source.problem)
        assert source.problem == f"{source.name}: not a capture (neither pcap nor pcapng)"


def test_its_descriptor_tells_when_there_is_something():
    import select

    with connected() as (source, conn):
        assert select.select([source.fileno()], [], [], 0.05)[0] == []
        conn.sendall(PCAP)
        assert select.select([source.fileno()], [], [], 5)[0]
        assert source.read(0) is not None


def test_a_batch_stands_until_the_next_is_asked_for():
    with connected() as (source, conn):
        half = len(pcap(SAMPLE[:6], nano=True))
        conn.sendall(PCAP[:half])
        batch = None
        until(lambda: source.fileno())
        while batch is None:
            batch = source.read(1)
        before = rows(batch)
        conn.sendall(PCAP[half:])
        time.sleep(0.1)
        assert rows(batch) == before


def test_closed_while_it_waits():
    for content in (b"", PCAP[:10], PCAP[:100], PCAP):
        with connected() as (source, conn):
            conn.sendall(content)
            source.read(0.05)
            start = time.monotonic()
            source.close()
            assert time.monotonic() - start < 1


def test_a_fifo_whose_writer_comes_late(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert is_stream(str(path))
    assert not is_stream(str(tmp_path))
    source = open_named(str(path))
    try:
        assert source.read(0.1) is None
        assert source.problem is None
        with path.open("wb") as writer:
            writer.write(PCAP)
            writer.flush()
            assert collect(source, len(SAMPLE)) == SAMPLE
        until(lambda: source.read(0.02) is None and source.problem)
        assert source.problem == f"{path}: the writer has ended"
    finally:
        source.close()


def test_standard_input():
    program = (
        "from sniffer.capture.live import open_named\n"
        "s = open_named('-'); n = 0\n"
        "while not s.problem:\n"
        "    b = s.read(0.2); n += 0 if b is None else len(b)\n"
        "print(n, s.name, s.problem); s.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], input=PCAP, capture_output=True, cwd=ROOT, check=True, timeout=20)
    assert done.stdout.decode() == f"{len(SAMPLE)} standard input standard input: the writer has ended\n"


def test_many_packets_make_large_batches():
    count = 60_000
    content = pcap([(10**18 + i * 1000, b"\x02" * 200) for i in range(count)], nano=True)
    with connected() as (source, conn):
        writer = threading.Thread(target=conn.sendall, args=(content,))
        writer.start()
        sizes = []
        while sum(sizes) < count and not source.problem:
            batch = source.read(1)
            if batch is not None:
                sizes.append(len(batch))
        writer.join()
        assert sum(sizes) == count
        assert len(sizes) < count / 100


@pytest.mark.parametrize("url", ["tcp://127.0.0.1", "tcp://:99", "tcp://127.0.0.1:99/x", "udp://127.0.0.1:99", "tcp://127.0.0.1:999999", "tcp://[::1"])
def test_urls_that_are_none(url):
    with pytest.raises(UsageError, match="tcp://HOST:PORT"):
        connect(url)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_reader_keeps_nobody_waiting(monkeypatch):
    def broken(self):
        raise ValueError("ours")
        yield

    monkeypatch.setattr("sniffer.capture.pcap.PcapReader.batches", broken)
    out, into = os.pipe()
    os.write(into, b"\xd4\xc3\xb2\xa1")
    stream = Stream("pipe", out, "the writer has ended")
    try:
        assert stream.read(5.0) is None
        assert stream.problem == "pipe: could not be read any further"
    finally:
        stream.close()
        os.close(into)


def test_a_name_that_no_host_can_have():
    with pytest.raises(CaptureError, match="cannot connect"):
        connect(f"tcp://{'a' * 64}.example:99")


def test_nobody_there():
    with server() as (url, listener):
        listener.close()
        with pytest.raises(CaptureError, match="cannot connect"):
            connect(url)


def test_over_ipv6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        source = connect(f"tcp://[::1]:{listener.getsockname()[1]}")
        conn, _ = listener.accept()
        with conn:
            conn.sendall(PCAP)
            assert collect(source, len(SAMPLE)) == SAMPLE
        source.close()


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(CaptureError, match="No such file"):
        open_stream(str(tmp_path / "none"))
