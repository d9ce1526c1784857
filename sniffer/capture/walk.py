"""The record walk of classic pcap: each record's length says where the next begins, so records come one after the other.

That is the one thing done to every packet in Python, unless the walk is begun in many places at once. Where a record may begin
is guessed by the bytes of its time that hardly change; a guess counts only where the walk from the place before lands on
it exactly, so what comes out is what the plain walk gives.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mmap

    import numpy.typing as npt

    from sniffer.capture.frames import Block

# Places to begin at. Each costs a search, each step through all of them some NumPy calls: on 8 MiB this is the cheapest.
CHAINS = 512
# Shorter windows are walked plainly.
MIN_WINDOW = 1 << 20
_LENGTH = 8  # of a record header: where the captured length stands


def plain(buffer: Block, at: int, last: int, header: int, order: str, stop: int | None = None) -> tuple[list[int], int]:
    """Records from ``at`` on, none beginning after ``last`` or at ``stop`` and later; where the next one would begin."""
    length = struct.Struct(f"{order}I").unpack_from
    offsets: list[int] = []
    append = offsets.append
    until = last if stop is None else min(last, stop - 1)
    while at <= until:
        append(at)
        at += header + length(buffer, at + _LENGTH)[0]
    return offsets, at


def walk(buffer: bytearray | mmap.mmap, at: int, end: int, header: int, order: str) -> tuple[npt.NDArray[np.int64], int]:
    """Offsets of the records that begin in ``buffer[at:end]`` with a whole header, and where the next one would begin."""
    last = end - header
    if end - at < MIN_WINDOW:
        offsets, at = plain(buffer, at, last, header, order)
        return np.array(offsets, np.int64), at
    seeds = _seeds(buffer, at, end, last, order)
    chain, place, ends = _chains(buffer, seeds, last, header, order)
    return _joined(buffer, seeds, chain, place, ends, last, header, order)


def _seeds(buffer: bytearray | mmap.mmap, at: int, end: int, last: int, order: str) -> npt.NDArray[np.int64]:
    """Where records may begin: ``at``, and in each part of the window the first place that has the record's time in it."""
    skip = order == "<"  # the byte of the seconds that changes stands first, or last
    time = bytes(buffer[at + skip : at + skip + 3])
    part = (end - at) // CHAINS
    find = buffer.find
    found = [find(time, begin, begin + part) - skip for begin in range(at + part, end - part, part)]
    return np.array([at, *(f for f in found if at < f <= last)], np.int64)  # each in its own part, so in order


def _chains(buffer: Block, seeds: npt.NDArray[np.int64], last: int, header: int, order: str) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Walk from every seed up to the next: (chain, offset) of each record in the order of chains, and where each chain ended."""
    lengths: npt.NDArray[np.uint32] = np.ndarray((len(buffer) - 3,), f"{order}u4", buffer=buffer, strides=(1,))
    limit = np.append(np.minimum(seeds[1:] - 1, last), last)
    ends = seeds.copy()
    now = np.arange(len(seeds), dtype=np.int16)
    place = seeds
    chains, places = [], []
    while len(now):
        chains.append(now)
        places.append(place)
        place = place + header + lengths[place + _LENGTH]
        ends[now] = place
        on = place <= limit[now]
        if not on.all():
            now, place = now[on], place[on]
    chain, walked = np.concatenate(chains), np.concatenate(places)
    order_of = np.argsort(chain, kind="stable")
    return chain[order_of], walked[order_of], ends


def _joined(buffer: Block, seeds: npt.NDArray[np.int64], chain: npt.NDArray[np.int16], place: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], last: int, header: int, order: str) -> tuple[npt.NDArray[np.int64], int]:
    """The chains that the walk from the first seed really goes through; between them, where a guess was wrong, step by step."""
    if (ends[:-1] == seeds[1:]).all():
        return place, int(ends[-1])
    starts = np.searchsorted(chain, np.arange(len(seeds) + 1))
    parts: list[npt.NDArray[np.int64]] = []
    index, count = 0, len(seeds)
    while True:
        parts.append(place[starts[index] : starts[index + 1]])
        at = int(ends[index])
        index += 1
        while index < count and seeds[index] != at:
            if seeds[index] > at:
                steps, at = plain(buffer, at, last, header, order, stop=int(seeds[index]))
                parts.append(np.array(steps, np.int64))
            if at > last or seeds[index] < at:
                index += 1
        if index >= count or at > last:
            steps, at = plain(buffer, at, last, header, order)
            parts.append(np.array(steps, np.int64))
            return np.concatenate(parts), at
