"""The slow path: flows with loss, reordering or overlap, one packet at a time, and back to columns when nothing is held."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sniffer.flows.batch import ACK, FIN, MASK, RST, SYN
from sniffer.flows.reassembly import Piece, Receiver, distance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sniffer.decode.packets import Packets
    from sniffer.flows.batch import Batch, Column
    from sniffer.flows.table import Slots, Table
    from sniffer.flows.turns import Turns


class SlowPath:
    """Keeps the receivers of the flows that are on it. It must say what the columns say on every input.

    ``reopen(slot, packets, index, direction)`` begins another flow in a row; ``closed(slots)`` is told of flows that both
    sides have finished.
    """

    def __init__(self, table: Table, turns: Turns, reopen: Callable[[int, Packets, int, bool], None], closed: Callable[[Slots], None]) -> None:
        self.table = table
        self.turns = turns
        self.reopen = reopen
        self.closed = closed
        self.receivers: dict[int, tuple[Receiver, Receiver, list[int]]] = {}
        self.seen: Counter[str] = Counter()  # anomalies by name
        self.gaps = 0
        self.gap_bytes = 0

    def take(self, slot: int) -> tuple[Receiver, Receiver, list[int]]:
        found = self.receivers.get(slot)
        if found is None:
            table = self.table
            table.slow[slot] = True
            pair = [Receiver(int(table.next[slot, s]), int(table.offset[slot, s])) for s in (0, 1)]
            found = self.receivers[slot] = (pair[0], pair[1], [-1, -1])
        return found

    def groups(self, packets: Packets, batch: Batch, r: Slots, side: Column, starts: Slots, counts: Slots, group_slot: Slots, good: npt.NDArray[np.bool_]) -> None:
        for g in np.flatnonzero(~good).tolist():
            slot = int(group_slot[g])
            part = r[starts[g] : starts[g] + counts[g]]
            self.take(slot)
            self._packets(slot, packets, batch.order[part], side[part].tolist())
            self._settle(slot)

    def _packets(self, slot: int, packets: Packets, which: Slots, sides: list[int]) -> None:
        columns = (packets.seq, packets.ack, packets.flags, packets.at, packets.size, packets.missing, packets.number, packets.time)
        buffer = memoryview(packets.buffer)
        rows = zip(which.tolist(), sides, *(c[which].tolist() for c in columns), strict=True)
        for index, side, seq, ack, flags, at, size, missing, frame, time in rows:
            if flags & RST:
                continue
            if flags & SYN:
                if not flags & ACK and self._again(slot, side, seq):
                    self.reopen(slot, packets, index, bool(self.table.client_direction[slot]) ^ bool(side))
                    self.take(slot)
                    side = 0
                self.table.initial[slot, side] = seq
                seq = (seq + 1) & MASK
            one, two, acked = self.take(slot)
            receiver = two if side else one
            if flags & SYN and receiver.next < 0:
                receiver.next = seq
            if flags & ACK and (acked[side ^ 1] < 0 or distance(ack, acked[side ^ 1]) > 0):
                acked[side ^ 1] = ack
            if size or missing or flags & FIN:
                pieces = receiver.segment(seq, bytes(buffer[at : at + size]), missing, bool(flags & FIN), frame, time, self.seen)
                self._pieces(slot, side, pieces)
            self._pieces(slot, side, receiver.expire(acked[side] if acked[side] >= 0 else None, time))

    def _again(self, slot: int, side: int, seq: int) -> bool:
        """Whether a bare SYN begins another connection rather than repeating this one's."""
        initial = int(self.table.initial[slot, 0])
        began = self.table.packets[slot].any() and (initial >= 0 or int(self.table.next[slot].max()) >= 0 or self.table.flow[slot] is not None)
        return bool(seq != initial and began) or bool(side)

    def _pieces(self, slot: int, side: int, pieces: list[Piece]) -> None:
        for offset, data, size, frame, time in pieces:
            flow = self.table.flow[slot] or self.turns.flow(slot)
            if flow.done:
                continue
            if data:
                flow.feed_after_skip(side, offset, data, (offset, None, frame, time))
            else:
                self.gaps += 1
                self.gap_bytes += size
                flow.gap(side, offset, size)

    def _settle(self, slot: int) -> None:
        """Back to columns when nothing is held; end the flow when both sides have finished."""
        found = self.receivers.get(slot)
        if found is None:
            return
        table, (one, two, _) = self.table, found
        flow = table.flow[slot]
        if flow is not None and flow.done:
            del self.receivers[slot]
            table.slow[slot] = False
            return
        if one.pending or two.pending:
            return
        for side, receiver in ((0, one), (1, two)):
            table.next[slot, side] = receiver.next
            table.offset[slot, side] = receiver.offset
            table.fin[slot, side] |= receiver.finished
        table.slow[slot] = False
        del self.receivers[slot]
        if table.fin[slot].all():
            self.closed(np.array([slot]))

    def expire(self, now: int) -> None:
        for slot, (one, two, acked) in list(self.receivers.items()):
            for side, receiver in ((0, one), (1, two)):
                if receiver.pending:
                    self._pieces(slot, side, receiver.expire(acked[side] if acked[side] >= 0 else None, now))
            self._settle(slot)

    def give_up(self, slot: int) -> None:
        """Deliver what is held with its holes as gaps."""
        found = self.receivers.pop(slot, None)
        if found is None:
            return
        self.table.slow[slot] = False
        for side, receiver in ((0, found[0]), (1, found[1])):
            while receiver.pending:
                self._pieces(slot, side, receiver.give_up())
