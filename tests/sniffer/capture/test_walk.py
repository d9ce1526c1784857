"""The walk begun in many places says what the plain one says, whatever the bytes."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from sniffer.capture import walk


def records(rng: random.Random, order: str, header: int, size: int, *, traps: bool) -> bytearray:
    """Records up to about ``size`` bytes; with ``traps`` payloads hold what looks like the head of a record."""
    out = bytearray()
    when = 1_700_000_000
    while len(out) < size:
        when += rng.random() < 0.01
        length = rng.choice((0, 1, 40, 66, 1514, rng.randint(0, 9000)))
        body = rng.randbytes(length)
        if traps and length > 200 and rng.random() < 0.5:
            trap = struct.pack(f"{order}IIII", when, 5, rng.choice((0, 60, 1 << 20, 0xFFFF_FFFF)), 60) + bytes(header - 16)
            at = rng.randint(0, length - len(trap))
            body = body[:at] + trap + body[at + len(trap) :]
        out += struct.pack(f"{order}IIII", when, rng.randint(0, 999_999), length, length) + bytes(header - 16) + body
    return out


def both(data: bytearray, at: int, end: int, header: int, order: str) -> None:
    wanted, after = walk.plain(data, at, end - header, header, order)
    got, where = walk.walk(data, at, end, header, order)
    assert np.array_equal(got, wanted)
    assert where == after


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("header", [16, 24])
@pytest.mark.parametrize("traps", [False, True])
def test_many_places_say_what_one_says(monkeypatch, order, header, traps):
    monkeypatch.setattr(walk, "MIN_WINDOW", 4096)
    rng = random.Random(f"{order}{header}{traps}")
    for chains in (2, 7, 64, 512):
        monkeypatch.setattr(walk, "CHAINS", chains)
        for _ in range(6):
            data = records(rng, order, header, rng.randint(5_000, 400_000), traps=traps)
            lead = rng.randint(0, 30)
            data[:0] = rng.randbytes(lead)
            for end in (len(data), len(data) - rng.randint(1, 3000)):
                both(data + bytes(256), lead, end, header, order)


def test_damaged_lengths_are_walked_alike(monkeypatch):
    monkeypatch.setattr(walk, "MIN_WINDOW", 4096)
    rng = random.Random(5)
    for _ in range(60):
        data = records(rng, "<", 16, 60_000, traps=True)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.getrandbits(8)
        both(data + bytes(256), 0, len(data), 16, "<")


def test_a_head_cut_by_the_windows_end_is_no_record(monkeypatch):
    """Its time is there and found, its length is not."""
    monkeypatch.setattr(walk, "MIN_WINDOW", 4096)
    monkeypatch.setattr(walk, "CHAINS", 4)
    data = records(random.Random(3), "<", 16, 40_000, traps=False)
    for left in range(1, 16):
        last = walk.plain(data, 0, len(data) - 16, 16, "<")[0][-1]
        both(data + bytes(256), 0, last + left, 16, "<")


@pytest.mark.parametrize("data", [bytes(1 << 21), b"\xff" * (1 << 21), b"\x10\0\0\0" * (1 << 19)], ids=["zeros", "ones", "sixteens"])
def test_nonsense_of_a_whole_window(data):
    both(bytearray(data), 0, len(data) - 256, 16, "<")
