"""The parts of a mail after transfer decoding, RFC 2045, RFC 2046 and RFC 2047, within limits."""

from __future__ import annotations

import binascii
import re

from sniffer.events import Content, Span

# Parts inside parts (a forwarded mail in a mail in a mail); what lies deeper stays in the mail as it is.
MAX_DEPTH = 8
# Leaves of one mail; digests of mailing lists have some dozens. The rest stays in the mail as it is.
MAX_PARTS = 128
# A part's header; past this the part is taken as it is.
MAX_HEADER = 64 * 1024
# RFC 2046 section 5.1.1 allows 70 characters.
_MAX_BOUNDARY = 200
_SNIFF = 512

_HEADER_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"^content-(type|transfer-encoding|disposition)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.I | re.M)
_PARAMETER = re.compile(rb';\s*(boundary|charset|name|filename)\*?\s*=\s*(?:"([^"]*)"|([^\s;"]+))', re.I)
_WORD = re.compile(rb"=\?([\w.+-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?\s]{0,1024})\?=")
_FOLD = re.compile(rb"\?=\s+=\?")
# Charsets that Python decodes in linear time and that are not read well as they are.
_CHARSET = re.compile(
    r"utf-?(?:7|16|32)(?:-?[bl]e)?|iso-8859-\d{1,2}|windows-125\d|cp\d{3,4}|koi8-[rut]|iso-2022-(?:jp|kr)(?:-\d)?"
    r"|shift_?jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5|macintosh"
)
_OPAQUE = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip", "application/gzip", "application/vnd.", "application/x-7z", "application/x-rar", "application/msword")
# Systems that have Excel send these as application/vnd.ms-excel.
_TABLES = (".csv", ".tsv", ".txt")
_STAYS = ("", "text/plain", "text/html")
_ENCODED = (b"base64", b"quoted-printable")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_ALL_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4,80}\r?\n)*[A-Za-z0-9+/]{2,80}={0,2}\s*")
_QUOTED = re.compile(rb"=\r?\n|=(?:3D|20|C3|E2|0A|0D)")


def contents(data: bytes, span: Span, *, mail: bool = True) -> list[Content]:
    """The mail (or, with ``mail`` false, one of its parts without header) and the parts that had to be decoded.

    Each byte is given once: a part that is given decoded is left out of the mail itself.
    """
    if not mail:
        return [Content(span=span, data=_guessed(data), media="text/plain", where="mail part")]
    walk = _Walk(data, span)
    walk.entity(0, len(data), 0)
    left = walk.rest()
    whole = [Content(span=span, data=left, media="message/rfc822", where="mail")] if left.strip() else []
    return whole + walk.parts


