"""Packets in, turns out: groups a batch by flow in columns, checks order in columns, and only then touches bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sniffer.channels import Ended
from sniffer.decode.packets import TCP, UDP
from sniffer.flows.flow import Flow
from sniffer.flows.key import keys
from sniffer.flows.reassembly import Piece, Receiver, distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sniffer.decode.packets import Packets
    from sniffer.flows.engine import Engine
    from sniffer.flows.table import Slots, Table

Column = npt.NDArray[np.int64]

FIN, SYN, RST, ACK = 1, 2, 4, 16
_MASK = 0xFFFF_FFFF

# Idle times in nanoseconds after which a flow is over. TCP keepalives come every two hours at the latest by
# RFC 9293, yet what pauses that long is rarely worth its row; datagram "connections" have no end of their own.
_SECOND = 1_000_000_000
TIMEOUT_TCP = 3600 * _SECOND
TIMEOUT_UDP = 180 * _SECOND
TIMEOUT_SILENT = 30 * _SECOND  # nobody has said anything: half-open, scans
TIMEOUT_CLOSED = 10 * _SECOND  # kept for stragglers, so that they don't look like a new flow
# A flow that goes on is told for the first time after so long: what it is shows in its first seconds.
FIRST_TOLD = 3 * _SECOND
# Bytes joined into one call of a dissector; larger turns are cut so that nobody needs to hold more.
MAX_TURN = 256 * 1024


# Turns of a flow in one batch that are read before it is asked again whether anybody wants the rest: a TLS handshake.
EARLY_TURNS = 4


class _Sorted:
    """A batch's columns in flow order, and its groups (one a flow)."""

    def __init__(self, packets: Packets, key: npt.NDArray[np.uint64], direction: npt.NDArray[np.bool_]) -> None:
        self.order = order = np.argsort(key, kind="stable")
        self.key = key[order]
        starts = np.flatnonzero(self.key[1:] != self.key[:-1]) + 1
        self.starts = np.concatenate((np.zeros(1, np.int64), starts))
        self.counts = np.diff(np.append(self.starts, len(order)))
        self.direction = direction[order]
        self.protocol = packets.protocol[order]
        self.size = packets.size[order]
        self.missing = packets.missing[order]
        self.time = packets.time[order]
        self.flags = packets.flags[order]


