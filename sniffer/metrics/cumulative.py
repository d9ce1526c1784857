"""Counts that others keep as totals since they began, turned into what came since the last word; they may begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Cumulative:
    """The last totals of each source. Sources are interfaces, workers and sinks: as many as the configuration names."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, ...]] = {}

    def since(self, source: Hashable, totals: Sequence[float]) -> tuple[float, ...]:
        """What each total grew by. If any is smaller than before, the source has begun again and all count from 0."""
        now = tuple(totals)
        before = self._last.get(source)
        self._last[source] = now
        if before is None or any(new < old for new, old in zip(now, before, strict=True)):
            return now
        return tuple(new - old for new, old in zip(now, before, strict=True))
