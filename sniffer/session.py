"""One process that reads: wires the stages together, frames in, findings and a ledger out, with what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import detectors
from sniffer.channels import Channel, Ended, Ledger, Told
from sniffer.collect import Collector
from sniffer.dissectors import registry
from sniffer.findings import Context, Finding
from sniffer.flows.engine import Engine
from sniffer.flows.table import Table
from sniffer.flows.tracker import Tracker
from sniffer.posture import posture_candidates
from sniffer.reading import Reading, Share
from sniffer.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sniffer.decode.packets import Packets
    from sniffer.dissectors import Spec
    from sniffer.events import Event
    from sniffer.findings import Candidate
    from sniffer.flows.flow import Flow
    from sniffer.reading import Digest


# How often the ledger hears of a flow that goes on, in nanoseconds of packet time: pooled connections live for weeks.
ONGOING_EVERY = 30_000_000_000


def remedy(protocol: str) -> str:
    """What a protocol's own file says is to be done about cleartext."""
    spec = registry().get(protocol)
    return spec.remedy if spec else ""


@dataclass(slots=True)
class Report:
    """What a session found since its last report. Channels hold only what was added: the ledger that takes them merges."""

    findings: list[Finding]
    channels: list[Channel]
    summary: Summary
    stages: dict[str, float]  # seconds by stage
    active: int  # flows in the table


class Session(Reading):
    """Reads captures, or follows what another process decodes, and keeps what was found.

    ``fingerprint_key`` is the installation's key for fingerprints. ``strict`` raises our own bugs, for tests.
    ``columns=False`` sends every packet down the slow path. For ``keep`` and ``digest`` see Reading.
    """

    def __init__(self, fingerprint_key: bytes, *, strict: bool = False, keep: Callable[..., object] | None = None, columns: bool = True, digest: Digest | None = None) -> None:
        super().__init__(keep, digest)
        self.ledger = Ledger()
        self._found = Collector(fingerprint_key)
        self._looks: dict[type, list[Callable[..., Iterable[Candidate]]]] = {}
        for detector in detectors.registry():
            self._looks.setdefault(detector.on, []).append(detector.look)
        self._table = Table()
        self._engine = Engine(self._table, self._publish, self._looks, strict=strict)
        self._tracker = Tracker(self._table, self._engine, columns=columns)
        self._tracker.on_end = self._end
        self._tracker.paths = self.decoder.paths
        self._channels: list[Channel] | None = None
        self._told: dict[int, Told] = {}  # by row of the flow table: flows that went on when the ledger last asked
        self._reported = Summary()
        self._last_stages = self.stages.copy()
        self._contexts: dict[str, Context] = {}

    @property
    def findings(self) -> Collector:
        return self._found

    def follow(self, packets: Packets, paths: dict[int, tuple[str, ...]], now: int) -> None:
        if paths is not self._tracker.paths:
            self._tracker.paths.update(paths)
        self._tracker.feed(packets, now)

    def tick(self, now: int) -> None:
        """Time goes on (nanoseconds since the epoch) though no frame comes: idle flows end, holes are given up."""
        self._tracker.tick(now)

    def end(self) -> None:
        """No more frames: every flow ends and what is pending is told."""
        self.decoder.flush()
        self._tracker.finish()

    def finish(self) -> None:
        own = self.conclude()
        self._channels, self.digests = own.channels, [own.digest] if own.digest is not None else []

    def conclude(self) -> Share:
        """The end of what this process reads: pending logins, the ledger's verdicts and what it finds itself, the counters.

        No pair of hosts is another's, so all of this is final.
        """
        self.end()
        self._count()
        channels, summary = self.ledger.channels(), self.summary
        for channel in channels:
            for candidate in posture_candidates(channel):
                self._found.add(candidate, channel, channel.protocol, 0, None, channel.last, self._tracker.source, remedy(channel.protocol))
        findings = list(self._found)
        summary.one_sided = sum(c.one_sided for c in channels)
        summary.omitted = self.ledger.omitted + self._found.omitted
        summary.severities.update(str(found.severity) for found in findings)
        summary.verdicts.update(channel.encryption.value for channel in channels)
        if self._digest is None:
            return Share(findings, channels, summary)
        return Share([], [], summary, self._digest(findings, channels))

    def _count(self) -> None:
        """Bring the summary up to date."""
        summary, tracker = self.summary, self._tracker
        summary.flows, summary.attempts = tracker.flows, tracker.attempts
        summary.undecoded, summary.fragments = self.decoder.undecoded, self.decoder.fragments
        summary.reassembly, summary.anomalies, summary.bugs = tracker.slow.seen, self._engine.anomalies, self._engine.bugs
        summary.truncated, summary.gaps, summary.gap_bytes = tracker.truncated, tracker.slow.gaps, tracker.slow.gap_bytes
        summary.evicted = tracker.evicted

    def report(self, now: int) -> Report:
        """What has come up since the last report, flows that go on included; the session keeps only its flows.

        ``now`` is packet time in nanoseconds. What the ledger itself finds (``posture``) is for whoever merges reports.
        """
        for ended, flow in self._tracker.ongoing(ONGOING_EVERY, now):
            told = self._tell(self.ledger.goes_on, ended, flow, self._told.get(ended.row))
            if told is not None:
                self._told[ended.row] = told
        channels = self.ledger.take()
        self._count()
        self.summary.omitted = self.ledger.omitted + self._found.omitted
        self.summary.one_sided += sum(c.one_sided for c in channels)
        fresh = self.summary.since(self._reported)
        self._reported = self.summary.copy()
        stages = {name: seconds - self._last_stages[name] for name, seconds in self.stages.items()}
        self._last_stages = self.stages.copy()
        return Report(self._found.take(), channels, fresh, stages, len(self._table))

    @property
    def channels(self) -> list[Channel]:
        """The ledger as it stands; after ``finish`` it does not change any more and is made once."""
        return self._channels if self._channels is not None else self.ledger.channels()

    def _publish(self, flow: Flow, event: Event) -> None:
        spec = flow.spec
        if spec is None or (spec.encrypted and flow.carrier is not None):
            spec = flow.carrier
        if spec is None:
            return
        context = self._contexts.get(spec.name) or self._context(spec)
        for look in self._looks[type(event)]:
            for candidate in look(event, context):
                self._take(flow, spec, context, candidate)

    def _context(self, spec: Spec) -> Context:
        context = self._contexts.get(spec.name)
        if context is None:
            context = self._contexts[spec.name] = Context(spec.name, spec.title, spec.tier, spec.remedy)
        return context

    def _take(self, flow: Flow, spec: Spec, context: Context, candidate: Candidate) -> Finding | None:
        ended = self._tracker.ended_row(flow.row)
        channel = self.ledger.row(ended, flow.carrier or spec, flipped=bool(flow.flip))
        if channel is None:
            return None
        frame, when = flow.place(candidate.span)
        port = ended.server_port if flow.flip else ended.client_port
        return self._found.add(candidate, channel, spec.name, port, frame, when, self._tracker.source, context.remedy)

    def _end(self, ended: Ended, flow: Flow | None) -> None:
        self._tell(self.ledger.end, ended, flow, self._told.pop(ended.row, None))

    @staticmethod
    def _tell(count: Callable[..., Told | None], ended: Ended, flow: Flow | None, told: Told | None) -> Told | None:
        if flow is None:
            return count(ended, None, None, told=told)
        return count(ended, flow.carrier or flow.spec, flow.facts, flipped=bool(flow.flip), told=told)
