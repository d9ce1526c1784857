"""Several processes on one capture: one reads and decodes, the others each follow the flows of their own pairs of hosts.

A pair of hosts belongs to one process from its first packet on, so flows, channels and what is deduplicated never meet
another's; at the end what each has found is simply put together. Blocks of the capture lie in memory that all share: what crosses
between the processes for each block is its columns (at most 128 bytes a packet) and a few words down a pipe.

Dissectors and rules take as long to load as a hundred megabytes to read: a process of their own loads them, and is forked
into the members, while this one reads ahead as far as there are slots.
"""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sniffer import transport
from sniffer.boundary import Boundary
from sniffer.capture.window import SIZE
from sniffer.cycles import collect_seldom
from sniffer.decode.packets import Packets
from sniffer.pipes import Pipe
from sniffer.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.reading import Digest, Share
    from sniffer.session import Session

# Blocks in flight: one being read into, those that the members are at, and as far as reading may be ahead of them.
SLOTS = 6
# No packet takes less of a block than a record header and an IPv4 header.
MAX_ROWS = SIZE // 36 + 1
# How long a process may take to end once its pipe is closed, in seconds.
PATIENCE = 5.0
# Pairs of hosts are told apart by so many bits of their hash; each value belongs to one process once it was seen.
_BUCKET_BITS = 16
_COLUMNS = tuple(f.name for f in fields(Packets) if f.name not in ("buffer", "source"))
# Zero in most captures, which are of IPv4, whole and without tunnels.
_OFTEN_BLANK = frozenset(("src_high", "dst_high", "missing", "path"))
_MIX, _MIX_PAIR = (np.uint64(secrets.randbits(64) | 1) for _ in range(2))
_HALF = np.uint64(32)


class Part(NamedTuple):
    """What a member is told of its share of a block. The columns lie in the slot from row ``first`` on."""

    slot: int
    first: int
    rows: int
    blank: int  # bit by bit the columns that hold zeros alone: they are not put
    now: int  # time of the block's last packet
    source: str
    paths: dict[int, tuple[str, ...]]  # encapsulations named since the last part
    tail: bytes  # datagrams put together from fragments, behind the block


class Done(NamedTuple):
    """What a member tells when it needs a slot no more."""

    slot: int
    busy: float  # seconds of processor time so far


class _Slot:
    """A block of the capture and, beside it, room for the columns of its packets."""

    def __init__(self) -> None:
        self.buffer = mmap.mmap(-1, SIZE)
        self.columns = np.frombuffer(mmap.mmap(-1, MAX_ROWS * len(_COLUMNS) * 8), np.int64).reshape(len(_COLUMNS), MAX_ROWS)

    def put(self, packets: Packets, rows: npt.NDArray[np.int64], first: int, blank: int) -> None:
        for place, name in enumerate(_COLUMNS):
            if not blank >> place & 1:
                # "clip", since the indices are ours: with "raise" NumPy would fill a copy first.
                np.take(getattr(packets, name).view(np.int64), rows, out=self.columns[place, first : first + len(rows)], mode="clip")

    def get(self, part: Part) -> Packets:
        end = part.first + part.rows
        zeros = np.zeros(part.rows, np.int64)
        columns: dict[str, Any] = {name: zeros if part.blank >> place & 1 else self.columns[place, part.first : end] for place, name in enumerate(_COLUMNS)}
        for name in ("src_high", "src_low", "dst_high", "dst_low", "path"):
            columns[name] = columns[name].view(np.uint64)
        return Packets(buffer=bytes(self.buffer) + part.tail if part.tail else self.buffer, source=part.source, **columns)


