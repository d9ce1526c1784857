"""The metrics as numbers behind one lock: fed by the watcher, copied by a scrape, rendered outside (docs/metrics.md)."""

from __future__ import annotations

import threading
import time
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from sniffer.metrics import catalogue as names
from sniffer.metrics.cumulative import Cumulative
from sniffer.metrics.exposition import Exposition
from sniffer.metrics.inventory import Inventory
from sniffer.metrics.series import INTERFACE, SINK, Series, Snapshot
from sniffer.reading import DECODE, FLOWS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from typing import Protocol

    from sniffer.channels import Channel
    from sniffer.session import Report

    class SinkStats(Protocol):
        """What is read of a sink's statistics; counts are totals, ``last_success`` is nanoseconds since the epoch."""

        @property
        def queued(self) -> int: ...
        @property
        def queued_bytes(self) -> int: ...
        @property
        def sent(self) -> int: ...
        @property
        def failures(self) -> int: ...
        @property
        def lost(self) -> int: ...
        @property
        def last_success(self) -> int | None: ...


# Channels taken under one hold of the lock, about 5 ms: a scrape waits no longer when a large state is loaded.
_CHUNK = 500
_STAGES = {DECODE: "decode", FLOWS: "flows"}
# Counters of a report's summary that have no labels.
_SUMMARY = {
    "truncated": "capture_truncated_packets", "flows": "flows", "evicted": "flows_evicted", "one_sided": "flows_one_sided", "gaps": "flow_gaps",
    "gap_bytes": "flow_gap_bytes", "attempts": "connection_attempts", "omitted": "omitted",
}  # fmt: skip


