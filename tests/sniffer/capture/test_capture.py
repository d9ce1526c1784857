"""Capture files: every format and variant, cut anywhere, corrupt anywhere."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import threading
from pathlib import Path

import dpkt
import lz4.frame
import pytest
import zstandard

from sniffer.capture import capture_set, open_capture
from sniffer.errors import CaptureError
from tests.sniffer.capture.files import SAMPLE, block, enhanced, interface, old, option, pcap, read, section, simple

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("variant", [{}, {"nano": True}, {"kuznetzov": True}])
def test_pcap_variants(tmp_path, order, variant):
    path = tmp_path / "a"
    path.write_bytes(pcap(SAMPLE, order=order, **variant))
    assert read(path) == (SAMPLE, None)


def test_pcap_agrees_with_dpkt(tmp_path):
    rng = random.Random(1)
    packets = [(1_600_000_000_000_000_000 + i * 1_000_000, rng.randbytes(rng.randint(0, 2000))) for i in range(3000)]
    path = tmp_path / "a"
    path.write_bytes(pcap(packets))
    with path.open("rb") as stream:
        expected = [bytes(data) for _, data in dpkt.pcap.Reader(stream)]
    assert [data for _, data in read(path)[0]] == expected


def test_pcapng_agrees_with_dpkt(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as stream:
        writer = dpkt.pcapng.Writer(stream)
        for time, data in SAMPLE:
            writer.writepkt(data, time / 1e9)
    assert [data for _, data in read(path)[0]] == [data for _, data in SAMPLE]


def test_snaplen_and_frame_check_bits(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(pcap([(0, b"x" * 100)], snaplen=40, link=1 | 0xF4000000))
    frames = next(iter(open_capture(path).batches()))
    assert (frames.size[0], frames.wire[0], frames.link[0]) == (40, 100, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_interfaces_have_their_own_link_types_and_clocks(tmp_path, order):
    seconds = 1_700_000_000
    data = section(order) + interface(1, order=order) + interface(113, order=order, options=option(9, b"\x09", order)) + block(0x0BAD, b"unknown", order)
    data += interface(101, order=order, options=option(9, b"\x8a", order) + option(14, struct.pack(f"{order}q", 1000), order))
    data += enhanced(b"a" * 30, seconds * 10**6, order=order) + enhanced(b"b" * 31, seconds * 10**9 + 5, number=1, order=order)
    data += enhanced(b"c" * 33, seconds * 1024 + 512, number=2, order=order) + old(b"d" * 20, seconds * 10**6, order=order) + simple(b"e" * 17, order=order)
    path = tmp_path / "a"
    path.write_bytes(data)
    reader = open_capture(path)
    frames = list(reader.batches())
    links = [v for f in frames for v in f.link.tolist()]
    times = [v for f in frames for v in f.time.tolist()]
    numbers = [v for f in frames for v in f.number.tolist()]
    assert links == [1, 113, 101, 1, 1]
    assert times[:4] == [seconds * 10**9, seconds * 10**9 + 5, (seconds + 1000) * 10**9 + 500_000_000, seconds * 10**9]
    assert times[4] == times[3]
    assert numbers == [1, 2, 3, 4, 5]
    assert reader.problem is None
    assert [len(d) for _, d in read(path)[0]] == [30, 31, 33, 20, 17]


def test_pcapng_sections_start_anew_in_their_own_byte_order(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(section("<") + interface(1) + enhanced(b"one", 10**6) + section(">") + interface(101, order=">") + enhanced(b"two", 2 * 10**6, order=">"))
    assert read(path) == ([(10**9, b"one"), (2 * 10**9, b"two")], None)


def test_packets_of_undeclared_interfaces_are_left_out(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(section() + interface() + enhanced(b"one", 0) + enhanced(b"two", 0, number=7) + enhanced(b"three", 0))
    assert [d for _, d in read(path)[0]] == [b"one", b"three"]


def test_a_captured_length_beyond_its_block_gives_what_the_block_holds(tmp_path):
    path = tmp_path / "a"
    wrong = struct.pack("<IIIII", 0, 0, 0, 1514, 1514) + b"held"
    path.write_bytes(section() + interface() + block(6, wrong) + enhanced(b"next", 0))
    assert [d for _, d in read(path)[0]] == [b"held", b"next"]


def test_secrets_names_and_statistics_are_passed_over(tmp_path):
    """Decryption secrets, name resolution, interface statistics, custom blocks that may be copied and that may not."""
    path = tmp_path / "a"
    others = b"".join(block(kind, bytes(20)) for kind in (0x0A, 4, 5, 0xBAD, 0x40000BAD, 0x80000001))
    path.write_bytes(section() + others + interface() + others + enhanced(b"one", 0) + others + section(">") + interface(order=">") + enhanced(b"two", 0, order=">"))
    assert read(path) == ([(0, b"one"), (0, b"two")], None)


def test_simple_packets_keep_to_the_snap_length(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(section() + interface(snaplen=5) + simple(b"abcde\0\0\0", wire=99))
    assert [d for _, d in read(path)[0]] == [b"abcde"]


PACKED = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "zstd": zstandard.ZstdCompressor().compress, "lz4": lz4.frame.compress}


@pytest.mark.parametrize("name", PACKED)
def test_compression_is_told_by_content(tmp_path, name):
    path = tmp_path / "not-the-usual-ending"
    data = pcap(SAMPLE)
    path.write_bytes(PACKED[name](data[:200]) + PACKED[name](data[200:]) if name != "lz4" else PACKED[name](data))
    assert read(path) == (SAMPLE, None)


@pytest.mark.parametrize("name", PACKED)
def test_a_cut_compressed_file_gives_what_it_holds(tmp_path, name):
    rng = random.Random(2)
    packets = [(i * 1000, rng.randbytes(900)) for i in range(3000)]
    path = tmp_path / "a"
    packed = PACKED[name](pcap(packets))
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found, problem = read(path)
    assert found == packets[: len(found)]
    assert problem
    assert len(found) > 500 or name == "bzip2"


class Failing(io.BytesIO):
    """A file on a disk that gives no more than its beginning."""

    def readinto(self, buffer, /) -> int:
        if self.tell() >= 600:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(memoryview(buffer)[: 600 - self.tell()])


@pytest.mark.parametrize("make", [lambda: pcap(SAMPLE), lambda: section() + interface() + b"".join(enhanced(d, t // 1000) for t, d in SAMPLE)])
def test_a_disk_that_fails_in_the_middle_loses_nothing_read_before(tmp_path, monkeypatch, make):
    data = make()
    monkeypatch.setattr("sniffer.capture.blocks._open", lambda path: Failing(data))
    found, problem = read(tmp_path / "a")
    assert 0 < len(found) < len(SAMPLE)
    assert found == SAMPLE[: len(found)]
    assert problem == f"{tmp_path}/a: cannot be read any further (Input/output error) after frame {len(found)}"


@pytest.mark.parametrize("make", [lambda: pcap(SAMPLE), lambda: section() + interface() + b"".join(enhanced(d, t // 1000) for t, d in SAMPLE)])
def test_cut_anywhere_loses_no_whole_frame(tmp_path, make):
    data = make()
    whole = [d for _, d in SAMPLE]
    path = tmp_path / "a"
    counts = []
    for size in range(4, len(data)):
        path.write_bytes(data[:size])
        try:
            found, problem = read(path)
        except CaptureError:
            continue
        assert [d for _, d in found] == whole[: len(found)]
        counts.append(len(found))
        assert problem is None or "cut off" in problem
    assert counts == sorted(counts)
    assert counts[-1] == len(whole) - 1


@pytest.mark.parametrize("make", [lambda: pcap(SAMPLE), lambda: section() + interface() + b"".join(enhanced(d, t // 1000) for t, d in SAMPLE)])
def test_corrupt_anywhere_never_raises(tmp_path, make):
    data, rng = make(), random.Random(3)
    path = tmp_path / "a"
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 5)):
            broken[rng.randrange(4, len(broken))] = rng.choice((0, 255, rng.getrandbits(8)))
        path.write_bytes(bytes(broken))
        try:
            read(path)
        except CaptureError as error:
            assert str(path) in str(error)


def test_a_corrupt_length_is_named_with_its_place(tmp_path):
    data = pcap(SAMPLE[:2]) + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 0x7FFFFFFF) + b"rest"
    path = tmp_path / "a"
    path.write_bytes(data)
    found, problem = read(path)
    assert len(found) == 2
    assert "corrupt at byte" in problem


def test_what_is_no_capture_is_told_in_one_line(tmp_path):
    for name, content, says in (("empty", b"", "empty"), ("text", b"hello world, hello", "not a capture"), ("zip", b"PK\3\4" + bytes(40), "ZIP"), ("gz", gzip.compress(b"plain text"), "not a capture")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CaptureError, match=says) as caught:
            open_capture(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(CaptureError, match="no such file"):
        open_capture(tmp_path / "missing")
    with pytest.raises(CaptureError, match="directory"):
        open_capture(tmp_path)


def test_sets_are_ordered_by_time_and_directories_searched(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, time in (("b.pcap", 1), ("a.pcap", 3), ("sub/c.pcap", 2)):
        (tmp_path / name).write_bytes(pcap([(time * 10**9, b"x" * 40)]))
    (tmp_path / "notes.txt").write_text("not a capture")
    assert [Path(p).name for p in capture_set([str(tmp_path)])] == ["b.pcap", "c.pcap", "a.pcap"]
    assert [Path(p).name for p in capture_set([str(tmp_path / "a.pcap"), str(tmp_path / "b.pcap")])] == ["b.pcap", "a.pcap"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptureError, match="no capture"):
        capture_set([str(tmp_path / "empty")])


def test_fifo(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(pcap(SAMPLE)))
    writer.start()
    assert read(path) == (SAMPLE, None)
    writer.join()


def test_a_pipe_gives_what_it_has_without_waiting_for_a_block(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    ready, seen = threading.Event(), threading.Event()

    def write() -> None:
        data = pcap(SAMPLE)
        with path.open("wb", buffering=0) as stream:
            stream.write(data[:300])
            ready.set()
            assert seen.wait(10)
            stream.write(data[300:])

    writer = threading.Thread(target=write)
    writer.start()
    count = 0
    for frames in open_capture(path).batches():
        count += len(frames)
        assert ready.wait(10)
        seen.set()
    writer.join()
    assert count == len(SAMPLE)


MEMORY = """
from pathlib import Path
from sniffer.capture import open_capture
count = sum(len(f) for f in open_capture("-").batches())
print(count, next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_capture():
    """400 MB through a pipe; the process, interpreter and NumPy included, stays under 150 MB."""
    record = struct.pack("<IIII", 1, 1, 60_000, 60_000) + bytes(60_000)
    reader = subprocess.Popen([sys.executable, "-c", MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    reader.stdin.write(pcap([]))
    for _ in range(700):
        reader.stdin.write(record * 10)
    out, _ = reader.communicate()
    count, kilobytes = map(int, out.split())
    assert count == 7000
    assert kilobytes < 150_000
