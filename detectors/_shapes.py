"""Tokens that say what they are: confirms a scanner's hit on a token's prefix with the whole pattern."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from detectors import _jwt
from detectors._look import Look
from detectors._scan import Shape, table
from detectors._values import made_up
from sniffer.findings import Category, Rule, Severity

# A confirming match looks at this much before and after the hit; the longest token (a JWT with a fat claim set) fits.
_BEFORE = 64
_AFTER = 16384
# Seconds for one match. Own patterns need microseconds; the limit is for what nobody thought of.
_TIMEOUT = 0.25
# Hits of one anchor tried in one content: confirmation costs up to _AFTER bytes each.
_MAX_TRIED = 500
_GUARD = re.compile(rb"(?:%[0-9A-Fa-f]{2}|\\[nrtbf]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2})\Z")
_REMEDY = "Revoke it, issue a new one, and send it only over TLS."


@cache
def rules() -> dict[str, Rule]:
    """``token/<subject>`` for every shape, by subject."""
    made: dict[str, Rule] = {}
    for anchor in table():
        shape = anchor.shape
        if shape and shape.subject not in made:
            title = f"{shape.title} sent in the clear"
            made[shape.subject] = Rule(f"token/{shape.subject}", Category.TOKEN, title, shape.severity, 0.97, remedy=_REMEDY)
    return made


@cache
def _compiled(pattern: str) -> Any:
    import regex  # when first needed: it takes 6 ms to load, and most runs find no token

    return regex.compile(pattern.encode())


def _free(data: bytes, start: int) -> bool:
    r"""No letter, digit or underscore before, unless that is the end of an escape (``%22``, ``\n``, ``\u0022``)."""
    before = data[max(0, start - 6) : start]
    return not before or not (before[-1:].isalnum() or before[-1:] == b"_") or bool(_GUARD.search(before))


def _match(data: bytes, shape: Shape, end: int) -> Any | None:
    pattern = _compiled(shape.pattern)
    start = max(0, end - (shape.width or _BEFORE))
    try:
        if shape.width:
            return pattern.match(data, start, end + _AFTER, timeout=_TIMEOUT)
        found = pattern.search(data, start, end + _AFTER, timeout=_TIMEOUT)
    except TimeoutError:
        return None
    return found if found and found.start() < end else None


def find(look: Look, hits: list[tuple[int, int]]) -> None:
    """Report the tokens among ``hits`` (anchor id, end)."""
    anchors = table()
    tried: dict[int, int] = {}
    done = 0
    for ident, end in hits:
        shape = anchors[ident].shape
        tried[ident] = tried.get(ident, 0) + 1
        if shape is None or end <= done or tried[ident] > _MAX_TRIED:
            continue
        match = _match(look.data, shape, end)
        if match is None or (shape.guard and not _free(look.data, match.start())):
            continue
        done = _report(look, shape, match) or done


def _report(look: Look, shape: Shape, match: Any) -> int:
    """Add the finding; gives the end of what was taken, 0 if it is none."""
    start, end = match.span("value") if "value" in match.re.groupindex else match.span()
    rule = rules()[shape.subject]
    if shape.subject == "private-key":
        return _private_key(look, rule, match)
    value = look.data[start:end].decode("ascii", "replace")
    facts: dict[str, object] = {}
    severity: Severity | None = None
    if shape.subject == "jwt":
        claims = _jwt.facts(value)
        if claims is None:
            return 0
        facts = claims
        severity = Severity.HIGH if claims.get("service_account") else None
    elif made_up(look.data[start:end]) or len(set(value)) < 10 or not _plausible(shape, value):
        return 0
    else:
        facts = dict(_facts(shape.subject, value))
    look.add(rule, value, "token", (start, end), severity=severity, facts=facts)
    return int(end)


def _plausible(shape: Shape, value: str) -> bool:
    """Random text has digits and letters; words strung together and hex hashes under a wide class do not look like it."""
    if shape.subject in ("hugging-face", "mapbox", "aws-access-key", "google-oauth-secret"):
        return True
    return any(c.isdigit() for c in value) and (shape.subject != "airtable" or value[17:18] == ".")


def _facts(subject: str, value: str) -> Iterator[tuple[str, object]]:
    if subject == "aws-access-key" and (account := aws_account(value)):
        yield "account", account
    if subject == "github" and len(value) == 40:
        yield "checksum", github_checksum(value)


def aws_account(key: str) -> str | None:
    """The account number inside an access key ID: 40 bits after the four-letter prefix, in Base32."""
    try:
        number = int.from_bytes(base64.b32decode(key[4:])[:6], "big")
    except (ValueError, binascii.Error):
        return None
    return f"{(number & 0x7FFFFFFFFF80) >> 7:012d}"


def github_checksum(token: str) -> bool:
    """Whether the last six characters are the CRC-32 of the others in base 62 (GitHub's 2021 token format)."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, text = zlib.crc32(token[4:-6].encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = alphabet[digit] + text
    return text == token[-6:]


# A key's text: base64 lines, also with their line ends escaped as in JSON.
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/=\\\s]{100,}")
_LEAST_PUTTY = 200
_OPENSSH_KDF = b"AAAABmJjcnlwd"  # "bcrypt" with its length, at the place openssh-key-v1 has the key derivation's name


def _private_key(look: Look, rule: Rule, match: Any) -> int:
    data, start = look.data, match.start()
    kind = match["kind"].decode("ascii")
    tail = data[match.end() : match.end() + _AFTER]
    putty = data.startswith(b"PuTTY", start)
    stop = tail.find(b"Private-MAC:") if putty else tail.find(b"-----END") if b"-----END" in tail else tail.find(b"---- END")
    body = tail[:stop] if stop >= 0 else _whole_lines(tail)
    if b"..." in body or not _BASE64_RUN.search(body) or (putty and len(body) < _LEAST_PUTTY):
        return 0
    encrypted = "ENCRYPTED" in kind or b"ENCRYPTED" in body[:200] or b"Encryption: aes" in body[:400] or _OPENSSH_KDF in body
    closing = 0 if stop < 0 else len(f"-----END {kind}-----")
    end: int = min(match.end() + len(body) + closing, len(data))
    look.add(
        rule, data[start:end].decode("latin-1"), "key", (start, end), severity=Severity.HIGH if encrypted else None,
        facts={"format": "PuTTY " + kind if putty else kind, "encrypted": encrypted, "cut": stop < 0},
    )  # fmt: skip
    return end


def _whole_lines(tail: bytes) -> bytes:
    """Of a key whose end was not seen: what still looks like one."""
    found = re.match(rb"[A-Za-z0-9+/=\s:,\\.()-]*", tail)
    return found[0] if found else b""
