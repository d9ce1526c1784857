"""IP fragments put together again (RFC 791, section 3.2; RFC 8200, section 4.5; RFC 5722)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

# RFC 8200 gives a host 60 s; fragments of one datagram leave within milliseconds of each other.
TIMEOUT = 30 * 1_000_000_000
# Datagrams waited for, and bytes held for them: past it the oldest are let go and counted.
MAX_DATAGRAMS = 4096
MAX_BYTES = 16 << 20
MAX_DATAGRAM = 65_535
# A datagram of 64 KiB over the smallest MTU that IPv6 allows takes 53; IPv4's least, 8 bytes each, is an attack.
MAX_FRAGMENTS = 256

Key = tuple[int, ...]


@dataclass(slots=True)
class _Datagram:
    began: int
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    size: int | None = None  # known once the last fragment has come
    held: int = 0
    spoiled: bool = False


class Fragments:
    """Holds fragments until their datagram is whole. ``counts`` says what became of them."""

    def __init__(self) -> None:
        self._open: dict[Key, _Datagram] = {}
        self._held = 0
        self.counts: Counter[str] = Counter()

    def add(self, key: Key, offset: int, data: bytes, *, more: bool, time: int, version: int) -> bytes | None:
        """Take a fragment; the payload of its datagram if that is whole now. The first copy of a byte wins in IPv4;
        an IPv6 datagram with overlapping fragments is dropped (RFC 5722).
        """
        self._expire(time)
        datagram = self._open.get(key)
        if datagram is None:
            datagram = self._open[key] = _Datagram(time)
        if offset + len(data) > MAX_DATAGRAM or len(datagram.pieces) >= MAX_FRAGMENTS:
            self.counts["fragments over the limit"] += 1
            datagram.spoiled = True
            return None
        if not more:
            datagram.size = offset + len(data)
        overlap = any(offset < at + len(old) and at < offset + len(data) for at, old in datagram.pieces)
        if overlap:
            if (offset, data) in datagram.pieces:
                self.counts["fragments repeated"] += 1
                return None
            self.counts["fragments overlapping"] += 1
            datagram.spoiled = datagram.spoiled or version == 6
        datagram.pieces.append((offset, data))
        datagram.held += len(data)
        self._held += len(data)
        return self._finish(key, datagram)

    def _finish(self, key: Key, datagram: _Datagram) -> bytes | None:
        if datagram.size is None or datagram.spoiled or datagram.held < datagram.size:
            return None
        whole = bytearray(datagram.size)
        covered = bytearray(datagram.size)
        for at, data in reversed(datagram.pieces):  # the first copy is written last
            end = min(at + len(data), datagram.size)
            if end > at:
                whole[at:end] = data[: end - at]
                covered[at:end] = b"\1" * (end - at)
        if 0 in covered:
            return None
        self._forget(key)
        self.counts["datagrams reassembled"] += 1
        return bytes(whole)

    def _forget(self, key: Key) -> None:
        self._held -= self._open.pop(key).held

    def _expire(self, now: int) -> None:
        while self._open:
            key, oldest = next(iter(self._open.items()))
            full = len(self._open) >= MAX_DATAGRAMS or self._held >= MAX_BYTES
            if not full and now - oldest.began <= TIMEOUT:
                return
            self.counts["datagrams never whole"] += 1
            self._forget(key)

    def flush(self) -> None:
        """The capture is over: what still waits is counted."""
        self.counts["datagrams never whole"] += len(self._open)
        self._open.clear()
        self._held = 0
