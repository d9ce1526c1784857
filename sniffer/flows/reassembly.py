"""TCP byte order the slow way: one packet at a time, for flows with loss, reordering or overlap (RFC 9293, section 3.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

# What waits for a hole to be filled, per side. A mirror port reorders by a few packets; more than this is loss.
MAX_PENDING_BYTES = 256 * 1024
MAX_PENDING_SEGMENTS = 256
# How long a hole may wait, in nanoseconds of packet time: longer than any retransmission a user would notice …
MAX_WAIT = 3_000_000_000
# … but once the receiver has acknowledged past it the bytes arrived there and were lost to us; only reordering between
# two mirror ports is left to wait for.
MAX_WAIT_ACKED = 250_000_000
# A sequence number further off than the largest window that hosts use in practice is not this connection's.
MAX_DISTANCE = 64 << 20

Piece = tuple[int, bytes, int, int, int]  # stream offset, data (empty for a gap), size, frame, time


def distance(a: int, b: int) -> int:
    """From sequence number ``b`` to ``a``, signed, modulo 2^32."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


class Receiver:
    """One side's bytes as its receiver would see them. The first copy of a byte wins.

    ``next`` is the sequence number expected (-1 before the first), ``offset`` the stream offset that goes with it.
    """

    __slots__ = ("_recent", "fin_at", "finished", "held", "next", "offset", "pending", "strays")

    def __init__(self, next_: int = -1, offset: int = 0) -> None:
        self.next = next_
        self.offset = offset
        self.pending: list[Piece] = []
        self.held = 0
        self.fin_at: int | None = None
        self.finished = False
        self.strays = 0
        self._recent: tuple[int, bytes] = (0, b"")

    def segment(self, seq: int, data: bytes, missing: int, fin: bool, frame: int, time: int, seen: Counter[str]) -> list[Piece]:
        """Take one segment (``seq`` is its first data byte's); what became deliverable, in order.

        ``missing`` bytes follow ``data`` on the wire but were not captured. ``seen`` counts anomalies by name.
        """
        if self.next < 0:
            self.next = seq
        away = distance(seq, self.next)
        if away == -1 and not self.offset and len(data) > 1 and not self.pending:
            # Packets made by programs that forget that a SYN takes a number (RFC 9293, 3.4). No host repeats more than a byte there.
            self.next, away = seq, 0
            seen["data at the SYN's own number"] += 1
        if abs(away) > MAX_DISTANCE:
            seen["segment outside the window"] += 1
            self.strays += 1
            if self.strays < 4 or away < 0:
                return []
        self.strays = 0
        at = self.offset + away
        if fin and self.fin_at is None:
            self.fin_at = at + len(data) + missing
        if data or missing:
            if away == 0 and not self.pending and not missing:
                self._advance(at, data)
                return [(at, data, len(data), frame, time)]
            self._hold(at, data, frame, time, seen)
            if missing:
                self._hold_gap(at + len(data), missing, frame, time)
        return self._drain()

    def expire(self, acked: int | None, now: int) -> list[Piece]:
        """Give up on the hole in front if it has waited long enough: the gap and what follows it.

        ``acked`` is the highest acknowledgement number seen from the other side.
        """
        if not self.pending:
            return []
        first = self.pending[0]
        waited = now - min(p[4] for p in self.pending)
        beyond = acked is not None and distance(acked, self.next) >= first[0] - self.offset
        late = waited > MAX_WAIT or (beyond and waited > MAX_WAIT_ACKED)
        if late or self.held > MAX_PENDING_BYTES or len(self.pending) > MAX_PENDING_SEGMENTS:
            return self.give_up()
        return []

    def give_up(self) -> list[Piece]:
        """The hole in front as a gap, then what follows it."""
        if not self.pending:
            return []
        first = self.pending[0]
        size = first[0] - self.offset
        gap: Piece = (self.offset, b"", size, first[3], first[4])
        self._advance(self.offset, b"", size)
        return [gap, *self._drain()]

    def _advance(self, at: int, data: bytes, gap: int = 0) -> None:
        size = len(data) + gap
        self.offset = at + size
        self.next = (self.next + size) & 0xFFFF_FFFF
        self._recent = (at, data)
        if self.fin_at is not None and self.offset >= self.fin_at and not self.finished:
            self.finished = True
            self.next = (self.next + 1) & 0xFFFF_FFFF

    def _hold(self, at: int, data: bytes, frame: int, time: int, seen: Counter[str]) -> None:
        """Keep the parts of a segment that no earlier copy covers."""
        if at < self.offset:
            seen["retransmission"] += 1
            self._compare(at, data, seen)
            data, at = data[self.offset - at :], self.offset
        for start, held, size, _, _ in self.pending:
            if at + len(data) <= start:
                break
            if at < start:
                self._insert((at, data[: start - at], start - at, frame, time))
                data, at = data[start - at :], start
            overlap = min(start + size, at + len(data)) - at
            if overlap > 0:
                if held and held[at - start : at - start + overlap] != data[:overlap]:
                    seen["conflicting overlap"] += 1
                data, at = data[overlap:], at + overlap
        if data:
            self._insert((at, data, len(data), frame, time))

    def _hold_gap(self, at: int, size: int, frame: int, time: int) -> None:
        """Bytes that the capture cut off: a hole that nothing will fill, unless a later copy was held before."""
        if at < self.offset:
            at, size = self.offset, size - (self.offset - at)
        after = next((p[0] for p in self.pending if p[0] + p[2] > at), None)
        if after is not None:
            size = min(size, after - at)
        if size > 0:
            self._insert((at, b"", size, frame, time))

    def _insert(self, piece: Piece) -> None:
        # The list is rebound, not changed: _hold walks the old one while pieces are added.
        place = bisect_left(self.pending, piece[0], key=lambda p: p[0])
        self.pending = [*self.pending[:place], piece, *self.pending[place:]]
        self.held += len(piece[1])

    def _compare(self, at: int, data: bytes, seen: Counter[str]) -> None:
        """Count a retransmission that differs from what was delivered, as far back as that is still known."""
        start, recent = self._recent
        low, high = max(at, start), min(at + len(data), start + len(recent))
        if low < high and recent[low - start : high - start] != data[low - at : high - at]:
            seen["conflicting overlap"] += 1

    def _drain(self) -> list[Piece]:
        ready = 0
        out = []
        for piece in self.pending:
            if piece[0] != self.offset:
                break
            at, data, size, _, _ = piece
            self._advance(at, data, size - len(data))
            self.held -= len(data)
            out.append(piece)
            ready += 1
        if ready:
            self.pending = self.pending[ready:]
        if self.fin_at is not None and self.offset >= self.fin_at and not self.finished:
            self._advance(self.offset, b"")
        return out
