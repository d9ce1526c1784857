"""FTP control channel, RFC 959; AUTH TLS, RFC 4217; data channel protection, RFC 2228."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mail_probe import after_login
from sniffer.dissectors._spec import Match, Spec
from sniffer.events import Event, Greeting, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# RFC 959 names no limit; servers take 512 to 4096 bytes. A longer line is no command.
MAX_LINE = 8192
# Commands sent ahead of their replies: clients that pipeline send a handful.
MAX_PENDING = 64

_VERBS = frozenset(
    b"USER PASS ACCT CWD CDUP SMNT QUIT REIN PORT PASV TYPE STRU MODE RETR STOR STOU APPE ALLO REST RNFR RNTO ABOR DELE RMD MKD "
    b"PWD LIST NLST SITE SYST STAT HELP NOOP AUTH ADAT PROT PBSZ CCC MIC CONF ENC FEAT OPTS EPRT EPSV LANG MDTM MLSD MLST SIZE "
    b"HOST CLNT XCWD XMKD XPWD XRMD XCUP XCRC XMD5 MFMT LPRT LPSV CSID THMB AVBL DSIZ".split()
)  # fmt: skip
# One space parts verb and argument (RFC 959, 5.3.1): a password may begin with another.
_COMMAND = re.compile(rb"([A-Za-z]{3,4})(?:[ \t]([^\r\n]*))?$")
_REPLY = re.compile(rb"([1-6][0-9]{2})([ -])?")
# Security mechanisms registered for AUTH (RFC 2228, RFC 4217); a SASL mechanism there is SMTP's or POP3's.
_SECURITY = re.compile(rb"AUTH +(?:TLS|SSL|GSSAPI|KERBEROS|SRP)", re.IGNORECASE)
# Commands that only FTP has, or a login: with one of these first, a flow of which only the client was seen is FTP.
_OWN = re.compile(rb"(?:USER [^\r\n]+\r?\nPASS [^\r\n]*\r?\n|AUTH (?:TLS|SSL)\b|PASV\r|EPSV\r|PORT \d+,|FEAT\r|SYST\r|OPTS UTF8|CLNT )", re.IGNORECASE)
# TELNET's urgent marks before ABOR (RFC 959, 4.1.3).
_TELNET = re.compile(rb"^(?:\xff[\xf0-\xff])+\xf2?")


class Ftp:
    """Pairs commands with replies in order; a password is told with the server's answer to it."""

    __slots__ = ("_buffers", "_greeted", "_greeting", "_login", "_multi", "_pending", "_user")

    def __init__(self) -> None:
        self._buffers = (Buffer(), Buffer())
        self._pending: deque[bytes] = deque(maxlen=MAX_PENDING)
        self._user: str | None = None
        self._login: tuple[Span, str | None, str] | None = None
        self._multi: bytes | None = None
        self._greeted = False
        self._greeting = False  # within the lines of the greeting, which answers no command

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        while True:
            start = buffer.start
            line = buffer.line(MAX_LINE)
            if line is None:
                return events
            if side is Side.CLIENT:
                events.extend(self._command(line, start))
            else:
                events.extend(self._reply(line, Span(side, start, buffer.start)))
            if events and isinstance(events[-1], Upgrade) and events[-1].resume:
                return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        """What was lost may have been a USER, a PASS or the answer: what is pending is told as it stands."""
        self._buffers[side].clear()
        self._pending.clear()
        self._user = self._multi = None
        return self._settle(Outcome.UNKNOWN)

    def close(self) -> Sequence[Event]:
        return self._settle(Outcome.UNKNOWN)

    def _command(self, line: bytes, start: int) -> list[Event]:
        bare = _TELNET.sub(b"", line)
        start += len(line) - len(bare)
        found = _COMMAND.match(bare)
        if found is None:
            if bare:
                self._pending.append(b"")  # no command, but a server answers with 500
            return []
        verb, argument = found[1].upper(), found[2] or b""
        self._pending.append(verb)
        if verb == b"USER":
            events = self._settle(Outcome.UNKNOWN)
            self._user = decode(argument).strip()
            return events
        if verb == b"PASS" and argument:
            events = self._settle(Outcome.UNKNOWN)
            at = start + found.start(2)
            self._login = (Span(Side.CLIENT, at, at + len(argument)), self._user, decode(argument))
            return events
        if verb == b"REIN":
            self._user = None
        if verb == b"AUTH" and argument.strip().upper().startswith((b"TLS", b"SSL")):
            return [Upgrade(span=Span(Side.CLIENT, start, start + len(bare)), to="tls", status="asked")]
        return []

    def _reply(self, line: bytes, span: Span) -> list[Event]:
        found = _REPLY.match(line)
        if self._multi is not None:
            if found is None or found[1] != self._multi or found[2] == b"-":
                return self._offer(line, span)
            self._multi = None
            return self._answer(int(found[1]), line, span)
        if found is None:
            return []
        if found[2] == b"-":
            self._multi = found[1]
            self._greeting = not self._greeted and found[1] == b"220"
            return self._greet(line, span)
        return self._answer(int(found[1]), line, span)

    def _greet(self, line: bytes, span: Span) -> list[Event]:
        if self._greeted or not line.startswith(b"220"):
            return []
        self._greeted = True
        text = decode(line[4:]).strip(" ()-")
        return [Greeting(span=span, product=text[:80])] if text else []

    def _offer(self, line: bytes, span: Span) -> list[Event]:
        """A line of FEAT's answer (RFC 2389)."""
        if line.strip().upper().startswith((b"AUTH TLS", b"AUTH SSL")):
            return [Upgrade(span=span, to="tls", status="offered")]
        return []

    def _answer(self, code: int, line: bytes, span: Span) -> list[Event]:
        """The final line of a reply. 1xx only announces another one (RFC 959, 4.2)."""
        if 100 <= code < 200:
            return []
        if code == 220 and (self._greeting or not self._greeted):
            self._greeting = False
            return self._greet(line, span)
        verb = self._pending.popleft() if self._pending else None
        if verb == b"AUTH":
            return self._auth(code, span)
        # A reply to anything else, when the capture did not hold the command, cannot be the answer to a login.
        if verb in (b"PASS", b"ACCT") or (verb is None and code in (230, 530)):
            # 232 where a security mechanism vouches for the user (RFC 2228); some servers say 200.
            if 200 <= code < 300:
                return self._settle(Outcome.ACCEPTED)
            if code >= 400:
                return self._settle(Outcome.REJECTED)
        return []

    def _auth(self, code: int, span: Span) -> list[Event]:
        if code == 234:
            return [Upgrade(span=span, to="tls", status="granted", resume=(self._buffers[0].start, span.end))]
        if code >= 400:
            return [Upgrade(span=span, to="tls", status="refused")]
        return []

    def _settle(self, outcome: Outcome) -> list[Event]:
        if self._login is None:
            return []
        (span, user, secret), self._login = self._login, None
        return [Login(span=span, mechanism="PASS", username=user, secret=Secret(secret), outcome=outcome, where="PASS argument")]


