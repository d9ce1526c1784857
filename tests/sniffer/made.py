"""Findings and channels for tests of what comes after detection."""

from __future__ import annotations

from sniffer.channels import Channel
from sniffer.events import Outcome
from sniffer.findings import Category, Finding, Rule, Severity
from sniffer.secret import Secret

MINUTE = 60_000_000_000
START = 1_800_000_000_000_000_000  # nanoseconds; in January 2027
CANARY = "PLANTED-CANARY-VALUE"


def rule(name: str = "credential/ftp", severity: Severity = Severity.HIGH) -> Rule:
    return Rule(name, Category(name.partition("/")[0]), f"Title of {name}", severity, remedy="Encrypt it.")


def finding(
    name: str = "credential/ftp",
    *,
    client: str = "10.0.0.5",
    server: str = "10.1.0.9",
    port: int = 21,
    protocol: str = "ftp",
    user: str = "alice",
    severity: Severity = Severity.HIGH,
    outcome: Outcome | None = None,
    count: int = 1,
    at: int = START,
) -> Finding:
    """One finding; its id is of the rule, the ends and the user, as the collector's is."""
    row = channel(client=client, server=server, port=port, protocol=protocol)
    return Finding(
        id=f"f{name}{row.id}{user}", rule=rule(name, severity), severity=severity, confidence=0.9, title=f"Title of {name}", protocol=protocol, transport="tcp",
        client=(client, 50_000), server=(server, port), path=(), secret=Secret(CANARY, "password"), fingerprint="k1:00", mechanism="PASS", username=user,
        realm=None, outcome=outcome, where="PASS argument", frame=1, source="eth1", channel=row.id, remedy="Encrypt it.", first_seen=at, last_seen=at, count=count,
    )  # fmt: skip


def channel(*, client: str = "10.0.0.5", server: str = "10.1.0.9", port: int = 21, protocol: str = "ftp", tier: str = "client") -> Channel:
    return Channel(client=client, server=server, port=port, transport="tcp", protocol=protocol, tier=tier)
