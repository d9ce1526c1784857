"""From columns to bytes: runs of in-order packets are joined and handed to the objects of their flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sniffer.decode.packets import UDP
from sniffer.flows.batch import group_starts
from sniffer.flows.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.decode.packets import Packets
    from sniffer.flows.batch import Batch, Column
    from sniffer.flows.engine import Engine
    from sniffer.flows.table import Slots, Table

# Bytes joined into one call of a dissector; larger turns are cut so that nobody needs to hold more.
MAX_TURN = 256 * 1024
# Turns of a flow in one batch that are read before it is asked again whether anybody wants the rest: a TLS handshake.
EARLY_TURNS = 4


class Turns:
    """Hands over what flows are to read. A flow gets its object with the first byte that somebody says."""

    def __init__(self, table: Table, engine: Engine) -> None:
        self.table = table
        self.engine = engine

    def streams(self, packets: Packets, batch: Batch, r: Slots, slot: Slots, side: Column, at: Column, length: Column) -> None:
        """A turn is a run of in-order packets of one side of one flow: one join, one call.

        The first turns of each flow come first: most flows are encrypted, and after their handshake nobody wants the rest.
        """
        fresh = slot[1:] != slot[:-1]
        switch = fresh | (side[1:] != side[:-1]) | (at[1:] != at[:-1] + length[:-1])
        first = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(switch) + 1))
        counts = np.diff(np.append(first, len(r)))
        until = at[first + counts - 1] + length[first + counts - 1]
        row, which = slot[first], side[first]
        flows = group_starts(row)
        place = np.arange(len(first)) - np.repeat(flows, np.diff(np.append(flows, len(first))))
        order = batch.order[r]
        for chosen in (place < EARLY_TURNS, place >= EARLY_TURNS):
            some = chosen & self.table.wanted[row] & (until > self.table.skip[row, which])
            if some.any():
                turns = zip(row[some].tolist(), which[some].tolist(), at[first[some]].tolist(), until[some].tolist(), counts[some].tolist(), strict=True)
                mine = np.repeat(some, counts)
                self._deliver(packets, order[mine], length[mine], turns)

    def _deliver(self, packets: Packets, order: Slots, length: Column, turns: Iterable[tuple[int, int, int, int, int]]) -> None:
        """Join and hand over turns of (row, side, offset, end, packets); ``order`` and ``length`` are of their packets in turn."""
        low = packets.at[order]
        lows, highs = low.tolist(), (low + length).tolist()
        frames, times, sizes = packets.number[order].tolist(), packets.time[order].tolist(), length.tolist()
        buffer = memoryview(packets.buffer)
        flows = self.table.flow
        stop = 0
        for row, side, offset, until, count in turns:
            begin = stop
            stop += count
            flow = flows[row] or self.flow(row)
            skip = flow.skip[side]
            if flow.done or until <= skip:
                continue
            give = flow.feed if skip <= offset else flow.feed_after_skip
            if count == 1:
                give(side, offset, bytes(buffer[lows[begin] : highs[begin]]), (offset, None, frames[begin], times[begin]))
            elif until - offset <= MAX_TURN:
                data = b"".join([buffer[low:high] for low, high in zip(lows[begin:stop], highs[begin:stop], strict=True)])
                give(side, offset, data, (offset, sizes[begin:stop], frames[begin:stop], times[begin:stop]))
            else:
                for i in range(begin, stop):
                    flow.feed_after_skip(side, offset, bytes(buffer[lows[i] : highs[i]]), (offset, None, frames[i], times[i]))
                    offset += sizes[i]

    def datagrams(self, packets: Packets, batch: Batch, slot: Slots, side: Column) -> None:
        r = np.flatnonzero((batch.protocol == UDP) & (batch.size > 0) & self.table.wanted[slot])
        if not len(r):
            return
        table, order = self.table, batch.order[r]
        low = packets.at[order].tolist()
        buffer = memoryview(packets.buffer)
        rows = zip(slot[r].tolist(), side[r].tolist(), low, batch.size[r].tolist(), packets.number[order].tolist(), batch.time[r].tolist(), strict=True)
        flows, offsets = table.flow, table.offset
        for row, which, at, size, frame, time in rows:
            flow = flows[row] or self.flow(row)
            if flow.done:
                continue
            offset = int(offsets[row, which])
            offsets[row, which] = offset + size
            flow.feed(which, offset, bytes(buffer[at : at + size]), (offset, None, frame, time))

    def flow(self, row: int) -> Flow:
        """The object of a row, made."""
        table = self.table
        flow = table.flow[row] = Flow(
            self.engine,
            row,
            int(table.server_port[row]),
            datagram=bool(table.protocol[row] == UDP),
            midstream=not table.anchored[row],
        )
        return flow