def probe(client: bytes, server: bytes) -> Match:
    """A 220 greeting alone may be SMTP's: the client's first verb, or the words of the greeting, tell them apart."""
    said = _client_says(client)
    if server:
        if not b"220"[: len(server)].startswith(server[:3]) and not server.startswith((b"220", b"120", b"421")):
            return Match.NO if said is not Match.YES or not _REPLY.match(server) else Match.YES
        first = server.split(b"\n", 1)[0].upper()
        if b"SMTP" in first:
            return Match.NO
        if said is not Match.MORE:
            return said
        return Match.YES if b"FTP" in first and b"\n" in server else Match.MORE
    if said is Match.NO or not client:
        return said
    if not _OWN.match(client):
        return Match.MORE
    # POP3 logs in with the same words. With nothing after them both probes say yes, and the port decides who is asked first.
    return Match.NO if after_login(client) == "pop3" else Match.YES


def _client_says(client: bytes) -> Match:
    """YES with a whole first line that is a command of FTP's and not of mail's."""
    if not client:
        return Match.MORE
    line, end, _ = client.partition(b"\n")
    verb = line.split(b" ", 1)[0].rstrip(b"\r").upper()
    if not end:
        fits = any(v.startswith(verb) for v in _VERBS) if b" " not in line else verb in _VERBS
        return Match.MORE if fits and len(line) < MAX_LINE else Match.NO
    if verb not in _VERBS or (verb == b"AUTH" and not _SECURITY.match(line)):
        return Match.NO
    # These are POP3's, IMAP's or SMTP's too: what the server said decides.
    return Match.MORE if verb in (b"QUIT", b"NOOP", b"HELP", b"STAT", b"LIST", b"DELE") else Match.YES


SPEC = Spec(
    name="ftp",
    title="FTP control channel, RFC 959",
    ports=(21, 2121),
    probe=probe,
    stream=Ftp,
    remedy="Use SFTP, or FTPS with AUTH TLS required.",
)
