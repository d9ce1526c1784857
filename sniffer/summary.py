"""How much was read, and what of it could not be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Summary:
    """A report that says "nothing found" must say over how much. Times are nanoseconds since the epoch."""

    frames: int = 0
    bytes: int = 0
    flows: int = 0
    attempts: int = 0
    sources: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    undecoded: Counter[str] = field(default_factory=Counter)
    fragments: Counter[str] = field(default_factory=Counter)
    reassembly: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)
    shed: Counter[str] = field(default_factory=Counter)  # bytes left unread on purpose, by what ("content", "flows")
    bugs: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    truncated: int = 0
    gaps: int = 0
    gap_bytes: int = 0
    one_sided: int = 0
    severities: Counter[str] = field(default_factory=Counter)  # findings, once all is read
    verdicts: Counter[str] = field(default_factory=Counter)  # channels, likewise
    evicted: int = 0
    omitted: int = 0
    first: int = 0
    last: int = 0
    seconds: float = 0.0

    def add(self, other: Summary) -> None:
        """Count another's numbers with these."""
        for name in _NAMES:
            mine, its = getattr(self, name), getattr(other, name)
            if name == "first":
                self.first = min(filter(None, (mine, its)), default=0)
            elif name == "last":
                self.last = max(mine, its)
            elif isinstance(mine, Counter):
                mine.update(its)
            else:
                setattr(self, name, mine + its)

    def since(self, before: Summary) -> Summary:
        """What has come up since an earlier copy of the same count; ``first`` and ``last`` stay as they are."""
        out = Summary(first=self.first, last=self.last)
        for name in _NAMES:
            now, then = getattr(self, name), getattr(before, name)
            if isinstance(now, list):
                setattr(out, name, now[len(then) :])
            elif isinstance(now, Counter):
                setattr(out, name, +(Counter(now) - then))
            elif name not in ("first", "last"):
                setattr(out, name, now - then)
        return out

    def copy(self) -> Summary:
        """A copy that does not change when this one does."""
        return Summary(**{name: _copied(getattr(self, name)) for name in _NAMES})


def _copied(value: Any) -> Any:
    return type(value)(value)


_NAMES = tuple(f.name for f in fields(Summary))
