"""IMAP, RFC 9051 and RFC 3501; SASL-IR, RFC 4959; LITERAL+, RFC 7888; COMPRESS, RFC 4978."""

from __future__ import annotations

import re

from sniffer.dissectors._mail import MAX_EXCHANGES, Claim, Entry, Mail, finished, greeting, wants_tls
from sniffer.dissectors._mail_literal import Half, Use, given
from sniffer.dissectors._mail_probe import probe_imap
from sniffer.dissectors._sasl import Sasl, begun, joined, unbase64
from sniffer.dissectors._spec import Spec
from sniffer.errors import Malformed
from sniffer.events import Anomaly, Done, Event, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

# A literal that is an argument of LOGIN; longer ones are no user name or password.
_MAX_ARGUMENT = 4096
# Server lines that are neither untagged, tagged nor a continuation, after which it is not taken for IMAP any more.
_MAX_STRANGE = 16

# Stands for the tag of a login met at its prompt; no tag begins so. The next answer to nothing known is its answer.
_UNSEEN = b"+"

_LITERAL = re.compile(rb"~?\{(\d{1,10})(\+|-)?\}\Z")
_COMMAND = re.compile(rb"([!-~]{1,64}) +([A-Za-z]{2,20})(?: (.*))?", re.S)
_KNOWN = re.compile(
    rb"[!-~]{1,64} +(?:LOGIN \S|AUTHENTICATE [A-Z0-9_-]+|(?:CAPABILITY|STARTTLS|LOGOUT|NOOP|IDLE|CHECK|CLOSE|EXPUNGE)\Z|(?:UID )?(?:FETCH|STORE|SEARCH) \S"
    rb"|(?:SELECT|EXAMINE|LIST|LSUB|STATUS|APPEND|ID|COMPRESS) \S)",
    re.I,
)
_ARGUMENT = re.compile(rb' *(?:"((?:[^"\\]|\\.)*)"|([^ "][^ ]*))', re.S)
# A user and all after it, for those who forget what to quote or to escape.
_LOOSE = re.compile(rb' *(?:"([^"]*)"|([^ "][^ ]*)) +(?:"(.+)"|([^"].*))', re.S)
_STATUS = re.compile(rb"([!-~]{1,64}) (OK|NO|BAD)(?: |\Z)", re.I)
_UNTAGGED_OK = re.compile(rb"\* (?:OK|PREAUTH|CAPABILITY) ", re.I)
_WORDS = re.compile(rb"\[CAPABILITY ([^\]\r\n]*)\]|\A\* CAPABILITY (.*)", re.I)
# What a FETCH literal holds: a mail from its header on, or a part whose header was not fetched with it.
_WHOLE = re.compile(rb"(?:BODY(?:\.PEEK)?\[(?:HEADER[^\]]*)?\](?:<\d+>)?|RFC822(?:\.HEADER)?) ~?\{\d+\}\Z", re.I)
_PART = re.compile(rb"(?:BODY\[[\d.]*(?:TEXT)?\](?:<\d+>)?|BINARY\[[\d.]*\](?:<\d+>)?|RFC822\.TEXT) ~?\{\d+\}\Z", re.I)
# The same as a quoted string, which servers may choose for what is short and one line (RFC 9051 section 4.3).
_QUOTED = re.compile(rb'(?:BODY|BINARY)\[[^\]]{0,200}\](?:<\d+>)? "((?:[^"\\]|\\["\\])+)"', re.I)


