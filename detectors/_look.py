"""One content under examination: its text, where its bytes stood, and what was found in it so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors._media import STRUCTURED, Media
from sniffer.events import Content, Span
from sniffer.findings import Candidate, Context, Rule, Severity
from sniffer.secret import Secret

# Findings of one rule in one content; the first carries the number of all (a dump of a million cards is one problem).
MAX_REPORTED = 40
# Values remembered of one rule in one content for telling them apart.
MAX_DISTINCT = 100_000


@dataclass(slots=True)
class Look:
    """``data`` is the content as UTF-8; ``media`` what it turned out to be."""

    event: Content
    context: Context
    data: bytes = field(repr=False)
    media: Media
    found: list[Candidate] = field(default_factory=list)
    values: set[str] = field(default_factory=set, repr=False)
    counts: dict[str, int] = field(default_factory=dict)
    columns: tuple[bytes, list[str]] | None = None  # of a table: delimiter and header, once looked up

    @property
    def from_server(self) -> bool:
        return bool(self.event.span.side)

    def span(self, start: int, end: int) -> Span:
        """The bytes on the wire: exact where nothing was decoded, else all of the content's."""
        whole = self.event.span
        if self.data is not self.event.data or whole.end - whole.start != len(self.data) or start < 0:
            return whole
        return Span(whole.side, whole.start + start, whole.start + min(end, len(self.data)))

    def new(self, rule: Rule, value: str) -> bool:
        """Whether this value is new here; counts it."""
        if value in self.values or len(self.values) >= MAX_DISTINCT:
            return False
        self.values.add(value)
        self.counts[rule.id] = self.counts.get(rule.id, 0) + 1
        return self.counts[rule.id] <= MAX_REPORTED

    def add(
        self, rule: Rule, value: str, kind: str, at: tuple[int, int] = (-1, -1), *, key: str | None = None,
        severity: Severity | None = None, confidence: float | None = None, title: str | None = None, where: str = "",
        facts: dict[str, object] | None = None,
    ) -> None:
        """Report ``value`` once, without a login's user and outcome."""
        if not self.new(rule, value):
            return
        self.found.append(
            Candidate(
                rule=rule, secret=Secret(value, kind), span=self.span(*at), severity=severity, confidence=confidence,
                title=title, where=where or self.place(key), facts=facts or {},
            )
        )  # fmt: skip

    def place(self, key: str | None) -> str:
        """Where it stood, for people: the content's place and the field's name (not in prose, where it may be anything)."""
        where = self.event.where or "content"
        return f"{where}, field {label(key)}" if key and self.media in STRUCTURED else where


def label(name: str) -> str:
    """A field's name fit to show: printable and short."""
    return "".join(c for c in name[:48] if c.isprintable())
