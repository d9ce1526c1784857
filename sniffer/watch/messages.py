"""What crosses between a worker and its parent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sniffer.capture.source import Counters
    from sniffer.session import Report
    from sniffer.watch.sources import SourcePlan

# From parent to worker: read no more, tell what is left, end.
STOP = b"S"


@dataclass(frozen=True, slots=True)
class Plan:
    """One worker's work."""

    number: int
    generation: int  # how many workers held this place before
    key: bytes = field(repr=False)  # for fingerprints
    sources: tuple[SourcePlan, ...]
    filter: str = ""  # an expression, for sources where the kernel does not filter
    strict: bool = False


@dataclass(slots=True)
class Link:
    """How a source stands. A ring's counters go on where those of the worker before stopped."""

    name: str
    counters: Counters
    opened: int  # packets counted when this worker opened it: what a dead one read and did not report lies before
    last: int  # the last packet's time, nanoseconds since the epoch; 0 before the first
    problem: str | None
    ended: bool
    fill: float = 0.0  # the ring's used share


@dataclass(slots=True)
class Message:
    """A worker's word: what it found since the last one, and how it stands."""

    number: int
    generation: int
    report: Report
    links: list[Link]
    step: int  # of shedding
    late: float  # seconds between the wire and us
    at: int  # when it was made (nanoseconds since the epoch): all that was read before is in it, or in one before it
    last: bool = False  # the worker has ended as it was told
    stood: tuple[tuple[int, int], ...] = ()  # from when to when (nanoseconds since the epoch) it read nothing because it was stopped
