"""Rows of the flow table in plain numbers, as the ledger takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.channels import Ended

if TYPE_CHECKING:
    from typing import Any

    from sniffer.flows.table import Slots, Table

Paths = dict[int, tuple[str, ...]]
_NAMES = ("client_high", "client_low", "server_high", "server_low", "client_port", "server_port", "protocol", "path", "first", "last", "packets", "bytes")


def ended_row(table: Table, paths: Paths, slot: int) -> Ended:
    """One row: column by column is cheaper than a selection of one."""
    t = table
    ends = (int(t.client_high[slot]), int(t.client_low[slot]), int(t.server_high[slot]), int(t.server_low[slot]), int(t.client_port[slot]), int(t.server_port[slot]))
    path = paths.get(int(t.path[slot]), ())
    return Ended(slot, *ends, int(t.protocol[slot]), path, int(t.first[slot]), int(t.last[slot]), tuple(t.packets[slot].tolist()), tuple(t.bytes[slot].tolist()))


def ended(table: Table, paths: Paths, slots: Slots) -> list[Ended]:
    """Many rows at once."""
    rows = zip(slots.tolist(), *(getattr(table, name)[slots].tolist() for name in _NAMES), strict=True)
    return [_ended(row, paths) for row in rows]


def _ended(row: tuple[Any, ...], paths: Paths) -> Ended:
    path, first, last, packets, size = row[8:]
    return Ended(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], paths.get(path, ()), first, last, tuple(packets), tuple(size))
