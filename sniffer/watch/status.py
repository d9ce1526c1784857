"""How the watch stands, for people: what the console, the log and systemd are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sniffer.summary import Summary

if TYPE_CHECKING:
    from sniffer.findings import Finding, Severity


@dataclass(slots=True)
class LinkStatus:
    """One source, all workers together. Packets and bytes since the start; rates over the last seconds."""

    name: str
    up: bool = True
    packets: int = 0
    bytes: int = 0
    dropped: int = 0  # by the kernel
    lost: int = 0  # with a worker that died
    last: int = 0  # nanoseconds since the epoch
    packet_rate: float = 0.0  # a second
    bit_rate: float = 0.0
    problem: str | None = None
    silent: bool = False


@dataclass(slots=True)
class SinkStatus:
    """One receiver."""

    name: str
    queued: int = 0
    sent: int = 0
    lost: int = 0
    error: str = ""


@dataclass(slots=True)
class Shown:
    """A finding as it is shown: never the value."""

    finding: Finding
    severity: Severity
    suppressed: bool = False


@dataclass(slots=True)
class Status:
    """Everything at one moment."""

    started: float = 0.0  # seconds since the epoch
    links: dict[str, LinkStatus] = field(default_factory=dict)
    workers: int = 0
    restarts: int = 0
    step: int = 0  # of shedding
    late: float = 0.0  # seconds behind the wire
    total: Summary = field(default_factory=Summary)
    active: int = 0  # flows
    findings: Counter[str] = field(default_factory=Counter)  # new ones by severity
    channels: Counter[str] = field(default_factory=Counter)  # by verdict
    alerts: int = 0  # firing
    sinks: list[SinkStatus] = field(default_factory=list)
    unwatched: float = 0.0  # seconds before this start
    backlog: int = 0  # findings that could not be recorded yet
    trouble: str = ""  # why not

    @property
    def dropped(self) -> int:
        return sum(link.dropped + link.lost for link in self.links.values())

    def line(self) -> str:
        """One line: what it reads and what it lost."""
        rate = sum(link.packet_rate for link in self.links.values())
        found = ", ".join(f"{count} {name}" for name, count in self.findings.items() if count) or "none"
        return f"{rate:,.0f} packets/s, {self.dropped:,} lost, {self.active:,} flows, findings: {found}, {self.alerts:,} alerts firing"
