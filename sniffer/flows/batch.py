"""A batch of packets in the order of its flows, and sums over their sides: columns only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sniffer.decode.packets import Packets
    from sniffer.flows.table import Slots

Column = npt.NDArray[np.int64]
FIN, SYN, RST, ACK = 1, 2, 4, 16
MASK = 0xFFFF_FFFF


class Batch:
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


def group_starts(values: Column) -> Slots:
    """Where each run of equal values begins."""
    return np.concatenate((np.zeros(1, np.int64), np.flatnonzero(values[1:] != values[:-1]) + 1))


def before(client: Column, server: Column, is_client: npt.NDArray[np.bool_], starts: Slots, counts: Slots) -> Column:
    """For each packet the sum of its own side's numbers over the earlier packets of its group."""
    out = np.empty_like(client)
    for values, mine in ((client, is_client), (server, ~is_client)):
        total = np.cumsum(values) - values
        np.copyto(out, total - np.repeat(total[starts], counts), where=mine)
    return out


def bases(known: Column, seq: Column, is_client: npt.NDArray[np.bool_], starts: Slots) -> Column:
    """For each group and side the sequence number to start from: the known one, else its first packet's; else -1."""
    index = np.arange(len(seq))
    base = known.copy()
    for side, mine in ((0, is_client), (1, ~is_client)):
        first = np.minimum.reduceat(np.where(mine, index, len(seq)), starts)
        present = first < len(seq)
        unknown = (base[:, side] < 0) & present
        base[unknown, side] = seq[first[unknown]]
    return base
