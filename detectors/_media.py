"""What kind of text a content is, by its media type and, where that says little, by its first bytes."""

from __future__ import annotations

import codecs
import re
from enum import Enum
from functools import lru_cache

from sniffer.events import Content

_SNIFF = 512


class Media(Enum):
    FORM = "form"
    JSON = "json"
    XML = "xml"
    MULTIPART = "multipart"
    GRAPHQL = "graphql"
    SQL = "sql"
    CSV = "csv"
    LINES = "lines"  # a form as text/plain
    MAIL = "mail"
    PAGE = "page"  # HTML, scripts, style sheets
    TEXT = "text"
    VAGUE = "vague"  # the type says nothing: look at the bytes
    BINARY = "binary"
    OPAQUE = "opaque"  # pictures, sound, fonts: not looked into


# Those whose values stand under names.
STRUCTURED = frozenset({Media.FORM, Media.JSON, Media.XML, Media.MULTIPART, Media.GRAPHQL, Media.SQL, Media.CSV, Media.LINES})

_EXACT = {
    "application/x-www-form-urlencoded": Media.FORM, "multipart/form-data": Media.MULTIPART, "application/sql": Media.SQL,
    "text/csv": Media.CSV, "text/tab-separated-values": Media.CSV, "application/csv": Media.CSV,
    "application/graphql": Media.GRAPHQL, "text/html": Media.PAGE, "application/xhtml+xml": Media.PAGE,
    "text/css": Media.PAGE, "text/javascript": Media.PAGE, "application/javascript": Media.PAGE,
    "application/x-javascript": Media.PAGE, "application/ecmascript": Media.PAGE, "image/svg+xml": Media.PAGE,
    "text/json": Media.JSON, "application/x-ndjson": Media.JSON, "application/json-rpc": Media.JSON,
    "application/jsonl": Media.JSON, "text/xml": Media.XML, "application/xml": Media.XML, "application/pdf": Media.OPAQUE,
    "application/zip": Media.OPAQUE, "application/gzip": Media.OPAQUE, "application/wasm": Media.OPAQUE,
    "text/plain": Media.VAGUE, "application/octet-stream": Media.VAGUE, "": Media.VAGUE,
}  # fmt: skip
_OPAQUE = ("image/", "audio/", "video/", "font/", "application/font", "application/x-font", "application/vnd.ms-fontobject")
_FORM = re.compile(rb"[\w.%\[\]$:-]{1,64}=[^&\s<>\"{};]*(?:&[\w.%\[\]$:-]{1,64}=[^&\s<>\"{};]*){1,64}\s*\Z")
# Of text/plain (WHATWG HTML, "plain text form data"): a pair a line, nothing coded; the first lines are looked at.
_PAIR_LINES = re.compile(rb"(?:[\w.%\[\]$:-]{1,64}=[^\r\n]{0,512}\r\n){1,16}(?:[\w.%\[\]$:-]{1,64}=[^\r\n]{0,512}\Z)?")
_SQL = re.compile(rb"\s{0,64}(?:INSERT\s+INTO|UPDATE\s+\S+\s+SET|SELECT\s|REPLACE\s+INTO|MERGE\s+INTO)", re.I)


@lru_cache(1024)
def by_type(media: str) -> Media:
    """What a media type (lower case, no parameters) says."""
    if (known := _EXACT.get(media)) is not None:
        return known
    if media.startswith(_OPAQUE):
        return Media.OPAQUE
    if media.endswith(("+json", "/json")):
        return Media.JSON
    if media.endswith("+xml"):
        return Media.XML
    if media.startswith("message/"):
        return Media.MAIL
    return Media.TEXT if media.startswith("text/") else Media.VAGUE


def by_look(data: bytes, told: Media) -> Media:
    """What vague text turns out to be; pages are looked at too, since servers send JSON under ``text/html``."""
    head = data[:_SNIFF]
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if told is Media.PAGE:
        return Media.JSON if start in (b"{", b"[") and data.rstrip()[-1:] in (b"}", b"]") else told
    if b"\0" in head:
        return Media.BINARY
    if start in (b"{", b"["):
        return Media.JSON
    if start == b"<":
        return Media.PAGE if b"<html" in head.lower() or b"<!doctype" in head.lower() else Media.XML
    if _SQL.match(head):
        return Media.SQL
    return Media.FORM if len(data) <= 8192 and _FORM.match(data) else told


def is_plain_form(data: bytes) -> bool:
    """Whether a client's text is a form as browsers send it with ``enctype=text/plain``."""
    head = data[: 4 * _SNIFF]
    found = _PAIR_LINES.match(head)
    return found is not None and (found.end() == len(data) or found[0].count(b"\r\n") >= 2)


def as_utf8(event: Content) -> bytes:
    """The content's bytes as UTF-8 where it is UTF-16, by its charset or by the zero bytes of Latin text; else as they are."""
    data, charset = event.data, event.charset
    if charset and charset.lower().startswith("utf-16"):
        return _from_utf16(data, charset)
    if data[1:2] == b"\0" and data[3:4] == b"\0" and data[:1] != b"\0" and data[2:3] != b"\0":
        return _from_utf16(data, "utf-16-le")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _from_utf16(data, "utf-16")
    return data


def _from_utf16(data: bytes, charset: str) -> bytes:
    try:
        return data[: len(data) & ~1].decode(charset, "replace").encode()
    except (LookupError, UnicodeError):
        return data
