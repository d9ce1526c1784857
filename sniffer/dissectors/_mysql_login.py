"""MySQL's login: greeting, handshake response, authentication plugins and their switches, and the server's verdict."""

from __future__ import annotations

from msgspec.structs import replace

from sniffer.dissectors._mysql_result import lenenc
from sniffer.dissectors._ntlmssp import Exchange
from sniffer.errors import Malformed
from sniffer.events import Anomaly, ChallengeResponse, Crack, Event, Greeting, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

CLIENT_CONNECT_WITH_DB, CLIENT_COMPRESS, CLIENT_PROTOCOL_41, CLIENT_SSL = 0x8, 0x20, 0x200, 0x800
CLIENT_SECURE, CLIENT_PLUGIN_AUTH, CLIENT_LENENC, CLIENT_ZSTD = 0x8000, 0x80000, 0x200000, 0x4000000
_NATIVE, _OLD, _CLEAR, _SHA2, _SHA256 = "mysql_native_password", "mysql_old_password", "mysql_clear_password", "caching_sha2_password", "sha256_password"
_CLEARTEXT = frozenset((_CLEAR, "dialog", "authentication_pam"))
_TOKENS = frozenset(("authentication_windows_client", "auth_gssapi_client", "authentication_kerberos_client"))
_SASL = "authentication_ldap_sasl_client"
# Errors after the password was found right (MySQL's and MariaDB's error reference): no access to the database, no such database,
# the user's connections used up (both ways of counting), and an expired password that the client cannot be asked to change.
_RIGHT = frozenset(code.to_bytes(2, "little") for code in (1044, 1049, 1203, 1226, 1862))
# What RSA makes of a password is as long as the server's key.
_RSA = frozenset((128, 256, 384, 512))
_KNOWN_PRODUCTS = ("MariaDB", "TiDB", "Vitess", "OceanBase", "ClickHouse", "StarRocks", "Doris")


