"""Every metric by name, and the closed sets its labels are taken from (Prometheus naming: base units, ``_total``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sniffer.dissectors import registry
from sniffer.events import Encryption
from sniffer.findings import Category, Rule, Severity
from sniffer.ruleset import all_rules

# What a closed set does not hold is counted under this, so that sums stay right.
OTHER = "other"

# Why the decoder gave no packet for a frame; a test compares this with the decoder's own words.
UNDECODED = (
    "802.11 control", "802.11 management or control", "arp", "bad frame relay address", "bad ip header", "bad juniper header", "bad tcp header", "encrypted 802.11", "gre of an unknown kind",
    "l2tpv3 of an unknown kind", "link control", "llc", "lldp", "multilink fragment", "nesting too deep", "no packet in the tap's header", "pppoe discovery", "truncated header", "unknown ethertype", "unsupported link type", OTHER,
)  # fmt: skip
STAGES = ("capture", "decode", "flows", "record", OTHER)
DROPPED = ("kernel", "shed", "worker")
SHED = ("content", "flows", OTHER)
STATE_ERRORS = ("full", OTHER)
REFUSED = ("busy", "unauthorized", "throttled")
SEVERITIES = tuple(map(str, Severity))
ENCRYPTIONS = tuple(map(str, Encryption))
TIERS = ("client", "database", "directory", "infrastructure", "mail", "management", "messaging", "unknown", OTHER)

# What detectors make of a rule besides its own severity: a login that was accepted, a test card, a machine account.
_REACH = {
    Category.CREDENTIAL: (Severity.HIGH, Severity.CRITICAL),
    Category.HASH: (Severity.LOW, Severity.MEDIUM),
    Category.TOKEN: (Severity.MEDIUM, Severity.HIGH),
    Category.PII: (Severity.LOW, Severity.HIGH),
    Category.CHANNEL: (Severity.MEDIUM, Severity.HIGH),
}


@lru_cache(1)
def rules() -> tuple[str, ...]:
    """The ids of all rules, and ``other``."""
    return (*(rule.id for rule in all_rules()), OTHER)


def severities(rule: Rule) -> tuple[str, ...]:
    """Those a finding of the rule can have before policy changes it."""
    return tuple(map(str, sorted({rule.severity, *_REACH[rule.category]})))


@lru_cache(1)
def protocols() -> tuple[str, ...]:
    """The names of all dissectors, ``unknown`` and ``other``."""
    return (*sorted({*registry(), "unknown"}), OTHER)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its full name, and what a line of help says of it."""

    name: str
    kind: Literal["counter", "gauge", "info"]
    labels: tuple[str, ...]
    help: str


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"cleartap_{name}_total", "counter", labels, text)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(f"cleartap_{name}", "gauge", labels, text)


CATALOGUE = (
    Family("cleartap_build_info", "info", ("version",), "The version that runs; always 1."),
    _gauge("start_time_seconds", "When this process began, in seconds since the epoch."),
    _counter("capture_packets", "Packets read from the interface.", "interface"),
    _counter("capture_bytes", "Bytes of the packets read, as captured.", "interface"),
    _counter("capture_dropped_packets", "Packets lost: by the kernel for want of room, shed under load, or with a worker that died.", "interface", "reason"),
    _gauge("capture_up", "1 while the interface is open and up, 0 otherwise.", "interface"),
    _gauge("capture_last_packet_timestamp_seconds", "Time of the last packet read; 0 before the first.", "interface"),
    _counter("capture_truncated_packets", "Packets of which the capture did not hold all bytes (snaplen)."),
    _counter("undecoded_frames", "Frames that gave no IP packet, by reason.", "reason"),
    _counter("flows", "Flows seen."),
    _gauge("flows_active", "Flows in the tables of all workers."),
    _counter("flows_evicted", "Flows forgotten early because the table was full."),
    _counter("flows_one_sided", "Flows of which only one direction was seen: the mirror is not complete."),
    _counter("flow_gaps", "Holes in the byte streams of flows."),
    _counter("flow_gap_bytes", "Bytes missing in those holes."),
    _counter("connection_attempts", "Flows in which nobody said anything: scans, refused connections."),
    _counter("stage_seconds", "Processor seconds spent, by stage.", "stage"),
    _counter("shed_bytes", "Bytes left unread under load: content of bulk bodies first, whole flows after.", "what"),
    _counter("anomalies", "Breaks of a protocol by those who speak it.", "protocol"),
    _counter("omitted", "Findings and channels not kept because a table was full."),
    _counter("bugs", "Errors of cleartap itself, each survived."),
    _counter("findings", "Different findings, each counted when first seen.", "rule", "severity"),
    _gauge("finding_last_seen_timestamp_seconds", "When a finding of the rule was last seen, repeats included; 0 before the first.", "rule"),
    _counter("findings_suppressed", "Findings that the policy expects, left out of alerts.", "rule"),
    _gauge("channels", "Channels known, by verdict and tier.", "encryption", "tier"),
    _counter("channels_forgotten", "Channels dropped from these metrics because too many were known; the oldest go first."),
    _gauge("cleartext_service", "Sessions in the clear that a server took part in; the services last seen, up to metrics.top.", "server", "port", "protocol"),
    _gauge("cleartext_services_omitted", "Services with sessions in the clear beyond those listed."),
    _gauge("cleartext_service_sessions_omitted", "Sessions in the clear of the services not listed."),
    _gauge("certificate_expiry_timestamp_seconds", "When a server's certificate expires; the soonest, up to metrics.top.", "server", "port"),
    _gauge("certificates_omitted", "Servers with a certificate beyond those listed."),
    _gauge("alerts", "Alerts that fire.", "severity"),
    _counter("alerts_omitted", "Alerts not fired, and counts towards a threshold given up, because too many were held."),
    _gauge("sink_queue_length", "Items that wait for a receiver.", "sink"),
    _gauge("sink_queue_bytes", "Bytes that wait for a receiver.", "sink"),
    _counter("sink_sent", "Items a receiver took.", "sink"),
    _counter("sink_failures", "Attempts that failed.", "sink"),
    _counter("sink_lost", "Items let go because the queue was full or the receiver refused them for good.", "sink"),
    _gauge("sink_last_success_timestamp_seconds", "When a receiver last took something; 0 before the first.", "sink"),
    _gauge("workers", "Worker processes that run."),
    _counter("worker_restarts", "Workers started again after they died."),
    _gauge("reports_pending", "Reports of workers not yet recorded."),
    _gauge("state_bytes", "Size of the state on disk."),
    _counter("state_errors", "Writes to the state that failed.", "reason"),
    _counter("unwatched_seconds", "Time not watched, over all runs on record: stopped, killed, or what a worker that died had read and not reported."),
    _counter("endpoint_refused", "Requests to this endpoint that were turned away.", "reason"),
    _gauge("endpoint_config_last_reload_successful", "1 while the web configuration in use is the one on disk, 0 if that could not be read."),
)  # fmt: skip
