"""SMTP and LMTP, RFC 5321 and RFC 2033; AUTH, RFC 4954; STARTTLS, RFC 3207; BDAT, RFC 3030."""

from __future__ import annotations

import re

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mail import (
    MAX_LINE,
    MAX_PENDING,
    Dotted,
    Entry,
    Mail,
    Pending,
    bare_newline,
    command,
    finished,
    greeting,
    wants_tls,
)
from sniffer.dissectors._mail_probe import probe_smtp
from sniffer.dissectors._sasl import Sasl, begun, joined, unbase64
from sniffer.dissectors._spec import Spec
from sniffer.errors import Malformed
from sniffer.events import Encryption, Event, Outcome, Posture, Side, Span, Upgrade

# Lines of one reply that are looked at; EHLO answers have some twenty.
_MAX_REPLY_LINES = 256
# Server lines that are no replies, after which it is not taken for SMTP any more.
_MAX_STRANGE = 16
# Longer chunks than any server takes (RFC 3030 names no limit): such a size is a lie or not BDAT.
_MAX_CHUNK = 1 << 40

_REPLY = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?\s*", re.S)
# What tells a command from a mail's first line or a SASL response where the server was not heard.
_COMMAND = re.compile(
    rb"(?:(?:EHLO|HELO|LHLO) \S|MAIL FROM: ?<|RCPT TO: ?<|BDAT \d|AUTH [A-Z0-9_-]{2,20}(?: \S+)?\s*$|(?:DATA|QUIT|RSET|NOOP|STARTTLS)\s*$)", re.I
)
# Firewalls that inspect SMTP overwrite what they do not know with X of the same length: eight for STARTTLS, and the
# letter at the end counts the lines they changed.
_MASKED = re.compile(rb"X{7}[A-Z]")
# Replies that only one command can get: they mend a pairing that went wrong.
_ONLY: dict[bytes, type | bytes] = {b"334": Sasl, b"235": Sasl, b"535": Sasl, b"354": b"DATA"}
# Refusals that do not judge the password (RFC 4954 section 6, RFC 5321 section 4.2): trouble that passes, no such
# command, sequence or mechanism, a mechanism too weak, encryption required. 530 may be either.
_UNJUDGED = re.compile(rb"4\d\d|50[234]|53[48]")
_BY_TLS = b"\x16\x03"  # how a handshake begins (RFC 8446 section 5.1), and no command or reply


