"""Packets in, turns out: groups a batch by flow in columns, checks order in columns, and only then touches bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sniffer.decode.packets import TCP, UDP
from sniffer.flows.batch import ACK, FIN, MASK, RST, SYN, Batch, bases, before, group_starts
from sniffer.flows.ends import ended, ended_row
from sniffer.flows.key import keys
from sniffer.flows.slow import SlowPath
from sniffer.flows.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from sniffer.channels import Ended
    from sniffer.decode.packets import Packets
    from sniffer.flows.batch import Column
    from sniffer.flows.engine import Engine
    from sniffer.flows.flow import Flow
    from sniffer.flows.table import Slots, Table

# Idle times in nanoseconds after which a flow is over. TCP keepalives come every two hours at the latest by
# RFC 9293, yet what pauses that long is rarely worth its row; datagram "connections" have no end of their own.
_SECOND = 1_000_000_000
TIMEOUT_TCP = 3600 * _SECOND
TIMEOUT_UDP = 180 * _SECOND
TIMEOUT_SILENT = 30 * _SECOND  # nobody has said anything: half-open, scans
TIMEOUT_CLOSED = 10 * _SECOND  # kept for stragglers, so that they don't look like a new flow
# A flow that goes on is told for the first time after so long: what it is shows in its first seconds.
FIRST_TOLD = 3 * _SECOND


# Flows read at one time, for each of which a dissector and places of bytes are held: some 4 KB each, 250 MB in all. Beyond
# it those unheard of for longest are read no further. Encrypted flows count until their handshake is over.
MAX_LIVE = 65_536
_LET_GO_SHARE = 8
# Flows told of at a time while they go on; the rest is told next time. A worker that reads live must not stop for all of them.
MAX_TOLD = 20_000


class Tracker:
    """Keeps the flows. ``feed`` takes batches in capture order; ``finish`` ends what is left.

    ``on_end(ended, flow)`` is called for every flow that is over. With ``columns=False`` every packet takes the slow
    path: the two must agree on every input, and a test feeds both.
    """

    def __init__(self, table: Table, engine: Engine, *, columns: bool = True) -> None:
        self.table = table
        self.engine = engine
        self.columns = columns
        self.turns = Turns(table, engine)
        self.slow = SlowPath(table, self.turns, self._reopen, self._closed)
        self.paths: dict[int, tuple[str, ...]] = {0: ()}
        self.truncated = 0
        self.flows = 0
        self.attempts = 0  # flows in which nobody said anything: scans, refused connections
        self.evicted = 0
        self.source = ""
        self._swept = 0
        self._known = np.zeros(1 << 16, np.bool_)  # by port: some protocol's usual one
        self._known[list(engine.known_ports)] = True
        self.on_end: Callable[[Ended, Flow | None], None] = _ignore

    # A batch.

    def feed(self, packets: Packets, now: int | None = None) -> None:
        """Order a batch by flow and deliver its turns. ``now`` is the time it ends, if that is not its last packet's."""
        self.source = packets.source
        if not len(packets):
            if now is not None:
                self.tick(now)
            return
        key, direction = keys(packets)
        batch = Batch(packets, key, direction)
        group_slots, new = self.table.slots(batch.key[batch.starts].tolist())
        if len(new):
            self._open(packets, batch, group_slots, new)
        self._restart(packets, batch, group_slots)
        slot = np.repeat(group_slots, batch.counts)
        side = (batch.direction != self.table.client_direction[slot]).astype(np.int64)
        self._count(batch, group_slots, side)
        self._streams(packets, batch, slot, side)
        self.turns.datagrams(packets, batch, slot, side)
        self.tick(int(packets.time[-1]) if now is None else now)

    def tick(self, now: int) -> None:
        """Time goes on (nanoseconds of packet time) while nothing is captured: holes and idle flows are given up."""
        self.slow.expire(now)
        self._sweep(now)

    def ongoing(self, every: int, now: int) -> list[tuple[Ended, Flow | None]]:
        """Flows that go on and were not reported for ``every`` nanoseconds; new ones and those just closed are sooner."""
        table = self.table
        waited = np.where(table.told == table.first, min(every, FIRST_TOLD), every)
        due = table.used & (table.last > table.told) & ((now - table.told > waited) | table.closed) & (table.bytes.sum(axis=1) > 0)
        slots = np.flatnonzero(due)
        if len(slots) > MAX_TOLD:
            slots = slots[np.argpartition(table.told[slots], MAX_TOLD)[:MAX_TOLD]]
        table.told[slots] = now
        return [(row, table.flow[row.row]) for row in ended(table, self.paths, slots)]

    def finish(self) -> None:
        """The capture is over: everything pending is given out."""
        for slot in list(self.slow.receivers):
            self.slow.give_up(slot)
        self._report(np.flatnonzero(self.table.used))
        self.table.used[:] = False

    # Flows begin and end.

    def _open(self, packets: Packets, batch: Batch, group_slots: Slots, new: Slots) -> None:
        """Fill the rows of flows seen for the first time, from their first packet."""
        slots, first = group_slots[new], batch.order[batch.starts[new]]
        self.flows += len(slots)
        self._fill(slots, packets, first, batch.direction[batch.starts[new]], batch.key[batch.starts[new]])

    def _fill(self, slots: Slots, packets: Packets, first: Slots, direction: npt.NDArray[np.bool_], key: npt.NDArray[np.uint64]) -> None:
        table = self.table
        flags, protocol = packets.flags[first], packets.protocol[first]
        sport, dport = packets.sport[first], packets.dport[first]
        syn = (protocol == TCP) & ((flags & SYN) != 0)
        from_client = np.where(syn, (flags & ACK) == 0, self._rank(sport) <= self._rank(dport))
        table.key[slots] = key
        table.client_direction[slots] = direction == from_client
        for name, source, target in (("high", packets.src_high[first], packets.dst_high[first]), ("low", packets.src_low[first], packets.dst_low[first]), ("port", sport, dport)):
            getattr(table, f"client_{name}")[slots] = np.where(from_client, source, target)
            getattr(table, f"server_{name}")[slots] = np.where(from_client, target, source)
        table.protocol[slots] = protocol
        table.path[slots] = packets.path[first]
        table.first[slots] = table.last[slots] = table.told[slots] = packets.time[first]
        table.packets[slots] = table.bytes[slots] = table.offset[slots] = table.skip[slots] = 0
        table.next[slots] = table.initial[slots] = -1
        table.initial[slots, 0] = np.where(syn & from_client, packets.seq[first], -1)
        table.anchored[slots] = syn
        table.fin[slots] = table.slow[slots] = table.closed[slots] = False
        table.wanted[slots] = (protocol == TCP) | (protocol == UDP)
        table.used[slots] = True

    def _rank(self, ports: Column) -> Column:
        """How much a port looks like a server's: known protocols before the low ports before the rest."""
        return self._known[ports] * 2 + (ports < 1024)

    def _restart(self, packets: Packets, batch: Batch, group_slots: Slots) -> None:
        """A SYN with a new initial sequence number on a known flow: the ports are used again (RFC 9293, 3.6.1)."""
        bare = np.flatnonzero((batch.protocol == TCP) & ((batch.flags & (SYN | ACK)) == SYN))
        if not len(bare):
            return
        group = np.searchsorted(batch.starts, bare, "right") - 1
        again = packets.seq[batch.order[bare]] != self.table.initial[group_slots[group], 0]
        for place, g in zip(bare[again].tolist(), group[again].tolist(), strict=True):
            slot = int(group_slots[g])
            if place == batch.starts[g]:
                self._reopen(slot, packets, int(batch.order[place]), bool(batch.direction[place]))
            else:
                self.table.wanted[slot] = True  # whatever became of the old connection, the new one is to be read
                self.slow.take(slot)

    def _reopen(self, slot: int, packets: Packets, first: int, direction: bool) -> None:
        slots = np.array([slot])
        self.slow.give_up(slot)
        self._report(slots)
        self.table.flow[slot] = None
        self.flows += 1
        self._fill(slots, packets, np.array([first]), np.array([direction]), self.table.key[slots])

    def _count(self, batch: Batch, group_slots: Slots, side: Column) -> None:
        table, groups = self.table, len(group_slots)
        place = np.repeat(np.arange(groups), batch.counts) * 2 + side
        table.packets[group_slots] += np.bincount(place, minlength=2 * groups).reshape(groups, 2)
        size = np.bincount(place, batch.size + batch.missing, minlength=2 * groups)
        table.bytes[group_slots] += size.astype(np.int64).reshape(groups, 2)
        table.last[group_slots] = np.maximum(table.last[group_slots], np.maximum.reduceat(batch.time, batch.starts))
        self.truncated += int(np.count_nonzero(batch.missing))

    # TCP.

    def _streams(self, packets: Packets, batch: Batch, slot: Slots, side: Column) -> None:
        table = self.table
        length = batch.size + batch.missing
        consumed = length + ((batch.flags >> 1) & 1) + (batch.flags & 1)
        says = (batch.protocol == TCP) & ((consumed > 0) | ((batch.flags & RST) != 0)) & table.wanted[slot]
        r = np.flatnonzero(says)
        if not len(r):
            return
        flow_slot, flow_side, eaten = slot[r], side[r], consumed[r]
        seq = packets.seq[batch.order[r]]
        starts = group_starts(flow_slot)
        counts = np.diff(np.append(starts, len(r)))
        group_slot = flow_slot[starts]
        client = flow_side == 0
        ahead = before(np.where(client, eaten, 0), np.where(client, 0, eaten), client, starts, counts)
        base = bases(table.next[group_slot], seq, client, starts)
        expected = (np.where(client, np.repeat(base[:, 0], counts), np.repeat(base[:, 1], counts)) + ahead) & MASK
        fine = ((expected == seq) | (eaten == 0)) & (batch.missing[r] == 0)
        good = np.logical_and.reduceat(fine, starts) & ~table.slow[group_slot]
        if not self.columns:
            good[:] = False
        if not good.all():
            self.slow.groups(packets, batch, r, side, starts, counts, group_slot, good)
        if good.any():
            keep = np.repeat(good, counts)
            self._fast(packets, batch, r[keep], flow_slot[keep], flow_side[keep], length[r][keep], eaten[keep], base[good], group_slot[good])
        reset = np.flatnonzero((batch.flags[r] & RST) != 0)
        if len(reset):
            # Not an end: anybody can forge one. The flow only need not be waited for.
            table.closed[flow_slot[reset]] = True

    def _fast(self, packets: Packets, batch: Batch, r: Slots, slot: Slots, side: Column, length: Column, eaten: Column, base: Column, group_slot: Slots) -> None:
        """Flows whose bytes came in order: update their rows in columns, then deliver turn by turn."""
        table = self.table
        starts = group_starts(slot)
        counts = np.diff(np.append(starts, len(r)))
        client = side == 0
        place = np.repeat(np.arange(len(starts)), counts) * 2 + side
        sums = np.bincount(place, eaten, minlength=2 * len(starts)).astype(np.int64).reshape(-1, 2)
        table.next[group_slot] = np.where(base >= 0, (base + sums) & MASK, -1)
        at = before(np.where(client, length, 0), np.where(client, 0, length), client, starts, counts) + table.offset[slot, side]
        table.offset[group_slot] += np.bincount(place, length, minlength=2 * len(starts)).astype(np.int64).reshape(-1, 2)
        says = np.flatnonzero((length > 0) & (at + length > table.skip[slot, side]))
        if len(says):
            self.turns.streams(packets, batch, r[says], slot[says], side[says], at[says], length[says])
        fin = np.flatnonzero((batch.flags[r] & FIN) != 0)
        if len(fin):
            table.fin[slot[fin], side[fin]] = True
            finished = slot[fin]
            finished = finished[group_starts(finished)]
            self._closed(finished[table.fin[finished].all(axis=1)])

    def _closed(self, slots: Slots) -> None:
        """Both sides have said FIN: whatever was pending can be told now."""
        self.table.closed[slots] = True
        self.table.wanted[slots] = False
        for slot in slots.tolist():
            flow = self.table.flow[slot]
            if flow is not None:
                flow.close()

    # Ends.

    def _sweep(self, now: int) -> None:
        """Every second of packet time, end what has been idle; at once when the table is over its bound."""
        table = self.table
        if self.engine.live > MAX_LIVE:
            self._let_go()
        over = table.oldest()
        if len(over):
            self.evicted += len(over)
            self._end(over)
        if 0 <= now - self._swept < _SECOND:
            return
        self._swept = now
        silent = table.bytes.sum(axis=1) == 0
        timeout = np.where(table.protocol == TCP, TIMEOUT_TCP, TIMEOUT_UDP)
        timeout = np.where(silent, TIMEOUT_SILENT, timeout)
        timeout = np.where(table.closed, TIMEOUT_CLOSED, timeout)
        idle = table.idle(now, timeout)
        if len(idle):
            self._end(idle)

    def _let_go(self) -> None:
        """Read the longest idle flows no further; their rows go on counting."""
        table = self.table
        slots = np.flatnonzero(table.used & table.wanted)
        slots = slots[[flow is not None and not flow.done for flow in map(table.flow.__getitem__, slots.tolist())]]
        count = min(len(slots), self.engine.live - MAX_LIVE + MAX_LIVE // _LET_GO_SHARE)
        oldest = slots[np.argsort(table.last[slots], kind="stable")[:count]]
        for slot in oldest.tolist():
            self.slow.give_up(slot)
            flow = table.flow[slot]
            if flow is not None:
                flow.close()
        table.wanted[oldest] = False
        self.evicted += len(oldest)

    def _end(self, slots: Slots) -> None:
        for slot in slots[self.table.slow[slots]].tolist():
            self.slow.give_up(slot)
        self._report(slots)
        self.table.release(slots)

    def _report(self, slots: Slots) -> None:
        """Close the flows of these rows in the order they began and tell the ledger. Those in which nobody said anything
        are only counted.
        """
        table = self.table
        slots = slots[np.argsort(table.first[slots], kind="stable")]
        said = (table.bytes[slots] > 0).any(axis=1)
        flows = table.flow
        # What of a batch came after its ports were used again is counted with the flow before: such a one has an object, no bytes.
        said[~said] = [flows[slot] is not None for slot in slots[~said].tolist()]
        self.attempts += len(slots) - int(np.count_nonzero(said))
        slots = slots[said]
        for row in ended(table, self.paths, slots):
            slot = row.row
            flow = table.flow[slot]
            if flow is not None:
                flow.close()
            self.on_end(row, flow)

    def ended_row(self, slot: int) -> Ended:
        """One row as plain numbers, while its flow goes on."""
        return ended_row(self.table, self.paths, slot)


def _ignore(ended: Ended, flow: Flow | None) -> None:
    return None