class _Member:
    """One of the processes that follow flows, as the one that reads sees it. ``alive`` ends with the process."""

    def __init__(self) -> None:
        self.parts, self.answers = Pipe(), Pipe()
        self.alive = True
        self.busy = 0.0  # seconds, as far as it has told
        self.waiting: list[int] = []  # slots it was given and has not given back

    def give(self, part: Part | None) -> bool:
        """Whether it took the part; None is the end."""
        if self.alive:
            try:
                self.parts.send(pickle.dumps(part))
            except OSError:
                self._lost()
                return False
            if part is not None:
                self.waiting.append(part.slot)
        return self.alive

    def wait(self, slot: int) -> None:
        """Until it needs a slot no more."""
        while slot in self.waiting:
            told = self.answers.receive()
            if told is None:
                self._lost()
                return
            done, self.busy = pickle.loads(told)  # noqa: S301  (our own process at the other end)
            self.waiting.remove(done)

    def finish(self) -> Share | None:
        """What it found, once it was told the end; None if it did not live to tell."""
        for slot in tuple(self.waiting):
            self.wait(slot)
        told = self.answers.receive() if self.alive else None
        if told is None:
            self._lost()
            return None
        share: Share = transport.loads(told)
        return share

    def close(self) -> None:
        self.parts.close()
        self.answers.close()

    def _lost(self) -> None:
        self.alive = False
        self.waiting.clear()


class Team(Reading):
    """``size`` processes follow flows; this one reads for them. Each makes its session with ``make``.

    Made before anything is read, and before threads are begun: the others are forked from this process. See Reading.
    """

    def __init__(self, size: int, make: Callable[[], Session], *, keep: Callable[..., object] | None = None, digest: Digest | None = None) -> None:
        super().__init__(keep, digest)
        self.size = size
        self.place = self._buffer
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._members = [_Member() for _ in range(size)]
        self._process = _start(self._members, make, self._slots)
        self._owner = np.full(1 << _BUCKET_BITS, -1, np.int8)
        self._turn = 0
        self._named = 1  # encapsulations the others know; 0 is for none
        self._lost = 0  # packets whose process had ended
        self._findings: list[Finding] = []
        self._channels: list[Channel] = []

    @property
    def findings(self) -> list[Finding]:
        return self._findings

    @property
    def channels(self) -> list[Channel]:
        return self._channels

    def follow(self, packets: Packets, paths: dict[int, tuple[str, ...]], now: int) -> None:
        """Give each member its packets of a batch."""
        owner = self._owners(packets)
        slot = self._slots[self._turn]
        named = dict(list(paths.items())[self._named :]) if len(paths) > self._named else {}
        self._named = len(paths)
        tail = bytes(packets.buffer[SIZE:]) if len(packets.buffer) > SIZE else b""
        blank = sum(1 << place for place, name in enumerate(_COLUMNS) if name in _OFTEN_BLANK and not getattr(packets, name).any())
        first = 0
        for number, member in enumerate(self._members):
            rows = np.flatnonzero(owner == number)
            slot.put(packets, rows, first, blank)
            if not member.give(Part(self._turn, first, len(rows), blank, now, packets.source, named, tail)):
                self._lost += len(rows)
            first += len(rows)

    def finish(self) -> None:
        """No more packets: what the members found."""
        for member in self._members:
            member.give(None)
        self.decoder.flush()
        self.summary.undecoded, self.summary.fragments = self.decoder.undecoded, self.decoder.fragments
        told = [member.finish() for member in self._members]
        for share in told:
            if share is not None:
                self._put_together(share)
        self._findings, self._channels = _in_order(self._findings, self._channels)
        if self._lost or None in told:
            self.summary.problems.append("a worker process was ended from outside: what it had read is lost")

    def close(self) -> None:
        """Let the others go. Their process group ends by itself once the pipes are closed; if it hangs, it is ended."""
        for member in self._members:
            member.close()
        self._members = []
        if self._process:
            _await(self._process)
            self._process = 0

    def _put_together(self, share: Share) -> None:
        self.summary.add(share.summary)
        if share.digest is not None:
            self.digests.append(share.digest)
            return
        from sniffer.collect import MAX_FINDINGS

        room = MAX_FINDINGS - len(self._findings)
        self._findings += share.findings[:room]
        self.summary.omitted += max(0, len(share.findings) - room)
        self._channels += share.channels

    def _buffer(self) -> mmap.mmap:
        """The next block's place, once nobody reads in it any more."""
        self._turn = (self._turn + 1) % SLOTS
        for member in self._members:
            member.wait(self._turn)
        return self._slots[self._turn].buffer

    def _owners(self, packets: Packets) -> npt.NDArray[np.int8]:
        bucket = _pairs(packets)
        owner = self._owner[bucket]
        unknown = owner < 0
        if unknown.any():
            new = np.flatnonzero(np.bincount(bucket[unknown]))
            # The hash is keyed anew in every run: a bucket's own number is as good as one drawn.
            self._owner[new] = np.searchsorted(self._shares(), new / (1 << _BUCKET_BITS), "right")
            owner = self._owner[bucket]
        return owner

    def _shares(self) -> npt.NDArray[np.float64]:
        """Where the shares of new pairs end, from 0 to 1: the less a process has done so far, the more it gets."""
        busy = np.array([m.busy + 0.02 * len(m.waiting) if m.alive else np.inf for m in self._members])
        finite = np.isfinite(busy)
        if not finite.any():
            return np.zeros(0)
        need = np.where(finite, busy[finite].max() - busy + 0.05, 0.0)
        ends: npt.NDArray[np.float64] = np.cumsum(need / need.sum())
        return ends[:-1]


