"""The one place that wires the stages together: frames in, findings and a ledger out, with what was not seen."""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import detectors
from sniffer.capture import capture_set, open_capture
from sniffer.channels import Channel, Ended, Ledger
from sniffer.collect import Collector
from sniffer.decode import Decoder
from sniffer.errors import CaptureError
from sniffer.findings import Context, Finding
from sniffer.flows.engine import Engine
from sniffer.flows.table import Table
from sniffer.flows.tracker import Tracker
from sniffer.posture import posture_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sniffer.capture.frames import Frames, Reader
    from sniffer.dissectors import Spec
    from sniffer.events import Event
    from sniffer.findings import Candidate
    from sniffer.flows.flow import Flow


@dataclass(slots=True)
class Summary:
    """How much was read and what of it could not be: a report that says "nothing found" must say over how much."""

    frames: int = 0
    bytes: int = 0
    flows: int = 0
    attempts: int = 0
    sources: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    undecoded: Counter[str] = field(default_factory=Counter)
    fragments: Counter[str] = field(default_factory=Counter)
    reassembly: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)
    bugs: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    truncated: int = 0
    gaps: int = 0
    gap_bytes: int = 0
    one_sided: int = 0
    evicted: int = 0
    omitted: int = 0
    first: int = 0
    last: int = 0
    seconds: float = 0.0


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for reference cycles seldom: flows hold none, and the default looks every 700 objects cost a sixth of a scan."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Session:
    """Reads captures and keeps what was found.

    ``fingerprint_key`` is the installation's key for fingerprints. ``strict`` raises our own bugs, for tests.
    ``keep`` is asked of each decoded batch which packets to read (a capture filter). ``columns=False`` sends every
    packet down the slow path.
    """

    def __init__(self, fingerprint_key: bytes, *, strict: bool = False, keep: Callable[..., object] | None = None, columns: bool = True) -> None:
        self.ledger = Ledger()
        self.findings = Collector(fingerprint_key)
        self.decoder = Decoder()
        self.keep = keep
        self.summary = Summary()
        self.stages: Counter[str] = Counter()
        self._table = Table()
        self._engine = Engine(self._table, self._publish, strict=strict)
        self._tracker = Tracker(self._table, self._engine, columns=columns)
        self._tracker.on_end = self._end
        self._tracker.paths = self.decoder.paths
        self._channels: list[Channel] | None = None
        self._contexts: dict[str, Context] = {}
        self._looks: dict[type, list[Callable[..., Iterable[Candidate]]]] = {}
        for detector in detectors.registry():
            self._looks.setdefault(detector.on, []).append(detector.look)

    def scan(self, paths: Iterable[str], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures by name as one ordered set. What cannot be read is named in ``summary.problems``; CaptureError
        if that is all there is.
        """
        names = capture_set(list(paths))
        errors: list[CaptureError] = []

        def readers() -> Iterator[Reader]:
            for name in names:
                try:
                    yield open_capture(name)
                except CaptureError as error:
                    errors.append(error)

        self.run(readers(), progress)
        if errors and len(errors) == len(names):
            raise errors[0]
        self.summary.problems.extend(map(str, errors))

    def run(self, readers: Iterable[Reader], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures one after the other; flows that cross from one into the next stay whole."""
        start = time.perf_counter()
        with _rare_collections():
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
        self._tracker.feed(packets)
        self.stages["decode"] += decoded - before  # type: ignore[assignment]
        self.stages["flows, dissectors, detectors"] += time.perf_counter() - decoded  # type: ignore[assignment]

    def finish(self) -> None:
        """The end of the capture: pending logins, the ledger's verdicts, the counters."""
        self.decoder.flush()
        self._tracker.finish()
        self._channels = self.ledger.channels()
        for channel in self._channels:
            for candidate in posture_candidates(channel):
                self.findings.add(candidate, channel, channel.protocol, 0, None, channel.last, self._tracker.source, self._remedies.get(channel.protocol, ""))
        summary, tracker = self.summary, self._tracker
        summary.flows, summary.attempts = tracker.flows, self.ledger.attempts
        summary.undecoded, summary.fragments = self.decoder.undecoded, self.decoder.fragments
        summary.reassembly, summary.anomalies, summary.bugs = tracker.seen, self._engine.anomalies, self._engine.bugs
        summary.truncated, summary.gaps, summary.gap_bytes = tracker.truncated, tracker.gaps, tracker.gap_bytes
        summary.evicted, summary.omitted = tracker.evicted, self.ledger.omitted + self.findings.omitted
        summary.one_sided = sum(c.one_sided for c in self._channels)

    @property
    def channels(self) -> list[Channel]:
        """The ledger as it stands; after ``finish`` it does not change any more and is made once."""
        return self._channels if self._channels is not None else self.ledger.channels()

    @property
    def _remedies(self) -> dict[str, str]:
        return {name: context.remedy for name, context in self._contexts.items()}

    def _publish(self, flow: Flow, event: Event) -> None:
        looks = self._looks.get(type(event))
        if not looks:
            return
        spec = flow.spec
        if spec is None or (spec.encrypted and flow.carrier is not None):
            spec = flow.carrier
        if spec is None:
            return
        context = self._context(spec)
        for look in looks:
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
        if flow is None:
            self.ledger.end(ended, None, None)
            return
        spec = flow.carrier or flow.spec
        if spec is not None:
            self._context(spec)
        self.ledger.end(ended, spec, flow.facts, flipped=bool(flow.flip))