class Authentication:
    """Who logs in and by what proof, from the greeting on, and again at each COM_CHANGE_USER."""

    __slots__ = ("_expects", "_flags", "_login", "_ntlm", "_plugin", "_salt", "_server", "_stage", "_user", "coding")

    def __init__(self) -> None:
        self._stage = "greeting"  # greeting, login, auth
        self._salt = b""
        self._plugin = ""
        self._user: str | None = None
        self._login: Login | ChallengeResponse | None = None
        self._flags = CLIENT_SECURE | CLIENT_PLUGIN_AUTH  # the client's, as far as COM_CHANGE_USER needs them
        self._ntlm = Exchange()
        self._expects = ""  # what the next client packet of the authentication is
        self._server: int | None = None  # the server's flags
        self.coding = ""  # of what follows the login

    @property
    def greeted(self) -> bool:
        """Whether anything of it was seen."""
        return self._stage != "greeting"

    @property
    def asked(self) -> bool:
        """Whether the client has said who it is."""
        return self._stage == "auth"

    def settle(self, outcome: Outcome) -> list[Event]:
        """The login whose verdict this is, if one waits for it."""
        login, self._login = self._login, None
        return [replace(login, outcome=outcome)] if login is not None else []

    def lost(self) -> list[Event]:
        """After a gap: neither salt nor turn is known."""
        self._salt, self._expects = b"", ""
        self._ntlm.forget()
        return self.settle(Outcome.UNKNOWN)

    # The client's side.

    def client(self, body: bytes, at: int, answered: int, events: list[Event]) -> None:
        """A packet's body at offset ``at``; the server's stream was read up to ``answered``, where its TLS would begin."""
        if self._stage == "auth":
            self._more_auth(body, at, events)
        else:
            self._handshake_response(body, at, answered, events)

    def change_user(self, body: bytes, at: int, events: list[Event]) -> None:
        """COM_CHANGE_USER: another user, by the last salt."""
        flags = self._flags & (CLIENT_SECURE | CLIENT_PLUGIN_AUTH) | CLIENT_CONNECT_WITH_DB
        self._stage = "auth"
        self._expects = ""
        self._user_and_secret(body, 1, flags, at, events, charset=2)

    def _handshake_response(self, body: bytes, at: int, answered: int, events: list[Event]) -> None:
        if len(body) < 5:
            raise Malformed("a MySQL handshake response cut short")
        flags = int.from_bytes(body[:4], "little")
        if not flags & CLIENT_PROTOCOL_41:
            self._old_response(body, at, answered, events)
            return
        if len(body) < 32:
            raise Malformed("a MySQL handshake response cut short")
        if flags & CLIENT_SSL and len(body) == 32:  # no user follows: the request for TLS
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 32), to="tls", status="asked"))
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 32), to="tls", status="granted", resume=(at + 32, answered)))
            return
        both = flags if self._server is None else flags & self._server
        self.coding = "deflate" if both & CLIENT_COMPRESS else "zstd" if both & CLIENT_ZSTD else ""
        self._user_and_secret(body, 32, flags, at, events)
        self._stage = "auth"

    def _user_and_secret(self, body: bytes, place: int, flags: int, at: int, events: list[Event], *, charset: int = 0) -> None:
        end = body.find(b"\0", place)
        if end < 0:
            raise Malformed("a MySQL user name without end")
        self._user = decode(body[place:end])
        place = end + 1
        if flags & CLIENT_LENENC:
            size, place = lenenc(body, place)
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
        self._plugin = self._named(body, place + charset, flags)
        self._flags = flags
        self._proof(secret, at + where, events)

    def _named(self, body: bytes, place: int, flags: int) -> str:
        """The plugin that the client answers by. One that cannot name plugins knows but these two."""
        if not flags & CLIENT_PLUGIN_AUTH:
            return _NATIVE if flags & CLIENT_SECURE else _OLD
        return decode(body[place:].split(b"\0", 1)[0])[:64] or self._plugin or _NATIVE

    def _old_response(self, body: bytes, at: int, answered: int, events: list[Event]) -> None:
        """HandshakeResponse320: flags and size in five bytes, user, scramble of eight bytes (3.23 to 4.0)."""
        flags = int.from_bytes(body[:2], "little")
        if flags & CLIENT_SSL and len(body) == 5:
            events.append(Upgrade(span=Span(Side.CLIENT, at, at + 5), to="tls", status="granted", resume=(at + 5, answered)))
            return
        end = body.find(b"\0", 5)
        if end < 0:
            raise Malformed("a MySQL user name without end")
        self._user = decode(body[5:end])
        secret = body[end + 1 :].split(b"\0", 1)[0]
        self._plugin = _OLD
        self._stage = "auth"
        self._proof(secret, at + end + 1, events)

    def _proof(self, secret: bytes, at: int, events: list[Event]) -> None:
        """What the client sent to prove itself, by the plugin in force."""
        if not secret.strip(b"\0"):
            return  # no password
        span = Span(Side.CLIENT, at, at + len(secret))
        events += self.settle(Outcome.UNKNOWN)
        if self._plugin in _CLEARTEXT or (self._plugin == _SHA256 and secret.endswith(b"\0") and len(secret) not in _RSA):
            self._login = self._clear(secret, span, "authentication data")
            return
        if self._plugin in (_SHA2, _SHA256) and (len(secret) == 1 or len(secret) >= 128):
            self._key_asked(secret, at, events)
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
        elif self._expects == "full" and len(body) > 1 and len(body) not in _RSA and body.endswith(b"\0"):
            # Full authentication in the clear is only meant for TLS or a local socket.
            events += self.settle(Outcome.UNKNOWN)
            self._login = self._clear(body, Span(Side.CLIENT, at, at + len(body)), "full authentication")
        elif self._plugin not in (_NATIVE, _OLD, _SHA2, _SHA256, ""):
            self._proof(body, at, events)  # plugins that take turns: PAM's questions, SASL, PARSEC
        else:
            self._key_asked(body, at, events)

    def _key_asked(self, body: bytes, at: int, events: list[Event]) -> None:
        if body == (b"\x01" if self._plugin == _SHA256 else b"\x02"):
            events.append(Anomaly(span=Span(Side.CLIENT, at, at + 1), reason="the server's RSA key asked for in the clear: it can be replaced on the way"))

    # The server's side.

    def server(self, body: bytes, number: int, at: int, events: list[Event]) -> bool:
        """A packet's body (not empty) with its sequence number, at offset ``at``. False when the login is over."""
        if self.greeted:
            return self._answer(body, events)
        if number or body[0] == 0xFF:
            return False  # joined in the middle, or turned away
        self._greet(body, at, events)
        return True

    def _greet(self, body: bytes, at: int, events: list[Event]) -> None:
        end = body.find(b"\0", 1)
        if body[0] not in (9, 10) or end < 0 or len(body) < end + 14:
            raise Malformed("not a MySQL greeting")
        version = decode(body[1:end])[:80]
        product = next((name for name in _KNOWN_PRODUCTS if name.lower() in version.lower()), "MySQL")
        events.append(Greeting(span=Span(Side.SERVER, at, at + len(body)), product=product, version=version.removeprefix("5.5.5-")))
        self._salt = body[end + 5 : end + 13]
        flags = int.from_bytes(body[end + 14 : end + 16], "little")
        if len(body) >= end + 32:
            flags |= int.from_bytes(body[end + 19 : end + 21], "little") << 16
            size = max(12, body[end + 21] - 9)
            rest = body[end + 32 :]
            self._salt += rest[:size][:12]
            self._plugin = decode(rest[size:].lstrip(b"\0").split(b"\0", 1)[0])[:64]
        self._server = flags
        if flags & CLIENT_SSL:
            events.append(Upgrade(span=Span(Side.SERVER, at, at + len(body)), to="tls", status="offered"))
        self._stage = "login"

    def _answer(self, body: bytes, events: list[Event]) -> bool:
        kind = body[0]
        if kind == 0:
            events += self.settle(Outcome.ACCEPTED)
            return False
        if kind == 0xFF:
            events += self.settle(Outcome.ACCEPTED if body[1:3] in _RIGHT else Outcome.REJECTED)
            return False
        if kind == 0xFE:
            self._switch(body, events, Outcome.UNKNOWN)
        elif kind == 2 and self._plugin not in _CLEARTEXT | {_SASL} | _TOKENS:
            self._switch(body, events, Outcome.ACCEPTED)  # AuthNextFactor: this one was right
        elif body[:2] == b"\1\4" and self._plugin in (_SHA2, _SHA256):
            self._expects = "full"
        else:
            self._ntlm.feed(body)
        return True

    def _switch(self, body: bytes, events: list[Event], outcome: Outcome) -> None:
        """AuthSwitchRequest: another plugin and, with it, a new salt. Nobody judges the response to the old one."""
        events += self.settle(outcome)
        self._expects = "switched"
        if len(body) == 1:
            self._plugin, self._salt = _OLD, self._salt[:8]
            return
        name, _, salt = body[1:].partition(b"\0")
        self._plugin = decode(name)[:64]
        self._ntlm.feed(salt)
        self._salt = salt.rstrip(b"\0") if len(salt) > 20 else salt
