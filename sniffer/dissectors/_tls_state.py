"""What a TLS or DTLS handshake showed so far, message by message, as events."""

from __future__ import annotations

from sniffer.dissectors import _certificates, _tls_hello
from sniffer.dissectors._ja4 import ja4
from sniffer.dissectors._tls_hello import CERTIFICATE, CLIENT_HELLO, OLD_RETRY, SERVER_HELLO, SERVER_KEY_EXCHANGE
from sniffer.dissectors._tls_names import suite_name, version_name
from sniffer.errors import Malformed
from sniffer.events import Anomaly, Encryption, Event, Posture, Span, Tls


class Handshake:
    """Takes handshake messages of either side. ``null`` says that the suite chosen does not encrypt: it protects integrity
    at best (RFC 5246, appendix A.5; RFC 9150).
    """

    __slots__ = ("_session", "_transport", "null", "offered", "suite", "tls13", "version")

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._session = b""
        self.offered = False  # a client hello was seen
        self.version: str | None = None
        self.suite = ""
        self.null = False
        self.tls13 = False

    def choose(self, version: str, suite: str) -> None:
        """What the server chose."""
        self.version, self.suite = version, suite
        self.null = "_NULL_" in suite or suite in ("TLS_SHA256_SHA256", "TLS_SHA384_SHA384")

    def message(self, kind: int, body: bytes, span: Span) -> list[Event]:
        """The events of one message. Of a hello that breaks its format, what stands before the break."""
        try:
            if kind == CLIENT_HELLO:
                return self._client(_tls_hello.client_hello(body, cookie=self._transport == "d"), span)
            if kind == SERVER_HELLO:
                return self._server(_tls_hello.server_hello(body), span)
        except Malformed:
            return [Anomaly(span=span, reason="a hello that breaks its format"), *self.part(kind, body, span)]
        if kind == CERTIFICATE and not self.tls13 and span.side:
            return self._certificate(body, span)
        if kind == SERVER_KEY_EXCHANGE and not self.tls13:
            group = _tls_hello.exchange_group(body, self.suite)
            return [Tls(span=span, group=group)] if group else []
        if kind == OLD_RETRY and span.side:
            self.tls13 = True
        return []

    def part(self, kind: int, body: bytes, span: Span) -> list[Event]:
        """What the beginning of a hello shows whose end is not in the capture; nothing where it ends too early."""
        try:
            if kind == SERVER_HELLO and span.side:
                return self._server(_tls_hello.server_hello(body, whole=False), span)
            if kind == CLIENT_HELLO and not self.offered:
                self.offered = True
                sni = _tls_hello.client_hello(body, cookie=self._transport == "d", whole=False).sni
                return [Tls(span=span, sni=sni)] if sni else []
        except Malformed:
            pass
        return []

    def _client(self, hello: _tls_hello.ClientHello, span: Span) -> list[Event]:
        """The fingerprint is that of the first hello: the one after a retry has a cookie in it and other shares."""
        self._session = hello.session
        if self.offered:
            return []
        self.offered = True
        return [Tls(span=span, sni=hello.sni, ja4=ja4(hello, self._transport))]

    def _server(self, hello: _tls_hello.ServerHello, span: Span) -> list[Event]:
        if hello.retry:
            self.tls13 = True
            return []
        self.choose(version_name(hello.version), suite_name(hello.suite))
        self.tls13 = _tls_hello.is_tls13(hello.version)
        # Up to 1.2 an echoed session id resumes a session; 1.3 echoes it for the sake of middleboxes.
        resumed = hello.resumed if self.tls13 else bool(self._session) and hello.session == self._session
        certificate = "not visible" if self.tls13 else None
        return [Tls(span=span, version=self.version, cipher=self.suite, group=hello.group, alpn=hello.alpn, resumed=resumed, certificate=certificate)]

    def _certificate(self, body: bytes, span: Span) -> list[Event]:
        """A raw public key (RFC 7250) or an OpenPGP key (RFC 6091) may stand where a chain is expected."""
        try:
            chain = _tls_hello.certificates(body)
        except Malformed:
            chain = [b""]
        if not chain:
            return []
        found = _certificates.parse(chain[0])
        return [Tls(span=span, certificate=found)] if found else [Anomaly(span=span, reason="a certificate that cannot be read")]

    def established(self, span: Span, *, seen: bool = True) -> Posture:
        """The verdict once records are under the new keys; ``seen`` is False where that must be taken from the hellos."""
        if self.null:
            return Posture(span=span, encryption=Encryption.CLEARTEXT, why=f"NULL cipher: {self.suite} does not encrypt")
        said = " with ".join(filter(None, (self.version, self.suite))) or "TLS application data"
        return Posture(span=span, encryption=Encryption.ENCRYPTED, why=said if seen else f"{said}; the end of the handshake was not seen")


class Messages:
    """Handshake messages put together from records. A message is longer than a record only for long chains."""

    __slots__ = ("_data",)

    # 2^24 is what the length field can say; chains end far below this.
    MAX = 128 * 1024

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages that became whole."""
        if self._data:
            data = self._data + data
        elif len(data) >= 4 and int.from_bytes(data[1:4], "big") == len(data) - 4:
            return [(data[0], data[4:])]  # as most come
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while end - at >= 4:
            size = int.from_bytes(data[at + 1 : at + 4], "big")
            if size > self.MAX:
                raise Malformed("a handshake message longer than the limit")
            if end - at - 4 < size:
                break
            found.append((data[at], data[at + 4 : at + 4 + size]))
            at += 4 + size
        self._data = data[at:]
        return found

    def rest(self) -> tuple[int, bytes]:
        """Kind and body of the message that did not become whole, forgotten here; 0 and nothing where there is none."""
        data, self._data = self._data, b""
        return (data[0], data[4:]) if data else (0, b"")
