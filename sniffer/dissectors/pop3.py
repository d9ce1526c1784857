"""POP3, RFC 1939; CAPA, RFC 2449; STLS, RFC 2595; AUTH, RFC 5034."""

from __future__ import annotations

import re

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mail import (
    MAX_LINE,
    Claim,
    Dotted,
    Entry,
    Pending,
    bare_newline,
    command,
    finished,
    greeting,
    wants_tls,
)
from sniffer.dissectors._mail_probe import probe_pop3
from sniffer.dissectors._sasl import Sasl, begun, joined, unbase64
from sniffer.dissectors._spec import Spec
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Content, Crack, Event, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

# Server lines that are no replies, after which it is not taken for POP3 any more (without the client's side a mail's
# lines may pass for them, so not few).
_MAX_STRANGE = 4096

# Some servers put spaces in the stamp; clients take it as it stands.
_STAMP = re.compile(rb"<[^<>\r\n]{1,500}>")
# A message id made of a process and a clock, as the RFC's: a contact's address beside it is not what clients digest.
_CLOCK = re.compile(rb"<[^@]*\d[^@]*@")
_APOP = re.compile(rb"(\S[^\r\n]{0,255}?) +([0-9A-Fa-f]{32})\s*")
# Servers are to send these in capitals and a blank after them (RFC 1939 section 3); some send "+OK." or "-ERR:".
_STATUS = re.compile(rb"(?:(\+OK)|-ERR)(?![A-Za-z0-9+/=])", re.I)
_SIZE = re.compile(rb"\+OK\s+\d+\s+octets\b", re.I)
# What tells a command from a SASL response where the server was not heard, and after a gap.
_COMMAND = re.compile(
    rb"(?:APOP \S+ [0-9a-f]{32}|(?:RETR|DELE|TOP|LIST|UIDL) \d+(?: \d+)?|AUTH [A-Z0-9_-]{2,20}(?: \S+)?"
    rb"|(?:QUIT|STAT|LIST|UIDL|NOOP|RSET|CAPA|STLS|AUTH|LAST)|USER \S+)\s*",
    re.I,
)
# Commands whose good reply goes on until a line with a dot; LIST, UIDL and AUTH only where they have no argument.
_MULTILINE = frozenset({b"RETR", b"TOP", b"CAPA", b"LIST", b"UIDL", b"AUTH", b"XTND"})
_ALONE = frozenset({b"LIST", b"UIDL", b"AUTH"})
_MAILS = frozenset({b"RETR", b"TOP"})
_BANNER = re.compile(rb"<[^<>\s]+@[^<>\s]+>|\bPOP|\bready\b|\bserver\b|\bhello\b|\bwelcome\b", re.I)
# Lines of a CAPA reply that are looked at; real ones have some twenty.
_MAX_CAPABILITIES = 256


