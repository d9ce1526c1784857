"""How HTTP/1 is told from other protocols, and a request from other bytes (RFC 9112, sections 3 and 4)."""

from __future__ import annotations

from sniffer.dissectors._http_head import METHODS, REQUEST, STATUS
from sniffer.dissectors._spec import Match
from sniffer.events import SERVER, Side


def plausible(start: bytes, side: Side) -> bool:
    """Whether bytes could be the beginning of a start line."""
    if side is SERVER:
        return b"HTTP/1."[: len(start)] == start[:7]
    word = start.split(b" ", 1)[0].split(b"\r", 1)[0]
    return bool(word) and all(33 <= c < 127 for c in word)


def probe(client: bytes, server: bytes) -> Match:
    """A request line with a method in use, or a status line."""
    if client:
        said = request_line(client)
        if said is not Match.MORE:
            return said
    if server:
        if server[:7] != b"HTTP/1."[: len(server)]:
            return Match.NO
        return Match.MORE if len(server) < 12 else Match.YES if STATUS.match(server.split(b"\n", 1)[0] + b"\n") or (b"\n" not in server and server[9:12].isdigit()) else Match.NO
    return Match.MORE


def request_line(data: bytes) -> Match:
    """Whether bytes begin with a request of a method in use."""
    line, end, _ = data.lstrip(b"\r\n").partition(b"\n")
    word, space, _ = line.partition(b" ")
    if not space:
        return Match.MORE if not end and len(word) < 18 and any(m.startswith(word) for m in METHODS) else Match.NO
    if word not in METHODS:
        return Match.NO
    if not end:
        return Match.MORE if len(line) < 1000 else Match.YES
    return Match.YES if REQUEST.match(line + b"\n") else Match.NO
