"""Requests that wait for their answer, and what its status says of them (RFC 9110, sections 11 and 15)."""

from __future__ import annotations

from msgspec.structs import replace

from sniffer.events import (
    ACCEPTED,
    CLIENT,
    REJECTED,
    UNKNOWN,
    ChallengeResponse,
    Content,
    Event,
    Login,
    Outcome,
    Span,
    Token,
)


class Sent:
    """A request waiting for its answer, with its query and the events that wait for its outcome."""

    __slots__ = ("at", "events", "method", "query", "target")

    def __init__(self, method: bytes, target: str, events: list[Event], query: bytes, at: int) -> None:
        self.method = method
        self.target = target
        self.events = events
        self.query = query
        self.at = at  # stream offset of the query

    def tell(self, outcome: Outcome, proxied: Outcome | None = None) -> list[Event]:
        """What was said in the request, with what became of it; ``proxied`` is what became of what was meant for a proxy."""
        told = self.events if outcome is UNKNOWN and not proxied else [replace(e, outcome=proxied if proxied and _for_proxy(e) else outcome) for e in self.events]
        if self.query:
            span = Span(CLIENT, self.at, self.at + len(self.query))
            told.append(Content(span=span, data=self.query, media="application/x-www-form-urlencoded", where="query string", outcome=outcome, target=self.target))
        return told


def _for_proxy(event: Event) -> bool:
    return isinstance(event, (Login, ChallengeResponse, Token)) and event.where.startswith("Proxy-")


def outcome_of(status: int, *, proxy: bool = False) -> Outcome:
    """What a status says of the credentials sent; a proxy has let through what the origin refuses with 401 (RFC 9110, 11.7)."""
    if proxy and status in (401, 403, 404):
        return UNKNOWN if status == 403 else ACCEPTED
    if status in (401, 403, 407):
        return REJECTED
    return ACCEPTED if 200 <= status < 400 else UNKNOWN
