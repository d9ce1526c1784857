"""Passwords and stored hashes in transferred files: a line that names one, a hash whose format says what it is."""

from __future__ import annotations

import re
from functools import cache

from detectors._look import Look
from detectors._media import Media
from detectors._protocol import credential_rule, title_for
from detectors._scan import table
from detectors._severity import of_secret
from detectors._values import is_label, is_password, is_word
from detectors.rules.files import CISCO_KEY, HASHES, LINES, Hash, Line
from sniffer.events import Crack
from sniffer.findings import Candidate, Category, Rule, Severity
from sniffer.secret import Secret

RULE = Rule(
    "hash/stored-password", Category.HASH, "Stored password hash sent in the clear", Severity.MEDIUM, 0.95,
    references=("CWE-319", "CWE-522", "PCI-DSS-4.2.1"), remedy="Transfer account databases and configurations over SSH or TLS; change these passwords.",
)  # fmt: skip

_LONGEST_LINE = 512
_MAX_TRIED = 500
_USER = re.compile(rb"(?:\A|[\s\"',])([A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}):\Z")


@cache
def _pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(), re.I | re.M)


@cache
def _exact(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode())


def find_lines(look: Look, hits: list[tuple[int, int]]) -> None:
    """Report what the lines round ``hits`` say."""
    if look.media is Media.PAGE:
        return  # documentation
    done = -1
    for ident, end in hits[:_MAX_TRIED]:
        line = LINES[table()[ident].row]
        start = 1 + look.data.rfind(b"\n", max(0, end - _LONGEST_LINE), end)
        stop = look.data.find(b"\n", end, end + _LONGEST_LINE)
        first = max(0, end - _LONGEST_LINE) if line.mechanism == ".netrc" else start
        match = _pattern(line.pattern).search(look.data, first, stop if stop >= 0 else end + _LONGEST_LINE)
        if match and match.start("value") > done:
            done = match.start("value")
            _report(look, line, match)


def _report(look: Look, line: Line, match: re.Match[bytes]) -> None:
    found = match.groupdict()
    raw = found["value"].decode("utf-8", "replace")
    value = cisco(raw) if line.coded else raw
    user = found["user"].decode("utf-8", "replace") if found.get("user") else None
    if value is None or not is_password(value) or (not line.coded and _unlikely(line, value)):
        return
    rule, context = credential_rule(look.context), look.context
    if look.new(rule, value):
        look.found.append(
            Candidate(
                rule=rule, secret=Secret(value, line.kind), span=look.span(*match.span("value")), mechanism=line.mechanism, username=user,
                where=look.place(None), severity=of_secret(context, line.kind, user, None), confidence=0.85, title=title_for(context, line.kind),
            )
        )  # fmt: skip


def _unlikely(line: Line, value: str) -> bool:
    """Prose and scripts: ``enable password protection``; settings whose value is only a word."""
    if line.mechanism in ("environment", ".netrc"):
        return is_label(value, "password") or (line.mechanism == "environment" and is_word(value))
    return line.kind == "password" and value.casefold() in ("for", "on", "and", "is", "to", "protection", "prompt", "password", "authentication")


def cisco(text: str) -> str | None:
    """The password of a Cisco type 7 string: two digits of offset, then bytes in hex XORed with the known key."""
    if len(text) % 2 or not text[:2].isdecimal() or int(text[:2]) > 15:
        return None
    try:
        coded = bytes.fromhex(text[2:])
    except ValueError:
        return None
    offset = int(text[:2])
    plain = bytes(c ^ CISCO_KEY[(offset + n) % len(CISCO_KEY)] for n, c in enumerate(coded))
    return plain.decode("ascii") if plain and all(0x20 <= c < 0x7F for c in plain) else None


def find_hashes(look: Look, hits: list[tuple[int, int]]) -> None:
    """Report the stored hashes at ``hits``, with the account where the line names it."""
    for ident, end in hits[:_MAX_TRIED]:
        form = HASHES[table()[ident].row]
        match = _exact(form.pattern).search(look.data, max(0, end - 64), end + 320)
        if match and match.start() < end:
            _hash(look, form, match)


def _hash(look: Look, form: Hash, match: re.Match[bytes]) -> None:
    value = match[0].decode("ascii")
    if len(set(value)) < 14 or not look.new(RULE, value):
        return
    user = _USER.search(look.data[max(0, match.start() - 70) : match.start()])
    look.found.append(
        Candidate(
            rule=RULE, secret=Secret(value, "hash"), span=look.span(*match.span()), mechanism=form.format,
            username=user[1].decode("ascii") if user else None, where=look.place(None),
            crack=Crack(form.format, form.hashcat, Secret(value, "hash")),
        )
    )  # fmt: skip
