"""User and password among the arguments of XML-RPC and JSON-RPC calls, by their place."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from detectors.rules.calls import CALLS, FAMILIES, LOGIN, Places
from sniffer.secret import decode

# Clients write the method's name at the beginning, whatever follows.
_HEAD = 2048
_MAX_NAME = 95
# Calls looked at in one document: system.multicall tries some hundreds of passwords in one request.
_MAX_CALLS = 1000
_MAX_ARGUMENTS = 8  # no place in the table is further on
_NAMED = re.compile(rb'<methodName>\s{0,64}([\w.:/]{1,95})\s{0,64}</|"method"\s{0,8}:\s{0,8}"([\w.:/]{1,95})"')
_MULTICALL = "system.multicall"


class Login(NamedTuple):
    """``user`` is None where the call names none."""

    user: str | None
    password: str


@lru_cache(1024)
def places(name: str) -> Places | None:
    """Where a method has user and password; None for one that has none, as far as is known."""
    name = name.lower()
    return CALLS.get(name) or FAMILIES.get(name.partition(".")[0] if "." in name else "") or (Places(0, 1) if LOGIN.search(name) else None)


def calls(data: bytes) -> bool:
    """Whether a document may be a call of that kind; a cheap look at its beginning."""
    if data.find(b"method", 0, _HEAD) < 0:
        return False
    names = {decode(a or b) for a, b in _NAMED.findall(data, 0, _HEAD)}
    return any(name == _MULTICALL or places(name) or any(places(f"{s}.{name}") for s in _SERVICES) for name in names)


# Odoo's, by which its methods are told from others of the same names.
_SERVICES = ("common", "object", "db")


def of_json(named: Mapping[str, object]) -> Iterator[Login]:
    """Of one object of JSON-RPC: ``method`` with ``params``, or within Odoo's ``service``, ``method`` and ``args``."""
    name, service = named.get("method"), named.get("service")
    if not isinstance(name, str) or len(name) > _MAX_NAME:
        return
    arguments = named.get("args") if isinstance(service, str) else named.get("params")
    if type(arguments) is list:
        yield from _login(f"{service}.{name}" if service in _SERVICES else name, [a if type(a) is str else None for a in arguments[:_MAX_ARGUMENTS]])


def _login(name: str, arguments: Sequence[str | None]) -> Iterator[Login]:
    """``arguments`` that are no text are None."""
    found = places(name)
    if found is None:
        return
    if found == (0, 1) and len(arguments) == 1 and LOGIN.search(name):
        found = Places(None, 0)  # Deluge has no users
    if len(arguments) <= found.password:
        return
    user, password = arguments[found.user] if found.user is not None else None, arguments[found.password]
    if password and (user or found.user is None):
        yield Login(user, password)


_CALL = re.compile(r"<methodName>\s{0,64}([\w.:/]{1,95})\s{0,64}</methodName>")
_INNER = re.compile(r"<name>\s{0,64}methodName\s{0,64}</name>\s{0,64}<value>\s{0,64}(?:<string>)?\s{0,64}([\w.:/]{1,95})\s{0,64}<")
_VALUE = re.compile(
    r"<value>(?:\s{0,64}<(string|base64|int|i[1248]|boolean|double|nil|ex:nil)\s?/?>)?(?!\s{0,64}<(?:array|struct|data)\b)(?:\s{0,64}<!\[CDATA\[(.{0,512}?)\]\]>|([^<]{0,512}))(?=\s{0,64}<)",
    re.S,
)
_PARAM = re.compile(r"<param>\s{0,64}(<value>|<value\s?/>)")


def of_xml(text: str) -> Iterator[Login]:
    """Of an XML-RPC call, or of the calls that system.multicall gathers."""
    call = _CALL.search(text, 0, _HEAD)
    if call is None:
        return
    if call[1] != _MULTICALL:
        yield from _login(*_known(call[1], [_argument(text, p.start(1)) for p, _ in zip(_PARAM.finditer(text, call.end()), range(_MAX_ARGUMENTS), strict=False)]))
        return
    ends = call.end()
    inner = [m for m, _ in zip(_INNER.finditer(text, ends), range(_MAX_CALLS), strict=False)]
    for at, method in enumerate(inner):
        if places(method[1]):
            end = inner[at + 1].start() if at + 1 < len(inner) else len(text)
            values = [_text(v) for v, _ in zip(_VALUE.finditer(text, method.end(), end), range(_MAX_ARGUMENTS), strict=False)]
            yield from _login(*_known(method[1], values))


def _known(name: str, arguments: list[str | None]) -> tuple[str, list[str | None]]:
    """Odoo's services have addresses of their own, so that their methods' names are bare: told by their arguments."""
    texts = [a is not None and not a.isdigit() for a in arguments[:4]]
    if name in ("login", "authenticate") and texts[:3] == [True] * 3:
        return f"common.{name}", arguments
    if name in ("execute", "execute_kw") and texts[:1] == [True] and texts[2:] == [True] * 2 and not texts[1]:
        return f"object.{name}", arguments
    return name, arguments


def _argument(text: str, at: int) -> str | None:
    value = _VALUE.match(text, at)
    return None if value is None else _text(value)


def _text(value: re.Match[str]) -> str | None:
    """What a ``value`` holds; its type is a string's where none is named. None for what is no text."""
    import html  # when first needed: its table of entities takes 2 ms

    kind, cdata, plain = value.groups()
    text = cdata if cdata is not None else html.unescape(plain)
    if kind == "base64":
        try:
            return decode(b64decode(text))
        except (binascii.Error, ValueError):
            return None
    return text if kind in (None, "string") else None