class Imap:
    """Commands by tag; only logins and changes of the channel are waited for."""

    __slots__ = ("_args", "_auth", "_client", "_heard", "_joins", "_lost", "_offered", "_over", "_server", "_span", "_strange", "_tag", "_torn", "_verb", "_waiting")

    def __init__(self) -> None:
        self._client, self._server = Half(), Half()
        self._waiting: dict[bytes, Entry] = {}
        self._auth: Sasl | None = None
        self._tag = self._verb = b""  # of the command being read
        self._args: list[bytes | None] = []  # of LOGIN: the arguments, None for one that is not fit
        self._span = Span(Side.CLIENT, 0, 0)  # of its last argument
        self._offered = self._heard = self._over = False
        self._joins = True  # the client's next line may be a response to an AUTHENTICATE that was not captured
        self._lost = False  # after a gap of the client's, until a command is recognised
        self._torn = False  # a gap on either side: a STARTTLS or its answer may have been in it, or a literal's size
        self._strange = 0

    def feed(self, side: Side, offset: int, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        (self._server if side else self._client).buffer.feed(offset, data)
        while side and not self._over and self._read(self._server, side, events):
            pass
        while not self._over and self._read(self._client, Side.CLIENT, events):
            pass
        return events

    def gap(self, side: Side, offset: int, size: int) -> list[Event]:
        """Logins wholly seen are given; a literal that reaches past the gap goes on as another piece of its mail."""
        events = self._settle()
        half = self._server if side else self._client
        left, use, mail = half.left - size, half.use, half.mail
        events += half.forget()
        if left > 0:
            half.left, half.use, half.open = left, use, True
            half.mail = Mail(side, offset + size) if mail is not None and use is not Use.ARGUMENT else None
        self._args, self._verb = [], b""
        if side is Side.CLIENT:
            self._lost = left <= 0
        else:
            self._heard = False
        self._torn = self._joins = True
        return events

    def close(self) -> list[Event]:
        return [*self._settle(), *self._client.forget(), *self._server.forget()]

    def _settle(self) -> list[Event]:
        waiting, self._waiting, self._auth = self._waiting, {}, None
        return [event for entry in waiting.values() for event in finished(entry, Outcome.UNKNOWN)]

    def _read(self, half: Half, side: Side, events: list[Event]) -> bool:
        """Take a literal's bytes or a line; False if they are not there yet."""
        if half.left:
            return self._read_literal(half, side, events)
        buffer = half.buffer
        if buffer.peek(1) == b"\x16" and self._tls(half, side, events):
            return False
        start = buffer.start
        line = half.line()
        if line is None:
            return False
        if side:
            self._server_line(line, start, events)
        else:
            self._client_line(line, start, events)
        return True

    def _tls(self, half: Half, side: Side, events: list[Event]) -> bool:
        """A TLS handshake (RFC 8446 section 5.1) where a line should begin: the STARTTLS or its answer was not captured."""
        asked = b"STARTTLS" in self._waiting.values()
        if side is Side.CLIENT and asked and self._heard:
            return True  # the answer comes first
        if side is Side.CLIENT and not (asked or self._torn):
            return False
        self._grant(self._server.buffer.start if side else self._server.buffer.end, events)
        return True

    def _read_literal(self, half: Half, side: Side, events: list[Event]) -> bool:
        size = min(half.left, len(half.buffer))
        if not size:
            return False
        start = half.buffer.start
        data = half.buffer.take(size) or b""
        half.left -= size
        if half.mail is not None:
            half.mail.keep(data)
        if half.left:
            return False
        mail, half.mail = half.mail, None
        if half.use is Use.ARGUMENT:
            self._args.append(bytes(mail.data) if mail and mail.size <= _MAX_ARGUMENT else None)
            self._span = Span(side, mail.start if mail else start, half.buffer.start)
        else:
            events += given(mail, half.use)
        return True

    def _literal(self, half: Half, side: Side, line: bytes, use: Use) -> bool:
        """Whether the line ends with a literal's size; then its bytes come next (RFC 9051 section 4.3)."""
        half.open = False
        match = _LITERAL.search(line[-16:]) if line.endswith(b"}") else None
        if match is None:
            return False
        half.left = half.size = int(match[1])
        half.use, half.open = use, True
        half.mail = Mail(side, half.buffer.start) if use is not Use.SKIP else None
        return True

    # The client's side.

    def _client_line(self, line: bytes, start: int, events: list[Event]) -> None:
        half = self._client
        line = line.rstrip(b"\r")  # what is written through a layer that ends lines by itself has two
        if half.open:
            self._go_on(line, start, events)
            return
        auth = self._auth
        if auth is not None and auth.expects and (self._heard or not _KNOWN.match(line)):
            auth.line(line, Span(Side.CLIENT, start, start + len(line)))
            return
        match = _COMMAND.fullmatch(line)
        joins, self._joins = self._joins, False
        if joins and match is None and (sasl := begun(line, Span(Side.CLIENT, start, start + len(line)), "AUTH ")) is not None:
            self._auth, self._tag, self._lost = sasl, _UNSEEN, False
            self._wait(sasl, events)
        if match is None or (self._lost and not _KNOWN.match(line)):
            return
        self._lost = False
        self._tag, self._verb, argument = match[1], match[2].upper(), match[3] or b""
        self._args = []
        self._span = Span(Side.CLIENT, start, start + len(line))
        at = start + len(line) - len(argument)
        if self._verb == b"LOGIN":
            self._go_on(argument, at, events)
        elif self._verb == b"AUTHENTICATE":
            self._authenticate(argument, at, events)
        elif self._verb in (b"STARTTLS", b"COMPRESS"):
            if self._verb == b"STARTTLS":
                events.append(Upgrade(span=self._span, to="tls", status="asked"))
            self._wait(self._verb, events)
        else:
            self._literal(half, Side.CLIENT, line, self._use(argument))

    def _use(self, argument: bytes) -> Use:
        """Of the literals of APPEND all but one that names the mailbox are mails."""
        return Use.MAIL if self._verb == b"APPEND" and not _LITERAL.fullmatch(argument) else Use.SKIP

    def _go_on(self, line: bytes, start: int, events: list[Event]) -> None:
        """The rest of a command, up to the next literal or its end."""
        if self._verb != b"LOGIN":
            self._literal(self._client, Side.CLIENT, line, Use.MAIL if self._verb == b"APPEND" else Use.SKIP)
            return
        marker = _LITERAL.search(line[-16:]) if line.endswith(b"}") else None
        whole = marker is None and not self._args
        text, at = line[: len(line) - len(marker[0])] if marker else line, 0
        while len(self._args) < 3 and (match := _ARGUMENT.match(text, at)) is not None:
            quoted = match[1] is not None
            # Only these two are escaped (RFC 9051 section 9); clients that leave DOMAIN\user as it is mean the backslash.
            value = re.sub(rb'\\(["\\])', rb"\1", match[1]) if quoted else match[2]
            self._args.append(None if b"\0" in value else value)
            first, at = match.span(1 if quoted else 2)
            self._span = Span(Side.CLIENT, start + first, start + at)
            at = match.end()
        if whole and len(self._args) != 2 and not self._torn:  # after a gap it may be a mail's text
            self._loosely(line, start)
        if not self._literal(self._client, Side.CLIENT, line, Use.ARGUMENT):
            self._login(events)
        elif not self._client.left:
            self._args.append(b"")

    def _loosely(self, line: bytes, start: int) -> None:
        """Arguments against the syntax, as people type them: a password with blanks or quotation marks bare in it."""
        match = _LOOSE.fullmatch(line.rstrip(b" ")) if len(line) <= _MAX_ARGUMENT and b"\0" not in line else None
        if match is not None:
            group = 3 if match[4] is None else 4
            self._args = [match[2] if match[1] is None else match[1], match[group]]
            self._span = Span(Side.CLIENT, start + match.start(group), start + match.end(group))

    def _login(self, events: list[Event]) -> None:
        """LOGIN user password (RFC 9051 section 6.2.3)."""
        if len(self._args) == 2 and self._args[1]:
            user = decode(self._args[0] or b"") or None
            login = Login(span=self._span, mechanism="LOGIN", secret=Secret(self._args[1]), username=user, where="LOGIN argument")
            self._wait(Claim(login), events)
        self._args = []

    def _authenticate(self, argument: bytes, start: int, events: list[Event]) -> None:
        mechanism, _, initial = argument.strip().partition(b" ")
        sasl = Sasl(mechanism.decode("latin-1"), "AUTH ")
        if initial := initial.strip():
            at = start + argument.rfind(initial)
            sasl.initial(unbase64(initial), Span(Side.CLIENT, at, at + len(initial)))
        self._auth = sasl
        self._wait(sasl, events)

    def _wait(self, entry: Entry, events: list[Event]) -> None:
        """Until the tagged answer; a tag used twice ends the first wait."""
        events += finished(self._waiting.pop(self._tag, None), Outcome.UNKNOWN)
        self._waiting[self._tag] = entry
        if len(self._waiting) > MAX_EXCHANGES:
            events += finished(self._waiting.pop(next(iter(self._waiting))), Outcome.UNKNOWN)

    # The server's side.

    def _server_line(self, line: bytes, start: int, events: list[Event]) -> None:
        half = self._server
        if half.open or line.startswith(b"*"):
            if b'] "' in line or b'> "' in line:
                self._quoted(line, start, events)
            if line.endswith(b"}"):
                end = line[-100:]
                self._literal(half, Side.SERVER, line, Use.MAIL if _WHOLE.search(end) else Use.PIECE if _PART.search(end) else Use.SKIP)
            elif half.open:
                half.open = False
            elif _UNTAGGED_OK.match(line):
                self._greeting(line, Span(Side.SERVER, start, half.buffer.start), events)
            self._heard = True
        elif line.startswith(b"+"):
            self._heard = True
            if self._auth is not None:
                self._auth.challenge(unbase64(line[1:]))
            elif (sasl := joined(unbase64(line[1:]), "AUTH ")) is not None:
                self._auth, self._tag = sasl, _UNSEEN
                self._wait(sasl, events)
        elif match := _STATUS.match(line):
            self._heard = True
            self._tagged(match[1], match[2].upper(), line, Span(Side.SERVER, start, half.buffer.start), events)
        else:
            self._strange += not self._torn
            if self._strange > _MAX_STRANGE:
                raise Malformed("server lines that are no IMAP responses")

    def _quoted(self, line: bytes, start: int, events: list[Event]) -> None:
        """Parts of mails that came without a literal."""
        for match in _QUOTED.finditer(line):
            piece = Mail(Side.SERVER, start + match.start(1))
            piece.keep(match[1])
            events += given(piece, Use.PIECE)

    def _tagged(self, tag: bytes, status: bytes, line: bytes, span: Span, events: list[Event]) -> None:
        """The end of a command."""
        good = status == b"OK"
        half = self._client
        if tag == self._tag and not good and half.open and half.left == half.size:
            half.left, half.open, half.mail, self._args = 0, False, None, []  # the literal was refused, it does not come
        entry = self._waiting.pop(tag if tag in self._waiting else _UNSEEN, None)
        if entry == b"STARTTLS":
            if good:
                self._grant(self._server.buffer.start, events)
            else:
                events.append(Upgrade(span=span, to="tls", status="refused"))
        elif entry == b"COMPRESS" and good:
            self._over = True
            events += self._settle()
            events.append(Anomaly(span=span, reason="IMAP COMPRESS accepted: the rest is compressed and not read"))
            events.append(Done(span=span))
        elif entry is not None:
            # [UNAVAILABLE] is trouble behind the server, no word on the login (RFC 5530 section 3).
            unjudged = b"[UNAVAILABLE]" in line.upper() or wants_tls(line)
            events += finished(entry, Outcome.ACCEPTED if good else Outcome.UNKNOWN if unjudged else Outcome.REJECTED)
            self._auth = None if entry is self._auth else self._auth
        if good:
            self._capabilities(line, span, events)

    def _greeting(self, line: bytes, span: Span, events: list[Event]) -> None:
        if not self._heard:
            events += greeting(line, span)
        self._capabilities(line, span, events)

    def _capabilities(self, line: bytes, span: Span, events: list[Event]) -> None:
        """In an untagged response, or as a code in the greeting or an OK (RFC 9051 section 7.1)."""
        if self._offered or not (match := _WORDS.search(line)):
            return
        if b"STARTTLS" in (match[1] or match[2]).upper().split():
            self._offered = True
            events.append(Upgrade(span=span, to="tls", status="offered"))

    def _grant(self, server: int, events: list[Event]) -> None:
        """TLS from here on: the client's after its STARTTLS, the server's after its answer."""
        self._over = True
        span = Span(Side.SERVER, server, server)
        events.append(Upgrade(span=span, to="tls", status="granted", resume=(self._client.buffer.start, server)))


SPEC = Spec(
    name="imap",
    title="IMAP mail access, RFC 9051",
    ports=(143,),
    probe=probe_imap,
    stream=Imap,
    tier="mail",
    remedy="Use IMAP over TLS on port 993, or require STARTTLS before the login (LOGINDISABLED).",
)
