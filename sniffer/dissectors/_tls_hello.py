"""Handshake messages of TLS, DTLS and QUIC: hellos, certificates, key exchange (RFC 8446, 5246; DTLS RFC 9147; QUIC RFC 9001)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sniffer.dissectors._tls_names import grease, group_name, version_name
from sniffer.errors import Malformed

CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE = 1, 2, 11, 12
# SHA-256 of "HelloRetryRequest" (RFC 8446, 4.1.3).
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# What a retry was until draft 21 of TLS 1.3: a message of its own.
OLD_RETRY = 6
_SNI, _GROUPS, _SIGNATURES, _ALPN, _VERSIONS, _KEY_SHARE, _OLD_KEY_SHARE, _PSK = 0, 10, 13, 16, 43, 51, 40, 41
# A hello with more extensions than the registry has entries is no hello.
_MAX_EXTENSIONS = 128
_PAIR = struct.Struct(">HH").unpack_from
_OVER = "a handshake field runs over the message's end"
# What stands in a host name; anything else is shown as a question mark.
_HOST = bytes(c if 33 <= c < 127 else 0x3F for c in range(256))


@dataclass(slots=True)
class ClientHello:
    version: int
    session: bytes
    suites: tuple[int, ...]
    extensions: tuple[int, ...]
    versions: tuple[int, ...] = ()
    signatures: tuple[int, ...] = ()
    sni: str | None = None
    alpn: tuple[bytes, ...] = ()


@dataclass(slots=True)
class ServerHello:
    version: int
    session: bytes
    suite: int
    retry: bool = False
    group: str | None = None
    alpn: str | None = None
    resumed: bool = False


class _Reader:
    """Length-prefixed fields; Malformed where one runs over the end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        start = self.at
        self.at = end = start + size
        if end > len(self.data):
            raise Malformed(_OVER)
        return self.data[start:end]

    def number(self, size: int) -> int:
        start = self.at
        self.at = end = start + size
        if end > len(self.data):
            raise Malformed(_OVER)
        return int.from_bytes(self.data[start:end], "big")

    def vector(self, size: int) -> bytes:
        """Bytes behind their length, a number of ``size`` bytes."""
        start = self.at + size
        self.at = end = start + int.from_bytes(self.data[self.at : start], "big")
        if end > len(self.data):
            raise Malformed(_OVER)
        return self.data[start:end]

    def left(self) -> bool:
        return self.at < len(self.data)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1])


def _extensions(reader: _Reader, whole: bool) -> list[tuple[int, bytes]]:
    """All of them; where the message is not ``whole``, those that are."""
    if not reader.left():
        return []
    data = reader.vector(2) if whole else reader.data[reader.at + 2 :]
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(data)
    while at < end and len(found) < _MAX_EXTENSIONS:
        kind, size = _PAIR(data, at) if at + 4 <= end else (0, end)
        at += 4 + size
        if at > end:
            if not whole:
                break
            raise Malformed(_OVER)
        found.append((kind, data[at - size : at]))
    return found


def client_hello(body: bytes, *, cookie: bool = False, whole: bool = True) -> ClientHello:
    """A ClientHello's body, or its beginning; ``cookie`` for DTLS, which has one more field."""
    reader = _Reader(body)
    version = reader.number(2)
    reader.take(32)
    session = reader.vector(1)
    if cookie:
        reader.vector(1)
    suites = _words(reader.vector(2))
    reader.vector(1)
    hello = ClientHello(version, session, suites, ())
    extensions = _extensions(reader, whole)
    hello.extensions = tuple([kind for kind, _ in extensions])
    get = dict(extensions).get
    hello.sni = _server_name(get(_SNI, b""))
    hello.alpn = _protocols(get(_ALPN, b"")[2:])
    hello.versions = _words(get(_VERSIONS, b"")[1:])
    hello.signatures = _words(get(_SIGNATURES, b"")[2:])
    return hello


def _server_name(data: bytes) -> str | None:
    """RFC 6066, section 3: the host name, made of what a host name may be made of."""
    if len(data) < 5 or data[2] != 0:
        return None
    name = data[5 : 5 + int.from_bytes(data[3:5], "big")][:255]
    return name.translate(_HOST).decode("ascii") or None


def _protocols(data: bytes) -> tuple[bytes, ...]:
    """The names up to the first that runs over the end: no reason to know nothing of the rest of the hello."""
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < 32 and (end := at + 1 + data[at]) <= len(data):
        found.append(data[at + 1 : end])
        at = end
    return tuple(found)


def alpn_text(name: bytes) -> str:
    return name.decode("ascii", "replace") if name.isascii() and name.decode().isprintable() else name.hex()


def server_hello(body: bytes, *, whole: bool = True) -> ServerHello:
    """A ServerHello's body; the version is the one chosen, also where supported_versions hides it.

    Until draft 21 of TLS 1.3 it said the draft's number as its version, and had neither session id nor compression.
    Of a body that is not ``whole`` the beginning is enough, up to the suite.
    """
    reader = _Reader(body)
    version = reader.number(2)
    random = reader.take(32)
    draft = version >> 8 == 0x7F
    session = b"" if draft else reader.vector(1)
    hello = ServerHello(version, session, reader.number(2), retry=random == RETRY)
    if whole:
        reader.take(0 if draft else 1)
    else:
        reader.at += 0 if draft else 1
        if hello.suite >> 8 == 0x13 and version == 0x0303:
            hello.version = 0x0304  # its own suites say so before the extension does
    for kind, data in _extensions(reader, whole):
        if kind == _VERSIONS and len(data) >= 2:
            hello.version = int.from_bytes(data[:2], "big")
        elif kind in (_KEY_SHARE, _OLD_KEY_SHARE) and len(data) >= 2:
            hello.group = group_name(int.from_bytes(data[:2], "big"))
        elif kind == _ALPN and len(data) > 3:
            hello.alpn = alpn_text(data[3 : 3 + data[2]])
        elif kind == _PSK:
            hello.resumed = True
    return hello


def is_tls13(version: int) -> bool:
    return version_name(version) in ("TLS 1.3", "DTLS 1.3")


def certificates(body: bytes) -> list[bytes]:
    """The chain of a Certificate message up to TLS 1.2, DER, leaf first."""
    reader = _Reader(_Reader(body).vector(3))
    chain: list[bytes] = []
    while reader.left() and len(chain) < 16:
        chain.append(reader.vector(3))
    return chain


def exchange_group(body: bytes, suite: str) -> str | None:
    """The group of a ServerKeyExchange: a named curve (RFC 8422, 5.4), or the size of a Diffie-Hellman prime."""
    if "_ECDH" in suite and len(body) >= 3 and body[0] == 3:
        return group_name(int.from_bytes(body[1:3], "big"))
    if "_DHE_" in suite or "_DH_anon" in suite:
        prime = int.from_bytes(body[2 : 2 + int.from_bytes(body[:2], "big")], "big") if len(body) > 2 else 0
        return f"dhe {prime.bit_length()}" if prime else None
    return None


def without_grease(numbers: tuple[int, ...]) -> list[int]:
    return [n for n in numbers if not grease(n)]
