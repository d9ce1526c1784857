"""Statements that set or name a password: ``ALTER ROLE … PASSWORD``, ``CONFIG SET requirepass``."""

from __future__ import annotations

from collections.abc import Iterable

from detectors import Detector
from detectors._protocol import credential_rule, title_for
from detectors._severity import of_secret
from sniffer.events import Statement
from sniffer.findings import Candidate, Context


def _look(event: Statement, context: Context) -> Iterable[Candidate]:
    if not event.secret:
        return ()
    kind = event.secret.kind
    return (
        Candidate(
            rule=credential_rule(context), secret=event.secret, span=event.span, mechanism=event.mechanism,
            username=event.username, where=event.where or "statement", confidence=0.95,
            severity=of_secret(context, kind, event.username, None), title=title_for(context, kind),
        ),
    )  # fmt: skip


DETECTORS = (Detector(on=Statement, look=_look, rules=()),)
