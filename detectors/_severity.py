"""How bad a secret in the clear is: the one place that says so (see docs: severity)."""

from __future__ import annotations

from functools import lru_cache

from detectors.rules.accounts import DIRECTORY_NAMES, PRIVILEGED, SHARED_KINDS, WEIGHTY_TIERS
from sniffer.events import Outcome
from sniffer.findings import Context, Severity

# How sure a login is: the server said so; nobody said; the server said no (a mistyped password is still close to one).
_CONFIDENCE = {Outcome.ACCEPTED: 0.99, Outcome.UNKNOWN: 0.95, Outcome.REJECTED: 0.8}


@lru_cache(maxsize=4096)
def privileged(username: str | None) -> bool:
    r"""Whether the name belongs to an account with rights over a whole system: ``root``, ``CORP\Administrator``, ``cn=admin,dc=…``."""
    if not username:
        return False
    name = username.strip().casefold()
    if name in PRIVILEGED:
        return True
    if "=" in name:
        return name.partition(",")[0].partition("=")[2].strip() in DIRECTORY_NAMES
    return name.rpartition("\\")[2].partition("@")[0] in PRIVILEGED


def of_secret(context: Context, kind: str, username: str | None, outcome: Outcome | None) -> Severity:
    """Critical for a privileged, shared, database or directory secret, or one the server accepted; else high.

    A rejected one is high at most: what the server refused opens nothing there.
    """
    if outcome is Outcome.ACCEPTED:
        return Severity.CRITICAL
    if outcome is Outcome.REJECTED:
        return Severity.HIGH
    if context.tier in WEIGHTY_TIERS or kind in SHARED_KINDS or privileged(username):
        return Severity.CRITICAL
    return Severity.HIGH


def confidence(outcome: Outcome | None) -> float:
    """0 to 1."""
    return _CONFIDENCE.get(outcome or Outcome.UNKNOWN, 0.95)
