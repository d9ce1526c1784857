"""Bodies of HTTP messages: framing (RFC 9112, section 6 and 7), what of them is content, and in which pieces."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from sniffer.dissectors import _codings
from sniffer.dissectors._http_head import content_length, media_type, tokens
from sniffer.events import Content, Side, Span

# Readable bodies are given on in pieces of this size, so that what lies across two packets is seen whole …
PIECE = 256 * 1024
# … and up to this much of one body; then its rest is skipped and that is counted.
MAX_BODY = 16 << 20
# A coded body must be held until its end to be decoded: past this, what came so far is decoded and the rest let go.
MAX_CODED = 1 << 20
# A chunk's size line; extensions may follow the number (RFC 9112, 7.1.1).
MAX_CHUNK_LINE = 4096
# A request's body of undeclared length is held until its end: old clients and scripts send forms so, no files.
MAX_OPEN = 64 * 1024
_SNIFF = 512

# Media that hold no text, by the beginning of their type; +xml (image/svg+xml) is text all the same.
_OPAQUE = (
    "image/", "video/", "audio/", "font/", "application/font", "application/x-font", "application/zip", "application/gzip", "application/x-gzip",
    "application/x-7z", "application/x-rar", "application/x-tar", "application/x-bzip", "application/x-xz", "application/zstd", "application/vnd.ms-fontobject",
    "application/x-shockwave-flash", "application/wasm", "application/ocsp-", "application/pkix-", "application/x-x509", "application/java-archive",
    "application/vnd.android.package-archive", "application/x-debian-package", "application/x-rpm", "application/x-msdownload",
)  # fmt: skip
_VAGUE = frozenset(("", "application/octet-stream", "binary/octet-stream", "application/x-binary", "application/download"))
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"PK\x03\x04", b"\x1f\x8b", b"%PDF", b"MZ", b"\x7fELF", b"BM", b"\x00\x00\x01\x00", b"wOF", b"OTTO", b"ID3", b"\x28\xb5\x2f\xfd")


class Mode(IntEnum):
    """What a side sends next."""

    HEAD = 0
    FIXED = 1
    CHUNK_LINE = 2
    CHUNK = 3
    CHUNK_END = 4
    TRAILER = 5
    CLOSE = 6
    LOST = 7  # after a gap or nonsense: until something looks like a message again
    OPEN = 8  # a request's body whose length nobody declared: until the answer, the next request or the end


HEAD, FIXED, CHUNK_LINE, CHUNK, CHUNK_END, TRAILER, CLOSE, LOST, OPEN = Mode


class Kind(NamedTuple):
    """What a body is by its head. ``wanted`` is False where it holds no text."""

    media: str
    charset: str | None
    coded: tuple[str, ...]  # codings to be undone
    wanted: bool


def kind_of(fields: dict[bytes, bytes]) -> Kind:
    """What the fields that frame a message say of its body."""
    get = fields.get
    return _kind(get(b"content-type"), get(b"content-encoding"), get(b"transfer-encoding"))


def content(kind: Kind, side: Side, target: str, offset: int, data: bytes, size: int) -> Content | None:
    """Bytes of a body, decoded, which took ``size`` bytes from stream offset ``offset`` on."""
    if kind.coded:
        data, _ = _codings.decode(data, kind.coded)
        if not data:
            return None
    where = "response body" if side else "request body"
    return Content(span=Span(side, offset, offset + size), data=data, media=kind.media or "text/plain", where=where, charset=kind.charset, target=target)


def whole(kind: Kind, side: Side, target: str, offset: int, data: bytes) -> Content | None:
    """A body that came in one piece."""
    if not kind.wanted or (kind.media in _VAGUE and not kind.coded and _binary(data)):
        return None
    return content(kind, side, target, offset, data, len(data))


class Body:
    """One body being collected. ``wanted`` is False where it holds no text; then nothing is kept."""

    __slots__ = ("_kind", "_parts", "_size", "_start", "_total", "side", "spoiled", "target", "wanted")

    def __init__(self, kind: Kind, side: Side, target: str) -> None:
        self._kind = kind
        self.side, self.target = side, target
        self.wanted = kind.wanted
        self.spoiled = False
        self._parts: list[bytes] = []
        self._size = self._total = 0
        self._start = 0

    def add(self, offset: int, data: bytes) -> Content | None:
        """Keep bytes of the body; a Content when a piece is full."""
        if not self.wanted or not data:
            return None
        if not self._parts:
            if not self._total and self._kind.media in _VAGUE and not self._kind.coded and _binary(data):
                self.wanted = False
                return None
            self._start = offset
        self._parts.append(data)
        self._size += len(data)
        self._total += len(data)
        if self._kind.coded:
            if self._size > MAX_CODED:
                piece, self.wanted = self.take(), False
                return piece
            return None
        if self._total > MAX_BODY:
            self.wanted = False
        return self.take() if self._size >= PIECE else None

    def take(self) -> Content | None:
        """What was collected, decoded."""
        if not self._parts:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        size, self._parts, self._size = self._size, [], 0
        if self._kind.coded and self.spoiled and self._start == 0:
            return None
        return content(self._kind, self.side, self.target, self._start, data, size)

    def spoil(self) -> Content | None:
        """Bytes of it were lost: what came before is given as it stands; a coded rest cannot be decoded any more."""
        piece = self.take()
        self.spoiled = True
        if self._kind.coded:
            self.wanted = False
        return piece


@lru_cache(2048)
def _kind(content_type: bytes | None, coding: bytes | None, transfer: bytes | None) -> Kind:
    """There are few kinds of bodies, and many bodies."""
    media, charset = media_type(content_type)
    coded = [c for c in tokens(coding) if c != "identity"]
    coded += [c for c in tokens(transfer) if c not in ("chunked", "identity", "trailers")]
    return Kind(media, charset, tuple(coded), not media.startswith(_OPAQUE) or media.endswith("+xml"))


def _binary(data: bytes) -> bool:
    sample = data[:_SNIFF]
    return sample.startswith(_MAGIC) or 0 in sample


def framing(fields: dict[bytes, bytes], side: Side) -> tuple[Mode, int]:
    """How a body is delimited (RFC 9112, 6.3), and its length where that is declared."""
    coding = fields.get(b"transfer-encoding")
    if coding is not None and b"chunked" in coding:
        return CHUNK_LINE, 0
    declared = fields.get(b"content-length")
    length = None if declared is None else content_length(declared)
    if length is not None:
        return (FIXED, length) if length else (HEAD, 0)
    # A request without a length has no body (but see OPEN); a response without one goes on until the connection closes.
    return (CLOSE, 0) if side else (HEAD, 0)


def undeclared(fields: dict[bytes, bytes]) -> bool:
    """Whether nothing says how long a body is, nor that there is none; for messages that `framing` gives none."""
    return b"content-length" not in fields


def chunk_size(line: bytes) -> int | None:
    """The size of a chunk, or None where the line is none."""
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 16:
        return None
    try:
        return int(digits, 16) if digits[:1] not in b"+-" and b"_" not in digits else None
    except ValueError:
        return None