class Pop3:
    """Commands and status lines paired in order; multi-line replies apart from both."""

    __slots__ = (
        "_asked", "_auth", "_banner", "_body", "_client", "_doubt", "_fresh", "_heard", "_joins", "_kind", "_lost", "_offered", "_over", "_pending",
        "_server", "_spoke", "_strange", "_torn", "_user",
    )  # fmt: skip

    def __init__(self) -> None:
        self._client, self._server = Buffer(), Buffer()
        self._pending = Pending()
        self._auth: Sasl | None = None
        self._doubt = False  # a +OK was taken for the exchange going on, since the client had said too little
        self._user: str | None = None
        self._banner: bytes | None = None  # the greeting's time stamp, the challenge of APOP
        self._body: Dotted | None = None  # the multi-line reply being sent
        self._kind = b""  # and the command it answers
        self._asked = self._offered = self._over = False
        self._fresh = True  # the server's greeting is still to come
        self._joins = True  # the client's next line may be a response to an AUTH that was not captured
        self._heard = self._spoke = False  # the server (since its last gap), the client
        self._lost = False  # after a gap of the client's, until a command is recognised
        self._torn = False  # a gap on either side: a STLS or its answer may have been in it
        self._strange = 0

    def feed(self, side: Side, offset: int, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        (self._server if side else self._client).feed(offset, data)
        while side and not self._over and self._read_server(events):
            pass
        while not self._over and self._read_client(events):
            pass
        return events

    def gap(self, side: Side, offset: int, size: int) -> list[Event]:
        """Logins are given as far as they were seen; all pairings, the user and the challenge are forgotten."""
        events = self._pending.settle()
        self._auth, self._user, self._asked, self._torn, self._joins = None, None, False, True, True
        if side is Side.CLIENT:
            self._client.clear()
            self._lost = True
            return events
        self._server.clear()
        self._heard = self._fresh = False
        if self._body is not None:
            events += self._mail(self._body)
            self._body.tear(offset + size)
        return events

    def close(self) -> list[Event]:
        events = self._pending.settle()
        return events + (self._mail(self._body) if self._body is not None else [])

    # The client's side.

    def _read_client(self, events: list[Event]) -> bool:
        if (self._asked or self._torn) and self._client.peek(1) == b"\x16":
            # A TLS handshake record (RFC 8446 section 5.1): the answer was yes, or is still to come.
            if self._torn or not self._heard:
                self._grant(self._server.end, events)
            return False
        start = self._client.start
        line = self._client.line(MAX_LINE)
        if line is None:
            return False
        line = line.rstrip(b"\r")  # what is written through a layer that ends lines by itself has two
        self._spoke = True
        span = Span(Side.CLIENT, start, start + len(line))
        auth = self._auth
        if auth is not None and auth.expects and ((self._heard and not self._doubt) or not _COMMAND.fullmatch(line)):
            auth.line(line, span)
            return True
        if self._doubt:
            self._accept(events)
        joins, self._joins = self._joins, False
        if joins and (sasl := begun(line, span, "AUTH ")) is not None:
            self._auth, self._lost, self._fresh = sasl, False, False
            events += self._pending.push(sasl)
            return True
        if self._lost:
            if not _COMMAND.fullmatch(line):
                return True
            self._lost = False
        if self._body is not None and self._body.torn:
            self._end_body(events)  # nobody asks on before the answer is whole: its end was lost
        verb, argument = command(line)
        if joins and verb == b"PASS":
            self._fresh = False  # nobody begins with it: the greeting was before the capture
        events += self._pending.push(self._command(verb, argument, span, events))
        return True

    def _command(self, verb: bytes, argument: bytes, span: Span, events: list[Event]) -> Entry:
        """Act on a command; what is to wait for its reply."""
        match verb:
            case b"USER":
                self._user = decode(argument.strip()) or None
            case b"PASS" if argument:
                where = Span(Side.CLIENT, span.end - len(argument), span.end)
                return Claim(Login(span=where, mechanism="PASS", secret=Secret(argument), username=self._user, where="PASS argument"))
            case b"APOP":
                return self._apop(argument, span) or verb
            case b"AUTH" if argument.strip():
                return self._begin_auth(argument, span)
            case b"STLS":
                self._asked = True
                events.append(Upgrade(span=span, to="tls", status="asked"))
        return b"" if verb in _ALONE and argument.strip() else verb[:16]

    def _apop(self, argument: bytes, span: Span) -> Claim | None:
        """RFC 1939 section 7: MD5 of the banner's time stamp and the password after it."""
        match = _APOP.fullmatch(argument)
        if match is None:
            return None
        digest = match[2].lower()
        crack = None
        if self._banner is not None:
            # hashcat 20 is md5($salt.$pass); its line is digest and salt.
            crack = Crack("md5-salt-pass", 20, Secret(digest + b":" + self._banner, "hash"))
        at = span.end - len(argument) + match.start(2)
        return Claim(
            ChallengeResponse(
                span=Span(Side.CLIENT, at, at + 32), mechanism="APOP", response=Secret(digest, "hash"),
                username=decode(match[1]), where="APOP argument", crack=crack,
            )
        )  # fmt: skip

    def _begin_auth(self, argument: bytes, span: Span) -> Sasl:
        mechanism, _, initial = argument.strip().partition(b" ")
        self._auth = Sasl(mechanism.decode("latin-1"), "AUTH ")
        if initial := initial.strip():
            start = span.end - len(argument) + argument.rfind(initial)
            self._auth.initial(unbase64(initial), Span(Side.CLIENT, start, start + len(initial)))
        return self._auth

    def _accept(self, events: list[Event]) -> None:
        """The client gives commands again: the +OK in doubt ended the exchange."""
        self._doubt = False
        if self._auth is not None and self._pending.head is self._auth:
            events += finished(self._pending.next(), Outcome.ACCEPTED)
            self._auth = None

    # The server's side.

    def _read_server(self, events: list[Event]) -> bool:
        buffer = self._server
        if self._body is not None:
            if self._missing(self._body):
                self._body = None
            elif not self._body.read(buffer):
                return False
            else:
                self._end_body(events)
            return True
        if self._heard and buffer.peek(2) == b"\x16\x03":
            self._grant(buffer.start, events)
            return False
        start = buffer.start
        line = buffer.line(MAX_LINE)
        if line is None:
            return False
        self._status(line, bare_newline(buffer, start, line), Span(Side.SERVER, start, buffer.start), events)
        return True

    def _missing(self, body: Dotted) -> bool:
        """Whether the next status stands where a list should begin: some servers say +OK to what they do not know."""
        if body.size or body.torn or self._kind in _MAILS:
            return False
        return (self._server.peek(min(len(self._server), 4)) or b"").startswith((b"+OK", b"-ERR"))

    def _status(self, line: bytes, newline: bytes, span: Span, events: list[Event]) -> None:
        match = _STATUS.match(line)
        good = match is not None and match[1] is not None
        if match is None:
            if line[:1] == b"+" and line[1:2] in (b"", b" "):
                self._challenge(line[2:], events)
            else:
                self._odd()
            return
        first, self._fresh, self._heard = self._fresh, False, True
        if first and good and (not self._pending or _BANNER.search(line)):
            stamps = _STAMP.findall(line)
            self._banner = next(filter(_CLOCK.match, stamps), stamps[0] if stamps else None)
            events += greeting(line, span)
            return
        head = self._pending.head
        if good and isinstance(head, Sasl) and head.unfinished:
            self._doubt = True  # Exchange asks for NTLM's first message so
            head.challenge(unbase64(line[3:]))
            return
        self._answer(self._pending.next(), good, line, newline, span, events)

    def _answer(self, entry: Entry | None, good: bool, line: bytes, newline: bytes, span: Span, events: list[Event]) -> None:
        """The reply to one command."""
        if entry == b"STLS":
            self._asked = False
            if good:
                self._grant(self._server.start, events)
            else:
                events.append(Upgrade(span=span, to="tls", status="refused"))
        elif entry is None or isinstance(entry, bytes):
            # Where only the server was captured, the reply's words tell a mail.
            kind = entry or (b"RETR" if entry is None and not self._spoke and _SIZE.match(line) else b"")
            if good and kind in _MULTILINE:
                self._kind, self._body = kind, Dotted(Side.SERVER, self._server.start, newline)
        else:
            events += finished(entry, _outcome(good, line))
            self._auth = None if entry is self._auth else self._auth

    def _odd(self) -> None:
        self._strange += 1
        if self._strange > _MAX_STRANGE:
            raise Malformed("server lines that are no POP3 replies")

    def _challenge(self, text: bytes, events: list[Event]) -> None:
        self._heard, self._doubt = True, False
        events += self._pending.seek(Sasl) or ()
        entry = self._pending.head
        if isinstance(entry, Sasl):
            entry.challenge(unbase64(text))
        elif (sasl := joined(unbase64(text), "AUTH ")) is not None:
            self._auth = sasl
            events += self._pending.push(sasl)

    def _end_body(self, events: list[Event]) -> None:
        """A multi-line reply is whole."""
        body, self._body = self._body, None
        if body is None:
            return
        if self._kind == b"CAPA":
            self._capabilities(body, events)
        else:
            events += self._mail(body)

    def _mail(self, body: Dotted) -> list[Content]:
        return body.contents() if self._kind in _MAILS else []

    def _capabilities(self, body: Dotted, events: list[Event]) -> None:
        """RFC 2449 section 6: STLS is the offer of TLS, IMPLEMENTATION names the server."""
        span = Span(Side.SERVER, body.start, body.start + body.size)
        for line in body.lines()[:_MAX_CAPABILITIES]:
            name, _, value = line.strip().partition(b" ")
            if name.upper() == b"STLS" and not self._offered:
                self._offered = True
                events.append(Upgrade(span=span, to="tls", status="offered"))
            elif name.upper() == b"IMPLEMENTATION":
                events += greeting(value, span)

    def _grant(self, server: int, events: list[Event]) -> None:
        """TLS from here on: the client's after its STLS, the server's after its reply."""
        self._over = True
        span = Span(Side.SERVER, server, server)
        events.append(Upgrade(span=span, to="tls", status="granted", resume=(self._client.start, server)))


def _outcome(good: bool, line: bytes) -> Outcome:
    """A refusal may have its cause elsewhere (RFC 2449 section 8, RFC 3206): [IN-USE] says that the password was right."""
    if good or b"[IN-USE]" in line.upper():
        return Outcome.ACCEPTED
    unjudged = b"[SYS/" in line.upper() or b"[LOGIN-DELAY]" in line.upper() or wants_tls(line)
    return Outcome.UNKNOWN if unjudged else Outcome.REJECTED


SPEC = Spec(
    name="pop3",
    title="POP3 mail retrieval, RFC 1939",
    ports=(110,),
    probe=probe_pop3,
    stream=Pop3,
    tier="mail",
    remedy="Use POP3 over TLS on port 995, or require STLS before the login.",
)
