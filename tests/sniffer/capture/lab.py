"""Network namespaces of the test's own, with what a test sends and sees in them."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sniffer.capture.frames import Frames
from sniffer.capture.ring import Ring, open_socket
from sniffer.capture.source import LiveSource, RingSettings
from sniffer.decode import Decoder

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def require(*programs: str) -> None:
    """Skip loudly, or fail where everything must run."""
    missing = [p for p in programs if shutil.which(p) is None]
    reason = "needs root" if os.geteuid() else f"needs {', '.join(missing)}" if missing else ""
    if reason and os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@contextmanager
def namespace() -> Iterator[None]:
    """This thread, and what it starts, in a network namespace that ends with the block."""
    require("ip")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if _LIBC.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        run("ip link set lo up")
        yield
    finally:
        _LIBC.setns(home, _CLONE_NEWNET)
        os.close(home)


def _net(process: int | str) -> Path:
    return Path(f"/proc/{process}/ns/net").readlink()


@contextmanager
def neighbour() -> Iterator[int]:
    """Another namespace; the number of a process in it."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        while _net(process.pid) in (_net("self"), _net("thread-self")):
            time.sleep(0.005)
        within(process.pid, "ip link set lo up")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def run(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def within(pid: int, command: str) -> str:
    return run(f"nsenter --target {pid} --net {command}")


def veth(one: str = "m0", other: str = "m1") -> None:
    """A cable: what is sent into one comes out of the other."""
    run(f"ip link add dev {one} type veth peer name {other}")
    quiet(one, other)


def quiet(*names: str) -> None:
    """Up, and saying nothing by itself (IPv6 would look for neighbours)."""
    for name in names:
        _raise(name)
    for name in names:
        until(lambda name=name: "LOWER_UP" in run(f"ip -o link show dev {name}"))  # type: ignore[misc]


def _raise(name: str) -> None:
    run(f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1")
    run(f"ip link set dev {name} up")


def until(condition: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def sender(name: str = "m0") -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((name, 0))
    return sock


@contextmanager
def ring(name: str = "m1", **settings: object) -> Iterator[Ring]:
    wanted = RingSettings(name, **{"ring_bytes": 4 << 20, **settings})  # type: ignore[arg-type]
    source = Ring(open_socket(wanted), wanted)
    try:
        yield source
    finally:
        source.close()


def frames(source: LiveSource, count: int, seconds: float = 5) -> list[tuple[int, int, bytes, int]]:
    """(number, time, bytes, vlan) until there are ``count``."""
    out: list[tuple[int, int, bytes, int]] = []
    end = time.monotonic() + seconds
    while len(out) < count and time.monotonic() < end:
        batch = source.read(0.1)
        if batch is not None:
            out.extend(rows(batch))
    return out


def drain(source: Ring) -> list[tuple[int, int, bytes, int]]:
    """All that was sent before: longer than the kernel keeps what is not full, and until nothing is left in the ring."""
    out: list[tuple[int, int, bytes, int]] = []
    while True:
        batch = source.read(0.08)
        if batch is not None:
            out.extend(rows(batch))
            continue
        counters = source.counters()
        if counters.packets + counters.dropped == source.offered:
            return out


def rows(batch: Frames) -> list[tuple[int, int, bytes, int]]:
    assert len(batch.buffer) >= int((batch.offset + batch.size).max()) + 256
    tags = [-1] * len(batch) if batch.vlan is None else batch.vlan.tolist()
    columns = (batch.number.tolist(), batch.time.tolist(), batch.offset.tolist(), batch.size.tolist(), tags)
    return [(n, t, bytes(batch.buffer[at : at + size]), tag) for n, t, at, size, tag in zip(*columns, strict=True)]


def decoded(source: LiveSource, count: int, seconds: float = 5) -> list[tuple[tuple[str, ...], int, int, bytes]]:
    """(path, source port, destination port, payload) until there are ``count``."""
    decoder = Decoder()
    out: list[tuple[tuple[str, ...], int, int, bytes]] = []
    end = time.monotonic() + seconds
    while len(out) < count and time.monotonic() < end:
        batch = source.read(0.1)
        if batch is None:
            continue
        packets = decoder.decode(batch)
        for path, sport, dport, at, size in zip(packets.path.tolist(), packets.sport.tolist(), packets.dport.tolist(), packets.at.tolist(), packets.size.tolist(), strict=True):
            out.append((decoder.paths[path], sport, dport, bytes(packets.buffer[at : at + size])))
    return out


MACS = bytes.fromhex("020000000002020000000001")


def ethernet(kind: int, payload: bytes) -> bytes:
    return MACS + struct.pack("!H", kind) + payload


def tag(vid: int, kind: int, payload: bytes, *, priority: int = 0) -> bytes:
    """What follows the EtherType of a tag."""
    return struct.pack("!HH", priority << 13 | vid, kind) + payload


def ipv4(src: str, dst: str, protocol: int, payload: bytes, *, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return head + payload


def ipv6(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, socket.inet_pton(10, src), socket.inet_pton(10, dst)) + payload


def udp(sport: int, dport: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def datagram(payload: bytes = b"x" * 40, *, src: str = "10.0.0.1", dst: str = "10.0.0.2", sport: int = 1000, dport: int = 53) -> bytes:
    return ipv4(src, dst, 17, udp(sport, dport, payload))
