"""The table of flows, in columns: a flow that carries nothing of interest costs a row and no object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sniffer.flows.flow import Flow

Slots = npt.NDArray[np.int64]

# About 250 bytes a row with its dictionary entry: 64 MB of table at the most. Beyond it the longest idle go first.
MAX_FLOWS = 262_144
_FIRST_ROWS = 4096
# Rows are freed in bulk, this share at a time, so that eviction stays rare under a flood.
_EVICT_SHARE = 8

_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "key": (np.uint64, ()),
    "client_high": (np.uint64, ()),
    "client_low": (np.uint64, ()),
    "server_high": (np.uint64, ()),
    "server_low": (np.uint64, ()),
    "client_port": (np.int64, ()),
    "server_port": (np.int64, ()),
    "protocol": (np.int64, ()),
    "path": (np.uint64, ()),
    "client_direction": (np.bool_, ()),  # the key's direction bit of packets that the client sends
    "anchored": (np.bool_, ()),  # begun with a SYN: the client is certain and offset 0 is the first byte
    "first": (np.int64, ()),  # nanoseconds
    "last": (np.int64, ()),
    "told": (np.int64, ()),  # when the ledger last heard of it while it went on
    "packets": (np.int64, (2,)),  # by side
    "bytes": (np.int64, (2,)),  # payload, by side
    "next": (np.int64, (2,)),  # the TCP sequence number expected next, -1 if the side was not seen
    "offset": (np.int64, (2,)),  # the stream offset that goes with it
    "skip": (np.int64, (2,)),  # bytes before this stream offset are not wanted
    "initial": (np.int64, (2,)),  # the side's initial sequence number, -1 if not seen
    "fin": (np.bool_, (2,)),
    "wanted": (np.bool_, ()),  # somebody still reads this flow
    "slow": (np.bool_, ()),  # out-of-order bytes are held: packets go one by one
    "closed": (np.bool_, ()),  # ended, kept for stragglers
    "used": (np.bool_, ()),
}


class Table:
    """Rows by slot number; ``slot_of`` finds the slot of a key; ``flow`` holds the object of those being read."""

    def __init__(self) -> None:
        self.slot_of: dict[int, int] = {}
        self.flow: list[Flow | None] = []
        self.free: list[int] = []
        self._allocate(_FIRST_ROWS)

    def __getattr__(self, name: str) -> Any:  # the columns, for type checkers
        raise AttributeError(name)

    def _allocate(self, rows: int) -> None:
        old = len(self.flow)
        for name, (dtype, shape) in _COLUMNS.items():
            column = np.zeros((rows, *shape), dtype)
            if old:
                column[:old] = getattr(self, name)
            setattr(self, name, column)
        self.flow.extend([None] * (rows - old))
        self.free.extend(range(rows - 1, old - 1, -1))

    def __len__(self) -> int:
        return len(self.slot_of)

    def slots(self, keys: list[int]) -> tuple[Slots, Slots]:
        """The slot of each key, and the positions of those that are new (their rows are to be filled)."""
        found = list(map(self.slot_of.get, keys))
        new = [i for i, slot in enumerate(found) if slot is None]
        if new:
            while len(self.free) < len(new):
                rows = len(self.flow)
                self._allocate(min(2 * rows, max(rows + len(new), MAX_FLOWS + MAX_FLOWS // _EVICT_SHARE)))
            free, slot_of = self.free, self.slot_of
            for i in new:
                slot = free.pop()
                found[i] = slot_of[keys[i]] = slot
        return np.array(found, np.int64), np.array(new, np.int64)

    def release(self, slots: Slots) -> None:
        """Forget rows; their numbers are used again."""
        forget, flow = self.slot_of.__delitem__, self.flow
        for key in self.key[slots].tolist():
            forget(key)
        numbers = slots.tolist()
        for slot in numbers:
            flow[slot] = None
        self.free.extend(numbers)
        self.used[slots] = False

    def idle(self, now: int, timeout: npt.NDArray[np.int64]) -> Slots:
        """Rows unheard of for longer than their timeout (nanoseconds, one a row)."""
        return np.flatnonzero(self.used & (now - self.last > timeout))

    def oldest(self) -> Slots:
        """The longest idle share of the table, when it is over its bound."""
        used = np.flatnonzero(self.used)
        if len(used) <= MAX_FLOWS:
            return used[:0]
        count = max(len(used) - MAX_FLOWS, MAX_FLOWS // _EVICT_SHARE)
        order = np.argpartition(self.last[used], count)[:count]
        return used[order]
