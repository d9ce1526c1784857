"""Reusable secrets that a protocol's own login sent in the clear (CWE-319, CWE-522)."""

from __future__ import annotations

from collections.abc import Iterable

from detectors import Detector
from detectors._protocol import credential_rule, title_for
from detectors._severity import confidence, of_secret
from sniffer.events import Login
from sniffer.findings import Candidate, Context


def _look(event: Login, context: Context) -> Iterable[Candidate]:
    if not event.secret:
        return ()
    kind = event.secret.kind
    return (
        Candidate(
            rule=credential_rule(context), secret=event.secret, span=event.span, mechanism=event.mechanism,
            username=event.username, realm=event.realm, outcome=event.outcome, where=event.where,
            severity=of_secret(context, kind, event.username, event.outcome), confidence=confidence(event.outcome),
            title=title_for(context, kind),
        ),
    )  # fmt: skip


DETECTORS = (Detector(on=Login, look=_look, rules=()),)
