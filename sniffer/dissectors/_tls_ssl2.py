"""Hellos of SSL 2.0: the client's, which also opened SSL 3.0 and TLS (RFC 5246, appendix E.2), and the server's."""

from __future__ import annotations

import struct
from typing import NamedTuple

from sniffer.dissectors._spec import Match

CLIENT_HELLO, SERVER_HELLO = 1, 4
# Length with the high bit set, type 1, version, lengths of suites, session id and challenge.
_CLIENT = struct.Struct(">HBHHHH")
# The same length, type 4, session id hit, certificate type, version, lengths of certificate, suites and connection id.
_SERVER = struct.Struct(">HBBBHHHH")
_CIPHERS = {
    0x010080: "SSL_CK_RC4_128_WITH_MD5", 0x020080: "SSL_CK_RC4_128_EXPORT40_WITH_MD5", 0x030080: "SSL_CK_RC2_128_CBC_WITH_MD5",
    0x040080: "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5", 0x050080: "SSL_CK_IDEA_128_CBC_WITH_MD5", 0x060040: "SSL_CK_DES_64_CBC_WITH_MD5",
    0x0700C0: "SSL_CK_DES_192_EDE3_CBC_WITH_MD5", 0x080080: "SSL_CK_RC4_64_WITH_MD5",
}  # fmt: skip


class ServerHello(NamedTuple):
    certificate: bytes
    cipher: str | None  # None where several are left for the client to choose from


def client(data: bytes) -> Match:
    """Whether a stream begins with a client hello: three lengths that must add up to the record's."""
    if len(data) < _CLIENT.size:
        ok = (len(data) < 3 or data[2] == CLIENT_HELLO) and (len(data) < 4 or data[3] in (0, 3))
        return Match.MORE if ok else Match.NO
    head, kind, version, suites, session, challenge = _CLIENT.unpack_from(data)
    good = kind == CLIENT_HELLO and (version == 2 or 0x300 <= version <= 0x303) and not suites % 3 and suites and 16 <= challenge <= 32 and session in (0, 16)
    return Match.YES if good and head & 0x7FFF == 9 + suites + session + challenge else Match.NO


def server(data: bytes) -> Match:
    """Whether a stream begins with a server hello of SSL 2.0 itself."""
    if len(data) < _SERVER.size:
        ok = (len(data) < 3 or data[2] == SERVER_HELLO) and (len(data) < 6 or data[5] == 0)
        return Match.MORE if ok else Match.NO
    head, kind, hit, _, version, certificate, suites, connection = _SERVER.unpack_from(data)
    good = kind == SERVER_HELLO and hit in (0, 1) and version == 2 and not suites % 3 and connection <= 32
    return Match.YES if good and head & 0x7FFF == 11 + certificate + suites + connection else Match.NO


def server_hello(record: bytes) -> ServerHello:
    """A whole server hello, its header included."""
    *_, certificate, suites, _ = _SERVER.unpack_from(record)
    at = _SERVER.size + certificate
    offered = {int.from_bytes(record[i : i + 3], "big") for i in range(at, at + suites - suites % 3, 3)}
    return ServerHello(record[_SERVER.size : at], _CIPHERS.get(offered.pop()) if len(offered) == 1 else None)