class Tracker:
    """Keeps the flows. ``feed`` takes batches in capture order; ``finish`` ends what is left.

    ``on_end(ended, flow)`` is called for every flow that is over. With ``columns=False`` every packet takes the slow
    path: the two must agree on every input, and a test feeds both.
    """

    def __init__(self, table: Table, engine: Engine, *, columns: bool = True) -> None:
        self.table = table
        self.engine = engine
        self.columns = columns
        self.receivers: dict[int, tuple[Receiver, Receiver, list[int]]] = {}
        self.paths: dict[int, tuple[str, ...]] = {0: ()}
        self.seen: Counter[str] = Counter()
        self.gaps = 0
        self.gap_bytes = 0
        self.truncated = 0
        self.flows = 0
        self.attempts = 0  # flows in which nobody said anything: scans, refused connections
        self.evicted = 0
        self.source = ""
        self._swept = 0
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
        batch = _Sorted(packets, key, direction)
        group_slots, new = self.table.slots(batch.key[batch.starts].tolist())
        if len(new):
            self._open(packets, batch, group_slots, new)
        self._restart(packets, batch, group_slots)
        slot = np.repeat(group_slots, batch.counts)
        side = (batch.direction != self.table.client_direction[slot]).astype(np.int64)
        self._count(batch, group_slots, side)
        self._streams(packets, batch, slot, side)
        self._datagrams(packets, batch, slot, side)
        self.tick(int(packets.time[-1]) if now is None else now)

    def tick(self, now: int) -> None:
        """Time goes on (nanoseconds of packet time) while nothing is captured: holes and idle flows are given up."""
        self._expire_holes(now)
        self._sweep(now)

    def ongoing(self, every: int, now: int) -> list[tuple[Ended, Flow | None]]:
        """Flows that go on and were not reported for ``every`` nanoseconds; new ones and those just closed are sooner."""
        table = self.table
        waited = np.where(table.told == table.first, min(every, FIRST_TOLD), every)
        due = table.used & (table.last > table.told) & ((now - table.told > waited) | table.closed) & (table.bytes.sum(axis=1) > 0)
        slots = np.flatnonzero(due)
        table.told[slots] = now
        return [(ended, table.flow[ended.row]) for ended in self.ended(slots)]

    def finish(self) -> None:
        """The capture is over: everything pending is given out."""
        for slot in list(self.receivers):
            self._give_up(slot)
        self._report(np.flatnonzero(self.table.used))
        self.table.used[:] = False

    # Flows begin and end.

    def _open(self, packets: Packets, batch: _Sorted, group_slots: Slots, new: Slots) -> None:
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
        known = np.isin(ports, np.fromiter(self.engine.known_ports, np.int64))
        return known * 2 + (ports < 1024)

    def _restart(self, packets: Packets, batch: _Sorted, group_slots: Slots) -> None:
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
                self._make_slow(slot)

    def _reopen(self, slot: int, packets: Packets, first: int, direction: bool) -> None:
        slots = np.array([slot])
        self._give_up(slot)
        self._report(slots)
        self.table.flow[slot] = None
        self.flows += 1
        self._fill(slots, packets, np.array([first]), np.array([direction]), self.table.key[slots])

    def _count(self, batch: _Sorted, group_slots: Slots, side: Column) -> None:
        table, groups = self.table, len(group_slots)
        place = np.repeat(np.arange(groups), batch.counts) * 2 + side
        table.packets[group_slots] += np.bincount(place, minlength=2 * groups).reshape(groups, 2)
        size = np.bincount(place, batch.size + batch.missing, minlength=2 * groups)
        table.bytes[group_slots] += size.astype(np.int64).reshape(groups, 2)
        table.last[group_slots] = np.maximum(table.last[group_slots], np.maximum.reduceat(batch.time, batch.starts))
        self.truncated += int(np.count_nonzero(batch.missing))

    # TCP.

    def _streams(self, packets: Packets, batch: _Sorted, slot: Slots, side: Column) -> None:
        table = self.table
        length = batch.size + batch.missing
        consumed = length + ((batch.flags >> 1) & 1) + (batch.flags & 1)
        says = (batch.protocol == TCP) & ((consumed > 0) | ((batch.flags & RST) != 0)) & table.wanted[slot]
        r = np.flatnonzero(says)
        if not len(r):
            return
        flow_slot, flow_side, eaten = slot[r], side[r], consumed[r]
        seq = packets.seq[batch.order[r]]
        starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(flow_slot[1:] != flow_slot[:-1]) + 1))
        counts = np.diff(np.append(starts, len(r)))
        group_slot = flow_slot[starts]
        client = flow_side == 0
        before = _before(np.where(client, eaten, 0), np.where(client, 0, eaten), client, starts, counts)
        base = _bases(table.next[group_slot], seq, client, starts)
        expected = (np.where(client, np.repeat(base[:, 0], counts), np.repeat(base[:, 1], counts)) + before) & _MASK
        fine = ((expected == seq) | (eaten == 0)) & (batch.missing[r] == 0)
        good = np.logical_and.reduceat(fine, starts) & ~table.slow[group_slot]
        if not self.columns:
            good[:] = False
        if not good.all():
            self._slow_groups(packets, batch, r, side, starts, counts, group_slot, good)
        if good.any():
            keep = np.repeat(good, counts)
            self._fast(packets, batch, r[keep], flow_slot[keep], flow_side[keep], length[r][keep], eaten[keep], base[good], group_slot[good])
        reset = np.flatnonzero((batch.flags[r] & RST) != 0)
        if len(reset):
            # Not an end: anybody can forge one. The flow only need not be waited for.
            table.closed[flow_slot[reset]] = True

    def _fast(self, packets: Packets, batch: _Sorted, r: Slots, slot: Slots, side: Column, length: Column, eaten: Column, base: Column, group_slot: Slots) -> None:
        """Flows whose bytes came in order: update their rows in columns, then deliver turn by turn."""
        table = self.table
        starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(slot[1:] != slot[:-1]) + 1))
        counts = np.diff(np.append(starts, len(r)))
        client = side == 0
        place = np.repeat(np.arange(len(starts)), counts) * 2 + side
        sums = np.bincount(place, eaten, minlength=2 * len(starts)).astype(np.int64).reshape(-1, 2)
        table.next[group_slot] = np.where(base >= 0, (base + sums) & _MASK, -1)
        at = _before(np.where(client, length, 0), np.where(client, 0, length), client, starts, counts) + table.offset[slot, side]
        table.offset[group_slot] += np.bincount(place, length, minlength=2 * len(starts)).astype(np.int64).reshape(-1, 2)
        says = np.flatnonzero((length > 0) & (at + length > table.skip[slot, side]))
        if len(says):
            self._turns(packets, batch, r[says], slot[says], side[says], at[says], length[says])
        fin = np.flatnonzero((batch.flags[r] & FIN) != 0)
        if len(fin):
            table.fin[slot[fin], side[fin]] = True
            ended = np.unique(slot[fin])
            self._closed(ended[table.fin[ended].all(axis=1)])

    def _turns(self, packets: Packets, batch: _Sorted, r: Slots, slot: Slots, side: Column, at: Column, length: Column) -> None:
        """A turn is a run of in-order packets of one side of one flow: one join, one call.

        The first turns of each flow come first: most flows are encrypted, and after their handshake nobody wants the rest.
        """
        fresh = slot[1:] != slot[:-1]
        switch = fresh | (side[1:] != side[:-1]) | (at[1:] != at[:-1] + length[:-1])
        first = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(switch) + 1))
        counts = np.diff(np.append(first, len(r)))
        until = at[first + counts - 1] + length[first + counts - 1]
        row, which = slot[first], side[first]
        flows = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(row[1:] != row[:-1]) + 1))
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
            flow = flows[row] or self._flow(row)
            if flow.done or until <= flow.skip[side]:
                continue
            if count == 1:
                self._hand(flow, side, offset, bytes(buffer[lows[begin] : highs[begin]]), None, frames[begin:stop], times[begin:stop])
            elif until - offset <= MAX_TURN:
                data = b"".join([buffer[low:high] for low, high in zip(lows[begin:stop], highs[begin:stop], strict=True)])
                self._hand(flow, side, offset, data, sizes[begin:stop], frames[begin:stop], times[begin:stop])
            else:
                for i in range(begin, stop):
                    self._hand(flow, side, offset, bytes(buffer[lows[i] : highs[i]]), None, frames[i : i + 1], times[i : i + 1])
                    offset += sizes[i]

    @staticmethod
    def _hand(flow: Flow, side: int, offset: int, data: bytes, sizes: list[int] | None, frames: list[int], times: list[int]) -> None:
        """Give a flow the part of a turn that it has not asked to skip."""
        start, skip = offset, flow.skip[side]
        if skip > offset:
            data = data[skip - offset :]
            if not data:
                return
            offset = skip
        flow.feed(side, offset, data, (start, sizes, frames, times))

    def _flow(self, row: int) -> Flow:
        table = self.table
        flow = table.flow[row] = Flow(
            self.engine,
            row,
            int(table.server_port[row]),
            datagram=bool(table.protocol[row] == UDP),
            midstream=not table.anchored[row],
        )
        return flow

    def _closed(self, slots: Slots) -> None:
        """Both sides have said FIN: whatever was pending can be told now."""
        self.table.closed[slots] = True
        self.table.wanted[slots] = False
        for slot in slots.tolist():
            flow = self.table.flow[slot]
            if flow is not None:
                flow.close()

    # TCP out of order.

    def _make_slow(self, slot: int) -> tuple[Receiver, Receiver, list[int]]:
        found = self.receivers.get(slot)
        if found is None:
            table = self.table
            table.slow[slot] = True
            pair = [Receiver(int(table.next[slot, s]), int(table.offset[slot, s])) for s in (0, 1)]
            found = self.receivers[slot] = (pair[0], pair[1], [-1, -1])
        return found

    def _slow_groups(self, packets: Packets, batch: _Sorted, r: Slots, side: Column, starts: Slots, counts: Slots, group_slot: Slots, good: npt.NDArray[np.bool_]) -> None:
        for g in np.flatnonzero(~good).tolist():
            slot = int(group_slot[g])
            part = r[starts[g] : starts[g] + counts[g]]
            self._make_slow(slot)
            self._slow(slot, packets, batch.order[part], side[part].tolist())
            self._settle(slot)

    def _slow(self, slot: int, packets: Packets, which: Slots, sides: list[int]) -> None:
        columns = (packets.seq, packets.ack, packets.flags, packets.at, packets.size, packets.missing, packets.number, packets.time)
        buffer = memoryview(packets.buffer)
        rows = zip(which.tolist(), sides, *(c[which].tolist() for c in columns), strict=True)
        for index, side, seq, ack, flags, at, size, missing, frame, time in rows:
            if flags & RST:
                continue
            if flags & SYN:
                if not flags & ACK and self._again(slot, side, seq):
                    self._reopen(slot, packets, index, bool(self.table.client_direction[slot]) ^ bool(side))
                    self._make_slow(slot)
                    side = 0
                self.table.initial[slot, side] = seq
                seq = (seq + 1) & _MASK
            one, two, acked = self._make_slow(slot)
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
            flow = self.table.flow[slot] or self._flow(slot)
            if flow.done:
                continue
            if data:
                self._hand(flow, side, offset, data, None, [frame], [time])
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
            self._closed(np.array([slot]))

    def _expire_holes(self, now: int) -> None:
        for slot, (one, two, acked) in list(self.receivers.items()):
            for side, receiver in ((0, one), (1, two)):
                if receiver.pending:
                    self._pieces(slot, side, receiver.expire(acked[side] if acked[side] >= 0 else None, now))
            self._settle(slot)

    def _give_up(self, slot: int) -> None:
        """Deliver what is held with its holes as gaps."""
        found = self.receivers.pop(slot, None)
        if found is None:
            return
        self.table.slow[slot] = False
        for side, receiver in ((0, found[0]), (1, found[1])):
            while receiver.pending:
                self._pieces(slot, side, receiver.give_up())

    # Datagrams.

    def _datagrams(self, packets: Packets, batch: _Sorted, slot: Slots, side: Column) -> None:
        r = np.flatnonzero((batch.protocol == UDP) & (batch.size > 0) & self.table.wanted[slot])
        if not len(r):
            return
        table, order = self.table, batch.order[r]
        low = packets.at[order].tolist()
        buffer = memoryview(packets.buffer)
        rows = zip(slot[r].tolist(), side[r].tolist(), low, batch.size[r].tolist(), packets.number[order].tolist(), batch.time[r].tolist(), strict=True)
        flows, offsets = table.flow, table.offset
        for row, which, at, size, frame, time in rows:
            flow = flows[row] or self._flow(row)
            if flow.done:
                continue
            offset = int(offsets[row, which])
            offsets[row, which] = offset + size
            flow.feed(which, offset, bytes(buffer[at : at + size]), (offset, None, [frame], [time]))

    # Ends.

    def _sweep(self, now: int) -> None:
        """Every second of packet time, end what has been idle; at once when the table is over its bound."""
        table = self.table
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

    def _end(self, slots: Slots) -> None:
        for slot in slots[self.table.slow[slots]].tolist():
            self._give_up(slot)
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
        for slot, ended in zip(slots.tolist(), self.ended(slots), strict=True):
            flow = table.flow[slot]
            if flow is not None:
                flow.close()
            self.on_end(ended, flow)

    def ended_row(self, slot: int) -> Ended:
        """One row as plain numbers, while its flow goes on."""
        t = self.table
        ends = (int(t.client_high[slot]), int(t.client_low[slot]), int(t.server_high[slot]), int(t.server_low[slot]), int(t.client_port[slot]), int(t.server_port[slot]))
        path = self.paths.get(int(t.path[slot]), ())
        return Ended(slot, *ends, int(t.protocol[slot]), path, int(t.first[slot]), int(t.last[slot]), tuple(t.packets[slot].tolist()), tuple(t.bytes[slot].tolist()))

    def ended(self, slots: Slots) -> list[Ended]:
        """The rows as plain numbers."""
        table = self.table
        names = ("client_high", "client_low", "server_high", "server_low", "client_port", "server_port", "protocol", "path", "first", "last", "packets", "bytes")
        rows = zip(slots.tolist(), *(getattr(table, name)[slots].tolist() for name in names), strict=True)
        return [_ended(row, self.paths) for row in rows]


