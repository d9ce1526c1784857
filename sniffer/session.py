"""The one place that wires the stages together: frames in, findings and a ledger out, with what was not seen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import detectors
from sniffer.capture import capture_set, open_capture
from sniffer.channels import IN_ORDER, Channel, Ended, Ledger, Told
from sniffer.collect import Collector
from sniffer.cycles import rare_collections
from sniffer.decode import Decoder
from sniffer.dissectors import registry
from sniffer.errors import CaptureError
from sniffer.findings import Context, Finding
from sniffer.flows.engine import Engine
from sniffer.flows.table import Table
from sniffer.flows.tracker import Tracker
from sniffer.posture import posture_candidates
from sniffer.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sniffer.capture.frames import Frames, Reader
    from sniffer.decode.packets import Packets
    from sniffer.dissectors import Spec
    from sniffer.events import Event
    from sniffer.findings import Candidate
    from sniffer.flows.flow import Flow
    from sniffer.team import Team

    Digest = Callable[[list[Finding], list[Channel]], Any]


# The stages that are timed.
DECODE, FLOWS = "decode", "flows, dissectors, detectors"
# How often the ledger hears of a flow that goes on, in nanoseconds of packet time: pooled connections live for weeks.
ONGOING_EVERY = 30_000_000_000


@dataclass(slots=True)
class Share:
    """What one process found of a capture. Where there is a ``digest``, it stands for findings and channels."""

    findings: list[Finding]
    channels: list[Channel]
    summary: Summary
    digest: Any = None


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


class Session:
    """Reads captures and keeps what was found.

    ``fingerprint_key`` is the installation's key for fingerprints. ``strict`` raises our own bugs, for tests.
    ``keep`` is asked of each decoded batch which packets to read (a capture filter). ``columns=False`` sends every
    packet down the slow path. With ``jobs`` over 1 so many processes share the work, from the construction on; if
    ``digest`` is given, each makes that of its findings and channels (whole lines to be printed, say), and after ``finish``
    there are ``digests`` instead of the others' findings and channels.
    """

    def __init__(self, fingerprint_key: bytes, *, strict: bool = False, keep: Callable[..., object] | None = None, columns: bool = True, jobs: int = 1, digest: Digest | None = None) -> None:
        self.ledger = Ledger()
        self.findings = Collector(fingerprint_key)
        self.decoder = Decoder()
        self.keep = keep
        self.summary = Summary()
        self.stages = {DECODE: 0.0, FLOWS: 0.0}
        self._looks: dict[type, list[Callable[..., Iterable[Candidate]]]] = {}
        for detector in detectors.registry():
            self._looks.setdefault(detector.on, []).append(detector.look)
        self._table = Table()
        self._engine = Engine(self._table, self._publish, self._looks, strict=strict)
        self._tracker = Tracker(self._table, self._engine, columns=columns)
        self._tracker.on_end = self._end
        self._tracker.paths = self.decoder.paths
        self._channels: list[Channel] | None = None
        self.digests: list[Any] = []
        self._digest = digest
        self._told: dict[int, Told] = {}  # by row of the flow table: flows that went on when the ledger last asked
        self._reported = Summary()
        self._last_stages = self.stages.copy()
        self._contexts: dict[str, Context] = {}
        self._team: Team | None = None
        if jobs > 1:
            from sniffer.team import Team

            detectors.prepare()
            self._team = Team(jobs, lambda: Session(fingerprint_key, strict=strict, columns=columns, digest=digest))

    def scan(self, paths: Iterable[str], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures by name as one ordered set. What cannot be read is named in ``summary.problems``; CaptureError
        if that is all there is.
        """
        names = capture_set(list(paths))
        errors: list[CaptureError] = []

        def readers() -> Iterator[Reader]:
            for name in names:
                try:
                    yield open_capture(name, self._team.buffer if self._team else None)
                except CaptureError as error:
                    errors.append(error)

        try:
            self.run(readers(), progress)
        finally:
            if self._team is not None:
                self._team.close()
        if errors and len(errors) == len(names):
            raise errors[0]
        self.summary.problems.extend(map(str, errors))

    def run(self, readers: Iterable[Reader], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures one after the other; flows that cross from one into the next stay whole."""
        start = time.perf_counter()
        with rare_collections():
            for reader in readers:
                self.summary.sources.append(reader.name)
                for frames in reader.batches():
                    self.feed(frames)
                    if progress is not None:
                        progress(reader)
                if reader.problem:
                    self.summary.problems.append(reader.problem)
            self.finish()
        self.summary.seconds = time.perf_counter() - start

    def feed(self, frames: Frames) -> None:
        """Take one batch through all stages."""
        if not len(frames):
            return
        summary = self.summary
        summary.frames += len(frames)
        summary.bytes += int(frames.size.sum())
        first, last = int(frames.time.min()), int(frames.time.max())
        summary.first = min(summary.first or first, first)
        summary.last = max(summary.last, last)
        before = time.perf_counter()
        packets = self.decoder.decode(frames)
        if self.keep is not None:
            packets = self.keep(packets)  # type: ignore[assignment]
        decoded = time.perf_counter()
        now = int(packets.time[-1]) if len(packets) else last
        if self._team is not None:
            packets = self._team.share(packets, self.decoder.paths)
        self._tracker.feed(packets, now)
        self.stages[DECODE] += decoded - before
        self.stages[FLOWS] += time.perf_counter() - decoded

    def follow(self, packets: Packets, paths: dict[int, tuple[str, ...]], now: int) -> None:
        """Take packets that another process decoded, up to the time ``now``; ``paths`` names encapsulations new in them."""
        self.decoder.paths.update(paths)
        self._tracker.feed(packets, now)

    def tick(self, now: int) -> None:
        """Time goes on (nanoseconds since the epoch) though no frame comes: idle flows end, holes are given up."""
        self._tracker.tick(now)

    def end(self) -> None:
        """No more frames: every flow ends and what is pending is told."""
        self.decoder.flush()
        self._tracker.finish()

    def finish(self) -> None:
        """The end of the capture: what this process found, and the others."""
        if self._team is not None:
            self._team.end()
        own = self.conclude()
        self._channels, self.digests = own.channels, [own.digest] if own.digest is not None else []
        if self._team is None:
            return
        others = self._team.finish()
        for share in others:
            self.findings.absorb(share.findings)
            self._channels += share.channels
            self.summary.add(share.summary)
            if share.digest is not None:
                self.digests.append(share.digest)
        self._channels.sort(key=IN_ORDER)
        if self._team.lost or len(others) < self._team.size - 1:
            self.summary.problems.append("a worker process was ended from outside: what it had read is lost")

    def conclude(self) -> Share:
        """The end of what this process reads: pending logins, the ledger's verdicts and what it finds itself, the counters.

        No pair of hosts is another's, so all of this is final.
        """
        self.end()
        self._count()
        channels, summary = self.ledger.channels(), self.summary
        for channel in channels:
            for candidate in posture_candidates(channel):
                self.findings.add(candidate, channel, channel.protocol, 0, None, channel.last, self._tracker.source, remedy(channel.protocol))
        findings = list(self.findings)
        summary.one_sided = sum(c.one_sided for c in channels)
        summary.omitted = self.ledger.omitted + self.findings.omitted
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
        self.summary.omitted = self.ledger.omitted + self.findings.omitted
        self.summary.one_sided += sum(c.one_sided for c in channels)
        fresh = self.summary.since(self._reported)
        self._reported = self.summary.copy()
        stages = {name: seconds - self._last_stages[name] for name, seconds in self.stages.items()}
        self._last_stages = self.stages.copy()
        return Report(self.findings.take(), channels, fresh, stages, len(self._table))

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
                self._found(flow, spec, context, candidate)

    def _context(self, spec: Spec) -> Context:
        context = self._contexts.get(spec.name)
        if context is None:
            context = self._contexts[spec.name] = Context(spec.name, spec.title, spec.tier, spec.remedy)
        return context

    def _found(self, flow: Flow, spec: Spec, context: Context, candidate: Candidate) -> Finding | None:
        ended = self._tracker.ended_row(flow.row)
        channel = self.ledger.row(ended, flow.carrier or spec, flipped=bool(flow.flip))
        if channel is None:
            return None
        frame, when = flow.place(candidate.span)
        port = ended.server_port if flow.flip else ended.client_port
        return self.findings.add(candidate, channel, spec.name, port, frame, when, self._tracker.source, context.remedy)

    def _end(self, ended: Ended, flow: Flow | None) -> None:
        self._tell(self.ledger.end, ended, flow, self._told.pop(ended.row, None))

    @staticmethod
    def _tell(count: Callable[..., Told | None], ended: Ended, flow: Flow | None, told: Told | None) -> Told | None:
        if flow is None:
            return count(ended, None, None, told=told)
        return count(ended, flow.carrier or flow.spec, flow.facts, flipped=bool(flow.flip), told=told)