class _Walk:
    """One pass over a mail's tree."""

    __slots__ = ("cuts", "data", "parts", "room", "span")

    def __init__(self, data: bytes, span: Span) -> None:
        self.data = data
        self.span = span
        self.room = MAX_PARTS
        self.cuts: list[tuple[int, int]] = []
        self.parts: list[Content] = []

    def rest(self) -> bytes:
        """The mail without what was cut out."""
        if not self.cuts:
            return self.data
        kept, at = [], 0
        for start, end in self.cuts:
            kept.append(self.data[at:start])
            at = end
        return b"".join([*kept, self.data[at:]])

    def entity(self, start: int, end: int, depth: int) -> None:
        """A header and what it heads."""
        if self.room <= 0:
            return
        self.room -= 1
        found = _HEADER_END.search(self.data, max(0, start - 1), min(end, start + MAX_HEADER))
        if not found:
            return
        head, body = self.data[start : max(start, found.start() + 1)], found.end()
        if depth == 0 or b"=?" in head:
            self._words(head, start, body)
        fields = {m[1].lower(): m[2] for m in _FIELD.finditer(head)}
        kind = fields.get(b"type", b"")
        media = _token(kind).decode("ascii", "replace")
        parameters = _parameters(kind)
        encoding = _token(fields.get(b"transfer-encoding", b""))
        boundary = parameters.get(b"boundary", b"")
        if media.startswith("multipart/") and 0 < len(boundary) <= _MAX_BOUNDARY and depth < MAX_DEPTH:
            for part in _split(self.data, boundary, body, end, self.room):
                self.entity(*part, depth + 1)
        elif media == "message/rfc822" and encoding not in _ENCODED and depth < MAX_DEPTH:
            self.entity(body, end, depth + 1)
        else:
            name = _parameters(fields.get(b"disposition", b"")).get(b"filename") or parameters.get(b"name")
            self._leaf(media, encoding, _text(parameters.get(b"charset")), _text(name), body, end)

    def _words(self, head: bytes, start: int, end: int) -> None:
        """Header text in encoded words (RFC 2047)."""
        if b"=?" not in head:
            return
        out, at = [], -1
        unfolded = _FOLD.sub(b"?==?", head)
        for m in _WORD.finditer(unfolded):
            text = m[3].replace(b"_", b" ") if m[2] in b"qQ" else m[3]
            out.append((b"" if m.start() == at else b"\n") + _utf8(_decoded(text, b"base64" if m[2] in b"bB" else b"quoted-printable"), _text(m[1])))
            at = m.end()
        if out:
            self._give(b"".join(out).strip(), "text/plain", None, start, end, "mail header")

    def _leaf(self, media: str, encoding: bytes, charset: str | None, name: str | None, start: int, end: int) -> None:
        if media.startswith(_OPAQUE) and not (name or "").lower().endswith(_TABLES):
            self.cuts.append((start, end))
            return
        raw = self.data[start:end]
        encoded = encoding in _ENCODED and not (encoding == b"quoted-printable" and b"=" not in raw)
        data = _utf8(_decoded(raw, encoding), charset) if encoded else _utf8(raw, charset)
        if data is raw and (media in _STAYS or media.startswith(("multipart/", "message/"))):
            return
        self.cuts.append((start, end))
        if b"\0" not in data[:_SNIFF]:
            self._give(data, media or "text/plain", name, start, end, "mail attachment" if name else "mail part")

    def _give(self, data: bytes, media: str, name: str | None, start: int, end: int, where: str) -> None:
        """Positions are off by the dots undone before them, a few bytes: near enough for the frame."""
        base, last = self.span.start, self.span.end
        span = Span(self.span.side, min(base + start, last), min(base + end, last))
        if data:
            self.parts.append(Content(span=span, data=data, media=media, where=where, name=name))


def _token(value: bytes) -> bytes:
    """A field's first word in lower case, without the comment (RFC 2045 section 5.1) or quotes that some put there."""
    return value.partition(b";")[0].partition(b"(")[0].strip(b' \t\r\n"').lower()


def _parameters(value: bytes) -> dict[bytes, bytes]:
    return {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(value[:2048])}


def _text(value: bytes | None) -> str | None:
    return value[:255].decode("utf-8", "replace") if value else None


def _split(data: bytes, boundary: bytes, start: int, end: int, room: int) -> list[tuple[int, int]]:
    """Where the parts between boundary lines lie (RFC 2046 section 5.1.1); the last may lack its end."""
    parts: list[tuple[int, int]] = []
    mark, opened, at = b"--" + boundary, -1, start
    while len(parts) < room and (found := data.find(mark, at, end)) >= 0:
        at = found + len(mark)
        line = data.find(b"\n", at, min(end, at + 80))
        rest = data[at : line if line >= 0 else min(end, at + 80)].strip()
        if (found > start and data[found - 1] != 10) or rest not in (b"", b"--"):
            continue
        if opened >= 0:
            parts.append((opened, max(opened, found - (2 if data[found - 2 : found - 1] == b"\r" else 1))))
        opened = line + 1 if line >= 0 and not rest else -1
        if rest:
            break
    if opened >= 0:
        parts.append((opened, end))
    return parts


def _decoded(raw: bytes, encoding: bytes) -> bytes:
    """Transfer decoding; what is damaged or cut short gives what can be had."""
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(raw)
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        clean = _NOT_BASE64.sub(b"", raw)
        return binascii.a2b_base64(clean[: len(clean) & ~3])


def _utf8(data: bytes, charset: str | None) -> bytes:
    """As UTF-8 where the charset is known and not a superset of ASCII anyway."""
    if charset is None or not _CHARSET.fullmatch(name := charset.lower()) or (data.isascii() and not name.startswith(("utf", "iso-2022", "cp"))):
        return data
    try:
        return data.decode(name, "replace").encode("utf-8", "replace")
    except LookupError:
        return data


def _guessed(data: bytes) -> bytes:
    """A part whose header was fetched apart: decoded if it looks encoded."""
    if len(data) >= 24 and _ALL_BASE64.fullmatch(data):
        out = _decoded(data, b"base64")
        if b"\0" not in out[:_SNIFF] and _is_utf8(out):
            return out
    return binascii.a2b_qp(data) if _QUOTED.search(data) else data


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
