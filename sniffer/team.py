"""Several processes on one capture: one reads and decodes, each follows the flows of its own pairs of hosts.

A pair of hosts belongs to one process from its first packet on, so flows, channels and what is deduplicated never meet
another's; at the end what each has found is simply put together. Blocks of the capture lie in memory that all share: what crosses
between the processes for each block is its columns (128 bytes a packet) and a few words down a pipe.
"""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
import signal
import struct
import time
from contextlib import suppress
from dataclasses import fields
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sniffer import transport
from sniffer.capture.window import SIZE
from sniffer.cycles import rare_collections
from sniffer.decode.packets import Packets

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from sniffer.session import Session, Share

# Blocks in flight: one being read into, one being worked on, one in reserve for whoever is slower for a while.
SLOTS = 3
# No packet takes less of a block than a record header and an IPv4 header.
MAX_ROWS = SIZE // 36 + 1
# Pairs of hosts are told apart by so many bits of their hash; each value belongs to one process once it was seen.
_BUCKET_BITS = 16
_COLUMNS = tuple(f.name for f in fields(Packets) if f.name not in ("buffer", "source"))
_ACK = struct.Struct("<Bd")
_MIX, _MIX_PAIR = (np.uint64(secrets.randbits(64) | 1) for _ in range(2))
_HALF = np.uint64(32)


class Part(NamedTuple):
    """What a process is told of its share of a block. The columns lie in the slot from row ``first`` on."""

    slot: int
    first: int
    rows: int
    now: int  # time of the block's last packet
    source: str
    paths: dict[int, tuple[str, ...]]  # encapsulations named since the last part
    tail: bytes  # datagrams put together from fragments, behind the block


class _Slot:
    """A block of the capture and, beside it, room for the columns of its packets."""

    def __init__(self) -> None:
        self.buffer = mmap.mmap(-1, SIZE)
        self.columns = np.frombuffer(mmap.mmap(-1, MAX_ROWS * len(_COLUMNS) * 8), np.int64).reshape(len(_COLUMNS), MAX_ROWS)

    def put(self, packets: Packets, rows: npt.NDArray[np.int64], first: int) -> None:
        for place, name in enumerate(_COLUMNS):
            # "clip", since the indices are ours: with "raise" NumPy would fill a copy first.
            np.take(getattr(packets, name).view(np.int64), rows, out=self.columns[place, first : first + len(rows)], mode="clip")

    def get(self, part: Part) -> Packets:
        end = part.first + part.rows
        columns: dict[str, Any] = {name: self.columns[place, part.first : end] for place, name in enumerate(_COLUMNS)}
        for name in ("src_high", "src_low", "dst_high", "dst_low", "path"):
            columns[name] = columns[name].view(np.uint64)
        return Packets(buffer=bytes(self.buffer) + part.tail if part.tail else self.buffer, source=part.source, **columns)


class _Member:
    """Another process, as the one that reads sees it. ``alive`` ends with the process."""

    def __init__(self, make: Callable[[], Session], slots: list[_Slot]) -> None:
        context = get_context("fork")
        self.pipe, theirs = context.Pipe()
        self._acks, acks = os.pipe()
        self._process = context.Process(target=_work, args=(make, slots, theirs, acks), daemon=True)
        self._process.start()
        theirs.close()
        os.close(acks)
        self.alive = True
        self.busy = 0.0  # seconds, as far as it has told
        self.waiting: list[int] = []  # slots it was given and has not given back

    def give(self, part: Part) -> bool:
        """Whether it took the part."""
        if self.alive:
            try:
                self.pipe.send_bytes(pickle.dumps(part))
                self.waiting.append(part.slot)
            except OSError:
                self._lost()
        return self.alive

    def wait(self, slot: int) -> None:
        """Until it needs a slot no more."""
        while slot in self.waiting:
            told = os.read(self._acks, _ACK.size)
            if not told:
                self._lost()
                return
            done, self.busy = _ACK.unpack(told)
            self.waiting.remove(done)

    def end(self) -> None:
        """Tell it that no more will come."""
        if self.alive:
            try:
                self.pipe.send_bytes(b"")
            except OSError:
                self._lost()

    def finish(self) -> Share | None:
        """What it found, once it was told the end; None if it did not live to tell."""
        share = None
        if self.alive:
            try:
                share = transport.loads(self.pipe.recv_bytes())
            except (OSError, EOFError):
                self._lost()
        self.close()
        return share

    def close(self) -> None:
        self.pipe.close()
        os.close(self._acks)
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _lost(self) -> None:
        self.alive = False
        self.waiting.clear()


