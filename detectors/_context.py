"""Under which name a value stands: looked up from the value's place backwards, so that broken and huge text works too."""

from __future__ import annotations

import re
from re import Match

from detectors._fields import delimiter, header
from detectors._look import Look
from detectors._media import Media
from detectors._names import Name, classify, words
from sniffer.secret import decode

_BACK = 200  # bytes looked back for the name: names and the markup round them are shorter
_NEAR = 48  # bytes before a value in prose in which a word still speaks of it
_AFTER = 16
_JSON_NAME = re.compile(rb'"([^"\\\x00-\x1f]{1,96})"\s{0,8}:\s{0,8}\[?\s{0,8}("?)')
_PARENT = re.compile(rb'"([^"\\\x00-\x1f]{1,96})"\s{0,8}:\s{0,8}\[?\s{0,8}\{')
_FORM_NAME = re.compile(rb"(?:\A|[?&])([^=&?\s]{1,96})=([^&=]*)\Z")
_TAG = re.compile(rb"<([A-Za-z_][\w:.-]{0,95})[^<>]{0,120}>([^<]{0,128})\Z")
_ATTRIBUTE = re.compile(rb"([A-Za-z_][\w:.-]{0,95})\s?=\s?[\"'][^\"'<>]{0,64}\Z")
_INPUT_NAME = re.compile(rb"<[^<>]{0,160}\b(?:name|id)\s?=\s?[\"']([^\"'<>]{1,96})[\"'][^<>]{0,160}\Z")
_LINE_END = re.compile(rb"[:=][ \t]{0,8}[\"']?\Z")
_LINE_NAME = re.compile(rb"(?:\A|[\n;,{(])[ \t\"'>*-]{0,16}([A-Za-z][\w .-]{0,47}+)[\"']?[ \t]{0,8}\Z")


def name_at(look: Look, start: int) -> tuple[str | None, bytes]:
    """The field's name for the value at ``start`` (None in prose), and the value's own text before it, where words may help."""
    before = look.data[max(0, start - _BACK) : start]
    if look.media in (Media.JSON, Media.GRAPHQL):
        return _json(look, before)
    if look.media is Media.FORM:
        found = _FORM_NAME.search(before)
        return (decode(found[1]), found[2]) if found else (None, before)
    if look.media in (Media.XML, Media.PAGE):
        return _markup(before)
    if look.media is Media.CSV:
        return _column(look, start), b""
    if look.media is Media.MULTIPART:
        names = re.findall(rb'name="([^"]{1,96})"', before)
        return (decode(names[-1]) if names else None), before[-_NEAR:]
    mark = _LINE_END.search(before, max(0, len(before) - 10))
    if mark and (found := _LINE_NAME.search(before, max(0, mark.start() - 64), mark.start())):
        return decode(found[1]).rstrip(), b""
    return look.event.name, before[-_NEAR:]


def _json(look: Look, before: bytes) -> tuple[str | None, bytes]:
    last = max(_JSON_NAME.finditer(before), key=Match.start, default=None)
    if last is None:
        return None, before[-_NEAR:]
    name, text = decode(last[1]), before[last.end() :]
    if not last[2] and b"," in text and b"[" not in last[0]:
        return "", b""  # something between: the value is not this name's
    if last[2] and b'"' in text and b"[" not in last[0]:
        return "", b""
    if classify(name) is Name.GENERIC:
        parents = _PARENT.findall(before[: last.start()])
        name = f"{decode(parents[-1])}_{name}" if parents else name
    return name, text[-_NEAR:]


def _markup(before: bytes) -> tuple[str | None, bytes]:
    if found := _ATTRIBUTE.search(before):
        name = _INPUT_NAME.search(before)
        return decode(name[1] if name and found[1].lower() == b"value" else found[1]), b""
    if found := _TAG.search(before):
        tag = decode(found[1])
        generic = tag.lower() in ("p", "td", "th", "span", "div", "li", "b", "i", "a", "em", "strong", "code", "pre", "dd", "label", "h1", "h2", "h3")
        return (None if generic else tag), re.sub(rb"<[^<>]*>", b" ", before)[-_NEAR:]
    return None, re.sub(rb"<[^<>]*>", b" ", before)[-_NEAR:]


def _column(look: Look, start: int) -> str | None:
    if look.columns is None:
        look.columns = (delimiter(look.data[:8192].split(b"\n", 1)[0]), header(look.data))
    mark, columns = look.columns
    line = look.data.rfind(b"\n", max(0, start - 8192), start)
    if not columns or line < 0:
        return None
    place = look.data.count(mark, line, start)
    return columns[place] if place < len(columns) else None


def near(text: bytes, wanted: frozenset[str]) -> bool:
    """Whether a word of ``wanted`` stands in ``text`` (whole words)."""
    return not wanted.isdisjoint(words.__wrapped__(decode(text)))  # past the cache: prose is not kept
