"""All that a dissector can say: frozen values, each with the span of bytes it came from.

A dissector returns sequences of these; detectors take them by type; the ledger and the flow machinery take the rest.
Nothing here knows policy (what is bad), files or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import NamedTuple

from sniffer.secret import Secret


class Side(IntEnum):
    """Which end of a flow sent the bytes. The client is the end that opened it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a dissector saw at ``span``."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Event):
    """A reusable secret was sent: password, community string, plain SASL response.

    Returned once the server's answer is known, or by ``close()``/``gap()`` with ``Outcome.UNKNOWN``.
    """

    mechanism: str  # in the protocol's words: "PASS", "AUTH PLAIN", "Basic", "cleartext password", "v2c"
    secret: Secret
    username: str | None = None
    realm: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""  # for people: "PASS argument", "Authorization header"


@dataclass(frozen=True, slots=True)
class Crack:
    """How crackers read a challenge–response: format name, hashcat mode (None if it has none), and the full line."""

    format: str
    hashcat: int | None
    line: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeResponse(Event):
    """A response that proves a password without sending it. ``crack`` only when everything a cracker needs was seen."""

    mechanism: str  # "NTLMv2", "CRAM-MD5", "Digest", "md5", "mysql_native_password", "SCRAM-SHA-256", "v3-usm"
    response: Secret  # kind "hash": the response as it stood on the wire; binary ones in lower-case hex
    username: str | None = None
    realm: str | None = None  # realm or domain
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""
    crack: Crack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """A bearer secret in a place the protocol gives it: header, cookie, SASL XOAUTH2."""

    mechanism: str  # "Bearer", "cookie", "API key", "XOAUTH2", "JWT", the scheme of an unknown Authorization header
    secret: Secret
    name: str | None = None  # the cookie's or header's name
    username: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Event):
    """Decoded bytes that people or programs wrote: a body, a mail, a query string, an SQL text, a stored value.

    ``media`` is a media type in lower case without parameters; ``application/x-www-form-urlencoded`` also for the
    query of a URL, ``application/sql`` for statements, ``message/rfc822`` for mail, ``text/plain`` if it is just text.
    """

    data: bytes = field(repr=False)
    media: str = "application/octet-stream"
    where: str = ""  # for people: "request body", "query string", "mail", "SET value"
    charset: str | None = None
    name: str | None = None  # file name, part name, key
    outcome: Outcome = Outcome.UNKNOWN  # what the peer said to the request that carried it, for login forms
    target: str = ""  # what it was sent to: the request's path without its query


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Event):
    """A statement that sets or names a password (``ALTER ROLE … PASSWORD``, ``CONFIG SET requirepass``)."""

    mechanism: str
    secret: Secret
    username: str | None = None
    where: str = ""


_FIELDS: dict[type, tuple[str, ...]] = {kind: tuple(f.name for f in fields(kind) if f.name != "outcome") for kind in (Login, ChallengeResponse, Token, Content)}


def answered(event: Event, outcome: Outcome) -> Event:
    """An event that waited for its answer (login, token, content …) with the outcome this gave.

    ``dataclasses.replace`` does the same for five times as much, and every request with a query waits for its answer.
    """
    copy = object.__new__(type(event))
    put = object.__setattr__
    for name in _FIELDS[type(event)]:
        put(copy, name, getattr(event, name))
    put(copy, "outcome", outcome)
    return copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting(Event):
    """What the server says it is."""

    product: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture(Event):
    """The dissector's own verdict on the encryption of this flow, with the reason in words people can check."""

    encryption: Encryption
    why: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """The leaf certificate, as shown. Times are RFC 3339 in UTC; ``key`` is for example ``rsa 2048``."""

    subject: str
    issuer: str
    not_before: str
    not_after: str
    key: str
    self_signed: bool
    names: tuple[str, ...] = ()  # subjectAltName dNSName and iPAddress
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls(Event):
    """Facts of a TLS, DTLS or QUIC handshake. Said piece by piece: the ledger keeps, for each field, what is not None."""

    version: str | None = None  # chosen: "TLS 1.2", "DTLS 1.2", "SSL 3.0"
    cipher: str | None = None  # IANA name
    group: str | None = None
    sni: str | None = None
    alpn: str | None = None
    ja4: str | None = None
    certificate: Certificate | str | None = None  # "not visible" where TLS 1.3 hides it
    resumed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade(Event):
    """A change of protocol inside the flow (STARTTLS, SSLRequest, CONNECT, Upgrade).

    Statuses in order of weight: ``offered`` by the server, ``asked`` by the client, ``granted``, ``refused``.
    With ``granted``, ``resume`` gives the stream offsets (client's, server's) from which a new probe takes over; the
    engine stops feeding this dissector from there on and routes the rest, also the rest of the chunk just fed.
    """

    to: str  # "tls", "http2", "websocket", "" if the tunnel's content is to be found out
    status: str  # "offered" | "asked" | "granted" | "refused"
    resume: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip(Event):
    """``span.side``'s bytes before offset ``span.end`` don't interest the dissector: the engine need not deliver them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """Nothing further in this flow interests the dissector (encrypted from here on, or inventory only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly(Event):
    """The peer broke the protocol, or a limit of ours was reached: counted by ``reason`` (a fixed text, no values)."""

    reason: str
