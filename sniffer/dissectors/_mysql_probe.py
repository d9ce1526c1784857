"""How a MySQL client/server protocol session is known: greeting, refusal, login packet, or a statement in its middle."""

from __future__ import annotations

import re

from sniffer.dissectors._spec import Match

_PROTOCOL_41 = 0x200
_GREETING_MAX = 1024
_MAX_QUERY = 1 << 20
_QUERIES = (b"", b"\x03", b"\x16")  # COM_QUERY, COM_STMT_PREPARE
# The statements that sessions joined in the middle are known by.
_VERBS = re.compile(rb"\s*(?:select|insert|update|delete|replace|set|show|use|create|alter|drop|grant|begin|commit|rollback|start|call|with|truncate)\b", re.I)


def probe(client: bytes, server: bytes) -> Match:
    """The server's greeting; with the server unseen, a login packet whose filler is zero."""
    if server:
        said = _greeting_like(server)
        if said is not Match.NO or server[3:4] == b"\0" or not client:
            return said
        return _query_like(client)
    if client:
        said = _login_like(client)
        return said if said is not Match.NO else _query_like(client)
    return Match.MORE


def _greeting_like(data: bytes) -> Match:
    if len(data) < 5:
        return Match.MORE if len(data) < 4 or data[3] == 0 else Match.NO
    size = int.from_bytes(data[:3], "little")
    if data[3] != 0 or not (5 if data[4] == 0xFF else 20) <= size <= _GREETING_MAX:
        return Match.NO
    if data[4] == 0xFF:
        return _refusal_like(data, size)
    if data[4] not in (9, 10):
        return Match.NO
    end = data.find(b"\0", 5)
    if end < 0:
        return Match.MORE if len(data) < 80 and data[5:].isascii() and data[5:].decode().isprintable() else Match.NO
    version = data[5:end]
    return Match.YES if version[:1].isdigit() and b"." in version and version.isascii() and version.decode().isprintable() else Match.NO


def _refusal_like(data: bytes, size: int) -> Match:
    """An error in place of a greeting: too many connections, host not allowed; a code and a sentence."""
    if len(data) < min(4 + size, 12):
        return Match.MORE
    code, text = int.from_bytes(data[5:7], "little"), data[7 : 4 + size]
    return Match.YES if 1000 <= code < 5000 and len(text) > 4 and text.isascii() and text.decode().isprintable() else Match.NO


def _query_like(data: bytes) -> Match:
    """Joined in the middle: a statement that fills its packet."""
    if len(data) < 4:
        return Match.MORE if data[2:3] in (b"", b"\0") else Match.NO
    size = int.from_bytes(data[:3], "little")
    if data[3] or not 8 <= size <= _MAX_QUERY or data[4:5] not in _QUERIES:
        return Match.NO
    if len(data) < 20:
        return Match.MORE
    return Match.YES if _VERBS.match(data[5:].removeprefix(b"\0\1")) else Match.NO


def _login_like(data: bytes) -> Match:
    if len(data) < 4:
        return Match.MORE
    size = int.from_bytes(data[:3], "little")
    if data[3] != 1 or not 32 <= size <= _GREETING_MAX:
        return Match.NO
    if len(data) < 37:
        return Match.MORE
    flags = int.from_bytes(data[4:8], "little")
    return Match.YES if flags & _PROTOCOL_41 and not any(data[13:31]) else Match.NO
