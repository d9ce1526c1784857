"""What stands in an alert: made of a finding, or of a condition of the sensor."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sniffer.alert import Alert, State
from sniffer.alerting.conditions import CATEGORY, Condition
from sniffer.outputs import record

if TYPE_CHECKING:
    from sniffer.findings import Finding, Severity
    from sniffer.policy import Judged


def alert_id(*parts: str) -> str:
    """The same for the same rule and channel, on every run."""
    return "a" + hashlib.sha256("\x00".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:15]


def of_finding(key: str, finding: Finding, judged: Judged, count: int, sensor: str) -> Alert:
    """The first of an alert, as the finding behind it has it."""
    return Alert(
        id=key,
        revision=1,
        state=State.FIRING,
        rule=finding.rule.id,
        severity=str(judged.severity),
        category=str(finding.rule.category),
        title=finding.title,
        sensor=sensor,
        protocol=finding.protocol,
        transport=finding.transport,
        client=finding.client[0],
        server=finding.server[0],
        port=finding.server[1],
        tier=judged.tier,
        network=judged.network,
        path=finding.path,
        channel=finding.channel,
        count=count,
        findings=1,
        first_seen=finding.first_seen,
        last_seen=finding.last_seen,
        remedy=finding.remedy,
        references=finding.rule.references,
        finding=evidence(finding, judged),
    )


def of_condition(identity: str, known: Condition, severity: Severity, key: str, detail: str, count: int, now: int, sensor: str) -> Alert:
    """A condition's alert: what it is about stands in ``channel``, and there is no finding behind it."""
    return Alert(
        id=identity,
        revision=1,
        state=State.FIRING,
        rule=known.id,
        severity=str(severity),
        category=CATEGORY,
        title=f"{known.title}: {detail}",
        sensor=sensor,
        protocol="",
        transport="",
        client="",
        server="",
        port=0,
        tier="",
        network="",
        path=(),
        channel=key,
        count=count,
        findings=0,
        first_seen=now,
        last_seen=now,
        remedy=known.remedy,
        references=known.references,
        finding={},
    )


def evidence(finding: Finding, judged: Judged) -> dict[str, Any]:
    """The finding's record, never its value, with the severity that policy gave it."""
    return {**record.finding(finding), "severity": str(judged.severity)}
