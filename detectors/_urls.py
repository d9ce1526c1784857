"""Connection URLs (RFC 3986 userinfo) and connection strings (ODBC, ADO.NET, JDBC) that hold a password."""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec.structs import replace

from detectors._look import Look
from detectors._media import Media
from detectors._severity import of_secret
from detectors._values import is_password
from sniffer.findings import Candidate, Category, Rule, Severity
from sniffer.secret import Secret, decode

RULE = Rule(
    "credential/connection-url", Category.CREDENTIAL, "Connection string with a password sent in the clear", Severity.HIGH, 0.9,
    remedy="Keep passwords out of URLs and connection strings that cross the network; change this one.",
)  # fmt: skip

_REACH = 320
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]{1,30})\Z")
_REST = re.compile(rb"://([^\s/@\"'<>:]{0,64}):([^\s/@\"'<>]{1,128})@(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})")
_SHARED = ("postgres", "mysql", "mariadb", "mongodb", "redis", "mssql", "sqlserver", "oracle", "ldap", "cockroachdb", "clickhouse", "couchbase", "jdbc")
# Pages that explain URLs are full of them.
_EXAMPLE_HOST = re.compile(rb"(?:[\w-]+\.)*(?:example(?:\.\w+)?|host(?:name)?(?:\.com)?|localhost)\Z", re.I)
_LEAST_PUBLISHED = 4
# Documentation writes URLs with these where a user's own would stand.
_MODEL_USERS = frozenset({"user", "username", "login", "usr", "u", "name", "myuser", "your_username", "foo", "usuario"})
_MODEL_PASSWORDS = frozenset({"password", "pass", "passwd", "pwd", "p", "pw", "secret", "mypassword", "mypass", "bar", "port", "token"})
_KEYS = frozenset(
    {"server", "data source", "datasource", "host", "hostname", "uid", "user id", "user", "username", "database", "initial catalog", "dbname",
     "driver", "provider", "port", "trusted_connection", "dsn", "addr", "address", "network address", "encrypt", "dbq", "servicename", "sid",
     "integrated security", "persist security info", "multipleactiveresultsets", "trustservercertificate", "pooling", "databasename"}
)  # fmt: skip
_USERS = ("uid", "user id", "user", "username")
_PASSWORDS = ("pwd", "password")
_EDGE = re.compile(rb"[\r\n<>`\0]")
_LEAST_KEYS = 2


def find_urls(look: Look, hits: list[tuple[int, int]]) -> None:
    for _, end in hits:
        at = look.data.rfind(b"://", max(0, end - _REACH), end)
        rest = _REST.match(look.data, at) if at >= 0 else None
        scheme = _SCHEME.search(look.data[max(0, at - 31) : at]) if rest else None
        if rest is None or scheme is None or b"://" in rest[2]:
            continue
        user, password = unquote(decode(rest[1])), unquote(decode(rest[2]))
        published = look.media is Media.PAGE and (len(password) < _LEAST_PUBLISHED or _EXAMPLE_HOST.match(rest[3]))
        if _real(user, password) and not published:
            _report(look, scheme[1].decode("ascii").lower(), user, password, rest.span(2), rest[3].decode("ascii", "replace"))


def _real(user: str, password: str) -> bool:
    if not is_password(password) or re.search(r"[{}$<>\[\]]|\.\.\.", user + password.replace("$", "", 1)):
        return False
    model = user.casefold() in (_MODEL_USERS | {""}) and password.casefold() in _MODEL_PASSWORDS
    return not model and not (user.casefold() == "user" and password.casefold().startswith("pass"))


def _report(look: Look, scheme: str, user: str, password: str, at: tuple[int, int], host: str) -> None:
    if not look.new(RULE, password):
        return
    shared = scheme.startswith(_SHARED)
    severity = Severity.CRITICAL if shared else of_secret(replace(look.context, tier="client"), "password", user, None)
    look.found.append(
        Candidate(
            rule=RULE, secret=Secret(password), span=look.span(*at), mechanism=f"{scheme} URL" if host else scheme, username=user or None,
            where=look.place(None), severity=severity, facts={"scheme": scheme, "host": host} if host else {},
        )
    )  # fmt: skip


def find_strings(look: Look, hits: list[tuple[int, int]]) -> None:
    for _, end in hits:
        low = max(0, end - _REACH)
        before, after = look.data[low:end], look.data[end : end + _REACH]
        head = _EDGE.split(before)[-1]
        line = decode(head + _EDGE.split(after, maxsplit=1)[0])
        pairs = _pairs(line)
        password = next((pairs[k] for k in _PASSWORDS if k in pairs), "")
        user = next((pairs[k] for k in _USERS if k in pairs), "")
        if len(_KEYS & pairs.keys()) >= _LEAST_KEYS and _real(user, password):
            _report(look, "jdbc" if "jdbc:" in line else "connection string", user, password, (end, end + len(password)), "")


_QUOTES = re.compile(r"[\"']")


def _pairs(line: str) -> dict[str, str]:
    """``a=b;c=d`` as lower-case keys; of a quoted string what stands in the quotes."""
    best: dict[str, str] = {}
    for part in _QUOTES.split(line):
        found: dict[str, str] = {}
        for item in re.split(r"[;?&]" if "jdbc:" in part else ";", part):
            name, equals, value = item.partition("=")
            if equals:
                found[re.split(r"[({\s]{2,}|[({:]", name.strip().casefold())[-1]] = value.strip()
        if any(k in found for k in _PASSWORDS) and len(found) > len(best):
            best = found
    if best and "jdbc:" in line:
        best.setdefault("driver", "jdbc")
        best.setdefault("server", "jdbc")
    return best
