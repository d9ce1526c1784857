"""Challenge–response material from which a password can be guessed offline (CWE-319, CWE-916)."""

from __future__ import annotations

from collections.abc import Iterable

from detectors import Detector
from detectors._protocol import hash_rule
from sniffer.events import ChallengeResponse
from sniffer.findings import Candidate, Context, Severity

# Without everything a cracker needs, the response alone still shows who logged in and how weakly.
_INCOMPLETE = 0.8
_COMPLETE = 0.95


def _severity(event: ChallengeResponse) -> Severity:
    """Windows machine accounts have random 120-character passwords that nobody guesses (MS-ADTS 6.4)."""
    machine = (event.username or "").rstrip().endswith("$") and event.mechanism.upper().startswith("NTLM")
    return Severity.LOW if machine else Severity.MEDIUM


def _look(event: ChallengeResponse, context: Context) -> Iterable[Candidate]:
    if not event.response:
        return ()
    return (
        Candidate(
            rule=hash_rule(context), secret=event.response, span=event.span, mechanism=event.mechanism,
            username=event.username, realm=event.realm, outcome=event.outcome, where=event.where, crack=event.crack,
            severity=_severity(event), confidence=_COMPLETE if event.crack else _INCOMPLETE,
        ),
    )  # fmt: skip


DETECTORS = (Detector(on=ChallengeResponse, look=_look, rules=()),)
