"""Sharing an interface: each pair of hosts goes to one worker, whatever its packets are wrapped in."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sniffer.capture import fanout
from sniffer.capture.bpf import MAX_INSTRUCTIONS
from sniffer.capture.live import Ring, open_group
from sniffer.capture.ring import open_socket
from sniffer.capture.source import RingSettings
from sniffer.decode import Decoder
from tests.sniffer.capture import lab
from tests.sniffer.capture.lab import ethernet, ipv4, ipv6, namespace, sender, tag, udp, veth

PAIRS = 60
Wrap = Callable[[int, bytes], bytes]  # EtherType and packet -> frame


def vxlan(vni: int, frame: bytes) -> bytes:
    return udp(40000 + hash(frame) % 999, 4789, struct.pack("!II", 0x08 << 24, vni << 8) + frame)


def gre(kind: int, payload: bytes, flags: int = 0) -> bytes:
    optional = b"".join(bytes(4) for bit in (0x8000, 0x2000, 0x1000) if flags & bit)
    return struct.pack("!HH", flags, kind) + optional + payload


def outer(protocol: int, payload: bytes) -> bytes:
    return ethernet(0x0800, ipv4("192.0.2.1", "192.0.2.2", protocol, payload))


def geneve(kind: int, payload: bytes, options: int = 0) -> bytes:
    return udp(5555, 6081, struct.pack("!BBHI", options, 0, kind, 7 << 8) + bytes(4 * options) + payload)


WRAPS: dict[str, Wrap] = {
    "plain": ethernet,
    "802.1Q": lambda kind, p: ethernet(0x8100, tag(10, kind, p)),
    "priority 2 and 3": lambda kind, p: ethernet(0x8100, tag(10, kind, p, priority=2 + p[-1] % 2)),
    "QinQ": lambda kind, p: ethernet(0x88A8, tag(20, 0x8100, tag(10, kind, p, priority=2))),
    "VXLAN": lambda kind, p: outer(17, vxlan(1, ethernet(kind, p))),
    "tagged VXLAN": lambda kind, p: ethernet(0x8100, tag(5, 0x0800, ipv4("192.0.2.1", "192.0.2.2", 17, vxlan(1, ethernet(kind, p))))),
    "tags in VXLAN": lambda kind, p: outer(17, vxlan(1, ethernet(0x8100, tag(6, kind, p)))),
    "VXLAN over IPv6": lambda kind, p: ethernet(0x86DD, ipv6("2001:db8::1", "2001:db8::2", 17, vxlan(1, ethernet(kind, p)))),
    "VXLAN in GENEVE": lambda kind, p: outer(17, geneve(0x0800, ipv4("198.51.100.1", "198.51.100.2", 17, vxlan(1, ethernet(kind, p))), 3)),
    "GENEVE": lambda kind, p: outer(17, geneve(0x6558, ethernet(kind, p))),
    "GRE": lambda kind, p: outer(47, gre(kind, p)),
    "GRE with all fields": lambda kind, p: outer(47, gre(kind, p, 0xB000)),
    "GRE with a key, Ethernet": lambda kind, p: outer(47, gre(0x6558, ethernet(kind, p), 0x2000)),
    "ERSPAN I": lambda kind, p: outer(47, gre(0x88BE, ethernet(kind, p))),
    "ERSPAN II": lambda kind, p: outer(47, gre(0x88BE, bytes(8) + ethernet(kind, p), 0x1000)),
    "ERSPAN III": lambda kind, p: outer(47, gre(0x22EB, bytes(12) + ethernet(kind, p), 0x1000)),
    "ERSPAN III with platform data": lambda kind, p: outer(47, gre(0x22EB, bytes(11) + b"\1" + bytes(8) + ethernet(kind, p), 0x1000)),
    "MPLS": lambda kind, p: ethernet(0x8847, struct.pack("!II", 16 << 12 | 64, 17 << 12 | 0x100 | 64) + p),
    "pseudowire": lambda kind, p: ethernet(0x8847, struct.pack("!II", 16 << 12 | 0x100 | 64, 0) + ethernet(kind, p)),
    "PPPoE": lambda kind, p: ethernet(0x8864, struct.pack("!BBHHH", 0x11, 0, 9, len(p) + 2, {0x0800: 0x21, 0x86DD: 0x57}[kind]) + p),
    "IP in IP": lambda kind, p: outer({0x0800: 4, 0x86DD: 41}[kind], p),
}


def packets(version: int, pair: int) -> list[bytes]:
    """What one pair of hosts says: both ways, several ports and protocols, a datagram in fragments."""
    rng = random.Random(pair * 10 + version)
    if version == 4:
        one, other = (f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}" for _ in "ab")
        return [
            ipv4(one, other, 17, udp(1000, 21, b"x" * 30)),
            ipv4(other, one, 17, udp(21, 1000, b"x" * 30)),
            ipv4(other, one, 6, struct.pack("!HHIIBBHHH", 20, 50000, 1, 1, 0x50, 0x18, 9, 0, 0) + b"data"),
            ipv4(one, other, 17, udp(1000, 4444, b"y" * 24), fragment=0x2000),
            ipv4(one, other, 17, b"\x12\xb5" * 16, fragment=0x0004),
        ]
    one, other = (f"2001:db8::{rng.randrange(1 << 16):x}:{rng.randrange(1 << 16):x}" for _ in "ab")
    return [
        ipv6(one, other, 17, udp(1000, 21, b"x" * 30)),
        ipv6(other, one, 17, udp(21, 1000, b"x" * 30)),
        ipv6(one, other, 44, struct.pack("!BBHI", 17, 0, 1, 77) + udp(1000, 4789, b"y" * 24)),
        ipv6(one, other, 44, struct.pack("!BBHI", 17, 0, 32, 77) + b"\x08" * 40),
    ]


@contextmanager
def group(name: str, size: int = 2) -> Iterator[list[Ring]]:
    settings = RingSettings(name, ring_bytes=4 << 20, fanout_size=size)
    rings = [Ring(sock, settings) for sock in open_group(settings)]
    try:
        yield rings
    finally:
        for ring in rings:
            ring.close()


def taken(ring: Ring) -> list[bytes]:
    """The frames in a ring, without what the kernel took off."""
    return [data for _, _, data, _ in lab.drain(ring)]


@pytest.mark.parametrize("watched", ["m1", "m0", "any"])
def test_a_pair_goes_to_one_worker_whatever_it_is_wrapped_in(watched):
    """All kinds in one run: as they arrive, as they leave, and on all interfaces at once."""
    with namespace():
        veth()
        with group(watched) as rings, sender() as tx:
            expected = []
            for name, wrap in WRAPS.items():
                for pair in range(PAIRS):
                    version = 4 if pair % 2 else 6
                    for packet in packets(version, pair):
                        frame = wrap(0x0800 if version == 4 else 0x86DD, packet)
                        tx.send(frame)
                        expected.append((name, pair, packet))
            where: dict[tuple[str, int], set[int]] = {}
            seen = 0
            for index, ring in enumerate(rings):
                frames = taken(ring)
                seen += len(frames)
                tails = {}
                for frame in frames:
                    tails.setdefault(frame[-48:], []).append(frame)
                for name, pair, packet in expected:
                    if any(_is(frame, name, packet) for frame in tails.get(packet[-48:], [])):
                        where.setdefault((name, pair), set()).add(index)
            copies = 2 if watched == "any" else 1  # sent and received
            assert seen == len(expected) * copies, [(ring.counters(), ring.offered) for ring in rings]
            split = [key for key, workers in where.items() if len(workers) > 1]
            assert not split
            assert len(where) == len(WRAPS) * PAIRS
            for name in WRAPS:
                first = sum(where[name, pair] == {0} for pair in range(PAIRS))
                assert PAIRS // 4 < first < PAIRS * 3 // 4, name


def _is(frame: bytes, name: str, packet: bytes) -> bool:
    """Whether a frame, as it was captured, is this packet so wrapped (the outermost tag is gone from what arrives)."""
    whole = WRAPS[name](0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet)
    return frame in (whole, whole[:12] + whole[16:])


def test_workers_share_alike():
    for workers in (2, 3, 4):
        with namespace():
            veth()
            with group("m1", workers) as rings, sender() as tx:
                rng = random.Random(workers)
                for i in range(1200):
                    tx.send(ethernet(0x0800, ipv4(f"10.0.{i >> 8}.{i & 255}", f"10.1.0.{rng.randrange(1, 20)}", 17, udp(1, 2, b"x" * 20))))
                shares = [len(taken(ring)) for ring in rings]
                assert sum(shares) == 1200
                assert min(shares) > 1200 / workers * 0.75, shares


def test_nothing_is_seen_twice_and_all_is_counted():
    with namespace():
        veth()
        with group("m1", 3) as rings, sender() as tx:
            for pair in range(PAIRS):
                for packet in packets(4, pair):
                    tx.send(ethernet(0x0800, packet))
            tx.send(ethernet(0x0806, bytes(46)))
            decoder = Decoder()
            got = 0
            for ring in rings:
                while (batch := ring.read(0.12)) is not None:
                    got += len(batch)
                    decoder.decode(batch)
            assert got == PAIRS * 5 + 1 == sum(ring.counters().packets for ring in rings) == sum(ring.offered for ring in rings)
            assert decoder.undecoded == {"arp": 1}


@pytest.mark.parametrize("number", [0, 7])
def test_a_group_by_its_number(number):
    """0 is a number like others: the kernel gives it to the first group after a boot."""
    with namespace():
        veth()
        settings = RingSettings("m1", ring_bytes=1, fanout_group=number)
        rings = [Ring(open_socket(settings), settings) for _ in range(2)]
        try:
            assert [fanout.group_of(ring._sock) for ring in rings] == [number, number]
            with sender() as tx:
                for pair in range(PAIRS):
                    tx.send(ethernet(0x0800, packets(4, pair)[0]))
            assert sum(len(taken(ring)) for ring in rings) == PAIRS
        finally:
            for ring in rings:
                ring.close()


def test_groups_are_apart():
    with namespace():
        veth()
        with open_socket(RingSettings("m1", ring_bytes=1, fanout_group=fanout.NEW_GROUP)) as one, open_socket(RingSettings("m1", ring_bytes=1)) as alone:
            assert fanout.group_of(alone) is None
            (other,) = open_group(RingSettings("m1", ring_bytes=1))
            with other:
                assert fanout.group_of(other) not in (None, fanout.group_of(one))


def test_the_program_is_one_the_kernel_takes():
    program = fanout.program()
    assert len(program) < MAX_INSTRUCTIONS // 2
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        from sniffer.capture import bpf

        bpf.attach(sock, program)
        assert bpf.installed(sock.fileno()) == program