def _ignore(ended: Ended, flow: Flow | None) -> None:
    return None


def _ended(row: tuple[Any, ...], paths: dict[int, tuple[str, ...]]) -> Ended:
    path, first, last, packets, size = row[8:]
    return Ended(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], paths.get(path, ()), first, last, tuple(packets), tuple(size))


def _before(client: Column, server: Column, is_client: npt.NDArray[np.bool_], starts: Slots, counts: Slots) -> Column:
    """For each packet the sum of its own side's numbers over the earlier packets of its group."""
    out = np.empty_like(client)
    for values, mine in ((client, is_client), (server, ~is_client)):
        total = np.cumsum(values) - values
        np.copyto(out, total - np.repeat(total[starts], counts), where=mine)
    return out


def _bases(known: Column, seq: Column, is_client: npt.NDArray[np.bool_], starts: Slots) -> Column:
    """For each group and side the sequence number to start from: the known one, else its first packet's; else -1."""
    index = np.arange(len(seq))
    base = known.copy()
    for side, mine in ((0, is_client), (1, ~is_client)):
        first = np.minimum.reduceat(np.where(mine, index, len(seq)), starts)
        present = first < len(seq)
        unknown = (base[:, side] < 0) & present
        base[unknown, side] = seq[first[unknown]]
    return base
