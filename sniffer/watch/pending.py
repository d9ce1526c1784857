"""Reports that wait to be recorded: merged, and bounded, since a full disk may keep them waiting for hours."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.events import Outcome

if TYPE_CHECKING:
    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.session import Report

# Some 20 MB and 200 MB: hours of an office, and a flood's last report whole (a worker's ledger holds as many).
MAX_FINDINGS = 20_000
MAX_CHANNELS = 200_000

_WEIGHT = {None: 0, Outcome.UNKNOWN: 1, Outcome.REJECTED: 2, Outcome.ACCEPTED: 3}


class Pending:
    """What was reported and is not in the state yet. ``lost_findings`` and ``lost_channels`` were let go for want of room."""

    def __init__(self) -> None:
        self._findings: dict[str, Finding] = {}
        self._rows: dict[str, Channel] = {}
        self._taken: tuple[list[str], list[str]] = ([], [])
        self.lost_findings = 0
        self.lost_channels = 0

    def __len__(self) -> int:
        return len(self._findings)

    def __bool__(self) -> bool:
        return bool(self._findings or self._rows)

    def add(self, report: Report) -> None:
        """Take a worker's report."""
        for found in report.findings:
            known = self._findings.get(found.id)
            if known is not None:
                again(known, found)
            elif len(self._findings) >= MAX_FINDINGS:
                self.lost_findings += 1
            else:
                self._findings[found.id] = found
        for row in report.channels:
            key = row.id
            mine = self._rows.get(key)
            if mine is not None:
                mine.merge(row)
            elif len(self._rows) >= MAX_CHANNELS:
                self.lost_channels += 1
            else:
                self._rows[key] = row

    def rows(self, most: int = MAX_CHANNELS) -> tuple[list[Finding], list[Channel]]:
        """Copies of what waits, for one try at recording it: it may have to be tried again. At most so many of each, the
        channels of the findings among them.
        """
        findings = list(islice(self._findings.values(), most))
        ids = dict.fromkeys(found.channel for found in findings if found.channel in self._rows)
        for id in self._rows:
            if len(ids) >= most:
                break
            ids[id] = None
        self._taken = ([found.id for found in findings], list(ids))
        channels = [replace(row, verdicts=dict(row.verdicts), findings=dict(row.findings)) for row in map(self._rows.__getitem__, ids)]
        return [replace(found) for found in findings], channels

    @property
    def all_taken(self) -> bool:
        """Whether the last ``rows`` were all there is."""
        return len(self._taken[0]) == len(self._findings) and len(self._taken[1]) == len(self._rows)

    def recorded(self) -> None:
        """The last ``rows`` are on record."""
        for id in self._taken[0]:
            del self._findings[id]
        for id in self._taken[1]:
            del self._rows[id]
        self._taken = ([], [])


def again(known: Finding, found: Finding) -> None:
    """Count a later report of the same finding."""
    known.count += found.count
    known.first_seen, known.last_seen = min(known.first_seen, found.first_seen), max(known.last_seen, found.last_seen)
    known.severity = max(known.severity, found.severity)
    if _WEIGHT[found.outcome] > _WEIGHT[known.outcome]:
        known.outcome = found.outcome
    known.crack = known.crack or found.crack
