"""MySQL and MariaDB client/server protocol (MySQL internals manual, "Client/Server Protocol"; MariaDB knowledge base)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._spec import Match, Spec
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
_GREETING_MAX = 1024
_QUERY, _PREPARE, _CHANGE_USER, _QUIT = 3, 22, 17, 1
_NATIVE, _OLD, _CLEAR, _SHA2, _SHA256 = "mysql_native_password", "mysql_old_password", "mysql_clear_password", "caching_sha2_password", "sha256_password"
_CLEARTEXT = frozenset((_CLEAR, "dialog", "authentication_pam", "authentication_ldap_sasl_client"))


class MySql:
    """Greeting, login with the server's verdict, then statements and rows."""

    __slots__ = ("_buffers", "_columns", "_compress", "_expects", "_in", "_login", "_offered", "_over", "_phase", "_plugin", "_resume", "_salt", "_text", "_user")

    def __init__(self) -> None:
        self._buffers = (Buffer(2 * MAX_PACKET), Buffer(2 * MAX_PACKET))
        self._phase = "greeting"  # greeting, login, auth, commands
        self._salt = b""
        self._plugin = ""
        self._user: str | None = None
        self._login: Login | ChallengeResponse | None = None
        self._offered = False
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
        if self._phase in ("greeting", "login"):
            self._handshake_response(body, at, events)
        elif self._phase == "auth":
            self._more_auth(body, at, events)
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
        plugin = decode(body[place:].split(b"\0", 1)[0])[:64] if flags & CLIENT_PLUGIN_AUTH else ""
        self._plugin = plugin or self._plugin or _NATIVE
        self._proof(secret, at + where, events)

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
        if self._plugin in _CLEARTEXT:
            self._login = Login(span=span, mechanism=self._plugin, username=self._user, secret=Secret(decode(secret.rstrip(b"\0"))), where="authentication data")
            return
        if self._plugin in (_SHA2, _SHA256) and (len(secret) == 1 or len(secret) >= 128):
            return  # a request for the server's key, or a password under it
        crack = None
        if self._plugin == _NATIVE and len(secret) == 20 and len(self._salt) == 20:
            crack = Crack("mysqlna", 11200, Secret(f"$mysqlna${self._salt.hex()}*{secret.hex()}", "hash"))
        self._login = ChallengeResponse(span=span, mechanism=self._plugin, username=self._user, response=Secret(secret.hex(), "hash"), where="authentication data", crack=crack)

    def _more_auth(self, body: bytes, at: int, events: list[Event]) -> None:
        """Answers to an auth switch, to a demand for full authentication, or a request for the server's key."""
        if self._expects == "switched":
            self._expects = ""
            self._proof(body, at, events)
        elif self._expects == "full" and len(body) not in (1, 128, 256, 384, 512) and body.endswith(b"\0"):
            # Full authentication in the clear is only meant for TLS or a local socket.
            secret = body.rstrip(b"\0")
            if secret:
                self._login = Login(span=Span(Side.CLIENT, at, at + len(secret)), mechanism=self._plugin, username=self._user, secret=Secret(decode(secret)), where="full authentication")
        elif body == b"\x02" or (body == b"\x01" and self._plugin == _SHA256):
            events.append(Anomaly(span=Span(Side.CLIENT, at, at + 1), reason="the server's RSA key asked for in the clear: it can be replaced on the way"))

    def _command(self, body: bytes, at: int, events: list[Event]) -> None:
        kind = body[0]
        if kind in (_QUERY, _PREPARE) and len(body) > 1:
            text = body[1:]
            events.append(Content(span=Span(Side.CLIENT, at + 1, at + len(body)), data=text, media="application/sql", where="statement"))
            events.extend(statements(text, at + 1))
            self._in = "columns" if kind == _QUERY else ""
            self._columns, self._text = [], []
        elif kind == _CHANGE_USER:
            self._phase = "auth"
            flags = CLIENT_SECURE | CLIENT_CONNECT_WITH_DB
            self._user_and_secret(body, 1, flags, at, events)
        elif kind > 32 and kind not in (250, 254):
            events.append(Content(span=Span(Side.CLIENT, at, at + len(body)), data=body, media="text/plain", where="LOCAL INFILE data"))
        else:
            self._in = ""

    # The server's side.

    def _server(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if not body:
            return
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
            events += self._settle(Outcome.REJECTED)
            self._phase = "commands"
        elif kind == 0xFE:
            self._switch(body, events)
        elif kind == 1 and len(body) >= 2:
            if body[1] == 4:
                self._expects = "full"
            elif body[1] != 3 and self._plugin in _CLEARTEXT:
                self._expects = "switched"  # another question of PAM's

    def _begin_commands(self, at: int, events: list[Event]) -> None:
        self._phase = "commands"
        if self._compress:
            span = Span(Side.SERVER, at, at + 1)
            events += [Anomaly(span=span, reason="the session is compressed and was not read further"), Done(span=span)]

    def _switch(self, body: bytes, events: list[Event]) -> None:
        """AuthSwitchRequest: another plugin and, with it, a new salt. Nobody judges the response to the old one."""
        events += self._settle(Outcome.UNKNOWN)
        self._expects = "switched"
        if len(body) == 1:
            self._plugin, self._salt = _OLD, self._salt[:8]
            return
        name, _, salt = body[1:].partition(b"\0")
        self._plugin = decode(name)[:64]
        self._salt = salt.rstrip(b"\0") if len(salt) > 20 else salt

    def _result(self, body: bytes, at: int) -> None:
        """Column definitions, then rows, each up to an EOF or OK packet (or without, when they are deprecated)."""
        kind = body[0]
        if kind in (0xFF, 0) and not self._columns and self._in == "columns":
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


def probe(client: bytes, server: bytes) -> Match:
    """The server's greeting; with the server unseen, a login packet whose filler is zero."""
    if server:
        return _greeting_like(server)
    if client:
        return _login_like(client)
    return Match.MORE


def _greeting_like(data: bytes) -> Match:
    if len(data) < 5:
        return Match.MORE if len(data) < 4 or data[3] == 0 else Match.NO
    size = int.from_bytes(data[:3], "little")
    if data[3] != 0 or not (5 if data[4] == 0xFF else 20) <= size <= _GREETING_MAX:
        return Match.NO
    if data[4] == 0xFF:
        return Match.YES if len(data) > 7 and data[5:7] in (b"\x69\x04", b"\x10\x04", b"\x6a\x04", b"\x15\x04") else Match.MORE if len(data) < 7 else Match.NO
    if data[4] not in (9, 10):
        return Match.NO
    end = data.find(b"\0", 5)
    if end < 0:
        return Match.MORE if len(data) < 80 and data[5:].isascii() and data[5:].decode().isprintable() else Match.NO
    version = data[5:end]
    return Match.YES if version[:1].isdigit() and b"." in version and version.isascii() and version.decode().isprintable() else Match.NO


def _login_like(data: bytes) -> Match:
    if len(data) < 4:
        return Match.MORE
    size = int.from_bytes(data[:3], "little")
    if data[3] != 1 or not 32 <= size <= _GREETING_MAX:
        return Match.NO
    if len(data) < 37:
        return Match.MORE
    flags = int.from_bytes(data[4:8], "little")
    return Match.YES if flags & CLIENT_PROTOCOL_41 and not any(data[13:31]) else Match.NO


SPEC = Spec(
    name="mysql",
    title="MySQL, client/server protocol 10",
    ports=(3306, 3307, 33060),
    probe=probe,
    stream=MySql,
    tier="database",
    remedy="Set require_secure_transport=ON, and ssl-mode=VERIFY_IDENTITY in the clients.",
)
