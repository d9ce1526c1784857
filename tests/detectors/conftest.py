"""Content as dissectors give it, and what the detectors make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from detectors import registry
from sniffer.events import Content, Event, Outcome, Side, Span
from sniffer.findings import Candidate, Context

CONTEXT = Context("http", "HTTP/1.x, RFC 9110", "client", "Use HTTPS.")
Look = Callable[..., list[Candidate]]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The compiled anchors of the tests do not go to the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def context() -> Context:
    return CONTEXT


@pytest.fixture
def judge() -> Look:
    """All candidates of one event."""

    def run(event: Event, where: Context = CONTEXT) -> list[Candidate]:
        return [c for d in registry() if isinstance(event, d.on) for c in d.look(event, where)]

    return run


@pytest.fixture
def look(judge: Look) -> Look:
    """All candidates of one content."""

    def run(
        data: bytes | str, media: str = "text/plain", side: Side = Side.CLIENT, *, where: str = "request body", name: str | None = None,
        outcome: Outcome = Outcome.UNKNOWN, charset: str | None = None, at: int = 0,
    ) -> list[Candidate]:  # fmt: skip
        body = data.encode() if isinstance(data, str) else data
        span = Span(side, at, at + len(body))
        return judge(Content(span=span, data=body, media=media, where=where, name=name, outcome=outcome, charset=charset))

    return run


@pytest.fixture
def rules(look: Look) -> Callable[..., list[str]]:
    """The rule ids of one content."""

    def run(*args: object, **kwargs: object) -> list[str]:
        return [c.rule.id for c in look(*args, **kwargs)]

    return run