class Metrics:
    """All metrics of one watcher, each series with a closed label set at 0 from the start.

    ``interfaces`` and ``sinks`` are the configured names; ``severities`` the (rule glob, severity) pairs a policy sets.
    ``top`` bounds the servers listed. All methods may be called from any thread and return at once.
    """

    def __init__(
        self, interfaces: Iterable[str] = (), sinks: Iterable[str] = (), *,
        top: int = 200, severities: Iterable[tuple[str, str]] = (), clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._lock = threading.Lock()
        self._top = top
        self._inventory = Inventory()
        self._totals = Cumulative()
        self._active: dict[Hashable, int] = {}
        self._series = Series()
        self.exposition = Exposition(self.snapshot)  # has the registry that Prometheus' library collects from
        self._series.at("build_info")[(_version(),)] = 1
        self._series.at("start_time_seconds")[()] = clock()
        self._series.at("endpoint_config_last_reload_successful")[()] = 1
        self.may_have(severities)
        for name in interfaces:
            self._series.named(name, INTERFACE)
        for name in sinks:
            self._series.named(name, SINK)

    def render(self, *, openmetrics: bool = False) -> bytes:
        """One consistent scrape, in the text format 0.0.4 or OpenMetrics 1.0.0."""
        return self.exposition.render(openmetrics=openmetrics)

    def snapshot(self) -> Snapshot:
        """A copy of all numbers as they stand together, by full name and label values."""
        with self._lock:
            out = self._series.copy()
            services, services_left, sessions_left = self._inventory.services(self._top)
            certificates, certificates_left = self._inventory.certificates(self._top)
            buckets, forgotten = self._inventory.buckets.copy(), self._inventory.forgotten
        out["cleartap_cleartext_service"] = {(server, str(port), protocol): n for (server, port, protocol), n in services.items()}
        out["cleartap_cleartext_services_omitted"] = {(): services_left}
        out["cleartap_cleartext_service_sessions_omitted"] = {(): sessions_left}
        out["cleartap_certificate_expiry_timestamp_seconds"] = {(server, str(port)): when for (server, port), when in certificates.items()}
        out["cleartap_certificates_omitted"] = {(): certificates_left}
        out["cleartap_channels"] = buckets
        out["cleartap_channels_forgotten_total"] = {(): forgotten}
        return out

    def may_have(self, severities: Iterable[tuple[str, str]]) -> None:
        """Rules (globs) that a policy gives a severity: their series begin at 0 too. To be called before the policy is used."""
        with self._lock:
            counts = self._series.at("findings_total")
            for pattern, severity in severities:
                for rule in names.rules():
                    if fnmatchcase(rule, pattern) and severity in names.SEVERITIES:
                        counts.setdefault((rule, severity), 0)

    def observe(self, report: Report, interface: str, *, worker: int = 0) -> None:
        """A worker's report on what came since its last. ``worker`` tells the workers of one interface apart.

        Frames and bytes read are not taken from here but from ``capture``.
        """
        summary = report.summary
        with self._lock:
            for field, name in _SUMMARY.items():
                self._series.add(f"{name}_total", (), getattr(summary, field))
            for reason, count in summary.undecoded.items():
                self._series.add("undecoded_frames_total", (_undecoded(reason),), count)
            for what, count in summary.anomalies.items():
                self._series.add("anomalies_total", (_one_of(what.partition(":")[0], names.protocols()),), count)
            self._series.add("bugs_total", (), sum(summary.bugs.values()))
            for stage, seconds in report.stages.items():
                self._series.add("stage_seconds_total", (_one_of(_STAGES.get(stage, stage), names.STAGES),), seconds)
            label = self._series.named(interface, INTERFACE)
            self._series.latest("capture_last_packet_timestamp_seconds", (label,), summary.last)
            self._active[(label, worker)] = report.active
            self._series.at("flows_active")[()] = sum(self._active.values())

    def stage(self, stage: str, seconds: float) -> None:
        """Processor time spent outside the sessions: ``capture`` or ``record``."""
        with self._lock:
            self._series.add("stage_seconds_total", (_one_of(stage, names.STAGES),), seconds)

    def capture(self, interface: str, packets: int, bytes: int, dropped: int, *, worker: int = 0) -> None:
        """The counters of one source since it was opened; smaller ones than before mean that it was opened again."""
        with self._lock:
            label = self._series.named(interface, INTERFACE)
            grown = self._totals.since((label, worker), (packets, bytes, dropped))
            self._series.add("capture_packets_total", (label,), grown[0])
            self._series.add("capture_bytes_total", (label,), grown[1])
            self._series.add("capture_dropped_packets_total", (label, "kernel"), grown[2])

    def ended(self, interface: str, *, worker: int = 0) -> None:
        """A worker is gone, and its flows with it; its counters may go on where they were when it comes back."""
        with self._lock:
            self._active.pop((self._series.named(interface, INTERFACE), worker), None)
            self._series.at("flows_active")[()] = sum(self._active.values())

    def link(self, interface: str, *, up: bool) -> None:
        """Whether an interface is open and up."""
        with self._lock:
            self._series.at("capture_up")[(self._series.named(interface, INTERFACE),)] = up

    def lost(self, interface: str, reason: str, packets: int) -> None:
        """Packets lost after the kernel handed them over: ``shed`` or ``worker``."""
        with self._lock:
            self._series.add("capture_dropped_packets_total", (self._series.named(interface, INTERFACE), _one_of(reason, names.DROPPED, "worker")), packets)

    def finding(self, rule: str, severity: object, seen_ns: int, new: bool) -> None:
        """A finding as policy judged it; repeats (``new`` is False) only move the time it was last seen."""
        with self._lock:
            label = _one_of(rule, names.rules())
            if new:
                self._series.add("findings_total", (label, _one_of(str(severity), names.SEVERITIES, "info")), 1)
            self._series.latest("finding_last_seen_timestamp_seconds", (label,), seen_ns)

    def suppressed(self, rule: str) -> None:
        """A finding that the policy expects."""
        with self._lock:
            self._series.add("findings_suppressed_total", (_one_of(rule, names.rules()),), 1)

    def channels(self, rows: Iterable[Channel]) -> None:
        """Channels as they stand after merging; those of the state at the start, then whichever changed."""
        ordered = sorted(rows, key=lambda row: row.last)
        for start in range(0, len(ordered), _CHUNK):
            with self._lock:
                self._inventory.put(ordered[start : start + _CHUNK])

    def forget(self, ids: Iterable[str]) -> None:
        """Channels that the state no longer keeps, by id."""
        with self._lock:
            self._inventory.forget(ids)

    def alerts(self, counts: Mapping[str, int], omitted: int = 0) -> None:
        """How many alerts fire, by severity, those not named being 0; and how many have been let go since the beginning."""
        found = {str(severity): count for severity, count in counts.items()}
        with self._lock:
            self._series.at("alerts").update({(severity,): found.get(severity, 0) for severity in names.SEVERITIES})
            self._series.add("alerts_omitted_total", (), self._totals.since("alerts", (omitted,))[0])

    def sinks(self, stats: Mapping[str, SinkStats]) -> None:
        """The statistics of each sink; their counts may begin again."""
        with self._lock:
            for name, stat in stats.items():
                label = (self._series.named(name, SINK),)
                self._series.at("sink_queue_length")[label] = stat.queued
                self._series.at("sink_queue_bytes")[label] = stat.queued_bytes
                grown = self._totals.since(("sink", name), (stat.sent, stat.failures, stat.lost))
                for what, count in zip(("sent", "failures", "lost"), grown, strict=True):
                    self._series.add(f"sink_{what}_total", label, count)
                self._series.latest("sink_last_success_timestamp_seconds", label, stat.last_success or 0)

    def retire(self, sinks: Iterable[str]) -> None:
        """Receivers that are no longer configured: what waits for them is nobody's concern, what was counted stays."""
        with self._lock:
            for name in sinks:
                label = (self._series.named(name, SINK),)
                self._series.at("sink_queue_length")[label] = self._series.at("sink_queue_bytes")[label] = 0

    def workers(self, n: int, restarts: int) -> None:
        """How many run, and how often one had to be started again since the beginning."""
        with self._lock:
            self._series.at("workers")[()] = n
            self._series.add("worker_restarts_total", (), self._totals.since("workers", (restarts,))[0])

    def pending(self, n: int) -> None:
        """Reports not yet recorded."""
        with self._lock:
            self._series.at("reports_pending")[()] = n

    def state(self, bytes: int, errors: Mapping[str, int]) -> None:
        """The size of the state, and how many writes failed since the beginning, by reason."""
        with self._lock:
            self._series.at("state_bytes")[()] = bytes
            for reason, count in errors.items():
                self._series.add("state_errors_total", (_one_of(reason, names.STATE_ERRORS),), self._totals.since(("state", reason), (count,))[0])

    def unwatched(self, seconds: float) -> None:
        """Seconds not watched, over all runs on record; fewer than before mean that the record was begun anew."""
        with self._lock:
            self._series.add("unwatched_seconds_total", (), self._totals.since("unwatched", (seconds,))[0])

    def shed(self, what: str, bytes: int) -> None:
        """Bytes left unread: ``content`` or ``flows``."""
        with self._lock:
            self._series.add("shed_bytes_total", (_one_of(what, names.SHED),), bytes)

    def bug(self) -> None:
        """An error of our own outside the sessions."""
        with self._lock:
            self._series.add("bugs_total", (), 1)

    def refused(self, reason: str) -> None:
        """A request that the endpoint turned away."""
        with self._lock:
            self._series.add("endpoint_refused_total", (reason,), 1)

    def web_config(self, *, good: bool) -> None:
        """Whether the web configuration on disk is the one in use."""
        with self._lock:
            self._series.at("endpoint_config_last_reload_successful")[()] = good


def _one_of(value: str, closed: tuple[str, ...], otherwise: str = names.OTHER) -> str:
    return value if value in closed else otherwise


def _undecoded(reason: str) -> str:
    # The decoder names the link type's number, which the capture's maker chose.
    return _one_of("unsupported link type" if reason.startswith("unsupported link type") else reason, names.UNDECODED)


def _version() -> str:
    try:
        return version("cleartap")
    except PackageNotFoundError:
        return "unknown"
