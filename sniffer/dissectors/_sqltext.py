"""Passwords and their stored hashes in SQL text: PostgreSQL's and MySQL's account statements (their reference manuals)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sniffer.events import ChallengeResponse, Crack, Side, Span, Statement
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

# A statement is looked at as far as this: account statements are short.
MAX_TEXT = 64 * 1024
# The account named before IDENTIFIED stands within this: a name, a host, their quotes.
_MAX_ACCOUNT = 300
_QUICK = re.compile(rb"password|identified", re.I)
_ESCAPED = rb"'((?:[^'\\]|''|\\.){1,512})'"
_NESTED = rb"''([^'\s]{1,256})''|\\'([^'\\]{1,256})\\'|"  # inside a string: EXECUTE '…', PREPARE … FROM '…'
_REST = rb"|\"((?:[^\"\\]|\"\"|\\.){1,512})\"|\$\w{0,32}\$([^$]{1,512})\$"
# A backslash escapes in MySQL's strings, and in PostgreSQL's only after an E (standard_conforming_strings).
_MYSQL = _NESTED + _ESCAPED + _REST
_POSTGRESQL = _NESTED + rb"[eE]" + _ESCAPED + rb"|'((?:[^']|''){1,512})'" + _REST
_NAME = rb"(\"[^\"]{1,128}\"|'[^']{1,128}'|`[^`]{1,128}`|[^\s\"'`;@,()=]{1,128})"
_ROLE = re.compile(rb"\b(CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:ROLE|USER|GROUP)\b(?!\s+MAPPING\b)[\s;(]*(?:IF\s+(?:NOT\s+)?EXISTS\s+)?" + _NAME, re.I)
_ACCOUNT = re.compile(_NAME + rb"(?:\s*@\s*(?:'[^']*'|\"[^\"]*\"|`[^`]*`|[\w.%-]+)(?:\s*:\s*\d+)?)?\s*$")
# A second factor, a second way to log in: the account stands before the first.
_ANOTHER = re.compile(rb"\b(?:AND|(?:ADD|MODIFY)\s+\d\s+FACTOR)\s*$", re.I)
_REPLICA_USER = re.compile(rb"\b(?:MASTER_|SOURCE_)?USER\s*=\s*['\"]([^'\"]{1,128})", re.I)
_OPTION_USER = re.compile(rb"\buser(?:name)?\s+'([^']{1,128})'", re.I)
_TABLE_USER = re.compile(rb"\bUser`?\s*=\s*['\"]([^'\"]{1,128})", re.I)
# libpq's: key = value, in any order; values with spaces stand in quotes, which are doubled inside a string of SQL.
_CONNINFO = re.compile(rb"\bpassword\s*=\s*(?:''([^']{1,256})''|([^\s'\"]{1,256}))", re.I)
_CONNINFO_KEY = re.compile(rb"\b(?:host|dbname|hostaddr|user|port|sslmode|service)\s*=", re.I)
_CONNINFO_USER = re.compile(rb"\buser\s*=\s*(?:''([^']{1,128})''|([^\s'\"]{1,128}))", re.I)
_CONDITION = re.compile(rb"\b(?:WHERE|AND|SELECT|UPDATE)\b", re.I)
_STRING = re.compile(rb"'(?:[^']|'')*+'")
# What stands before the string when it is the stored hash and not the password: AS '…', USING '…', BY PASSWORD '…'.
_STORED = re.compile(rb"(?:\bAS|\bUSING|\bBY\s+PASSWORD)\s*$", re.I)
# … and when it is neither, since the plugin keeps no passwords: a PAM service, a directory's name, a cloud's.
_ELSEWHERE = re.compile(rb"\b(?:WITH|VIA)\s+[`'\"]?\w{0,40}(?:pam|ldap|gssapi|kerberos|windows|socket|named_pipe|AWS|oci|webauthn|fido|openid|jwt|cert)\w{0,40}[`'\"]?\s+(?:AS|USING)\s*$", re.I)
_MD5 = re.compile(r"md5([0-9a-f]{32})", re.I)
_SCRAM = re.compile(r"SCRAM-SHA-256\$\d+:[\w+/=]+\$[\w+/=]+:[\w+/=]+")
_SHA1 = re.compile(r"\*([0-9A-F]{40})", re.I)
_OLD = re.compile(r"[0-9a-f]{16}", re.I)
_SHA2 = re.compile(r"\$A\$(\d{3})\$(.{20})([./0-9A-Za-z]{43})", re.S)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"b": b"\b", b"Z": b"\x1a"}


class _Grammar(NamedTuple):
    """The patterns of one dialect: they differ in what a string is."""

    password: re.Pattern[bytes]
    identified: re.Pattern[bytes]
    change: re.Pattern[bytes]
    replica: re.Pattern[bytes]
    option: re.Pattern[bytes]
    function: re.Pattern[bytes]
    escapes: bool


def _grammar(string: bytes, *, escapes: bool) -> _Grammar:
    text = rb"(?:" + string + rb")"
    patterns = (
        rb"\bPASSWORD\s*=?\s*" + text,
        rb"\bIDENTIFIED\s+(?:(?:WITH|VIA)\s+[\w`'\"]{1,64}\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s*\(?\s*)?" + text,
        rb"\bSET\s+PASSWORD\s*(?:FOR\s+" + _NAME + rb"[^=]{0,140})?=\s*(?:(?:OLD_)?PASSWORD\s*\(\s*)?" + text,
        rb"\b(?:(?:MASTER|SOURCE)_PASSWORD|START\s+(?:SLAVE|REPLICA|GROUP_REPLICATION)\b[^;]{0,300}?\bPASSWORD)\s*=\s*" + text,
        rb"\bOPTIONS\s*\((?:[^')]|'[^']{0,200}'){0,200}?\bpassword\s+" + text,
        rb"\b(?:OLD_)?PASSWORD\s*\(\s*" + text + rb"\s*\)",
    )
    password, identified, change, replica, option, function = (re.compile(p, re.I) for p in patterns)
    return _Grammar(password, identified, change, replica, option, function, escapes)


@cache
def _dialect(escapes: bool) -> _Grammar:
    """Compiled when a statement first may hold a password."""
    return _grammar(_MYSQL if escapes else _POSTGRESQL, escapes=escapes)


def statements(text: bytes, start: int, side: Side = Side.CLIENT, *, escapes: bool = False) -> Iterator[Statement | ChallengeResponse]:
    """The passwords a statement sets or names, and stored hashes as what they are; ``start`` is the stream offset of
    its first byte. ``escapes``: a backslash escapes in every string (MySQL).
    """
    if not _QUICK.search(text, 0, MAX_TEXT):
        return
    text = text[:MAX_TEXT]
    seen: set[int] = set()
    for mechanism, user, found in _matches(text, _dialect(escapes)):
        group = next((i for i in range(found.re.groups, 0, -1) if found[i] is not None), 0)
        at, end = found.span(group)
        if not group or at in seen or not found[group]:
            continue
        seen.add(at)
        secret = decode(_unquote(found[group], text[at - 1 : at], escapes=escapes or text[at - 2 : at - 1] in (b"e", b"E")))
        span, name = Span(side, start + at, start + end), decode(user.strip(b"\"'`")) if user else None
        if _STORED.search(text, max(0, at - 40), at - 1) or _shape(secret):
            yield ChallengeResponse(span=span, mechanism=mechanism, username=name, response=Secret(secret, "hash"), where="SQL statement, stored hash", crack=_crack(secret, name))
        else:
            yield Statement(span=span, mechanism=mechanism, username=name, secret=Secret(secret), where="SQL statement")


def _matches(text: bytes, grammar: _Grammar) -> Iterator[tuple[str, bytes | None, re.Match[bytes]]]:
    roles = list(_ROLE.finditer(text))
    for found in grammar.change.finditer(text):
        yield "SET PASSWORD", found[1], found
    name: bytes | None = None
    for found in grammar.identified.finditer(text):
        verb, role = _before(roles, found.start())
        if _ELSEWHERE.search(text, max(0, found.start() - 1), _value_at(found)):
            continue
        near = max(0, found.start() - _MAX_ACCOUNT)
        if _ANOTHER.search(text, near, found.start()):
            name = name or role
        else:
            account = _ACCOUNT.search(text, near, found.start())
            name = account[1] if account else None
        yield (f"{verb} USER" if verb else "IDENTIFIED BY"), name, found
    for found in grammar.replica.finditer(text):
        yield "CHANGE MASTER", _first(_REPLICA_USER, text), found
    for found in grammar.option.finditer(text):
        yield "USER MAPPING", _first(_OPTION_USER, text), found
    yield from _connections(text)
    for found in grammar.function.finditer(text):
        yield "PASSWORD()", _first(_TABLE_USER, text), found
    for found in grammar.password.finditer(text):
        verb, user = _before(roles, found.start())
        if verb:
            yield f"{verb} ROLE", user, found


def _value_at(found: re.Match[bytes]) -> int:
    """Where the string begins that a match ends with: before its quote."""
    group = next((i for i in range(1, found.re.groups + 1) if found[i] is not None), 0)
    return found.start(group) - 1


def _connections(text: bytes) -> Iterator[tuple[str, bytes | None, re.Match[bytes]]]:
    """Connection strings: ``password=`` inside a string of SQL, beside another of libpq's keys. Elsewhere it is a condition."""
    if not _CONNINFO.search(text):
        return
    for string in _STRING.finditer(text):
        if _CONNINFO_KEY.search(string[0]) and not _CONDITION.search(string[0]):
            user = _CONNINFO_USER.search(string[0])
            for found in _CONNINFO.finditer(text, string.start() + 1, string.end() - 1):
                yield "connection string", (user[1] or user[2]) if user else None, found


