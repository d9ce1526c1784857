"""What can be set, as values: one dataclass a table of the TOML file, its fields the keys.

No field ever holds a secret: those that end in ``_file`` name a file that does. An empty text, or an empty tuple, means "not set".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

# In rising order; the names of ``sniffer.findings.Severity``.
SEVERITIES = ("info", "low", "medium", "high", "critical")
# Closed, because it is a label of metrics: what a server is to those who talk to it.
TIERS = ("client", "database", "directory", "mail", "management", "messaging", "infrastructure")
OUTPUT_TYPES = ("file", "syslog", "webhook", "alertmanager", "mail")
FORMATS = ("native", "plain", "cef", "ecs", "ocsf", "slack")
TRANSPORTS = ("udp", "tcp", "tls")
KINDS = ("alert", "finding", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """``[capture]``: where the packets come from. ``workers`` 0: as many as there is use for."""

    interfaces: tuple[str, ...] = ()
    filter: str = ""  # in tcpdump's language (pcap-filter(7))
    snaplen: int = 262_144  # bytes of a frame that are read
    ring_mb: int = 64  # memory for packets, of each interface and worker
    workers: int = 0
    promiscuous: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """``[state]``: the file that remembers findings, channels, alerts and what is still to be delivered."""

    path: str = ""
    retention_days: int = 90
    max_mb: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: the endpoint Prometheus reads. ``listen`` empty: none. ``top`` bounds the series named by a server."""

    listen: str = "127.0.0.1:9476"
    web_config: str = ""  # TLS and users, as exporter-toolkit's --web.config.file has them
    top: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """``[alerts]``: from which severity on, and how often. ``silent_minutes`` 0: a link may be silent."""

    min_severity: str = "medium"
    resend_minutes: int = 240
    resolve_minutes: int = 60
    silent_minutes: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """One ``[[output]]``: a receiver. Which of the keys it takes depends on its type; ``wants`` empty: the type's usual."""

    name: str
    type: str
    url: str = ""
    url_file: str = ""  # where the URL itself is the secret, as Slack's is
    address: str = ""  # host:port
    transport: str = "udp"
    format: str = "native"
    min_severity: str = "low"
    wants: tuple[str, ...] = ()
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    secret_file: str = ""
    username: str = ""
    password_file: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    path: str = ""
    queue_mb: int = 64
    timeout_seconds: int = 10
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One ``[[network]]``: a name for a range of addresses, and what the servers in it are."""

    name: str
    cidr: str
    tier: str = ""  # empty: what the protocol says


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityOverride:
    """One ``[[severity]]``: the severity of what matches all that is set. The first that matches decides."""

    severity: str
    rule: str = ""  # a glob, as of the rule's id
    protocol: str = ""  # a glob
    server: str = ""  # an address or a CIDR
    client: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One ``[[expected]]``: cleartext that somebody answers for, until the end of the day ``expires`` (UTC)."""

    rule: str  # a glob
    owner: str
    reason: str
    expires: date
    client: str = ""
    server: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One ``[[threshold]]``: what matches alerts only once it was seen ``count`` times within ``minutes`` on one channel."""

    rule: str  # a glob
    count: int
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it. ``sensor`` names this installation in everything that is sent."""

    sensor: str = ""
    capture: CaptureSettings = CaptureSettings()
    state: StateSettings = StateSettings()
    metrics: MetricsSettings = MetricsSettings()
    alerts: AlertSettings = AlertSettings()
    outputs: tuple[OutputSettings, ...] = ()
    networks: tuple[Network, ...] = ()
    severities: tuple[SeverityOverride, ...] = ()
    expected: tuple[Expected, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
