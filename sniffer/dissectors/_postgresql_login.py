"""How PostgreSQL's clients prove who they are: what the server asks for, what is answered, and the verdict."""

from __future__ import annotations

import re

from msgspec.structs import replace

from sniffer.dissectors._ntlmssp import Exchange
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Crack, Event, Login, Outcome, Side, Span, Token
from sniffer.secret import Secret, decode

_OK, _CLEAR, _CRYPT, _MD5, _GSS, _GSS_MORE, _SSPI, _SASL, _SASL_MORE, _SASL_END = 0, 3, 4, 5, 7, 8, 9, 10, 11, 12
_HEX64 = re.compile(rb"[0-9a-f]{64}")
_BEARER = re.compile(rb"auth=Bearer ([!-~]+)", re.I)


class Authentication:
    """Requests and responses in the order they come."""

    __slots__ = ("_ntlm", "_salt", "_scram", "asked", "login", "user")

    def __init__(self) -> None:
        self.user: str | None = None
        self.asked: int | None = None  # the server's last request
        self.login: Login | ChallengeResponse | Token | None = None  # waits for the verdict
        self._salt = b""
        self._scram: str | None = None
        self._ntlm = Exchange()

    def forget(self) -> None:
        """After a gap what was asked for is not known."""
        self.asked = None
        self._ntlm.forget()

    def settle(self, outcome: Outcome) -> list[Event]:
        login, self.login = self.login, None
        return [replace(login, outcome=outcome)] if login is not None else []

    def response(self, body: bytes, at: int, events: list[Event]) -> None:
        """The answer to whatever the server last asked for: only that tells what a ``p`` message is."""
        text, _, rest = body.partition(b"\0")
        span = Span(Side.CLIENT, at, at + max(len(text), 1))
        alone = body.endswith(b"\0") and not rest  # one string, as passwords are and tokens are not
        if self.asked in (_SASL, _SASL_MORE) or (self.asked is None and (b"n,," in body or b",r=" in body)):
            self._sasl(body, at, events)
        elif self.asked in (_GSS, _GSS_MORE, _SSPI):
            self._token(body, at, events)
        elif self.asked == _MD5 or (self.asked is None and alone and text.startswith(b"md5") and len(text) == 35):
            events += self.settle(Outcome.UNKNOWN)
            self.login = self._md5(text, span)
        elif text and self.asked == _CRYPT:  # up to PostgreSQL 8.3
            events += self.settle(Outcome.UNKNOWN)
            self.login = ChallengeResponse(span=span, mechanism="crypt", username=self.user, response=Secret(decode(text), "hash"), where="password message")
        elif text and (self.asked == _CLEAR or (self.asked is None and alone)):
            events += self.settle(Outcome.UNKNOWN)
            self.login = Login(span=span, mechanism="cleartext password", username=self.user, secret=Secret(decode(text)), where="password message")

    def _token(self, body: bytes, at: int, events: list[Event]) -> None:
        """GSSAPI and SSPI: of the mechanisms inside, NTLM can be guessed at."""
        found = self._ntlm.feed(body)
        if found is not None:
            events += self.settle(Outcome.UNKNOWN)
            span = Span(Side.CLIENT, at, at + max(len(body), 1))
            self.login = ChallengeResponse(span=span, mechanism=found.mechanism, username=found.username, realm=found.domain or None, response=found.response, where="SSPI token", crack=found.crack)

    def digest(self, message: bytes, start: int) -> None:
        """Redshift: which digest, its size, itself, then the client's nonce."""
        size = int.from_bytes(message[9:13], "big")
        digest = message[13 : 13 + size]
        if len(digest) == size and 16 <= size <= 64:
            span = Span(Side.CLIENT, start + 13, start + 13 + size)
            self.login = ChallengeResponse(span=span, mechanism="digest", username=self.user, response=Secret(digest.hex(), "hash"), where="digest message")

    def _md5(self, text: bytes, span: Span) -> ChallengeResponse:
        crack = None
        digest = text[3:].decode("latin-1")
        if self.user and len(self._salt) == 4 and len(digest) == 32:
            crack = Crack("postgres", 11100, Secret(f"$postgres${self.user}*{self._salt.hex()}*{digest}", "hash"))
        self._salt = b""
        return ChallengeResponse(span=span, mechanism="md5", username=self.user, response=Secret(text.decode("latin-1"), "hash"), where="password message", crack=crack)

    def _sasl(self, body: bytes, at: int, events: list[Event]) -> None:
        """SCRAM (RFC 5802, 7677): the first message names the mechanism, the final one carries the proof."""
        name, end, _ = body.partition(b"\0")
        if end and name.startswith(b"SCRAM-"):
            self._scram = name.decode("latin-1")[:40]
            return
        if name == b"OAUTHBEARER" and (bearer := _BEARER.search(body)):
            span = Span(Side.CLIENT, at + bearer.start(1), at + bearer.end(1))
            self.login = Token(span=span, mechanism="OAUTHBEARER", secret=Secret(bearer[1], "token"), username=self.user, where="SASL response")
            return
        if _HEX64.fullmatch(name):  # openGauss asks for its SHA-256 with the number that means SASL elsewhere
            span = Span(Side.CLIENT, at, at + len(name))
            self.login = ChallengeResponse(span=span, mechanism="sha256", username=self.user, response=Secret(decode(name), "hash"), where="password message")
            return
        place = body.rfind(b",p=")
        if place < 0:
            return
        proof = body[place + 3 :].rstrip(b"\0")
        span = Span(Side.CLIENT, at + place + 3, at + place + 3 + len(proof))
        events += self.settle(Outcome.UNKNOWN)
        self.login = ChallengeResponse(span=span, mechanism=self._scram or "SCRAM-SHA-256", username=self.user, response=Secret(decode(proof), "hash"), where="SASL response")

    def request(self, message: bytes, events: list[Event]) -> None:
        if len(message) < 9:
            raise Malformed("an authentication request cut short")
        code = int.from_bytes(message[5:9], "big")
        if code == _OK:
            self.asked = None
            events += self.settle(Outcome.ACCEPTED)
            return
        self.asked = code
        if code == _MD5:
            self._salt = message[9:13]
        elif code == _GSS_MORE:
            self._ntlm.feed(message[9:])
