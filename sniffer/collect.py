"""From candidates to findings: deduplication, outcomes, identity. The same for every detector."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sniffer.events import Outcome
from sniffer.findings import Candidate, Category, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sniffer.channels import Channel

# Distinct findings kept; what comes beyond is counted in ``omitted``. About 1 KB each.
MAX_FINDINGS = 100_000
_WEIGHT = {None: 0, Outcome.UNKNOWN: 1, Outcome.REJECTED: 2, Outcome.ACCEPTED: 3}


def in_order(found: Finding) -> tuple[int, int, str, str]:
    """How findings are listed."""
    return found.first_seen, found.frame or 0, found.rule.id, found.id


class Collector:
    """Findings by what makes them the same: rule, ends, user, mechanism and the secret's fingerprint."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._found: dict[tuple[object, ...], Finding] = {}
        self.omitted = 0

    def __iter__(self) -> Iterator[Finding]:
        return iter(sorted(self._found.values(), key=in_order))

    def __len__(self) -> int:
        return len(self._found)

    def take(self) -> list[Finding]:
        """All findings as they stand; they are forgotten here, and what repeats one later counts from one again."""
        found = list(self)
        self._found.clear()
        return found

    def add(self, candidate: Candidate, channel: Channel, protocol: str, client_port: int, frame: int | None, time: int, source: str, remedy: str) -> Finding | None:
        """Take a candidate; the finding if it is new, None if it repeats a known one (which then counts one more)."""
        secret = candidate.secret
        fingerprint = secret.fingerprint(self._key)
        same = fingerprint or secret.mask
        identity = (candidate.rule.id, channel.client, channel.server, channel.port, channel.transport, channel.path, protocol, candidate.mechanism, candidate.username, same)
        known = self._found.get(identity)
        if known is not None:
            self._again(known, candidate, time)
            return None
        if len(self._found) >= MAX_FINDINGS:
            self.omitted += 1
            return None
        severity = candidate.severity if candidate.severity is not None else candidate.rule.severity
        finding = self._found[identity] = Finding(
            id="f" + hashlib.sha256(repr(identity).encode("utf-8", "backslashreplace")).hexdigest()[:15],
            rule=candidate.rule,
            severity=severity,
            confidence=candidate.confidence if candidate.confidence is not None else candidate.rule.confidence,
            title=candidate.title or candidate.rule.title,
            protocol=protocol,
            transport=channel.transport,
            client=(channel.client, client_port),
            server=(channel.server, channel.port),
            path=channel.path,
            secret=secret,
            fingerprint=fingerprint if candidate.rule.category is not Category.CHANNEL else None,
            mechanism=candidate.mechanism,
            username=candidate.username,
            realm=candidate.realm,
            outcome=candidate.outcome,
            where=candidate.where,
            frame=frame,
            source=source,
            channel=channel.id,
            remedy=candidate.rule.remedy or remedy,
            first_seen=time,
            last_seen=time,
            crack=candidate.crack,
            facts=candidate.facts,
            count=candidate.count,
        )
        channel.found(severity)
        return finding

    @staticmethod
    def _again(known: Finding, candidate: Candidate, time: int) -> None:
        known.count += candidate.count
        known.last_seen = max(known.last_seen, time)
        known.first_seen = min(known.first_seen, time)
        if _WEIGHT[candidate.outcome] > _WEIGHT[known.outcome]:
            known.outcome = candidate.outcome
            if candidate.severity is not None and candidate.severity > known.severity:
                known.severity = Severity(candidate.severity)
        if known.crack is None:
            known.crack = candidate.crack
