"""How HTTP/1 is told from other protocols, and a request from other bytes (RFC 9112, sections 3 and 4)."""

from __future__ import annotations

import re

from sniffer.dissectors._http_head import METHODS, REQUEST, STATUS
from sniffer.dissectors._spec import Match
from sniffer.events import SERVER, Side

_VERSION = b"HTTP/1."
# Empty lines, and the byte of a keep-alive, which repeats one sent before the capture began (RFC 9293, 3.8.4): mostly this.
_BETWEEN = b"\r\n\0"


def plausible(start: bytes, side: Side) -> bool:
    """Whether bytes could be the beginning of a start line."""
    if side is SERVER:
        return _VERSION[: len(start)] == start[:7]
    word = start.split(b" ", 1)[0].split(b"\r", 1)[0]
    return bool(word) and all(33 <= c < 127 for c in word)


def probe(client: bytes, server: bytes) -> Match:
    """A request line, or a status line, whichever side begins with one: a capture may begin in the middle of what the other says."""
    asked = request_line(client)
    if asked is Match.NO:
        asked = _other_request(client)
    if asked is Match.YES:
        return asked
    if server:
        answered = _status_line(server)
        return answered if answered is not Match.NO else Match.NO if client and asked is Match.NO else Match.MORE
    # A status line where a request is due: the ends are the other way round.
    return Match.NO if asked is Match.NO and (client[:7] == _VERSION or _OTHERS.match(client)) else Match.MORE


# The first line of a request or an answer that names another protocol: RTSP, SIP, ICAP …
_OTHERS = re.compile(rb"(?:[A-Z_-]{2,32} +[^ \r\n]+ +)?(?!HTTP/)[A-Z]{2,8}/[0-9]\.[0-9]\b")


def _status_line(data: bytes) -> Match:
    data = data.lstrip(_BETWEEN)
    if data[:7] != _VERSION[: len(data)]:
        return Match.NO
    if len(data) < 12:
        return Match.MORE
    line, end, _ = data.partition(b"\n")
    return Match.YES if STATUS.match(line + b"\n") or (not end and line[9:12].isdigit()) else Match.NO


def request_line(data: bytes) -> Match:
    """Whether bytes begin with a request of a method in use."""
    line, end, _ = data.lstrip(_BETWEEN).partition(b"\n")
    word, space, _ = line.partition(b" ")
    if not space:
        return Match.MORE if not end and len(word) < 18 and any(m.startswith(word) for m in METHODS) else Match.NO
    if word not in METHODS:
        return Match.NO
    if not end:
        return Match.MORE if len(line) < 1000 else Match.YES
    return Match.YES if REQUEST.match(line + b"\n") else Match.NO


# What clients make up, and the known ones in small letters.
_ANY_METHOD = re.compile(rb"[A-Za-z][A-Za-z_-]{0,31}")


def _other_request(data: bytes) -> Match:
    """Whether bytes begin with a request of any method, by the form of the whole line."""
    line, end, _ = data.lstrip(_BETWEEN).partition(b"\n")
    word, space, target = line.partition(b" ")
    if not _ANY_METHOD.fullmatch(word) or (end and not space):
        return Match.NO
    if target and target[:1] not in b"/*" and not target.lower().startswith((b"http://"[: len(target)], b"https://"[: len(target)])):
        return Match.NO
    if not end:
        return Match.MORE if len(line) < 1000 else Match.NO
    return Match.YES if REQUEST.match(line + b"\n") else Match.NO
