"""Named values of forms (WHATWG URL), JSON (RFC 8259), XML, GraphQL, multipart (RFC 7578), SQL and CSV (RFC 4180)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from detectors import _calls, _devices
from detectors._media import Media
from detectors._names import MAX_NAME
from sniffer.secret import decode

# A form has tens of fields, an API's answer thousands; more in one content are rows of the same names.
MAX_FIELDS = 20_000
# A text up to here is parsed whole (some 5 ms); of larger or broken ones only what stands near a hit is read.
MAX_WHOLE = 1 << 17
_MAX_TABLE = 1 << 20  # bytes of a statement or table, whose names stand far from the values
_NEAR = 768  # bytes read on each side of a hit in that case
_MAX_WINDOWS = 64
_NESTED = 2  # JSON inside a JSON string inside a form value: seen in the wild; deeper is an attack
_MAX_VALUE = 16384
_MAX_MEMBERS = 8  # a call of JSON-RPC has four, with an extension's perhaps some more
_CALLED = -1_000_000  # scopes from here down are logins by places, apart from all others


class Field(NamedTuple):
    """One pair. Fields of equal ``scope`` stand in the same object, row or form; ``text`` is false for bare numbers."""

    name: str
    value: str
    scope: int
    text: bool = True


class _Object(list[tuple[str, object]]):
    """A JSON object as pairs, so that a key that comes twice is seen twice."""


class _Number(str):
    """A JSON number as it stood."""

    __slots__ = ()


def fields(data: bytes, media: Media, hits: list[int]) -> list[Field]:
    """The pairs of ``data``, in order; ``hits`` are the offsets worth reading near where it cannot be parsed whole."""
    reader = _READERS.get(media)
    found: list[Field] = []
    if reader:
        for field in reader(data, hits):
            found.append(field)
            if len(found) >= MAX_FIELDS:
                break
    return found


def _unquote(data: bytes) -> str:
    return decode(unquote_to_bytes(data.replace(b"+", b" ")))


# What begins so is no form, whatever its type says: curl and scripts send JSON as one.
MISLABELLED = {b"{": Media.JSON, b"[": Media.JSON, b"<": Media.XML}


_BLANK = b" \t\r\n\0"  # programs in C count the end of their string in


def _form(data: bytes, hits: list[int]) -> Iterator[Field]:
    if (really := MISLABELLED.get(data.lstrip()[:1])) and b"=" not in data[:2]:
        yield from _READERS[really](data, hits)
        return
    for login in _devices.logins(data):
        yield from _called(login, _CALLED)
    for pair in data.strip(_BLANK).split(b"&", MAX_FIELDS):
        name, equals, value = pair.partition(b"=")
        if equals and 0 < len(name) <= 3 * MAX_NAME and len(value) <= 3 * _MAX_VALUE:
            text = _unquote(value)
            yield Field(_unquote(name), text, 0)
            yield from _nested(text, 1)


def _nested(text: str, depth: int) -> Iterator[Field]:
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]") and depth <= _NESTED:
        try:
            yield from _walk(_loads(text), depth)
        except (ValueError, RecursionError):
            return


def _loads(text: str | bytes) -> object:
    return json.loads(text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number)


def _json(data: bytes, hits: list[int]) -> Iterator[Field]:
    if len(data) <= MAX_WHOLE:
        try:
            top = _loads(data)
            yield from _nested(top, 1) if isinstance(top, str) else _walk(top, 0)  # scripts encode twice
        except (ValueError, RecursionError):
            pass
        else:
            return
    if data[:1].isalpha() and b"=" in data[: MAX_NAME + 1]:
        yield from _form(data, hits)
        return
    yield from _near(data, hits)


def _walk(top: object, depth: int) -> Iterator[Field]:
    """Breadth by breadth, so that a deep document costs no recursion."""
    level: list[object] = [top]
    scope = 0
    while level:
        deeper: list[object] = []
        for node in level:
            scope += 1
            if isinstance(node, _Object):
                yield from _pairs(node, scope, depth, deeper)
            elif isinstance(node, list):
                deeper.extend(x for x in node if isinstance(x, list))
        level = deeper


def _pairs(node: _Object, scope: int, depth: int, deeper: list[object]) -> Iterator[Field]:
    for name, value in node:
        if isinstance(value, str):
            if len(value) <= _MAX_VALUE:
                yield Field(name, value, scope, not isinstance(value, _Number))
                yield from _inner(name, value, scope, depth)
        elif isinstance(value, list):
            deeper.append(value)
            if not isinstance(value, _Object):
                yield from (Field(name, v, scope, not isinstance(v, _Number)) for v in value if isinstance(v, str) and len(v) <= _MAX_VALUE)
    named = dict(node) if len(node) <= _MAX_MEMBERS else {}
    if "method" in named:
        for login in _calls.of_json(named):
            yield from _called(login, _CALLED - scope)
    if len(node) > 4:
        return
    label, value = named.get("name", named.get("key", named.get("field"))), named.get("value")
    if isinstance(label, str) and isinstance(value, str) and len(value) <= _MAX_VALUE:
        yield Field(label, value, -depth - 1)


def _inner(name: str, value: str, scope: int, depth: int) -> Iterator[Field]:
    yield from (Field(f.name, f.value, scope * 1000 + f.scope, f.text) for f in _nested(value, depth + 1))
    if name in ("query", "mutation") and "(" in value:
        yield from (Field(f.name, f.value, -scope - 1000) for f in _graphql(value.encode("utf-8", "replace"), []))


_PAIR = re.compile(rb'"([^"\\\x00-\x1f]{1,64})"\s{0,8}:\s{0,8}(?:"((?:[^"\\]|\\.){0,512}+)"|(-?\d{1,32})(?![\d.]))')
# As scripts print their own objects: in single quotes, names in none.
_LOOSE = re.compile(
    rb"[{,\s](?:'([^'\\\x00-\x1f]{1,64})'|([A-Za-z_]\w{0,63}))\s{0,8}:\s{0,8}(?:'((?:[^'\\]|\\.){0,512}+)'|\"((?:[^\"\\]|\\.){0,512}+)\")"
)


def _near(data: bytes, hits: list[int]) -> Iterator[Field]:
    done = 0
    for scope, hit in enumerate(hits[: _MAX_WINDOWS * 16]):
        if hit <= done or scope > MAX_FIELDS:
            continue
        start, done = max(done, hit - _NEAR), hit + _NEAR
        for name, text, number in _PAIR.findall(data[start:done]):
            yield Field(decode(name), decode(number) if number else _unescape(text), scope, not number)
        if len(data) <= MAX_WHOLE:
            yield from (Field(decode(quoted or bare), _unescape(one or two), scope) for quoted, bare, one, two in _LOOSE.findall(data[start:done]))


def _unescape(text: bytes) -> str:
    if b"\\" in text:
        try:
            return str(json.loads(b'"' + text + b'"', strict=False))
        except ValueError:
            pass
    return decode(text)


_NAMED = r"\s([A-Za-z_][\w:.-]{0,95})\s?=\s?(?:\"([^\"<]{0,2048})\"|'([^'<]{0,2048})')"
_ATTRIBUTE = re.compile(_NAMED)  # also of an element that ends at once, or is the last before the end of another
_LEAF = re.compile(
    r"<([A-Za-z_][\w:.-]{0,95})((?:\s[^<>]{0,512})?)>\s{0,64}(?:<!\[CDATA\[(.{0,2048}?)\]\]>\s{0,64}|([^<]{0,2048}))</"
    rf"|{_NAMED}",
    re.S,
)
_MEMBER = re.compile(r"<name>\s*([\w.-]{1,95})\s*</name>\s*<value>\s*(?:<string>)?([^<]{0,2048})<")


def _xml(data: bytes, hits: list[int]) -> Iterator[Field]:
    import html  # when first needed: its table of entities takes 2 ms

    if data.find(b"<methodName>", 0, _NEAR) >= 0:
        for place, login in enumerate(_calls.of_xml(decode(data[:MAX_WHOLE]))):
            yield from _called(login, _CALLED - place)
    for scope, text in enumerate(_pieces(data, hits)):
        for name, value in _MEMBER.findall(text):
            yield Field(name, html.unescape(value), scope)
        for match in _LEAF.finditer(text):
            tag, attributes, cdata, plain, name, double, single = match.groups()
            if not tag:
                yield Field(name, html.unescape(double or single or ""), scope)
            else:
                if "PasswordDigest" not in attributes:  # WS-Security: a hash with nonce, no password
                    yield Field(tag, cdata if cdata is not None else html.unescape(plain or ""), scope)
                yield from (Field(n, html.unescape(d or s), scope) for n, d, s in _ATTRIBUTE.findall(attributes))


def _called(login: _calls.Login, scope: int) -> Iterator[Field]:
    """What a call says by places, under the names it has elsewhere."""
    if login.user is not None:
        yield Field("username", login.user, scope)
    yield Field("password", login.password, scope)


def _pieces(data: bytes, hits: list[int]) -> Iterator[str]:
    """All of a small text; of a large one what stands near hits."""
    if len(data) <= MAX_WHOLE:
        yield decode(data)
        return
    done = 0
    for hit in hits[: _MAX_WINDOWS * 16]:
        if hit > done:
            yield decode(data[max(done, hit - 2 * _NEAR) : hit + 2 * _NEAR])
            done = hit + 2 * _NEAR


_ARGUMENT = re.compile(rb'([A-Za-z_]\w{0,63})\s{0,8}:\s{0,8}"((?:[^"\\]|\\.){0,512}+)"')


def _graphql(data: bytes, hits: list[int]) -> Iterator[Field]:
    yield from (Field(decode(name), _unescape(text), 0) for name, text in _ARGUMENT.findall(data[:MAX_WHOLE]))


_PART_NAME = re.compile(rb'content-disposition:\s*form-data\s*;[^\r\n]*?\bname\s?=\s?(?:"([^"\r\n]{1,96})|([^"\s;][^"\r\n;]{0,95}))', re.I)
# A name without quotes ends at the line's end, where anchors for short names do not reach.
_UNQUOTED = re.compile(rb"\bname\s?=\s?[^\"\s]")
_MAX_PARTS = 1000


def unquoted(data: bytes) -> bool:
    """Whether the first part of a form has its name without quotes, as some libraries write it (RFC 7578 wants them)."""
    return _UNQUOTED.search(data, 0, _NEAR) is not None


def _multipart(data: bytes, hits: list[int]) -> Iterator[Field]:
    data = data.lstrip(b"\r\n")
    line = data[:200].split(b"\n", 1)[0].strip()
    if not line.startswith(b"--") or len(line) < 3:
        return
    for part in data.split(line, _MAX_PARTS)[1:]:
        head, _, body = part.partition(b"\r\n\r\n") if b"\r\n\r\n" in part else part.partition(b"\n\n")
        name = _PART_NAME.search(head[:2048])
        if name and b"filename" not in head[:2048].lower() and len(body) <= _MAX_VALUE:
            yield Field(decode(name[1] or name[2].strip()), decode(body.strip(b"\r\n")), 0)


def _lines(data: bytes, hits: list[int]) -> Iterator[Field]:
    for line in data.split(b"\r\n", MAX_FIELDS):
        name, equals, value = line.partition(b"=")
        if equals and 0 < len(name) <= MAX_NAME and len(value) <= _MAX_VALUE:
            yield Field(decode(name), decode(value), 0)


_INSERT = re.compile(rb"(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO\s+[^\s(]{1,128}\s*\(([^()]{1,4096})\)\s*VALUES\s*", re.I)
_ROW = re.compile(rb"\(((?:'(?:[^'\\]|''|\\.)*+'|[^()'])*+)\)\s*+,?\s*+")
_ITEM = re.compile(rb"\s*+(?:[NnEe]?'((?:[^'\\]|''|\\.)*+)'|([^,']*+))\s*+(?:,|\Z)")
_ASSIGN = re.compile(rb"[`\"\[]?([A-Za-z_]\w{0,95})[`\"\]]?\s{0,8}=\s{0,8}[Nn]?'((?:[^'\\]|''|\\.){0,512}+)'")
_MAX_ROWS = 2000


def _sql(data: bytes, hits: list[int]) -> Iterator[Field]:
    data = data[:_MAX_TABLE]
    for name, value in _ASSIGN.findall(data):
        yield Field(decode(name), decode(value.replace(b"''", b"'")), 0)
    for insert in _INSERT.finditer(data):
        columns = [decode(c.strip(b" \t\r\n`\"[]")) for c in insert[1].split(b",")]
        at = insert.end()
        for row in range(_MAX_ROWS):
            match = _ROW.match(data, at)
            if not match:
                break
            at = match.end()
            for column, item in zip(columns, _ITEM.finditer(match[1]), strict=False):
                value = item[1] if item[1] is not None else item[2].strip()
                yield Field(column, decode(value.replace(b"''", b"'")), insert.start() + row + 1, item[1] is not None)


def delimiter(line: bytes) -> bytes:
    """What separates the columns of a header line; empty where it does not look like one."""
    best = max((b",", b"\t", b";", b"|"), key=line.count)
    return best if line.count(best) >= 1 and len(line) <= 8192 else b""


def header(data: bytes) -> list[str]:
    """The column names in the first line."""
    line = data[:8192].split(b"\n", 1)[0].strip(b"\xef\xbb\xbf\r")
    mark = delimiter(line)
    return [decode(c.strip(b" \"'")) for c in line.split(mark)] if mark else []


def _csv(data: bytes, hits: list[int]) -> Iterator[Field]:
    columns = header(data)
    if not columns:
        return
    lines = decode(data[:_MAX_TABLE]).split("\n")
    mark = delimiter(lines[0].encode())
    import csv  # when first needed

    try:
        for scope, row in enumerate(csv.reader(lines[1:_MAX_ROWS], delimiter=mark.decode())):
            yield from (Field(c, v.strip(), scope) for c, v in zip(columns, row, strict=False))
    except csv.Error:
        return


_READERS: dict[Media, Callable[[bytes, list[int]], Iterator[Field]]] = {
    Media.FORM: _form, Media.JSON: _json, Media.XML: _xml, Media.GRAPHQL: _graphql, Media.MULTIPART: _multipart,
    Media.SQL: _sql, Media.CSV: _csv, Media.LINES: _lines,
}  # fmt: skip
