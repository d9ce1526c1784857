"""Bearer secrets in the places a protocol gives them: headers, cookies, SASL OAUTHBEARER (RFC 6750, RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from detectors import Detector, _jwt
from detectors._protocol import display, token_rule
from detectors.rules.names import OTHER_COOKIE_STARTS, OTHER_COOKIES, SESSION_COOKIES
from sniffer.events import Token
from sniffer.findings import Candidate, Context, Severity

# Keys that stay valid until somebody changes them, against tokens that a session ends.
_LASTING = ("api key", "api-key", "apikey", "private key", "access key", "vault", "private-token")
_SESSION_WORD = re.compile(r"sess|auth|sid\b|login|logged|token|jwt|remember|ticket|saml|sso", re.I)
# A session identifier needs 64 bits at least (OWASP session management): shorter opaque values are preferences.
_MIN_OPAQUE = 16


def _cookie_confidence(name: str | None, value: str) -> float:
    """How sure a cookie is a session's: by name; unknown names by the look of the value; 0 for what is known not to be."""
    if not name:
        return 0.7
    plain = name.casefold()
    if plain in SESSION_COOKIES or plain.startswith("aspsessionid"):
        return 0.95
    if plain in OTHER_COOKIES or plain.startswith(OTHER_COOKIE_STARTS):
        return 0.0
    if _SESSION_WORD.search(plain) and len(value) >= 8:
        return 0.9
    opaque = len(value) >= _MIN_OPAQUE and len(set(value)) >= 8 and " " not in value and any(c.isdigit() for c in value)
    return 0.6 if opaque else 0.0


def _title(context: Context, mechanism: str) -> str:
    what = "session cookie" if mechanism.casefold() == "cookie" else mechanism if "token" in mechanism.casefold() else f"{mechanism} token"
    what = mechanism if mechanism.casefold() in ("api key", "jwt") else what
    return f"{display(context.protocol, context.title)} {what} sent in the clear"


def _severity(event: Token, facts: dict[str, object]) -> Severity:
    if facts.get("service_account") or event.mechanism.casefold() in _LASTING or (event.name or "").casefold() in _LASTING:
        return Severity.HIGH
    return Severity.MEDIUM


def _look(event: Token, context: Context) -> Iterable[Candidate]:
    value = event.secret.reveal()
    sure = _cookie_confidence(event.name, value) if event.mechanism.casefold() == "cookie" else 0.95
    if not value or not sure:
        return ()
    facts = _jwt.facts(value) or {}
    if event.name:
        facts["name"] = event.name
    return (
        Candidate(
            rule=token_rule(context), secret=event.secret, span=event.span, mechanism=event.mechanism,
            username=event.username or (event.name if event.mechanism == "cookie" else None), outcome=event.outcome, where=event.where, facts=facts,
            severity=_severity(event, facts), confidence=0.99 if "format" in facts else sure,
            title=_title(context, event.mechanism),
        ),
    )  # fmt: skip


DETECTORS = (Detector(on=Token, look=_look, rules=()),)
