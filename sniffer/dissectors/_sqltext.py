"""Passwords set in SQL text: PostgreSQL's and MySQL's account statements (their reference manuals)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sniffer.events import Side, Span, Statement
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

# A statement is looked at as far as this: account statements are short.
MAX_TEXT = 64 * 1024
_QUICK = re.compile(rb"password|identified", re.I)
_STRING = rb"[eE]?'((?:[^'\\]|''|\\.){1,512})'|\"((?:[^\"\\]|\"\"|\\.){1,512})\"|\$\$([^$]{1,512})\$\$"
_NAME = rb"[\s;(]*(?:IF\s+(?:NOT\s+)?EXISTS\s+)?[\"'`]?([^\s\"'`;@,()]{1,128})"
_ROLE = re.compile(rb"\b(CREATE|ALTER)\s+(?:ROLE|USER|GROUP)\b" + _NAME, re.I)
_PASSWORD = re.compile(rb"\bPASSWORD\s+(?:" + _STRING + rb")", re.I)
_IDENTIFIED = re.compile(rb"\bIDENTIFIED\s+(?:WITH\s+[\w`'\"]{1,64}\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s+)?(?:" + _STRING + rb")", re.I)
_SET = re.compile(rb"\bSET\s+PASSWORD\s*(?:FOR\s+[\"'`]?([^\s\"'`@]{1,128})[^=]{0,140})?=\s*(?:(?:PASSWORD|OLD_PASSWORD)\s*\(\s*)?(?:" + _STRING + rb")", re.I)
_REPLICA = re.compile(rb"\b(?:MASTER|SOURCE)_PASSWORD\s*=\s*(?:" + _STRING + rb")", re.I)
_REPLICA_USER = re.compile(rb"\b(?:MASTER|SOURCE)_USER\s*=\s*['\"]([^'\"]{1,128})", re.I)
_OPTION = re.compile(rb"\bOPTIONS\s*\([^)]{0,400}?\bpassword\s+(?:" + _STRING + rb")", re.I)
_OPTION_USER = re.compile(rb"\buser\s+'([^']{1,128})'", re.I)
_CONNINFO = re.compile(rb"\b(?:host|dbname|hostaddr)\s*=[^']{0,300}?\bpassword=([^\s'\"]{1,256})", re.I)


def statements(text: bytes, start: int, side: Side = Side.CLIENT) -> Iterator[Statement]:
    """The passwords a statement sets or names; ``start`` is the stream offset of its first byte."""
    if not _QUICK.search(text, 0, MAX_TEXT):
        return
    text = text[:MAX_TEXT]
    seen: set[int] = set()
    for mechanism, user, found in _matches(text):
        group = next((i for i in range(found.re.groups, 0, -1) if found[i] is not None), 0)
        at, end = found.span(group)
        if not group or at in seen or not found[group]:
            continue
        seen.add(at)
        secret = _unquote(found[group], text[at - 1 : at])
        yield Statement(span=Span(side, start + at, start + end), mechanism=mechanism, username=decode(user) if user else None, secret=Secret(decode(secret)), where="SQL statement")


def _matches(text: bytes) -> Iterator[tuple[str, bytes | None, re.Match[bytes]]]:
    role = _ROLE.search(text)
    verb, user = (role[1].decode().upper(), role[2]) if role else ("", None)
    for found in _SET.finditer(text):
        yield "SET PASSWORD", found[1], found
    for found in _IDENTIFIED.finditer(text):
        yield (f"{verb} USER" if verb else "IDENTIFIED BY"), user or _grantee(text), found
    for found in _REPLICA.finditer(text):
        yield "CHANGE MASTER", _first(_REPLICA_USER, text), found
    for found in _OPTION.finditer(text):
        yield "USER MAPPING", _first(_OPTION_USER, text), found
    for found in _CONNINFO.finditer(text):
        yield "connection string", None, found
    if role:
        for found in _PASSWORD.finditer(text, role.end()):
            yield f"{verb} ROLE", user, found


def _grantee(text: bytes) -> bytes | None:
    return _first(re.compile(rb"\bTO\s+['\"`]?([^\s'\"`@]{1,128})", re.I), text)


def _first(pattern: re.Pattern[bytes], text: bytes) -> bytes | None:
    found = pattern.search(text)
    return found[1] if found else None


def _unquote(value: bytes, quote: bytes) -> bytes:
    """A doubled quote stands for one; a backslash escapes what follows."""
    value = value.replace(quote * 2, quote) if quote in (b"'", b'"') else value
    return re.sub(rb"\\(.)", rb"\1", value) if quote in (b"'", b'"') else value
