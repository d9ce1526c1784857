"""The number of a pair of hosts, worked out as the kernel does: the same either way, and seldom another pair's."""

from __future__ import annotations

import operator
from itertools import combinations

import pytest

from sniffer.capture import bpf
from sniffer.capture.pairhash import program
from tests.sniffer.capture.lab import ipv4, ipv6, udp

_SIZES = {bpf.LD_W: 4, bpf.LD_H: 2, bpf.LD_B: 1}
_TO_INDEXED = bpf.IND_W - bpf.LD_W
_SUMS = {bpf.ADD: operator.add, bpf.MUL: operator.mul, bpf.AND: operator.and_, bpf.LSH: operator.lshift, bpf.RSH: operator.rshift, bpf.XOR: operator.xor}
_TESTS = {bpf.JEQ: operator.eq, bpf.JSET: operator.and_}


def number(packet: bytes, kind: int) -> int:
    """What the program gives for a packet that arrives, from its network header on. Only what it uses is understood."""
    code, asked = program(), {bpf.AD_PKTTYPE: 0, bpf.AD_PROTOCOL: kind}
    a = x = at = 0
    memory = [0] * 16
    while True:
        op, yes, no, k = code[at]
        at += 1
        if op in _SIZES or op - _TO_INDEXED in _SIZES:
            size, place = (_SIZES[op], k) if op in _SIZES else (_SIZES[op - _TO_INDEXED], x + k)
            if place not in asked and place + size > len(packet):
                return 0
            a = asked[place] if place in asked else int.from_bytes(packet[place : place + size], "big")
        elif op in (bpf.LD_IMM, bpf.LD_MEM):
            a = k if op == bpf.LD_IMM else memory[k]
        elif op in (bpf.LDX_IMM, bpf.LDX_MEM):
            x = k if op == bpf.LDX_IMM else memory[k]
        elif op in (bpf.ST, bpf.STX):
            memory[k] = a if op == bpf.ST else x
        elif op in (bpf.TAX, bpf.TXA):
            a, x = (a, a) if op == bpf.TAX else (x, x)
        elif op in _TESTS:
            at += yes if _TESTS[op](a, k) else no
        elif op == bpf.JA:
            at += k
        elif op == bpf.RET_A:
            return a
        else:
            a = _SUMS[op & ~bpf.BY_X](a, x if op & bpf.BY_X else k) & 0xFFFF_FFFF


@pytest.mark.parametrize(("wrap", "kind", "address"), [(ipv4, 0x0800, "10.0.0.{}"), (ipv6, 0x86DD, "2001:db8::{:x}")], ids=["IPv4", "IPv6"])
def test_pairs_of_one_network_have_numbers_of_their_own(wrap, kind, address):
    """The sums and differences of neighbours are few: these 780 pairs once had 356 numbers over IPv4."""
    hosts = [address.format(i) for i in range(1, 41)]
    pairs = list(combinations(hosts, 2))
    there = [number(wrap(one, other, 17, udp(1000, 21, b"x" * 30)), kind) for one, other in pairs]
    assert there == [number(wrap(other, one, 17, udp(21, 1000, b"x" * 30)), kind) for one, other in pairs]
    assert len(set(there)) > 0.99 * len(pairs)
