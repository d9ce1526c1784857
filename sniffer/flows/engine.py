"""What every flow shares: the protocols to try, who takes which event, and what is counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sniffer.dissectors import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sniffer.dissectors import Spec
    from sniffer.events import Event
    from sniffer.flows.flow import Flow
    from sniffer.flows.table import Table


class Engine:
    """Hands events of flows to those who take them.

    ``publish(flow, event)`` is called for each event of a type in ``wanted``. With ``strict`` a bug in
    a dissector or detector is raised, as tests want it; otherwise it is counted in ``bugs`` by its place.
    """

    def __init__(self, table: Table, publish: Callable[[Flow, Event], None], wanted: Collection[type[Event]] = (), *, strict: bool = False, specs: tuple[Spec, ...] | None = None) -> None:
        self.table = table
        self.publish = publish
        self.wanted = frozenset(wanted)
        self.strict = strict
        self.live = 0  # flows with something held for them: a dissector, bytes to be probed, places of bytes
        self.anomalies: Counter[str] = Counter()
        self.bugs: Counter[str] = Counter()
        specs = tuple(registry().values()) if specs is None else specs
        self._stream = tuple(s for s in specs if s.stream)
        self._datagram = tuple(s for s in specs if s.datagram)
        self._ordered: dict[tuple[int, bool], tuple[Spec, ...]] = {}
        self.known_ports = {port for spec in specs for port in spec.ports}

    def candidates(self, port: int, datagram: bool, first: str = "") -> tuple[Spec, ...]:
        """All protocols over this transport, those that usually live on the port (or are named ``first``) in front."""
        specs = self._datagram if datagram else self._stream
        if first:
            return tuple(sorted(specs, key=lambda s: s.name != first))
        if port not in self.known_ports:
            return specs
        ordered = self._ordered.get((port, datagram))
        if ordered is None:
            ordered = self._ordered[port, datagram] = tuple(sorted(specs, key=lambda s: port not in s.ports))
        return ordered

    def hinted(self, row: int, datagram: bool) -> tuple[Spec, ...]:
        """The protocols that usually live on either port of a flow."""
        ports = {int(self.table.server_port[row]), int(self.table.client_port[row])}
        return tuple(s for s in self.candidates(0, datagram) if not ports.isdisjoint(s.ports))

    def skip(self, row: int, side: int, until: int) -> None:
        self.table.skip[row, side] = until

    def unwanted(self, row: int) -> None:
        self.table.wanted[row] = False

    def leave(self, flow: Flow) -> None:
        """A dissector needs no more of its flow: from here on its packets are counted as columns only."""
        flow.done = True
        self.unwanted(flow.row)

    def anomaly(self, spec: Spec | None, reason: str) -> None:
        self.anomalies[f"{spec.name if spec else 'unknown'}: {reason}"] += 1

    def bug(self, spec: Spec | None, error: Exception) -> None:
        """Ours, not the network's: counted by where it happened, never with the values it happened on."""
        if self.strict:
            raise error
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else "?"
        self.bugs[f"{spec.name if spec else 'unknown'}: {type(error).__name__} at {where}"] += 1