class Team:
    """``size`` processes in all, this one included. ``make`` gives each of the others its session.

    Made before anything is read, and before other threads are begun: the others are forked from this process.
    """

    def __init__(self, size: int, make: Callable[[], Session]) -> None:
        self.size = size
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._members = [_Member(make, self._slots) for _ in range(size - 1)]
        self._owner = np.full(1 << _BUCKET_BITS, -1, np.int8)
        self._turn = 0
        self._named = 1  # encapsulations the others know; 0 is for none
        self._began = time.process_time()
        self.lost = 0  # packets whose process had ended

    def buffer(self) -> mmap.mmap:
        """The next block's place, once nobody reads in it any more."""
        self._turn = (self._turn + 1) % SLOTS
        for member in self._members:
            member.wait(self._turn)
        return self._slots[self._turn].buffer

    def share(self, packets: Packets, paths: dict[int, tuple[str, ...]]) -> Packets:
        """Give the others their packets of a batch; what is left for this process."""
        if not len(packets):
            return packets
        owner = self._owners(packets)
        slot = self._slots[self._turn]
        named = dict(list(paths.items())[self._named :]) if len(paths) > self._named else {}
        self._named = len(paths)
        tail = bytes(packets.buffer[SIZE:]) if len(packets.buffer) > SIZE else b""
        first = 0
        for number, member in enumerate(self._members, 1):
            rows = np.flatnonzero(owner == number)
            slot.put(packets, rows, first)
            if not member.give(Part(self._turn, first, len(rows), int(packets.time[-1]), packets.source, named, tail)):
                self.lost += len(rows)
            first += len(rows)
        return take(packets, np.flatnonzero(owner == 0))

    def end(self) -> None:
        """No more packets: the others conclude while this process does."""
        for member in self._members:
            member.end()

    def finish(self) -> list[Share]:
        """What the others found, after ``end``."""
        shares = [member.finish() for member in self._members]
        self._members = []
        return [share for share in shares if share is not None]

    def close(self) -> None:
        """Let the others go without asking what they found."""
        for member in self._members:
            member.close()
        self._members = []

    def _owners(self, packets: Packets) -> npt.NDArray[np.int8]:
        bucket = _pairs(packets)
        owner = self._owner[bucket]
        unknown = owner < 0
        if unknown.any():
            new = np.unique(bucket[unknown])
            self._owner[new] = np.searchsorted(self._shares(), np.random.default_rng(int(new[0])).random(len(new)), "right")
            owner = self._owner[bucket]
        return owner

    def _shares(self) -> npt.NDArray[np.float64]:
        """Where the shares of new pairs end, from 0 to 1: the less a process has done so far, the more it gets."""
        busy = np.array([time.process_time() - self._began, *(m.busy + 0.02 * len(m.waiting) if m.alive else np.inf for m in self._members)])
        need = np.maximum(busy[np.isfinite(busy)].max() - busy, 0.0) + 0.05 * np.isfinite(busy)
        ends: npt.NDArray[np.float64] = np.cumsum(need / need.sum())
        return ends[:-1]


def take(packets: Packets, rows: npt.NDArray[np.int64]) -> Packets:
    """Some packets of a batch."""
    return Packets(buffer=packets.buffer, source=packets.source, **{name: getattr(packets, name)[rows] for name in _COLUMNS})


def _pairs(packets: Packets) -> npt.NDArray[np.int64]:
    """A hash of each packet's pair of hosts, the same for both directions and whatever the ports."""
    ends = []
    for high, low in ((packets.src_high, packets.src_low), (packets.dst_high, packets.dst_low)):
        mixed = (low ^ (high * _MIX_PAIR)) * _MIX if high.any() else low * _MIX
        mixed ^= mixed >> _HALF
        ends.append(mixed)
    pair = (ends[0] + ends[1]) * _MIX_PAIR
    return (pair >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _work(make: Callable[[], Session], slots: list[_Slot], pipe: Connection, acks: int) -> None:
    """What another process does: its parts of the blocks in order, then what it found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the reader is interrupted, and ends the others
    session = make()
    busy = time.process_time()
    with rare_collections(), suppress(EOFError):  # the pipe's end without a word: the reader is gone
        while told := pipe.recv_bytes():
            part: Part = pickle.loads(told)  # noqa: S301  (our own process at the other end)
            session.follow(slots[part.slot].get(part), part.paths, part.now)
            os.write(acks, _ACK.pack(part.slot, time.process_time() - busy))
        session.end()
        pipe.send_bytes(transport.dumps(session.conclude()))
    os._exit(0)  # nothing is left to be done, and taking the session apart would keep the reader waiting
