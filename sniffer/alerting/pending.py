"""Counts towards a threshold: what has been seen too seldom to alert."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sniffer.config import Threshold

# Alerts that are counted for but do not fire yet, about 1 KB each at most. Past it the one longest without a sight is given up.
MAX_PENDING = 20_000
# Into how many parts a threshold's minutes are divided: a sight is forgotten up to a sixteenth of them late.
_PARTS = 16


class Pending:
    """Sights within the last minutes, by alert. Nothing of it is kept over a restart."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[int, int]]] = {}
        self.let_go = 0

    def __len__(self) -> int:
        return len(self._seen)

    def reached(self, key: str, threshold: Threshold, count: int, now: int) -> int:
        """Add sights; how many there were within the threshold's minutes if they are enough, else 0. Enough ends the counting."""
        window = threshold.minutes * 60_000_000_000
        # Taken out and put back at the end: the first in the dictionary is the one longest without a sight.
        seen = [(at, n) for at, n in self._seen.pop(key, ()) if now - window < at <= now]
        if seen and now - seen[-1][0] < window // _PARTS:
            seen[-1] = (seen[-1][0], seen[-1][1] + count)
        else:
            seen.append((now, count))
        total = sum(n for _, n in seen)
        if total >= threshold.count:
            return total
        if len(self._seen) >= MAX_PENDING:
            del self._seen[next(iter(self._seen))]
            self.let_go += 1
        self._seen[key] = seen
        return 0
