"""IBANs, social security numbers, mail addresses in content."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sniffer.events import Side
from sniffer.findings import Candidate, Severity

Look = Callable[..., list[Candidate]]
Rules = Callable[..., list[str]]
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ("pay to DE89370400440532013000 now", "text/plain"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", "text/plain"),
        ('{"iban":"GB82WEST12345698765432"}', "application/json"),
        ("iban=FR14+2004+1010+0505+0001+3M02+606&x=1", FORM),
        ("<IBAN>NL91ABNA0417164300</IBAN>", "application/pain+xml"),
        ("NO93 8601 1117 947 AND MORE WORDS", "text/plain"),
    ],
)
def test_iban(look: Look, data: str, media: str) -> None:
    (found,) = look(data, media)
    assert (found.rule.id, found.secret.kind, len(str(found.facts["country"]))) == ("pii/iban", "iban", 2)


@pytest.mark.parametrize("data", ["DE89370400440532013001", "XX89370400440532013000", "aDE89370400440532013000", "DE89370400440532013000A",
                                  "AB12 CDEF GHIJ KLMN OPQR", "DE8937040044"])  # fmt: skip
def test_no_iban(rules: Rules, data: str) -> None:
    assert not rules(data)


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ('{"ssn":"219-45-1234"}', "application/json"), ('{"ssn":219451234}', "application/json"),
        ('{"socialSecurityNumber":"219 45 1234"}', "application/json"), ("user_ssn=219451234", FORM),
        ("<SSN>219-45-1234</SSN>", "text/xml"), ("name,ssn\nBob,219-45-1234\n", "text/csv"),
        ("INSERT INTO p (name, ssn) VALUES ('Bob', '219451234')", "application/sql"),
        ("Her social security number is 219-45-1234.", "text/plain"), ("SSN: 219-45-1234", "text/plain"),
    ],
)  # fmt: skip
def test_ssn(look: Look, data: str, media: str) -> None:
    (found,) = look(data, media)
    assert (found.rule.id, found.secret.kind, found.rule.severity) == ("pii/us-ssn", "ssn", Severity.HIGH)
    assert "21945" not in found.secret.mask


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ('{"order":"219-45-1234"}', "application/json"), ('{"ssn":null,"order":"219451234"}', "application/json"),
        ("call 219-45-1234 now", "text/plain"), ('{"ssn":"900-45-1234"}', "application/json"), ('{"ssn":"000451234"}', "application/json"),
        ('{"ssn_last4":"1234"}', "application/json"), ("passnumber=219451234", FORM), ("ssn 219451234", "text/plain"),
        ('{"ssn":"***-**-1234"}', "application/json"),
    ],
)  # fmt: skip
def test_no_ssn(rules: Rules, data: str, media: str) -> None:
    assert not rules(data, media)


def test_the_number_everybody_types_is_low(look: Look) -> None:
    (found,) = look('{"ssn":"123-45-6789"}', "application/json")
    assert found.severity is Severity.LOW


def addresses(count: int) -> str:
    return "\n".join(f"person{i}@example.org" for i in range(count))


@pytest.mark.parametrize(("count", "severity"), [(5, None), (19, None), (20, Severity.HIGH), (500, Severity.HIGH)])
def test_bulk(look: Look, count: int, severity: Severity | None) -> None:
    (found,) = look(addresses(count))
    assert (found.rule.id, found.facts, found.severity) == ("pii/email-bulk", {"addresses": count}, severity)


def test_few_or_the_same_are_no_bulk(rules: Rules) -> None:
    assert not rules(addresses(4))
    assert not rules("alice@example.org\n" * 50)


def test_pages_are_low_and_mails_name_people(look: Look, rules: Rules) -> None:
    assert [c.severity for c in look(addresses(30), "text/html")] == [Severity.LOW]
    assert not rules("To: " + addresses(8).replace("\n", ", "), "message/rfc822")


def test_message_identifiers_are_no_addresses(rules: Rules) -> None:
    lines = "".join(f"Message-ID: <{i}.abc@mail.example.org>\r\nReferences: <r{i}@mail.example.org>\r\n <s{i}@mail.example.org>\r\n" for i in range(9))
    assert not rules(lines)


@pytest.mark.parametrize(
    ("data", "media"),
    [('{"email":"alice@example.org"}', "application/json"), ("email=alice%40example.org&x=1", FORM),
     ('{"user":{"e-mail":"alice@example.org"}}', "application/json"), ("<Email>alice@example.org</Email>", "text/xml")],
)  # fmt: skip
def test_single(look: Look, data: str, media: str) -> None:
    (found,) = look(data, media, Side.SERVER)
    assert (found.rule.id, found.secret.reveal(), found.rule.severity) == ("pii/email", "alice@example.org", Severity.LOW)


@pytest.mark.parametrize(
    ("data", "media"),
    [('{"note":"alice@example.org"}', "application/json"), ("write to alice@example.org", "text/plain"), ('{"email":"icon@2x.png"}', "application/json"),
     ('{"email":"nobody"}', "application/json"), ('{"email":"git@host"}', "application/json"), ("@media screen { a@b }", "text/css")],
)  # fmt: skip
def test_no_single(rules: Rules, data: str, media: str) -> None:
    assert not rules(data, media)


def test_a_login_name_is_not_told_twice(rules: Rules) -> None:
    assert rules(json.dumps({"email": "alice@example.org", "password": "hunter2"}), "application/json") == ["credential/http"]
