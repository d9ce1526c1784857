"""Logins, statements, challenge–responses and tokens that protocols name themselves."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from sniffer.events import ChallengeResponse, Crack, Login, Outcome, Side, Span, Statement, Token
from sniffer.findings import Candidate, Context, Severity
from sniffer.secret import Secret

SPAN = Span(Side.CLIENT, 5, 11)
Judge = Callable[..., list[Candidate]]


def jwt(header: object, claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part(header)}.{part(claims)}.c2lnbmF0dXJlc2lnbmF0dXJl"


def test_login(judge: Judge) -> None:
    event = Login(span=SPAN, mechanism="PASS", secret=Secret("hunter2"), username="alice", outcome=Outcome.ACCEPTED, where="PASS argument")
    (found,) = judge(event)
    assert (found.rule.id, found.severity, found.confidence) == ("credential/http", Severity.CRITICAL, 0.99)
    assert (found.mechanism, found.username, found.where, found.span) == ("PASS", "alice", "PASS argument", SPAN)


def test_empty_secrets_are_nothing(judge: Judge) -> None:
    assert not judge(Login(span=SPAN, mechanism="PASS", secret=Secret("")))
    assert not judge(Statement(span=SPAN, mechanism="ALTER ROLE", secret=Secret("")))
    assert not judge(ChallengeResponse(span=SPAN, mechanism="Digest", response=Secret("", "hash")))
    assert not judge(Token(span=SPAN, mechanism="Bearer", secret=Secret("", "token")))


def test_statement(judge: Judge) -> None:
    where = Context("postgresql", "PostgreSQL", "database", "")
    (found,) = judge(Statement(span=SPAN, mechanism="ALTER ROLE", secret=Secret("x1"), username="bob", where="ALTER ROLE … PASSWORD"), where)
    assert (found.rule.id, found.severity, found.where) == ("credential/postgresql", Severity.CRITICAL, "ALTER ROLE … PASSWORD")


def test_hash_keeps_the_crack(judge: Judge) -> None:
    crack = Crack("netntlmv2", 5600, Secret("line", "hash"))
    (found,) = judge(ChallengeResponse(span=SPAN, mechanism="NTLMv2", response=Secret("ab", "hash"), username="alice", crack=crack))
    assert (found.rule.id, found.severity, found.crack) == ("hash/http", Severity.MEDIUM, crack)


def test_machine_accounts_are_low(judge: Judge) -> None:
    (found,) = judge(ChallengeResponse(span=SPAN, mechanism="NTLMv2", response=Secret("ab", "hash"), username="DESKTOP$"))
    assert found.severity is Severity.LOW
    (found,) = judge(ChallengeResponse(span=SPAN, mechanism="CRAM-MD5", response=Secret("ab", "hash"), username="cash$"))
    assert found.severity is Severity.MEDIUM


def test_token_severities(judge: Judge) -> None:
    def severity(mechanism: str, name: str | None = None) -> Severity | None:
        (found,) = judge(Token(span=SPAN, mechanism=mechanism, name=name, secret=Secret("d41d8cd98f00b204e980", "token")))
        return found.severity

    assert severity("Bearer") is severity("cookie", "PHPSESSID") is Severity.MEDIUM
    assert severity("API key", "X-Api-Key") is Severity.HIGH


def test_jwt_facts(judge: Judge) -> None:
    token = jwt({"alg": "HS256", "typ": "JWT"}, {"iss": "https://id.example.org", "exp": 1700000000, "sub": "alice-canary"})
    (found,) = judge(Token(span=SPAN, mechanism="Bearer", secret=Secret(token, "token")))
    assert found.facts == {"format": "JWT", "alg": "HS256", "iss": "https://id.example.org", "exp": 1700000000}


def test_kubernetes_service_account_is_high(judge: Judge) -> None:
    token = jwt({"alg": "RS256"}, {"kubernetes.io/serviceaccount/service-account.name": "default"})
    (found,) = judge(Token(span=SPAN, mechanism="Bearer", secret=Secret(token, "token")))
    assert found.severity is Severity.HIGH


@pytest.mark.parametrize("name", ["PHPSESSID", "JSESSIONID", "connect.sid", "my_session", "remember_token", "ASPSESSIONIDQQ", None])
def test_session_cookies(judge: Judge, name: str | None) -> None:
    assert len(judge(Token(span=SPAN, mechanism="cookie", name=name, secret=Secret("d41d8cd98f00b204e980", "cookie")))) == 1


@pytest.mark.parametrize("name", ["_ga", "_gid", "__utma", "csrftoken", "XSRF-TOKEN", "theme", "lang", "cookieconsent_status", "_fbp"])
def test_other_cookies(judge: Judge, name: str) -> None:
    assert not judge(Token(span=SPAN, mechanism="cookie", name=name, secret=Secret("d41d8cd98f00b204e980", "cookie")))


def test_unknown_cookies_by_their_look(judge: Judge) -> None:
    def found(value: str) -> int:
        return len(judge(Token(span=SPAN, mechanism="cookie", name="zz", secret=Secret(value, "cookie"))))

    assert found("d41d8cd98f00b204e980") == 1
    assert found("dark") == found("aaaaaaaaaaaaaaaa1") == found("some words that are text 1") == 0
