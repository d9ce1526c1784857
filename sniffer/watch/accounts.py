"""What was read and what was lost, link by link, from the words of all workers; and when a word of it is an alert."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sniffer.capture.source import Counters
from sniffer.session import Report
from sniffer.state import Interval
from sniffer.summary import Summary
from sniffer.watch.recorder import Said
from sniffer.watch.shedding import STEPS
from sniffer.watch.status import LinkStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.metrics import Metrics
    from sniffer.watch.messages import Link, Message
    from sniffer.watch.sources import SourcePlan
    from sniffer.watch.status import Status

# Rates are over so long (seconds): steady enough to read, fresh enough to see a change.
RATE_OVER = 2.0
_FOREVER = 1 << 62


@dataclass(slots=True)
class _Part:
    """One worker's share of a link."""

    generation: int = 0
    before: Counters = field(default_factory=Counters)  # counted by workers whose source was another than the one that is open
    packets: int = 0
    bytes: int = 0
    dropped: int = 0
    lost: int = 0  # read by workers that died before they reported it
    problem: str | None = None
    ended: bool = False


@dataclass(slots=True)
class _Rate:
    """The counts at the last look."""

    at: float
    packets: int = 0
    bits: int = 0
    dropped: int = 0
    parts: dict[int, _Part] = field(default_factory=dict)
    heard: int = 0  # when it last spoke: monotonic nanoseconds, since the clock may be set