def _before(roles: list[re.Match[bytes]], at: int) -> tuple[str, bytes | None]:
    """The account statement that a password at ``at`` belongs to: the last one before it."""
    role = next((r for r in reversed(roles) if r.end() <= at), None)
    return (role[1].decode().upper(), role[2]) if role else ("", None)


def _first(pattern: re.Pattern[bytes], text: bytes) -> bytes | None:
    found = pattern.search(text)
    return found[1] if found else None


def _unquote(value: bytes, quote: bytes, *, escapes: bool) -> bytes:
    """A doubled quote stands for one; a backslash escapes what follows, where it does."""
    if quote not in (b"'", b'"'):
        return value
    value = value.replace(quote * 2, quote)
    return re.sub(rb"\\(.)", lambda found: _LETTERS.get(found[1], found[1]), value, flags=re.S) if escapes else value


def _shape(text: str) -> bool:
    """Whether it is a hash by its form: psql and backups send these in place of passwords."""
    return any(pattern.fullmatch(text) for pattern in (_MD5, _SCRAM, _SHA1, _SHA2))


def _crack(text: str, user: str | None) -> Crack | None:
    """Crackers' lines of stored hashes (hashcat's example hashes for modes 12, 28600, 300, 200 and 7401)."""
    if found := _MD5.fullmatch(text):
        return Crack("postgresql", 12, Secret(f"{found[1].lower()}:{user}", "hash")) if user else None
    if _SCRAM.fullmatch(text):
        return Crack("postgresql-scram", 28600, Secret(text, "hash"))
    if found := _SHA1.fullmatch(text):
        return Crack("mysql-sha1", 300, Secret(found[1].lower(), "hash"))
    if _OLD.fullmatch(text):
        return Crack("mysql", 200, Secret(text.lower(), "hash"))
    if found := _SHA2.fullmatch(text):
        salt, digest = (found[i].encode("latin-1", "replace").hex().upper() for i in (2, 3))
        return Crack("mysql-sha256crypt", 7401, Secret(f"$mysql$A${found[1]}*{salt}*{digest}", "hash"))
    return None
