"""FTP control channel, RFC 959; AUTH TLS, RFC 4217; data channel protection, RFC 2228."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mail_probe import after_login
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import (
    ChallengeResponse,
    Encryption,
    Event,
    Greeting,
    Login,
    Outcome,
    Posture,
    Side,
    Span,
    Statement,
    Upgrade,
)
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
_NEWS = re.compile(rb"MODE (?:READER|STREAM)\b", re.IGNORECASE)  # NNTP's (RFC 3977), whose replies look like FTP's
# Commands that only FTP has, or a login: with one of these first, a flow of which only the client was seen is FTP.
_OWN = re.compile(rb"(?:USER [^\r\n]+\r?\nPASS [^\r\n]*\r?\n|AUTH (?:TLS|SSL)\b|PASV\r|EPSV\r|PORT \d+,|FEAT\r|SYST\r|OPTS UTF8|CLNT )", re.IGNORECASE)
# TELNET's urgent marks before ABOR (RFC 959, 4.1.3).
_TELNET = re.compile(rb"^(?:\xff[\xf0-\xff])+\xf2?")
# A one-time password (RFC 2289, FreeBSD's and OPIE's wording): the challenge in a 331, and its answer in words or digits.
_CHALLENGE = re.compile(rb"\b(otp-[a-z0-9]{2,8}|s/key) (\d{1,5}) ([a-z0-9]{1,16})\b", re.IGNORECASE)
_ONE_TIME = re.compile(r"(?:(?:word:|hex:)?\s*(?:[a-z]{1,4}(?:\s+[a-z]{1,4}){5}|(?:[0-9a-f]{4}\s*){4}))\s*", re.IGNORECASE)
# Servers' own commands that set a password: SITE PSWD old new (IIS, Serv-U), CPWD and PASSWD new (z/OS, WS_FTP, glftpd), CHPASS and ADDUSER user new (glftpd).
_SITE = re.compile(rb"[ \t]*(PSWD|CPWD|PASSWD|CHPASS|ADDUSER)[ \t]+(\S+)(?:[ \t]+(\S+))?[ \t]*$", re.IGNORECASE)
_LATER_REPLY = re.compile(rb"\n[1-6][0-9]{2}[ -]")
_HELLO = b"\x16\x03"  # a TLS record that holds a handshake


class Ftp:
    """Pairs commands with replies in order; a password is told with the server's answer to it."""

    __slots__ = ("_account", "_asked", "_buffers", "_challenge", "_cut", "_greeted", "_greeting", "_login", "_multi", "_pending", "_sealed", "_user")

    def __init__(self) -> None:
        self._buffers = (Buffer(), Buffer())
        self._pending: deque[bytes] = deque(maxlen=MAX_PENDING)
        self._user: str | None = None
        self._login: Login | ChallengeResponse | None = None
        self._account: Login | None = None  # ACCT's argument, where the password still waits for its answer too
        self._challenge: str | None = None  # the mechanism of a one-time password that the server asked for
        self._asked = False  # the client asked for TLS and was not answered
        self._sealed = False  # the client's commands are encrypted (RFC 2228)
        self._cut: list[bytes | None] = [None, None]  # what is left of a line longer than the limit
        self._multi: bytes | None = None
        self._greeted = False
        self._greeting = False  # within the lines of the greeting, which answers no command

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        while True:
            if side is Side.CLIENT and self._asked and buffer.peek(2) == _HELLO:
                return [*events, self._granted(buffer.start, self._buffers[1].start)]
            start = buffer.start
            line = self._line(side, buffer)
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
        self._user = self._multi = self._challenge = None
        self._asked, self._cut[side] = False, None
        return self._settle(Outcome.UNKNOWN)

    def close(self) -> Sequence[Event]:
        return self._settle(Outcome.UNKNOWN)

    def _line(self, side: Side, buffer: Buffer) -> bytes | None:
        """The next whole line. One longer than the limit is none of FTP's, unless FTP was spoken before: then of a reply only

        its code is read, and of a command only that it was one, which the server answers.
        """
        size = buffer.find(b"\n")
        held = len(buffer) if size < 0 else size
        if size < 0 and held < MAX_LINE:
            return None
        if held >= MAX_LINE and self._cut[side] is None:
            if not self._greeted and self._user is None:
                raise Malformed("line longer than the limit")
            self._cut[side] = (buffer.peek(4) or b"") if side is Side.SERVER else b"?"
        if size < 0:
            buffer.clear()
            return None
        line, cut = buffer.line(size + 1), self._cut[side]
        self._cut[side] = None
        return line if cut is None else cut

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
        if verb in (b"PASS", b"ACCT") and argument.strip():
            events = self._settle(Outcome.UNKNOWN) if verb == b"PASS" else []
            at = start + found.start(2)
            return [*events, *self._secret(verb, argument, Span(Side.CLIENT, at, at + len(argument)))]
        if verb == b"SITE":
            return self._site(argument, start + found.start(2))
        if verb == b"REIN":
            self._user = None
        if verb == b"AUTH":
            return self._auth_asked(argument, Span(Side.CLIENT, start, start + len(bare)))
        if verb == b"ENC" and not self._sealed:
            self._sealed = True
            return [Posture(span=Span(Side.CLIENT, start, start + len(bare)), encryption=Encryption.ENCRYPTED, why="commands encrypted by a security mechanism (RFC 2228)")]
        return []

    def _secret(self, verb: bytes, argument: bytes, span: Span) -> list[Event]:
        """PASS's argument waits for its answer; so does ACCT's where a supplemental password stands (RFC 959, 4.1.1)."""
        text, mechanism = decode(argument), decode(verb)
        challenge, self._challenge = self._challenge, None
        if challenge is not None and _ONE_TIME.fullmatch(text):
            self._login = ChallengeResponse(span=span, mechanism=challenge, username=self._user, response=Secret(text.strip(), "hash"), where="PASS argument, one-time password")
            return []
        login = Login(span=span, mechanism=mechanism, username=self._user, secret=Secret(text), where=f"{mechanism} argument")
        if verb == b"ACCT" and self._login is not None:
            self._account = login
            return []
        self._login = login
        return []

    def _site(self, argument: bytes, at: int) -> list[Event]:
        """A password set by a command of the server's own; the last word is the new one."""
        found = _SITE.match(argument)
        if found is None or (found[3] is None and found[1].upper() in (b"PSWD", b"CHPASS", b"ADDUSER")):
            return []
        which = 3 if found[3] else 2
        named = found[1].upper() in (b"CHPASS", b"ADDUSER")
        user = decode(found[2]) if named else self._user
        verb = f"SITE {decode(found[1]).upper()}"
        return [
            Statement(span=Span(Side.CLIENT, at + found.start(n), at + found.end(n)), mechanism=verb, username=user, secret=Secret(decode(found[n])), where=f"{verb} argument")
            for n in ((which,) if named or which == 2 else (2, 3))
        ]

    def _auth_asked(self, argument: bytes, span: Span) -> list[Event]:
        """TLS is taken over by a new probe; GSSAPI, Kerberos and others go on inside the protocol (RFC 2228)."""
        if not argument.strip().upper().startswith((b"TLS", b"SSL")):
            self._pending[-1] = b"AUTH other"
            return []
        self._asked = True
        return [Upgrade(span=span, to="tls", status="asked")]

    def _reply(self, line: bytes, span: Span) -> list[Event]:
        found = _REPLY.match(line)
        if self._multi is not None:
            # The last line has the code and a blank behind it: text may begin with the same digits (RFC 959, 4.2).
            if found is None or found[1] != self._multi or (found[2] != b" " and len(line) > 3):
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
        if verb == b"AUTH" or (verb is None and code == 234):
            return self._auth(code, span)
        if verb == b"AUTH other":
            return [Upgrade(span=span, to="gss", status="refused")] if code >= 400 else []
        if verb == b"USER":
            found = _CHALLENGE.search(line) if code == 331 else None
            self._challenge = ("OTP" if found[1].lower().startswith(b"otp") else "S/KEY") if found is not None else None
        # A reply to anything else, when the capture did not hold the command, cannot be the answer to a login.
        if verb in (b"PASS", b"ACCT") or (verb is None and code in (230, 530)):
            # 232 where a security mechanism vouches for the user (RFC 2228); some servers say 200.
            if 200 <= code < 300:
                return self._settle(Outcome.ACCEPTED)
            if code >= 400:
                return self._settle(Outcome.REJECTED)
        return []

    def _auth(self, code: int, span: Span) -> list[Event]:
        """234; some servers say 334 (RFC 2228's "more data needed"), and clients take it."""
        self._asked = False
        if code in (234, 334):
            return [self._granted(self._buffers[0].start, span.end)]
        if code >= 400:
            return [Upgrade(span=span, to="tls", status="refused")]
        return []

    def _granted(self, client: int, server: int) -> Upgrade:
        """Also where the answer was not captured, and the client goes on with a handshake."""
        return Upgrade(span=Span(Side.SERVER, server, server), to="tls", status="granted", resume=(client, server))

    def _settle(self, outcome: Outcome) -> list[Event]:
        waiting = [login for login in (self._login, self._account) if login is not None]
        self._login = self._account = None
        return [replace(login, outcome=outcome) for login in waiting]


