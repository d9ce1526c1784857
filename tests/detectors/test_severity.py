"""Severity of a secret: tier, account, kind and the server's answer."""

from __future__ import annotations

from itertools import product

import pytest

from detectors._severity import confidence, of_secret, privileged
from sniffer.events import Outcome
from sniffer.findings import Context, Severity


def at(tier: str) -> Context:
    return Context("x", "X", tier, "")


@pytest.mark.parametrize("name", ["root", "Administrator", "CORP\\Administrator", "admin@example.org", "sa", "SYSTEM", "postgres",
                                  "cn=Directory Manager", "cn=admin,dc=example,dc=org", " enable "])  # fmt: skip
def test_privileged(name: str) -> None:
    assert privileged(name)


@pytest.mark.parametrize("name", [None, "", "alice", "rooter", "administrative", "cn=alice,dc=example", "CORP\\alice", "bob@admin.example"])
def test_not_privileged(name: str | None) -> None:
    assert not privileged(name)


def test_accepted_is_critical() -> None:
    assert of_secret(at("client"), "password", "alice", Outcome.ACCEPTED) is Severity.CRITICAL


@pytest.mark.parametrize("name", ["root", "alice"])
def test_rejected_is_never_critical(name: str) -> None:
    assert of_secret(at("database"), "password", name, Outcome.REJECTED) is Severity.HIGH


@pytest.mark.parametrize(
    ("tier", "kind", "name", "severity"),
    [
        ("client", "password", "alice", Severity.HIGH),
        ("client", "password", None, Severity.HIGH),
        ("client", "password", "root", Severity.CRITICAL),
        ("database", "password", "alice", Severity.CRITICAL),
        ("directory", "password", "alice", Severity.CRITICAL),
        ("management", "community", None, Severity.CRITICAL),
        ("infrastructure", "key", None, Severity.CRITICAL),
        ("mail", "password", "alice", Severity.HIGH),
    ],
)
def test_unknown_outcome(tier: str, kind: str, name: str | None, severity: Severity) -> None:
    assert of_secret(at(tier), kind, name, Outcome.UNKNOWN) is severity


def test_a_reusable_secret_is_high_at_least() -> None:
    for tier, kind, name, outcome in product(("client", "mail"), ("password", "pin"), (None, "bob"), (*Outcome, None)):
        assert of_secret(at(tier), kind, name, outcome) >= Severity.HIGH


def test_confidence_follows_the_answer() -> None:
    assert confidence(Outcome.ACCEPTED) > confidence(None) == confidence(Outcome.UNKNOWN) > confidence(Outcome.REJECTED)