def _in_order(findings: list[Finding], channels: list[Channel]) -> tuple[list[Finding], list[Channel]]:
    if not channels:
        return findings, channels
    from sniffer.channels import IN_ORDER
    from sniffer.collect import in_order

    return sorted(findings, key=in_order), sorted(channels, key=IN_ORDER)


def _pairs(packets: Packets) -> npt.NDArray[np.int64]:
    """A hash of each packet's pair of hosts, the same for both directions and whatever the ports."""
    ends = []
    for high, low in ((packets.src_high, packets.src_low), (packets.dst_high, packets.dst_low)):
        mixed = (low ^ (high * _MIX_PAIR)) * _MIX if high.any() else low * _MIX
        mixed ^= mixed >> _HALF
        ends.append(mixed)
    pair = (ends[0] + ends[1]) * _MIX_PAIR
    return (pair >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _start(members: list[_Member], make: Callable[[], Session], slots: list[_Slot]) -> int:
    """The process that loads dissectors and rules and is forked into the members; its number, which is its group's too."""
    process = os.fork()
    if not process:
        with _to_the_end():
            os.setpgid(0, 0)  # an interrupt from the terminal is for the reader, which ends the others
            for member in members:
                member.parts.keep_reading()
                member.answers.keep_writing()
            _members(members, make, slots)
    with suppress(OSError):  # both set it, so that it is set whoever comes first
        os.setpgid(process, process)
    for member in members:
        member.parts.keep_writing()
        member.answers.keep_reading()
    return process


def _members(members: list[_Member], make: Callable[[], Session], slots: list[_Slot]) -> None:
    """Load what all of them need, fork, and wait for their end."""
    import detectors
    from sniffer import dissectors, session  # noqa: F401  (most of what ``make`` takes)

    dissectors.prepare()
    detectors.prepare()
    started = []
    for member in members:
        process = os.fork()
        if not process:
            with _to_the_end():
                for other in members:
                    if other is not member:
                        other.close()
                _work(make, slots, member)
        started.append(process)
    for member in members:
        member.close()
    for process in started:
        os.waitpid(process, 0)


def _work(make: Callable[[], Session], slots: list[_Slot], me: _Member) -> None:
    """What a member does: its parts of the blocks in order, then what it found."""
    session = make()
    began = time.process_time()
    collect_seldom()
    while True:
        told = me.parts.receive()
        if told is None:
            return  # the reader is gone
        part: Part | None = pickle.loads(told)  # noqa: S301  (our own process at the other end)
        if part is None:
            break
        session.follow(slots[part.slot].get(part), part.paths, part.now)
        me.answers.send(pickle.dumps(Done(part.slot, time.process_time() - began)))
    me.answers.send(transport.dumps(session.conclude()))


@contextmanager
def _to_the_end() -> Iterator[None]:
    """What stands under it is the rest of a forked process, which ends there: nothing of its parent's may be run after it,
    and taking a session apart would keep the reader waiting.
    """
    with Boundary("a worker process"), suppress(BrokenPipeError):  # that is the reader, gone
        yield
    os._exit(0)


def _await(process: int) -> None:
    """The end of a process whose pipes are closed, and of its group."""
    until = time.monotonic() + PATIENCE
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return
        time.sleep(0.001)