class Smtp:
    """Commands and replies paired in order; bodies apart from both."""

    __slots__ = (
        "_asked", "_auth", "_body", "_chunk", "_client", "_code", "_deciding", "_heard", "_joins", "_last", "_lines", "_lmtp",
        "_lost", "_newline", "_over", "_pending", "_recipients", "_said", "_server", "_strange", "_torn",
    )  # fmt: skip

    def __init__(self) -> None:
        self._client, self._server = Buffer(), Buffer()
        self._pending = Pending()
        self._auth: Sasl | None = None  # the exchange whose responses the client sends
        self._body: Mail | None = None
        self._chunk: int | None = None  # bytes of a BDAT chunk still to come
        self._last = False  # and whether it ends the mail
        self._deciding = False  # DATA was sent, its reply not seen
        self._asked = False  # STARTTLS was sent, its reply not seen
        self._newline = b"\r\n"
        self._recipients = 0
        self._lmtp = self._heard = self._over = False
        self._lost = False  # after a gap of the client's, until a command is recognised
        self._torn = False  # a gap on either side: a STARTTLS or its answer may have been in it
        self._joins = True  # the next line may be a response to an AUTH that was not captured
        self._code = b""
        self._lines: list[tuple[int, bytes]] = []
        self._said: set[str] = set()
        self._strange = 0

    def feed(self, side: Side, offset: int, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        (self._server if side else self._client).feed(offset, data)
        while side and not self._over and self._read_reply(events):
            pass
        while not self._over and self._read_client(events):
            pass
        return events

    def gap(self, side: Side, offset: int, size: int) -> list[Event]:
        """Logins are given as far as they were seen; a body goes on in another piece; all pairings are forgotten."""
        events = self._pending.settle()
        self._auth, self._asked, self._torn, self._joins = None, False, True, True
        if side is Side.SERVER:
            self._server.clear()
            self._code, self._lines, self._heard = b"", [], False
            return events
        self._client.clear()
        self._deciding = False
        if isinstance(self._body, Dotted):
            events += self._body.contents()
            self._body.tear(offset + size)
            return events
        events += self._flush()
        self._chunk = self._chunk - size if self._chunk is not None and self._chunk > size else None
        self._lost = self._chunk is None
        return events

    def close(self) -> list[Event]:
        return [*self._pending.settle(), *self._flush()]

    # The client's side.

    def _read_client(self, events: list[Event]) -> bool:
        """Take one thing the client said; False if it is not there yet."""
        if self._chunk is not None:
            return self._read_chunk(events)
        if isinstance(self._body, Dotted):
            if self._body.read(self._client):
                self._end_body(events)
                return True
            return False
        if self._deciding:
            return self._decide()
        if (self._asked or self._torn) and self._client.peek(1) == b"\x16":
            if self._torn or not self._heard:
                self._grant(self._server.end, events)
            return False  # else the reply comes first
        start = self._client.start
        line = self._client.line(MAX_LINE)
        if line is None:
            return False
        self._newline = bare_newline(self._client, start, line)
        self._say(line, start, events)
        return True

    def _decide(self) -> bool:
        """After DATA without its reply (one side captured) the next line tells: a command, or the mail's first."""
        length = self._client.find(b"\n", MAX_LINE)
        if length < 0 and len(self._client) < MAX_LINE:
            return False
        self._deciding = False
        if length < 0 or not _COMMAND.match(self._client.peek(length) or b""):
            self._begin_body()
        return True

    def _begin_body(self) -> None:
        self._body = Dotted(Side.CLIENT, self._client.start, self._newline)

    def _end_body(self, events: list[Event]) -> None:
        """LMTP answers once for each recipient it took (RFC 2033 section 4.2), SMTP once."""
        events += self._flush()
        for _ in range(min(self._recipients, MAX_PENDING) if self._lmtp else 1):
            events += self._pending.push(b".")

    def _read_chunk(self, events: list[Event]) -> bool:
        """The bytes after BDAT, as many as it named; its own reply is the first or only one."""
        left = self._chunk or 0
        taken = self._client.take(min(left, len(self._client))) or b""
        if self._body is None:
            self._body = Mail(Side.CLIENT, self._client.start - len(taken))
        self._body.keep(taken)
        if left > len(taken):
            self._chunk = left - len(taken)
            return False
        self._chunk = None
        if self._last:
            events += self._flush()
            for _ in range(min(self._recipients, MAX_PENDING) - 1 if self._lmtp else 0):
                events += self._pending.push(b".")
        return True

    def _flush(self) -> list[Event]:
        body, self._body = self._body, None
        return list(body.contents()) if body is not None else []

    def _say(self, line: bytes, start: int, events: list[Event]) -> None:
        """A line outside of bodies: a SASL response or a command."""
        auth = self._auth
        span = Span(Side.CLIENT, start, start + len(line))
        if auth is not None and auth.expects and (self._heard or not _COMMAND.match(line)):
            auth.line(line, span)
            return
        joins, self._joins = self._joins, False
        if joins and (sasl := begun(line, span, "AUTH ")) is not None:
            self._auth, self._lost = sasl, False
            events += self._pending.push(sasl)
            return
        if self._lost:
            if not _COMMAND.match(line):
                return
            self._lost = False
        verb, argument = command(line)
        events += self._pending.push(self._command(verb, argument, span, events))

    def _command(self, verb: bytes, argument: bytes, span: Span, events: list[Event]) -> Entry:
        """Act on a command; what is to wait for its reply."""
        if verb in (b"AUTH", b"X-EXPS"):  # the latter is what Exchange servers say among themselves
            return self._begin_auth(argument, span)
        if verb == b"DATA":
            self._deciding = True
        elif verb == b"BDAT":
            size, _, rest = argument.strip().partition(b" ")
            if size.isdigit() and len(size) < 16 and int(size) < _MAX_CHUNK:
                self._chunk, self._last = int(size), rest.strip().upper() == b"LAST"
        elif verb == b"STARTTLS":
            self._asked = True
            events.append(Upgrade(span=span, to="tls", status="asked"))
        elif verb in (b"MAIL", b"RSET", b"EHLO", b"HELO", b"LHLO"):
            events += self._flush()
            self._recipients = 0
            self._lmtp = self._lmtp or verb == b"LHLO"
        elif _MASKED.fullmatch(verb):
            self._strip(span, "the client's command was overwritten on the way (XXXXXXXX for STARTTLS)", events)
        return verb[:16]

    def _begin_auth(self, argument: bytes, span: Span) -> Sasl:
        mechanism, _, initial = argument.strip().partition(b" ")
        self._auth = Sasl(mechanism.decode("latin-1"), "AUTH ")
        if initial := initial.strip():
            start = span.end - len(argument) + argument.rfind(initial)
            self._auth.initial(unbase64(initial), Span(Side.CLIENT, start, start + len(initial)))
        return self._auth

    # The server's side.

    def _read_reply(self, events: list[Event]) -> bool:
        """Take one line; a reply ends with the line that has no hyphen (RFC 5321 section 4.2.1)."""
        buffer = self._server
        if self._heard and buffer.peek(2) == _BY_TLS:
            self._grant(buffer.start, events)
            return False
        start = buffer.start
        line = buffer.line(MAX_LINE)
        if line is None:
            return False
        match = _REPLY.fullmatch(line)
        if match is None:
            self._odd()
            return True
        code, more, text = match.groups()
        if code != self._code:
            self._code, self._lines = code, []
        if len(self._lines) < _MAX_REPLY_LINES:
            self._lines.append((start, (text or b"")[:MAX_LINE]))
        if more != b"-":
            lines, self._code, self._lines = self._lines, b"", []
            self._reply(code, lines, events)
        return True

    def _odd(self) -> None:
        self._strange += 1
        if self._strange > _MAX_STRANGE:
            raise Malformed("server lines that are no SMTP replies")

    def _reply(self, code: bytes, lines: list[tuple[int, bytes]], events: list[Event]) -> None:
        first, self._heard = not self._heard, True
        span = Span(Side.SERVER, lines[0][0], self._server.start)
        if first and code == b"220" and self._pending.head != b"STARTTLS":
            events += greeting(lines[0][1], span)
            return
        known: list[Event] | None = []
        if code in _ONLY:
            known = self._pending.seek(_ONLY[code])
            events += known or ()
        if code == b"334":
            self._challenge(lines[0][1], events)
        elif known is not None:
            self._answer(self._pending.next(), code, lines, events)
        elif code == b"354" and self._body is None and self._chunk is None:
            self._begin_body()  # the DATA itself was not captured
        self._resync(code, events)

    def _answer(self, entry: Entry | None, code: bytes, lines: list[tuple[int, bytes]], events: list[Event]) -> None:
        """The reply to one command."""
        good = code[0] == 0x32
        if isinstance(entry, Sasl):
            events += finished(entry, Outcome.ACCEPTED if good else _refusal(code, lines))
            self._auth = None if entry is self._auth else self._auth
        elif entry == b"DATA" and self._deciding:
            self._deciding = False
            if code == b"354":
                self._begin_body()
        elif entry == b"STARTTLS":
            self._asked = False
            if good:
                self._grant(self._server.start, events)
            else:
                events.append(Upgrade(span=Span(Side.SERVER, lines[0][0], self._server.start), to="tls", status="refused"))
        elif entry in (b"EHLO", b"LHLO") and good:
            self._capabilities(lines, events)
        elif entry == b"RCPT":
            self._recipients += good

    def _challenge(self, text: bytes, events: list[Event]) -> None:
        entry = self._pending.head
        if isinstance(entry, Sasl):
            entry.challenge(unbase64(text))
        elif (sasl := joined(unbase64(text), "AUTH ")) is not None:
            self._auth = sasl
            events += self._pending.push(sasl)

    def _resync(self, code: bytes, events: list[Event]) -> None:
        """A mail whose end fell into a gap, or that ends otherwise than its sender began, has ended if it was answered."""
        body = self._body
        if isinstance(body, Dotted) and not self._pending and code[0] != 0x33 and (body.torn or (body.size and code[0] == 0x32)):
            body.keep(self._client.rest())
            events += self._flush()
            self._lost = True

    def _capabilities(self, lines: list[tuple[int, bytes]], events: list[Event]) -> None:
        for start, text in lines[1:]:
            word = text.strip().upper().partition(b" ")[0]
            span = Span(Side.SERVER, start, start + 4 + len(text))
            if word == b"STARTTLS" and "offered" not in self._said:
                self._said.add("offered")
                events.append(Upgrade(span=span, to="tls", status="offered"))
            elif _MASKED.fullmatch(word):
                self._strip(span, "the server's offer of STARTTLS was overwritten on the way (XXXXXXXA)", events)

    def _strip(self, span: Span, why: str, events: list[Event]) -> None:
        if "stripped" not in self._said:
            self._said.add("stripped")
            events.append(Posture(span=span, encryption=Encryption.STRIPPED, why=why))

    def _grant(self, server: int, events: list[Event]) -> None:
        """TLS from here on: the client's after its STARTTLS, the server's after its reply."""
        self._over = True
        span = Span(Side.SERVER, server, server)
        events.append(Upgrade(span=span, to="tls", status="granted", resume=(self._client.start, server)))


def _refusal(code: bytes, lines: list[tuple[int, bytes]]) -> Outcome:
    wanting = code == b"530" and any(wants_tls(text) for _, text in lines)
    return Outcome.UNKNOWN if wanting or _UNJUDGED.fullmatch(code) else Outcome.REJECTED


SPEC = Spec(
    name="smtp",
    title="SMTP mail transfer, RFC 5321",
    ports=(25, 587, 2525),
    probe=probe_smtp,
    stream=Smtp,
    tier="mail",
    remedy="Require STARTTLS before AUTH and MAIL, or submit over implicit TLS on port 465.",
)
