"""All that a dissector can say: frozen values, each with the span of bytes it came from.

A dissector returns sequences of these; detectors take them by type; the ledger and the flow machinery take the rest.
Nothing here knows policy (what is bad), files or clocks.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from msgspec import Struct

from sniffer.secret import Secret


class Side(IntEnum):
    """Which end of a flow sent the bytes. The client is the end that opened it.

    Its members are names of this module too: looking one up in its class takes ten times as long, and is done for every turn.
    """

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Side:
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class Outcome(StrEnum):
    """What the server answered to a login."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


CLIENT, SERVER = Side
ACCEPTED, REJECTED, UNKNOWN = Outcome


class Encryption(StrEnum):
    """The verdict on a channel (the ledger's ``encryption``)."""

    ENCRYPTED = "encrypted"
    CLEARTEXT = "cleartext"
    DECLINED = "declined"  # the server offered it, the client went on in the clear
    REFUSED = "refused"  # the client asked for it, the server said no
    STRIPPED = "stripped"  # removed on the way by a third party
    LOGIN_ONLY = "login-only"  # the login is encrypted, the data is not
    MIXED = "mixed"  # some sessions each way (given by the ledger, never by a dissector)
    UNKNOWN = "unknown"


class Span(NamedTuple):
    """Bytes ``start`` up to ``end`` of one side's stream (for datagrams: of all its payloads laid end to end)."""

    side: Side
    start: int
    end: int


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """Something a dissector saw at ``span``.

    A struct of msgspec: frozen like a frozen dataclass, and made in a tenth of the time. None holds what could lead back to it,
    so the collector of cycles need not look.
    """

    span: Span


class Login(Event, frozen=True, kw_only=True, gc=False):
    """A reusable secret was sent: password, community string, plain SASL response.

    Returned once the server's answer is known, or by ``close()``/``gap()`` with ``Outcome.UNKNOWN``.
    """

    mechanism: str  # in the protocol's words: "PASS", "AUTH PLAIN", "Basic", "cleartext password", "v2c"
    secret: Secret
    username: str | None = None
    realm: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""  # for people: "PASS argument", "Authorization header"


class Crack(Struct, frozen=True, gc=False):
    """How crackers read a challenge–response: format name, hashcat mode (None if it has none), and the full line."""

    format: str
    hashcat: int | None
    line: Secret


class ChallengeResponse(Event, frozen=True, kw_only=True, gc=False):
    """A response that proves a password without sending it. ``crack`` only when everything a cracker needs was seen."""

    mechanism: str  # "NTLMv2", "CRAM-MD5", "Digest", "md5", "mysql_native_password", "SCRAM-SHA-256", "v3-usm"
    response: Secret  # kind "hash": the response as it stood on the wire; binary ones in lower-case hex
    username: str | None = None
    realm: str | None = None  # realm or domain
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""
    crack: Crack | None = None


class Token(Event, frozen=True, kw_only=True, gc=False):
    """A bearer secret in a place the protocol gives it: header, cookie, SASL XOAUTH2."""

    mechanism: str  # "Bearer", "cookie", "API key", "XOAUTH2", "JWT", the scheme of an unknown Authorization header
    secret: Secret
    name: str | None = None  # the cookie's or header's name
    username: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""


class Content(Event, frozen=True, kw_only=True, gc=False):
    """Decoded bytes that people or programs wrote: a body, a mail, a query string, an SQL text, a stored value.

    ``media`` is a media type in lower case without parameters; ``application/x-www-form-urlencoded`` also for the
    query of a URL, ``application/sql`` for statements, ``message/rfc822`` for mail, ``text/plain`` if it is just text.
    """

    data: bytes
    media: str = "application/octet-stream"
    where: str = ""  # for people: "request body", "query string", "mail", "SET value"
    charset: str | None = None
    name: str | None = None  # file name, part name, key
    outcome: Outcome = Outcome.UNKNOWN  # what the peer said to the request that carried it, for login forms
    target: str = ""  # what it was sent to: the request's path without its query

    def __repr__(self) -> str:
        """All but the data: a log or a traceback is no place for it."""
        return f"Content(span={self.span!r}, media={self.media!r}, where={self.where!r}, name={self.name!r}, outcome={self.outcome!r})"


class Statement(Event, frozen=True, kw_only=True, gc=False):
    """A statement that sets or names a password (``ALTER ROLE … PASSWORD``, ``CONFIG SET requirepass``)."""

    mechanism: str
    secret: Secret
    username: str | None = None
    where: str = ""


class Greeting(Event, frozen=True, kw_only=True, gc=False):
    """What the server says it is."""

    product: str
    version: str | None = None


class Posture(Event, frozen=True, kw_only=True, gc=False):
    """The dissector's own verdict on the encryption of this flow, with the reason in words people can check."""

    encryption: Encryption
    why: str


class Certificate(Struct, frozen=True, gc=False):
    """The leaf certificate, as shown. Times are RFC 3339 in UTC; ``key`` is for example ``rsa 2048``."""

    subject: str
    issuer: str
    not_before: str
    not_after: str
    key: str
    self_signed: bool
    names: tuple[str, ...] = ()  # subjectAltName dNSName and iPAddress
    signature: str = ""


class Tls(Event, frozen=True, kw_only=True, gc=False):
    """Facts of a TLS, DTLS or QUIC handshake. Said piece by piece: the ledger keeps, for each field, what is not None."""

    version: str | None = None  # chosen: "TLS 1.2", "DTLS 1.2", "SSL 3.0"
    cipher: str | None = None  # IANA name
    group: str | None = None
    sni: str | None = None
    alpn: str | None = None
    ja4: str | None = None
    certificate: Certificate | str | None = None  # "not visible" where TLS 1.3 hides it
    resumed: bool | None = None


class Upgrade(Event, frozen=True, kw_only=True, gc=False):
    """A change of protocol inside the flow (STARTTLS, SSLRequest, CONNECT, Upgrade).

    Statuses in order of weight: ``offered`` by the server, ``asked`` by the client, ``granted``, ``refused``.
    With ``granted``, ``resume`` gives the stream offsets (client's, server's) from which a new probe takes over; the
    engine stops feeding this dissector from there on and routes the rest, also the rest of the chunk just fed.
    """

    to: str  # "tls", "http2", "websocket", "" if the tunnel's content is to be found out
    status: str  # "offered" | "asked" | "granted" | "refused"
    resume: tuple[int, int] | None = None


class Skip(Event, frozen=True, kw_only=True, gc=False):
    """``span.side``'s bytes before offset ``span.end`` don't interest the dissector: the engine need not deliver them."""


class Done(Event, frozen=True, kw_only=True, gc=False):
    """Nothing further in this flow interests the dissector (encrypted from here on, or inventory only)."""


class Anomaly(Event, frozen=True, kw_only=True, gc=False):
    """The peer broke the protocol, or a limit of ours was reached: counted by ``reason`` (a fixed text, no values)."""

    reason: str