def probe(client: bytes, server: bytes) -> Match:
    """A 220 greeting alone may be SMTP's: the client's first verb, or the words of the greeting, tell them apart."""
    said = _client_says(client)
    if server:
        if not b"220"[: len(server)].startswith(server[:3]) and not server.startswith((b"220", b"120")):
            return _in_the_middle(client, server, said)
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


def _in_the_middle(client: bytes, server: bytes, said: Match) -> Match:
    """No greeting: a refusal, or a capture that begins later; a reply, or the end of a text with a reply behind it."""
    if _REPLY.match(server) or (len(server) < 3 and server.isdigit()):
        return said
    if said is not Match.YES or not _OWN.match(client) or server[:1] in b"+-*:$<{\0":
        return Match.NO
    return Match.YES if _LATER_REPLY.search(server) else Match.NO


def _client_says(client: bytes) -> Match:
    """YES with a whole first line that is a command of FTP's and not of mail's."""
    if not client:
        return Match.MORE
    line, end, _ = client.partition(b"\n")
    verb = line.split(b" ", 1)[0].rstrip(b"\r").upper()
    if not end:
        fits = any(v.startswith(verb) for v in _VERBS) if b" " not in line else verb in _VERBS
        return Match.MORE if fits and len(line) < MAX_LINE else Match.NO
    if verb not in _VERBS or (verb == b"AUTH" and not _SECURITY.match(line)) or _NEWS.match(line):
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
