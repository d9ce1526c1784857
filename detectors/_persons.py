"""Personal identifiers: IBAN (ISO 13616), US social security numbers, mail addresses (RFC 5321)."""

from __future__ import annotations

import re

from detectors._context import name_at, near
from detectors._look import Look
from detectors._media import Media
from detectors._names import Name, classify
from detectors._validators import iban, is_example_ssn, ssn
from detectors.rules.names import SSN
from sniffer.findings import Category, Rule, Severity

_REFERENCES = ("CWE-319", "CWE-359", "GDPR-32")
_REMEDY = "Send personal data only over TLS."
IBAN = Rule("pii/iban", Category.PII, "Bank account number (IBAN) sent in the clear", Severity.HIGH, 0.95, _REFERENCES, _REMEDY)
US_SSN = Rule("pii/us-ssn", Category.PII, "US social security number sent in the clear", Severity.HIGH, 0.9, _REFERENCES, _REMEDY)
EMAIL = Rule("pii/email", Category.PII, "Mail address sent in the clear", Severity.LOW, 0.9, _REFERENCES, _REMEDY)
BULK = Rule("pii/email-bulk", Category.PII, "Many mail addresses sent in the clear", Severity.MEDIUM, 0.9, _REFERENCES, _REMEDY)

_IBAN = re.compile(rb"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_IBAN_BACK = 19  # the anchor is 15 characters and up to three blanks, after one that is none of it
_SSN = re.compile(r"\d{3}([- ]?)\d{2}\1\d{4}")
_SSN_NEAR = re.compile(rb"(?<![\w.+-])\d{3}([- ]?)\d{2}\1\d{4}(?![\w-]|\.\d)")
_SSN_REACH = 48

_LOCAL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,63})\Z")
_DOMAIN = re.compile(rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6})([A-Za-z]{2,18})(?![A-Za-z0-9@-]|\.[A-Za-z0-9])")
# Identifiers of messages have the form of addresses (RFC 5322 section 3.6.4); folded lines hold nothing else.
_ID_LINE = re.compile(rb"(?:\n|\A)(?:(?:message-id|references|in-reply-to|content-id|resent-message-id)\s*:[^\n]*|[ \t]+)<\Z", re.I)
_LINE = 256
# What follows the last dot in names of files and code that are no domain.
_NO_DOMAIN = frozenset({b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"json", b"html", b"htm", b"php", b"py", b"xml",
                        b"map", b"min", b"woff", b"so", b"txt", b"sh", b"git", b"local", b"service"})  # fmt: skip
# From here on it is a list of people. A mail names a few by nature, and a published page means to.
_FEW, _FEW_IN_MAIL, _MANY = 5, 20, 20
_MAX_ADDRESSES = 20_000


def find_ibans(look: Look, hits: list[tuple[int, int]]) -> None:
    done = 0
    for _, end in hits:
        match = _IBAN.search(look.data, max(done, end - _IBAN_BACK), end + 40)
        if not match or match.start() >= end:
            continue
        text = _shorten(match[0].decode("ascii"))
        before = look.data[max(0, match.start() - 1) : match.start()]
        if text and not before.isalnum():
            look.add(IBAN, text.replace(" ", ""), "iban", (match.start(), match.start() + len(text)), facts={"country": text[:2]},
                    key=name_at(look, match.start())[0])  # fmt: skip
            done = match.start() + len(text)


def _shorten(text: str) -> str:
    """The IBAN at the start of ``text``: words in capitals may follow after a blank. Empty if there is none."""
    while len(text) >= 15:
        if iban(text.replace(" ", "")):
            return text
        text = text.rpartition(" ")[0]
    return ""


def ssn_field(look: Look, name: str, value: str) -> None:
    """A value in a field named for it; bare nine digits count here, and only here."""
    text = value.strip()
    if _SSN.fullmatch(text):
        _ssn(look, text, look.data.find(text.encode()), name)


def find_ssns(look: Look, hits: list[tuple[int, int]]) -> None:
    """Numbers shortly after the words, in prose."""
    for _, end in hits:
        match = _SSN_NEAR.search(look.data, end - 1, end + _SSN_REACH)
        if match and match[1] and b"\n\n" not in look.data[end : match.start()]:
            name, before = name_at(look, match.start())
            if (name and classify(name) is Name.SSN) or (not name and (near(before, SSN) or b"ocial" in before)):
                _ssn(look, match[0].decode("ascii"), match.start(), name)


def _ssn(look: Look, text: str, start: int, name: str | None) -> None:
    digits = re.sub(r"\D", "", text)
    if not ssn(digits):
        return
    example = is_example_ssn(digits)
    facts: dict[str, object] = {"test": True} if example else {}
    look.add(US_SSN, digits, "ssn", (start, start + len(text)), key=name, severity=Severity.LOW if example else None,
             confidence=0.6 if example else None, facts=facts)  # fmt: skip


def _address(data: bytes, at: int) -> tuple[int, int] | None:
    """Start and end of the mail address whose ``@`` is at ``at``."""
    domain = _DOMAIN.match(data, at)
    if not domain or domain[2].lower() in _NO_DOMAIN:
        return None
    local = _LOCAL.search(data[max(0, at - 64) : at])
    if not local:
        return None
    start = at - len(local[0])
    if data[start - 1 : start] == b"<" and _ID_LINE.search(data[max(0, start - _LINE) : start]):
        return None
    if data[start - 2 : start] == b"//" or (data[start - 1 : start] in (b":", b"/") and b"//" in data[max(0, start - 64) : start]):
        return None  # ssh://user@host, scheme://user:password@host
    return start, domain.end()


def find_addresses(look: Look, hits: list[tuple[int, int]], usernames: set[str]) -> None:
    """Many different addresses as one finding; single ones only in fields named for them, and not where they are a login's user."""
    found: dict[str, tuple[int, int]] = {}
    for _, end in hits[:_MAX_ADDRESSES]:
        if place := _address(look.data, end - 3 + look.data[end - 3 : end].rfind(b"@")):
            found.setdefault(look.data[place[0] : place[1]].decode("ascii").casefold(), place)
    least = _FEW_IN_MAIL if look.media is Media.MAIL else _FEW
    if len(found) >= least:
        _bulk(look, found)
    elif look.media in (Media.JSON, Media.FORM, Media.XML, Media.SQL, Media.CSV, Media.MULTIPART):
        for address, place in found.items():
            name = name_at(look, place[0])[0]
            if name and classify(name) is Name.EMAIL and address not in usernames:
                look.add(EMAIL, look.data[place[0] : place[1]].decode("ascii"), "email", place, key=name)


def _bulk(look: Look, found: dict[str, tuple[int, int]]) -> None:
    first, place = next(iter(found.items()))
    severity = Severity.LOW if look.media is Media.PAGE else Severity.HIGH if len(found) >= _MANY else None
    look.add(BULK, first, "email", place, severity=severity, facts={"addresses": len(found)})
