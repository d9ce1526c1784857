"""Findings on record as policy judges them now: by the configuration that ``cleartap state`` is given, as ``cleartap watch`` does when it tells of them.

On record stays what each finding is by itself: it is evidence, while policy changes with a reload, and what is expected ends on a date.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sniffer.findings import Severity
from sniffer.policy import Policy
from sniffer.state import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sniffer.config import Config
    from sniffer.findings import Finding
    from sniffer.state import Reader, Recorded

# Findings read in one go: the file is not held while they are judged, or while whoever reads what we print takes their time.
PART = 500


class _Rule(NamedTuple):
    id: str


@dataclass(frozen=True, slots=True)
class _Ends:
    """What policy asks of a finding."""

    rule: _Rule
    protocol: str
    server: tuple[str, int]
    client: tuple[str, int]
    severity: Severity


@dataclass(frozen=True, slots=True)
class Chosen:
    """Findings that were asked for: ids, the worst first, as many as were wanted; how many there are in all, by severity."""

    ids: Sequence[str]
    counts: dict[Severity, Tally]

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts.values()))

    def new(self, least: Severity) -> bool:
        """Whether one at least so severe is known to nobody."""
        return any(tally.new for severity, tally in self.counts.items() if severity >= least)


class Judge:
    """``now`` in nanoseconds since the epoch decides what is expected no more."""

    def __init__(self, config: Config, now: int) -> None:
        self._policy, self._now = Policy(config), now
        self._says = bool(config.severities or config.expected)

    def see(self, row: Recorded) -> Recorded:
        """A finding with the severity it has here and, where somebody answers for it, ``expected``: who, why, until when."""
        if not self._says:
            return row
        record = row.record
        server, client = record["server"], record["client"]
        ends = _Ends(_Rule(record["rule"]), record["protocol"], (server["ip"], server.get("port", 0)), (client["ip"], client.get("port", 0)), Severity[record["severity"].upper()])
        judged = self._policy.judge(cast("Finding", ends), None, self._now)
        seen: dict[str, Any] = {**record, "severity": str(judged.severity)}
        if (entry := judged.suppressed_by) is not None:
            seen["expected"] = {"owner": entry.owner, "reason": entry.reason, "expires": entry.expires.isoformat()}
        return row._replace(record=seen)

    def rows(self, reader: Reader, ids: Sequence[str]) -> Iterator[Recorded]:
        """The findings of some ids, in that order."""
        for start in range(0, len(ids), PART):
            yield from map(self.see, reader.findings_of(ids[start : start + PART]))

    def choose(self, reader: Reader, *, severity: Severity = Severity.INFO, new: bool = False, limit: int | None = None, **wanted: Any) -> Chosen:
        """Findings at least so severe, with ``new`` only those nobody knows of; ``wanted`` as for ``Reader.finding_ids``. Where policy
        says nothing of findings the state chooses by itself, which reads none of them.
        """
        if not self._says:
            asked = {**wanted, "severity": severity, "acknowledged": False if new else None}
            return Chosen(reader.finding_ids(**asked, limit=limit) if limit != 0 else [], reader.finding_counts(**asked))
        found: list[tuple[Severity, str, str]] = []
        counts: dict[Severity, list[int]] = {}
        for row in self.rows(reader, reader.finding_ids(**wanted)):
            worth, standing = Severity[row.record["severity"].upper()], _standing(row)
            if worth >= severity and not (new and standing):
                found.append((worth, row.record["last_seen"], row.record["id"]))
                counts.setdefault(worth, [0, 0, 0])[standing] += 1
        found.sort(key=lambda each: each[2])
        found.sort(key=lambda each: each[:2], reverse=True)
        return Chosen([id for _, _, id in found[:limit]], {worth: Tally(*counts[worth]) for worth in sorted(counts, reverse=True)})


def _standing(row: Recorded) -> int:
    """The place in a Tally: new, acknowledged, or expected by policy alone."""
    return 1 if row.acknowledged else 2 if "expected" in row.record else 0
