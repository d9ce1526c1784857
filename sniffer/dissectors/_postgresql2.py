"""PostgreSQL frontend/backend protocol 2.0 (PostgreSQL 6.4 to 13; its documentation up to 7.3), as far as the login and statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._sqltext import statements
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Content, Crack, Event, Login, Outcome, Side, Span
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from sniffer.dissectors._buffer import Buffer

STARTUP = 296  # always: the names are fields of fixed size
_DATABASE, _USER = 64, 32
_OK, _CLEAR, _CRYPT, _MD5 = 0, 3, 4, 5
_SALTS = {_CRYPT: 2, _MD5: 4}
# A password packet, or a statement, which ends with a zero and tells no size before it.
_MAX_PASSWORD, _MAX_STATEMENT = 512, 256 * 1024


class Version2:
    """From behind the startup packet on. Replies to statements are not read."""

    __slots__ = ("_auth", "_login", "_open", "_salt", "_user")

    def __init__(self, startup: bytes) -> None:
        start = 8 + _DATABASE
        self._user = decode(startup[start : start + _USER].split(b"\0", 1)[0]) or None
        self._auth = _CLEAR
        self._salt = b""
        self._open = True  # the login is not over
        self._login: Login | ChallengeResponse | None = None

    def settle(self, outcome: Outcome) -> list[Event]:
        login, self._login = self._login, None
        return [replace(login, outcome=outcome)] if login is not None else []

    def lost(self) -> list[Event]:
        """After a gap: statements, if anything."""
        self._open, self._salt = False, b""
        return self.settle(Outcome.UNKNOWN)

    def client(self, buffer: Buffer, events: list[Event]) -> bool:
        return self._password(buffer) if self._open else self._statement(buffer, events)

    def _password(self, buffer: Buffer) -> bool:
        head = buffer.peek(4)
        if head is None:
            return False
        size, start = int.from_bytes(head, "big"), buffer.start + 4
        if not 5 <= size <= _MAX_PASSWORD:
            raise Malformed("not a password packet of PostgreSQL's protocol 2")
        packet = buffer.take(size)
        if packet is None:
            return False
        text = packet[4:].split(b"\0", 1)[0]
        if not text:
            return True
        span = Span(Side.CLIENT, start, start + len(text))
        if self._auth == _CLEAR:
            self._login = Login(span=span, mechanism="cleartext password", username=self._user, secret=Secret(decode(text)), where="password packet")
        elif self._auth in _SALTS:
            self._login = self._response(decode(text), span)
        return True

    def _response(self, text: str, span: Span) -> ChallengeResponse:
        crack = None
        if self._auth == _MD5 and self._user and len(text) == 35:
            crack = Crack("postgres", 11100, Secret(f"$postgres${self._user}*{self._salt.hex()}*{text[3:]}", "hash"))
        mechanism = "md5" if self._auth == _MD5 else "crypt"
        return ChallengeResponse(span=span, mechanism=mechanism, username=self._user, response=Secret(text, "hash"), where="password packet", crack=crack)

    def _statement(self, buffer: Buffer, events: list[Event]) -> bool:
        kind = buffer.peek(1)
        if kind is None:
            return False
        if kind != b"Q":
            buffer.rest()  # a function call, or the end
            return False
        end = buffer.find(b"\0", _MAX_STATEMENT)
        if end < 0:
            if len(buffer) >= _MAX_STATEMENT:
                raise Malformed("a statement longer than the limit")
            return False
        start = buffer.start + 1
        text = (buffer.take(end + 1) or b"")[1:-1]
        events.append(Content(span=Span(Side.CLIENT, start, start + len(text)), data=text, media="application/sql", where="statement"))
        events.extend(statements(text, start, escapes=True))
        return True

    def server(self, buffer: Buffer, events: list[Event]) -> bool:
        """Requests of the login, up to its end."""
        if not self._open:
            buffer.rest()
            return False
        kind = buffer.peek(1)
        if kind in (b"E", b"N"):
            return self._error(buffer, events)
        if kind not in (None, b"R"):
            raise Malformed("not a login of PostgreSQL's protocol 2")
        head = buffer.peek(5)
        if head is None:
            return False
        code = int.from_bytes(head[1:], "big")
        packet = buffer.take(5 + _SALTS.get(code, 0))
        if packet is None:
            return False
        self._auth, self._salt = code, packet[5:]
        if code == _OK:
            self._open = False
            events += self.settle(Outcome.ACCEPTED)
        return True

    def _error(self, buffer: Buffer, events: list[Event]) -> bool:
        end = buffer.find(b"\0", _MAX_STATEMENT)
        if end < 0:
            return False
        message = buffer.take(end + 1) or b""
        if message[:1] == b"E":
            events += self.settle(Outcome.REJECTED)
        return True
