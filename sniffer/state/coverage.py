"""How much of a time was watched: what is on record of the times that were not, taken together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.state.reader import Interval


class Watched(NamedTuple):
    """From when to when (nanoseconds since the epoch), and how much of it was not watched (nanoseconds)."""

    since: int
    until: int
    unwatched: int

    @property
    def whole(self) -> int:
        """Nanoseconds in all."""
        return self.until - self.since

    @property
    def share(self) -> float:
        """The part that was watched, from 0 to 1."""
        return 1 - self.unwatched / self.whole if self.whole > 0 else 1.0


def watched(since: int, until: int, intervals: Iterable[Interval]) -> Watched:
    """Times that overlap count once. One in which a single worker was down counts as unwatched whole: some hosts were not read."""
    total, reached = 0, since
    for start, end, _ in sorted(intervals):
        start, end = max(start, reached), min(end, until)
        if end > start:
            total, reached = total + end - start, end
    return Watched(since, max(since, until), total)
