"""MySQL and MariaDB client/server protocol (MySQL internals manual, "Client/Server Protocol"; MariaDB knowledge base)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mysql_probe import probe
from sniffer.dissectors._ntlmssp import Exchange
from sniffer.dissectors._spec import Spec
from sniffer.dissectors._sqltext import statements
from sniffer.errors import Malformed
from sniffer.events import (
    Anomaly,
    ChallengeResponse,
    Content,
    Crack,
    Done,
    Event,
    Greeting,
    Login,
    Outcome,
    Side,
    Skip,
    Span,
    Upgrade,
)
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENT_CONNECT_WITH_DB, CLIENT_COMPRESS, CLIENT_PROTOCOL_41, CLIENT_SSL = 0x8, 0x20, 0x200, 0x800
CLIENT_SECURE, CLIENT_PLUGIN_AUTH, CLIENT_LENENC, CLIENT_ZSTD = 0x8000, 0x80000, 0x200000, 0x4000000
# Held of one packet; rows and blobs beyond it are passed over.
MAX_PACKET = 1 << 20
PIECE = 64 * 1024
_QUERY, _PREPARE, _CHANGE_USER, _QUIT = 3, 22, 17, 1
_NATIVE, _OLD, _CLEAR, _SHA2, _SHA256 = "mysql_native_password", "mysql_old_password", "mysql_clear_password", "caching_sha2_password", "sha256_password"
_CLEARTEXT = frozenset((_CLEAR, "dialog", "authentication_pam"))
_TOKENS = frozenset(("authentication_windows_client", "auth_gssapi_client", "authentication_kerberos_client"))
_SASL = "authentication_ldap_sasl_client"
# Errors after the password was found right: no access to the database, no such database.
_RIGHT = frozenset((b"\x14\x04", b"\x19\x04"))


class MySql:
    """Greeting, login with the server's verdict, then statements and rows."""

    __slots__ = ("_buffers", "_columns", "_compress", "_expects", "_flags", "_in", "_login", "_ntlm", "_offered", "_over", "_phase", "_plugin", "_resume", "_salt", "_text", "_user")

    def __init__(self) -> None:
        self._buffers = (Buffer(2 * MAX_PACKET), Buffer(2 * MAX_PACKET))
        self._phase = "greeting"  # greeting, login, auth, commands
        self._salt = b""
        self._plugin = ""
        self._user: str | None = None
        self._login: Login | ChallengeResponse | None = None
        self._offered = False
        self._flags = CLIENT_SECURE  # the client's, as far as COM_CHANGE_USER needs them
        self._ntlm = Exchange()
        self._compress = False
        self._expects = ""  # what the next client packet of the authentication is
        self._over = [0, 0]
        self._columns: list[bytes] = []
        self._in = ""  # inside a result set: "", "columns", "rows"
        self._text: list[bytes] = []
        self._resume = 0

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        while self._packet(side, buffer, events):
            if events and type(events[-1]) in (Upgrade, Done) and (type(events[-1]) is Done or events[-1].resume is not None):  # type: ignore[attr-defined]
                return events
        if side is Side.SERVER:
            self._flush(buffer.start, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        self._buffers[side].clear()
        self._over[side] = max(0, self._over[side] - size)
        self._salt, self._expects, self._in, self._text = b"", "", "", []
        self._ntlm.forget()
        if self._phase != "commands":
            self._phase = "commands"
        return self._settle(Outcome.UNKNOWN)

    def close(self) -> Sequence[Event]:
        return self._settle(Outcome.UNKNOWN)

    def _settle(self, outcome: Outcome) -> list[Event]:
        login, self._login = self._login, None
        return [replace(login, outcome=outcome)] if login is not None else []

    def _packet(self, side: Side, buffer: Buffer, events: list[Event]) -> bool:
        """One packet: three bytes of length, one of sequence. False when more bytes are needed."""
        if self._over[side]:
            taken = min(self._over[side], len(buffer))
            buffer.take(taken)
            self._over[side] -= taken
            return taken > 0
        head = buffer.peek(4)
        if head is None:
            return False
        size, number = int.from_bytes(head[:3], "little"), head[3]
        if size > MAX_PACKET:
            return self._pass_over(side, buffer, size, events)
        start = buffer.start
        packet = buffer.take(4 + size)
        if packet is None:
            return False
        if side is Side.CLIENT:
            self._client(packet[4:], number, start + 4, events)
        else:
            self._server(packet[4:], number, start + 4, events)
        return True

    def _pass_over(self, side: Side, buffer: Buffer, size: int, events: list[Event]) -> bool:
        if self._phase != "commands":
            raise Malformed("a MySQL login packet longer than the limit")
        start = buffer.start
        events.append(Skip(span=Span(side, start, start + 4 + size)))
        buffer.take(4)
        if len(buffer) < size:
            buffer.clear()  # what is skipped is not delivered again
        else:
            buffer.take(size)
        return True

    # The client's side.

    def _client(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if self._phase == "greeting" and number == 0:
            self._phase = "commands"  # joined in the middle
        if self._phase in ("greeting", "login"):
            self._handshake_response(body, at, events)
        elif self._phase == "auth":
            self._more_auth(body, at, events)
        elif number and body and self._in == "infile":
            events.append(Content(span=Span(Side.CLIENT, at, at + len(body)), data=body, media="text/plain", where="LOCAL INFILE data"))
        elif number == 0 and body:
            self._command(body, at, events)

    def _handshake_response(self, body: bytes, at: int, events: list[Event]) -> None:
        if len(body) < 5:
            raise Malformed("a MySQL handshake response cut short")
        flags = int.from_bytes(body[:4], "little")
        if not flags & CLIENT_PROTOCOL_41:
            self._old_response(body, at, events)
            return
        if len(body) < 32:
            raise Malformed("a MySQL handshake response cut short")
        if flags & CLIENT_SSL and len(body) == 32:
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 32), to="tls", status="asked"))
            end = self._buffers[1].end
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 32), to="tls", status="granted", resume=(at + 32, end)))
            return
        self._compress = bool(flags & (CLIENT_COMPRESS | CLIENT_ZSTD))
        self._user_and_secret(body, 32, flags, at, events)
        self._phase = "auth"

    def _user_and_secret(self, body: bytes, place: int, flags: int, at: int, events: list[Event]) -> None:
        end = body.find(b"\0", place)
        if end < 0:
            raise Malformed("a MySQL user name without end")
        self._user = decode(body[place:end])
        place = end + 1
        if flags & CLIENT_LENENC:
            size, place = _lenenc(body, place)
        elif flags & CLIENT_SECURE:
            size, place = (body[place] if place < len(body) else 0), place + 1
        else:
            stop = body.find(b"\0", place)
            size = (stop if stop >= 0 else len(body)) - place
        secret = body[place : place + size]
        where = place
        place += size + (0 if flags & (CLIENT_LENENC | CLIENT_SECURE) else 1)
        if flags & CLIENT_CONNECT_WITH_DB:
            place = body.find(b"\0", place) + 1 or len(body)
        if self._phase == "change":
            place += 2  # the character set
            self._phase = "auth"
        self._plugin = self._named(body, place, flags)
        self._flags = flags
        self._proof(secret, at + where, events)

    def _named(self, body: bytes, place: int, flags: int) -> str:
        """The plugin that the client answers by. One that cannot name plugins knows but these two."""
        if not flags & CLIENT_PLUGIN_AUTH:
            return _NATIVE if flags & CLIENT_SECURE else _OLD
        return decode(body[place:].split(b"\0", 1)[0])[:64] or self._plugin or _NATIVE

    def _old_response(self, body: bytes, at: int, events: list[Event]) -> None:
        """HandshakeResponse320: flags and size in five bytes, user, scramble of eight bytes (3.23 to 4.0)."""
        flags = int.from_bytes(body[:2], "little")
        if flags & CLIENT_SSL and len(body) == 5:
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 5), to="tls", status="granted", resume=(at + 5, self._buffers[1].end)))
            return
        end = body.find(b"\0", 5)
        if end < 0:
            raise Malformed("a MySQL user name without end")
        self._user = decode(body[5:end])
        secret = body[end + 1 :].split(b"\0", 1)[0]
        self._plugin = _OLD
        self._phase = "auth"
        self._proof(secret, at + end + 1, events)

    def _proof(self, secret: bytes, at: int, events: list[Event]) -> None:
        """What the client sent to prove itself, by the plugin in force."""
        if not secret:
            return
        span = Span(Side.CLIENT, at, at + len(secret))
        events += self._settle(Outcome.UNKNOWN)
        if self._plugin in _CLEARTEXT or (self._plugin == _SHA256 and len(secret) > 1 and secret.endswith(b"\0")):
            self._login = self._clear(secret, span, "authentication data")
            return
        if self._plugin in (_SHA2, _SHA256) and (len(secret) == 1 or len(secret) >= 128):
            return  # a request for the server's key, or a password under it
        self._login = self._response(secret, span)

    def _clear(self, secret: bytes, span: Span, where: str) -> Login | None:
        secret = secret.rstrip(b"\0")
        return Login(span=span, mechanism=self._plugin, username=self._user, secret=Secret(decode(secret)), where=where) if secret else None

    def _response(self, secret: bytes, span: Span) -> ChallengeResponse | None:
        """A scramble, the NTLM token of the Windows plugin, the proof of the LDAP plugin's SCRAM."""
        mechanism, crack = self._plugin, None
        if mechanism in _TOKENS:
            found = self._ntlm.feed(secret)
            return None if found is None else ChallengeResponse(span=span, mechanism=found.mechanism, username=found.username, realm=found.domain or None, response=found.response, where="authentication data", crack=found.crack)
        if mechanism == _SASL:
            place = secret.rfind(b",p=")
            return ChallengeResponse(span=span, mechanism="SCRAM", username=self._user, response=Secret(decode(secret[place + 3 :].rstrip(b"\0")), "hash"), where="authentication data") if place >= 0 else None
        if mechanism == _NATIVE and len(secret) == 20 and len(self._salt) == 20:
            crack = Crack("mysqlna", 11200, Secret(f"$mysqlna${self._salt.hex()}*{secret.hex()}", "hash"))
        if mechanism == _OLD:
            secret = secret[:8]  # a zero byte ends it
        return ChallengeResponse(span=span, mechanism=mechanism, username=self._user, response=Secret(secret.hex(), "hash"), where="authentication data", crack=crack)

    def _more_auth(self, body: bytes, at: int, events: list[Event]) -> None:
        """Answers to an auth switch, to a demand for full authentication, or a request for the server's key."""
        if self._expects == "switched":
            self._expects = ""
            self._proof(body, at, events)
        elif self._expects == "full" and len(body) not in (1, 128, 256, 384, 512) and body.endswith(b"\0"):
            # Full authentication in the clear is only meant for TLS or a local socket.
            self._login = self._clear(body, Span(Side.CLIENT, at, at + len(body)), "full authentication")
        elif self._plugin not in (_NATIVE, _OLD, _SHA2, _SHA256, ""):
            self._proof(body, at, events)  # plugins that take turns: PAM's questions, SASL, PARSEC
        elif body == b"\x02" or (body == b"\x01" and self._plugin == _SHA256):
            events.append(Anomaly(span=Span(Side.CLIENT, at, at + 1), reason="the server's RSA key asked for in the clear: it can be replaced on the way"))

    def _command(self, body: bytes, at: int, events: list[Event]) -> None:
        kind = body[0]
        if kind in (_QUERY, _PREPARE) and len(body) > 1:
            text = body[1:].removeprefix(b"\0\1")  # no query attributes (CLIENT_QUERY_ATTRIBUTES)
            at += len(body) - 1 - len(text)
            events.append(Content(span=Span(Side.CLIENT, at + 1, at + 1 + len(text)), data=text, media="application/sql", where="statement"))
            events.extend(statements(text, at + 1, escapes=True))
            self._in = "columns" if kind == _QUERY else ""
            self._columns, self._text = [], []
        elif kind == _CHANGE_USER:
            self._phase = "change"
            flags = self._flags & (CLIENT_SECURE | CLIENT_PLUGIN_AUTH) | CLIENT_CONNECT_WITH_DB
            self._user_and_secret(body, 1, flags, at, events)
        else:
            self._in = ""

    # The server's side.

    def _server(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if not body:
            return
        if self._phase == "greeting" and number:
            self._phase = "commands"  # joined in the middle
        if self._phase == "greeting":
            self._greet(body, at, events)
        elif self._phase in ("login", "auth"):
            self._answer(body, at, events)
        elif self._in:
            self._result(body, at)

    def _greet(self, body: bytes, at: int, events: list[Event]) -> None:
        if body[0] == 0xFF:
            self._phase = "commands"
            return
        end = body.find(b"\0", 1)
        if body[0] not in (9, 10) or end < 0 or len(body) < end + 14:
            raise Malformed("not a MySQL greeting")
        version = decode(body[1:end])[:80]
        product = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        events.append(Greeting(span=Span(Side.SERVER, at, at + len(body)), product=product, version=version.removeprefix("5.5.5-")))
        self._salt = body[end + 5 : end + 13]
        flags = int.from_bytes(body[end + 14 : end + 16], "little")
        if len(body) >= end + 32:
            flags |= int.from_bytes(body[end + 19 : end + 21], "little") << 16
            size = max(12, body[end + 21] - 9)
            rest = body[end + 32 :]
            self._salt += rest[:size][:12]
            self._plugin = decode(rest[size:].lstrip(b"\0").split(b"\0", 1)[0])[:64]
        self._offered = bool(flags & CLIENT_SSL)
        if self._offered:
            events.append(Upgrade(span=Span(Side.SERVER, at, at + len(body)), to="tls", status="offered"))
        self._phase = "login"

    def _answer(self, body: bytes, at: int, events: list[Event]) -> None:
        kind = body[0]
        if kind == 0:
            events += self._settle(Outcome.ACCEPTED)
            self._begin_commands(at, events)
        elif kind == 0xFF:
            events += self._settle(Outcome.ACCEPTED if body[1:3] in _RIGHT else Outcome.REJECTED)
            self._phase = "commands"
        elif kind == 0xFE:
            self._switch(body, events, Outcome.UNKNOWN)
        elif kind == 2 and self._plugin not in _CLEARTEXT | {_SASL} | _TOKENS:
            self._switch(body, events, Outcome.ACCEPTED)  # AuthNextFactor: this one was right
        elif body[:2] == b"\1\4" and self._plugin in (_SHA2, _SHA256):
            self._expects = "full"
        else:
            self._ntlm.feed(body)

    def _begin_commands(self, at: int, events: list[Event]) -> None:
        self._phase = "commands"
        if self._compress:
            span = Span(Side.SERVER, at, at + 1)
            events += [Anomaly(span=span, reason="the session is compressed and was not read further"), Done(span=span)]

    def _switch(self, body: bytes, events: list[Event], outcome: Outcome) -> None:
        """AuthSwitchRequest: another plugin and, with it, a new salt. Nobody judges the response to the old one."""
        events += self._settle(outcome)
        self._expects = "switched"
        if len(body) == 1:
            self._plugin, self._salt = _OLD, self._salt[:8]
            return
        name, _, salt = body[1:].partition(b"\0")
        self._plugin = decode(name)[:64]
        self._ntlm.feed(salt)
        self._salt = salt.rstrip(b"\0") if len(salt) > 20 else salt

    def _result(self, body: bytes, at: int) -> None:
        """Column definitions, then rows, each up to an EOF or OK packet (or without, when they are deprecated)."""
        kind = body[0]
        if kind in (0xFF, 0, 0xFB) and not self._columns and self._in == "columns":
            self._in = "infile" if kind == 0xFB else ""
        elif self._in == "infile":
            self._in = ""
        elif kind == 0xFE and len(body) < 9:
            self._in = "rows" if self._in == "columns" and self._columns else ""
        elif self._in == "columns":
            if body.startswith(b"\x03def"):
                self._columns.append(_column(body))
            elif self._columns:
                self._in = "rows"
                self._row(body)
        else:
            self._row(body)

    def _row(self, body: bytes) -> None:
        values: list[bytes] = []
        place = 0
        while place < len(body) and len(values) <= len(self._columns):
            if body[place] == 0xFB:
                values.append(b"")
                place += 1
                continue
            size, place = _lenenc(body, place)
            value = body[place : place + size]
            values.append(b'"' + value.replace(b'"', b'""') + b'"' if b"," in value or b'"' in value or b"\n" in value else value)
            place += size
        self._text.append(b",".join(values))

    def _flush(self, end: int, events: list[Event]) -> None:
        if not self._text:
            return
        rows, self._text = self._text, []
        data = b"\n".join([b",".join(self._columns), *rows])
        events.append(Content(span=Span(Side.SERVER, max(0, end - len(data)), end), data=data, media="text/csv", where="result rows"))


def _lenenc(body: bytes, place: int) -> tuple[int, int]:
    """A length-encoded integer, and where the next field begins."""
    if place >= len(body):
        return 0, place
    first = body[place]
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width:
        return (first if first < 0xFB else 0), place + 1
    return int.from_bytes(body[place + 1 : place + 1 + width], "little"), place + 1 + width


def _column(body: bytes) -> bytes:
    """The name in a column definition: catalog, schema, table, original table, name."""
    place = 0
    value = b""
    for _ in range(5):
        size, place = _lenenc(body, place)
        value = body[place : place + size]
        place += size
    return value


SPEC = Spec(
    name="mysql",
    title="MySQL, client/server protocol 10",
    ports=(3306, 3307),
    probe=probe,
    stream=MySql,
    tier="database",
    remedy="Set require_secure_transport=ON, and ssl-mode=VERIFY_IDENTITY in the clients.",
)
