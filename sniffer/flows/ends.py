"""Rows of the flow table in plain numbers, as the ledger takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.channels import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sniffer.flows.table import Slots, Table

Paths = dict[int, tuple[str, ...]]
_NAMES = ("client_high", "client_low", "server_high", "server_low", "client_port", "server_port", "protocol")


def ended_row(table: Table, paths: Paths, slot: int) -> Ended:
    """One row: column by column is cheaper than a selection of one."""
    t = table
    ends = (int(t.client_high[slot]), int(t.client_low[slot]), int(t.server_high[slot]), int(t.server_low[slot]), int(t.client_port[slot]), int(t.server_port[slot]))
    path = paths.get(int(t.path[slot]), ())
    return Ended(slot, *ends, int(t.protocol[slot]), path, int(t.first[slot]), int(t.last[slot]), tuple(t.packets[slot].tolist()), tuple(t.bytes[slot].tolist()))


def ended(table: Table, paths: Paths, slots: Slots) -> list[Ended]:
    """Many rows at once."""
    columns: list[Iterable[Any]] = [slots.tolist(), *(getattr(table, name)[slots].tolist() for name in _NAMES)]
    columns.append([paths.get(path, ()) for path in table.path[slots].tolist()])
    columns += [table.first[slots].tolist(), table.last[slots].tolist()]
    columns += [zip(*column[slots].T.tolist(), strict=True) for column in (table.packets, table.bytes)]
    return list(map(Ended._make, zip(*columns, strict=True)))
