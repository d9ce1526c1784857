"""What the ledger itself reports (``sniffer.posture``), told once for each channel and rule while it lasts."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sniffer.collect import Collector
from sniffer.posture import posture_candidates
from sniffer.session import remedy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.channels import Channel
    from sniffer.findings import Finding

# Channels and rules remembered as told; about 100 bytes each. One forgotten is told again, with the same id.
MAX_TOLD = 200_000
# A condition that lasts is heard of again after so long (nanoseconds of packet time), as a finding that counts none:
# what was last seen moves on, and its alert is not taken for resolved.
AGAIN_AFTER = 60_000_000_000


class Posture:
    """Findings on channels from their rows."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()  # when, in packet time
        self._now: dict[tuple[str, str], int] = {}  # told in the transaction that is under way

    def remember(self, findings: Iterable[tuple[str, str]]) -> None:
        """What was told before a restart: channel and rule."""
        self._told.update(((channel, rule), 0) for channel, rule in findings)
        self._trim()

    def look(self, whole: Channel, fresh: Channel) -> list[Finding]:
        """What is to be told of a channel as it now stands; ``fresh`` is what has just been added to it."""
        # Sessions of before stay in the row: a channel that has been mended is told by its new ones.
        begun = any(sessions > 0 for sessions, _ in fresh.verdicts.values())
        lasting = {candidate.rule.id for candidate in posture_candidates(fresh)} if begun else None
        found = Collector(self._key)
        for candidate in posture_candidates(whole):
            if lasting is not None and candidate.rule.id not in lasting:
                continue
            key = (whole.id, candidate.rule.id)
            told = self._now.get(key, self._told.get(key))
            if told is not None and whole.last - told < AGAIN_AFTER:
                continue
            finding = found.add(candidate, whole, whole.protocol, 0, None, whole.last, "", remedy(whole.protocol))
            if finding is not None:
                finding.count = int(told is None)
                self._now[key] = whole.last
        return list(found)

    def keep(self) -> None:
        """What was told is recorded."""
        for key, when in self._now.items():
            self._told[key] = when
            self._told.move_to_end(key)
        self._now.clear()
        self._trim()

    def _trim(self) -> None:
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    def begin_anew(self) -> None:
        """The record is gone: all that lasts is to be told again."""
        self._told.clear()
        self._now.clear()

    def forget(self) -> None:
        """It is not: the next look tells it again."""
        self._now.clear()
