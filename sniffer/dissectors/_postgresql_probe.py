"""How a PostgreSQL protocol session is known: startup packets, requests for encryption, a login joined in its middle."""

from __future__ import annotations

import struct

from sniffer.dissectors._postgresql2 import STARTUP
from sniffer.dissectors._spec import Match

SSL_REQUEST, GSS_REQUEST, CANCEL = 80877103, 80877104, 80877102
# Startup packets are limited to 10000 bytes by the server.
MAX_STARTUP = 10_000
# As far as the name of the user is looked for among the parameters: what probes see.
_MAX_PARAMETERS = 1024
# Minor versions in use: 0 and 2; openGauss's 51; 9999, with which clients try whether servers negotiate.
_MAX_MINOR = 9999
FRONTEND = frozenset(b"BCDEFHPQSXcdfp")
BACKEND = frozenset(b"123ACDEGHIKNRSTVWZcdnstv")
# What sessions joined in the middle begin with: Parse, Bind, Describe, Execute, Close; their completion, and rows.
_EXTENDED, _ANSWERS = b"PBDEC", b"12TD"
_SYNC, _FLUSH, _READY = b"S\0\0\0\4", b"H\0\0\0\4", b"Z\0\0\0\5"
_MANY = 5
# Redshift's digest (its drivers' source): asked for with 13, answered in a message of its own kind.
DIGEST = 13
_LENGTH = struct.Struct("!I")


def probe(client: bytes, server: bytes) -> Match:
    """A startup packet or an SSLRequest; with the client unseen, an authentication request; joined later, messages in a row."""
    if client:
        said = _startup_like(client)
        return said if said is not Match.NO else _messages_like(client, server)
    if server[:1] == b"R":
        if len(server) < 9:
            return Match.MORE
        size, code = struct.unpack_from("!II", server, 1)
        return Match.YES if code <= DIGEST and (size == 8 or (code == 5 and size == 12) or (code >= 8 and 8 < size < 4096)) else Match.NO
    if server[:1] in (b"S", b"N"):
        return _encryption_like(server)
    return _in_a_row(server, BACKEND, (_READY,), _MANY) if not server or server[0] in _ANSWERS else Match.NO


def _encryption_like(server: bytes) -> Match:
    """The one byte that answers an SSLRequest, and TLS behind it or the login that goes on in the clear."""
    if server[:2] == b"NR":
        return probe(b"", server[1:])
    if len(server) < 4:
        return Match.MORE if b"S\x16\x03".startswith(server[:3]) or server == b"N" else Match.NO
    return Match.YES if server[:3] == b"S\x16\x03" and server[3] <= 4 else Match.NO


def _in_a_row(data: bytes, kinds: frozenset[int], last: tuple[bytes, ...], enough: int) -> Match:
    """Whole messages of these kinds one behind the other, up to one that ends what a side says, or as many as no accident makes."""
    at = count = 0
    while at + 5 <= len(data):
        size = _LENGTH.unpack_from(data, at + 1)[0]
        if data[at] not in kinds or not 4 <= size < 1 << 20:
            return Match.NO
        after = at + 1 + size
        if after > len(data):
            return Match.MORE
        count += 1
        if count >= enough or (count > 1 and data.startswith(last, at)):
            return Match.YES
        at = after
    return Match.MORE if at == len(data) or data[at] in kinds else Match.NO


def _startup_like(data: bytes) -> Match:
    if data[0] or (len(data) > 1 and data[1]):
        return Match.NO
    if len(data) < 8:
        return Match.MORE
    size, code = struct.unpack_from("!II", data)
    if size == 8 and code in (SSL_REQUEST, GSS_REQUEST):
        return Match.YES
    if code == CANCEL and size in range(16, 300):
        return Match.YES
    if code == 2 << 16 and size == STARTUP:
        return Match.YES
    if code >> 16 != 3 or code & 0xFFFF > _MAX_MINOR or not 9 <= size <= MAX_STARTUP:
        return Match.NO
    # Some drivers send their parameters in any order, and names of settings in any case.
    words = data[8:size]
    if words[:1] and not (words[:1].isalpha() or words[:1] == b"_"):
        return Match.NO
    if words.startswith(b"user\0") or b"\0user\0" in words:
        return Match.YES
    return Match.NO if len(data) >= min(size, _MAX_PARAMETERS) else Match.MORE


def _messages_like(data: bytes, server: bytes) -> Match:
    """Joined in the middle: messages up to a Sync; or a password message or a query whose length fits, and an answer of the server's kind."""
    if data[0] in _EXTENDED:
        return _in_a_row(data, FRONTEND, (_SYNC, _FLUSH), _MANY)
    if data[0] not in b"pQ":
        return Match.NO
    if len(data) < 5:
        return Match.MORE
    size = _LENGTH.unpack_from(data, 1)[0]
    if not 5 <= size <= 65536:
        return Match.NO
    if len(data) < 1 + size:
        return Match.MORE if size < 1000 else Match.NO
    whole = data[size] == 0 or data[0] == ord("p")
    if not whole or not server:
        return Match.MORE if whole else Match.NO
    if len(server) < 5:
        return Match.MORE
    return Match.YES if server[0] in b"RTCEZ12" and 4 <= _LENGTH.unpack_from(server, 1)[0] < 1 << 20 else Match.NO