class Accounts:
    """Keeps ``status`` and the metrics of capture up to date."""

    def __init__(self, sources: Sequence[SourcePlan], workers: int, status: Status, metrics: Metrics) -> None:
        self._status, self._metrics = status, metrics
        now, clock = time.monotonic(), time.time_ns()
        self._live = {source.name for source in sources if source.live}
        self._links = {source.name: _Rate(now, heard=time.monotonic_ns()) for source in sources}
        self._steps: dict[int, tuple[int, float]] = {}
        self._active: dict[int, int] = {}
        self._at: dict[int, int] = dict.fromkeys(range(workers), clock)  # when each worker made its last report
        self._unread: list[Interval] = []
        self._stood = 0  # up to when a standstill is on record
        self._restarts = self._told_restarts = 0
        for name in self._links:
            status.links[name] = LinkStatus(name)
            metrics.link(name, up=True)

    def take(self, message: Message) -> None:
        """Count a worker's word."""
        for link in message.links:
            self._link(message, link)
        report, status = message.report, self._status
        first, *others = message.links
        self._metrics.observe(report, first.name, worker=message.number)
        for link in others:
            # What is not of one link is counted once; these have a last packet of their own.
            self._metrics.observe(Report([], [], Summary(last=link.last), {}, 0), link.name, worker=message.number)
        for what, count in report.summary.shed.items():
            self._metrics.shed(what, count)
        status.total.add(report.summary)
        self._active[message.number] = 0 if message.last else report.active
        self._at[message.number] = _FOREVER if message.last else message.at
        status.active = sum(self._active.values())
        self._steps[message.number] = (message.step, message.late)
        status.step = max(step for step, _ in self._steps.values())
        status.late = max(late for _, late in self._steps.values())

    def _link(self, message: Message, link: Link) -> None:
        rate = self._links[link.name]
        part = rate.parts.setdefault(message.number, _Part())
        now = link.counters
        if message.generation != part.generation:
            part.generation = message.generation
            if link.opened < part.packets - part.before.packets:
                # Not a ring, whose counters go on, but a source that was opened anew.
                part.before = Counters(part.packets, part.bytes, part.dropped)
            lost = max(0, part.before.packets + link.opened - part.packets)
            part.lost += lost
            self._metrics.lost(link.name, "worker", lost)
        packets = part.before.packets + now.packets
        if packets > part.packets:
            rate.heard = time.monotonic_ns()
        part.packets, part.bytes, part.dropped = packets, part.before.bytes + now.bytes, part.before.dropped + now.dropped
        part.problem, part.ended = link.problem, link.ended
        # What was lost with a worker had been read, though nothing came of it: it is counted once, as lost.
        self._metrics.capture(link.name, part.packets - part.lost, part.bytes, part.dropped, worker=message.number)
        shown = self._status.links[link.name]
        shown.last = max(shown.last, link.last)

    def stood(self, message: Message) -> list[Interval]:
        """When a worker did not read because it was stopped, for the record. What stops all of them is told by each and recorded once."""
        found = []
        for start, until in message.stood:
            start, self._stood = max(start, self._stood), max(until, self._stood)
            if until > start:
                found.append(Interval(start, until, f"worker {message.number} stood still"))
        self._unread += found
        return found

    def slept(self, start: int, until: int) -> None:
        """The machine slept, and nothing was read (nanoseconds since the epoch)."""
        self._unread.append(Interval(start, until, "machine slept"))

    def forgive(self, nanoseconds: int) -> None:
        """For so long nobody listened: that makes no link silent."""
        for rate in self._links.values():
            rate.heard += nanoseconds

    def omitted(self, count: int) -> None:
        """Findings and channels that the parent had no room for."""
        if count > 0:
            self._status.total.omitted += count
            self._metrics.observe(Report([], [], Summary(omitted=count), {}, 0), next(iter(self._links)), worker=-1)

    def died(self, number: int) -> None:
        """A worker is gone, and its flows with it."""
        now = time.time_ns()
        self._unread.append(Interval(min(self._at[number], now), now, f"worker {number} died"))
        self._at[number] = now  # what comes from here on waits in the ring for the next
        self._active.pop(number, None)
        self._steps.pop(number, None)
        for name in self._links:
            self._metrics.ended(name, worker=number)
        self._status.active = sum(self._active.values())

    def tick(self, workers: int, restarts: int, silent_minutes: int = 0) -> None:
        """Bring sums and rates up to date. A link is called silent after so many minutes; 0 for never."""
        now, heard = time.monotonic(), self._live_ages()
        for name, rate in self._links.items():
            shown = self._status.links[name]
            parts = list(rate.parts.values())
            shown.lost = sum(part.lost for part in parts)
            shown.packets = sum(part.packets for part in parts) - shown.lost
            shown.bytes = sum(part.bytes for part in parts)
            shown.dropped = sum(part.dropped for part in parts)
            shown.problem = next((part.problem for part in parts if part.problem), None)
            shown.up = shown.problem is None and not _over(rate)
            self._metrics.link(name, up=shown.up)
            shown.silent = 0 < silent_minutes * 60_000_000_000 <= heard.get(name, 0)
            if now - rate.at >= RATE_OVER:
                shown.packet_rate = (shown.packets - rate.packets) / (now - rate.at)
                shown.bit_rate = (shown.bytes * 8 - rate.bits) / (now - rate.at)
                rate.at, rate.packets, rate.bits = now, shown.packets, shown.bytes * 8
        self._status.workers, self._status.restarts = workers, restarts
        self._restarts = restarts
        self._metrics.workers(workers, restarts)

    def heard(self) -> dict[str, int]:
        """When each link that is to speak last did, by the clock (nanoseconds since the epoch)."""
        clock = time.time_ns()
        return {name: clock - age for name, age in self._live_ages().items()}

    def _live_ages(self) -> dict[str, int]:
        """For how long (nanoseconds) each link that is to speak has not."""
        now = time.monotonic_ns()
        return {name: now - rate.heard for name, rate in self._links.items() if name in self._live and not _over(rate)}

    def watched(self) -> int:
        """The time (nanoseconds since the epoch) up to which everything that was read has been reported."""
        return min(self._at.values(), default=time.time_ns())

    def unread(self) -> list[Interval]:
        """Times whose packets were read and not reported, since the last call."""
        unread, self._unread = self._unread, []
        return unread

    def conditions(self) -> list[Said]:
        """What has come up since the last time."""
        said = []
        for name, rate in self._links.items():
            dropped = self._status.links[name].dropped
            if dropped > rate.dropped:
                said.append(Said("capture/dropping", name, True, f"{name}, {dropped - rate.dropped:,} packets", dropped - rate.dropped))
            rate.dropped = dropped
        if self._status.step:
            said.append(Said("capture/shedding", "all", True, STEPS[self._status.step]))
        if self._restarts > self._told_restarts:
            count = self._restarts - self._told_restarts
            said.append(Said("capture/worker-restarted", "all", True, f"{count} of {self._status.workers}", count))
            self._told_restarts = self._restarts
        return said


def _over(rate: _Rate) -> bool:
    return bool(rate.parts) and all(part.ended for part in rate.parts.values())
