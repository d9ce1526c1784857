"""The numbers themselves: for each metric its values by labels, those with closed labels at 0 from the start. No locks here."""

from __future__ import annotations

from sniffer.metrics import catalogue as names
from sniffer.ruleset import all_rules

Labels = tuple[str, ...]
Snapshot = dict[str, dict[Labels, float]]

# Interfaces and sinks are named by the configuration, so there are few; what comes beyond is counted as "other".
MAX_NAMES = 128
# The series that a configured name has: metric, and the labels after the name.
INTERFACE: tuple[tuple[str, Labels], ...] = (
    ("capture_packets_total", ()), ("capture_bytes_total", ()), ("capture_up", ()), ("capture_last_packet_timestamp_seconds", ()),
    *(("capture_dropped_packets_total", (reason,)) for reason in names.DROPPED),
)  # fmt: skip
SINK: tuple[tuple[str, Labels], ...] = tuple(
    (name, ())
    for name in (
        "sink_queue_length", "sink_queue_bytes", "sink_sent_total", "sink_failures_total", "sink_lost_total", "sink_last_success_timestamp_seconds",
    )
)  # fmt: skip
_CLOSED = {
    "undecoded_frames_total": names.UNDECODED, "stage_seconds_total": names.STAGES, "shed_bytes_total": names.SHED,
    "alerts": names.SEVERITIES, "state_errors_total": names.STATE_ERRORS, "endpoint_refused_total": names.REFUSED,
}  # fmt: skip


class Series:
    """Values by metric (named without ``cleartap_``) and labels."""

    def __init__(self) -> None:
        self._values: Snapshot = {family.name: {} for family in names.CATALOGUE}
        by_rule = dict.fromkeys(("finding_last_seen_timestamp_seconds", "findings_suppressed_total"), names.rules())
        for name, values in {**_CLOSED, **by_rule, "anomalies_total": names.protocols()}.items():
            self.at(name).update({(value,): 0 for value in values})
        for rule in all_rules():
            self.at("findings_total").update({(rule.id, severity): 0 for severity in names.severities(rule)})
        self.at("findings_total").update({(names.OTHER, severity): 0 for severity in names.SEVERITIES})
        for family in names.CATALOGUE:
            if not family.labels:
                self._values[family.name][()] = 0

    def copy(self) -> Snapshot:
        """All values, which do not change when these do."""
        return {name: values.copy() for name, values in self._values.items()}

    def at(self, name: str) -> dict[Labels, float]:
        """The values of one metric, to be set."""
        return self._values[f"cleartap_{name}"]

    def add(self, name: str, labels: Labels, count: float) -> None:
        """Count; a counter never goes down, whatever it is told."""
        values = self.at(name)
        values[labels] = values.get(labels, 0) + max(count, 0)

    def latest(self, name: str, labels: Labels, nanoseconds: int) -> None:
        """The latest time, in seconds."""
        values = self.at(name)
        values[labels] = max(values.get(labels, 0), nanoseconds / 1e9)

    def named(self, name: str, series: tuple[tuple[str, Labels], ...]) -> str:
        """The label for a configured name; its series begin at 0."""
        first = self.at(series[0][0])
        if (name,) in first:
            return name
        if len(first) >= MAX_NAMES:
            name = names.OTHER
        for metric, more in series:
            self.at(metric).setdefault((name, *more), 0)
        return name
