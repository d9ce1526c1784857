"""How a MySQL client/server protocol session is known: greeting, refusal, login packet, or a statement in its middle."""

from __future__ import annotations

import re

from sniffer.dissectors._spec import Match
from sniffer.secret import decode

_PROTOCOL_41 = 0x200
_GREETING_MAX = 1024
_MAX_QUERY = 1 << 20
_COMMANDS = (b"", b"\x03", b"\x16", b"\x17")  # COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE
# The statements that sessions joined in the middle are known by; drivers put comments before them.
_COMMENTS = re.compile(rb"(?:\s|/\*.{0,200}?\*/|(?:--\s|#)[^\n]{0,200}\n|\(){1,20}", re.S)
_VERBS = re.compile(
    rb"(?:select|insert|update|delete|replace|set|show|use|create|alter|drop|grant|revoke|begin|commit|rollback|start|call|with|truncate|explain|desc|describe"
    rb"|flush|kill|lock|unlock|load|prepare|execute|savepoint|release|xa|change|analyze|optimize|rename|purge|stop|reset|do|handler)\b",
    re.I,
)
# Commands of one byte that idle connections are tried with, and the answer: COM_PING, COM_RESET_CONNECTION, an OK packet of nothing.
_TRIED = (b"\1\0\0\0\x0e", b"\1\0\0\0\x1f")
_FINE = re.compile(rb"\x07\0\0\x01\0\0\0.[\0-\x7f]\0\0", re.S)
# COM_STMT_EXECUTE: a small number, no cursor or one to read by, and once, as always.
_EXECUTE = re.compile(rb"..\0\0\x17..\0\0[\0\x01\x08]\x01\0\0\0", re.S)
# The head of a result: how many columns there are, and the first of their definitions.
_COLUMNS = re.compile(rb"[\x01\x02]\0\0\x01[\x01-\xfa]\x01?..\0\x02\x03def", re.S)


def probe(client: bytes, server: bytes) -> Match:
    """The server's greeting; with the server unseen, a login packet whose filler is zero."""
    if server:
        said = _greeting_like(server)
        if said is not Match.NO or server[3:4] == b"\0":
            return said
        return _command_like(client, server) if client else _result_like(server)
    if client:
        said = _login_like(client)
        return said if said is not Match.NO else _command_like(client, server)
    return Match.MORE


def _result_like(data: bytes) -> Match:
    """Joined at an answer, with the client unseen."""
    if len(data) < 13:
        return Match.MORE if data[:1] in (b"\1", b"\2") and not data[1:3].strip(b"\0") and data[3:4] in (b"", b"\1") else Match.NO
    return Match.YES if _COLUMNS.match(data) else Match.NO


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
    if not (version.isascii() and version.decode().isprintable()):
        return Match.NO
    if version[:1].isdigit() and b"." in version:
        return Match.YES
    # Proxies and honeypots may call themselves anything; then what is always zero must be.
    if len(data) < min(end + 28, 4 + size):
        return Match.MORE
    return Match.YES if data[4] == 10 and size > end + 27 and not data[end + 13] and not any(data[end + 22 : end + 28]) else Match.NO


def _refusal_like(data: bytes, size: int) -> Match:
    """An error in place of a greeting: too many connections, host not allowed; a code and a sentence."""
    code, text = int.from_bytes(data[5:7], "little"), data[7 : 4 + size]
    if len(data) >= 12 and (not 1000 <= code < 10_000 or any(c < 32 for c in text)):
        return Match.NO
    if len(data) < 4 + size:
        return Match.MORE
    return Match.YES if len(text) > 4 and decode(text).isprintable() else Match.NO  # in the language the server speaks


def _command_like(data: bytes, server: bytes) -> Match:
    """Joined in the middle: a statement that fills its packet, one that was prepared, or a connection tried."""
    if len(data) < 4:
        return Match.MORE if data[2:3] in (b"", b"\0") else Match.NO
    size = int.from_bytes(data[:3], "little")
    if size == 1 and data[:5] in _TRIED:
        return _tried(server)
    if data[3] or not 8 <= size <= _MAX_QUERY or data[4:5] not in _COMMANDS:
        return Match.MORE if size == 1 and data[3] == 0 and len(data) == 4 else Match.NO
    if len(data) < 20 and len(data) < 4 + size:
        return Match.MORE
    if data[4] == 0x17:
        return Match.YES if _EXECUTE.match(data) else Match.NO
    text = data[5:].removeprefix(b"\0\1")
    before = _COMMENTS.match(text)
    at = before.end() if before else 0
    if _VERBS.match(text, at):
        return Match.YES
    # A comment cut off, or a verb.
    return Match.MORE if (text[at : at + 1] in (b"/", b"-", b"#") or len(text) - at < 10) and len(data) < min(4 + size, 256) else Match.NO


def _tried(server: bytes) -> Match:
    if len(server) < 11:
        return Match.MORE if server in (b"", b"\7\0\0\1\0\0\0"[: len(server)]) or (len(server) > 6 and server[:7] == b"\7\0\0\1\0\0\0") else Match.NO
    return Match.YES if _FINE.match(server) else Match.NO


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
