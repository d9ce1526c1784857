"""Telnet, RFC 854, 855, 857, 1184, 1572, NTLM in RFC 2941 (MS-TNAP): options taken out, keystrokes edited, prompts answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._ntlmssp import Exchange
from sniffer.dissectors._spec import Match, Spec
from sniffer.events import ChallengeResponse, Event, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

IAC, SB, SE = 0xFF, 0xFA, 0xF0
_OPTION_VERBS = range(0xFB, 0xFF)  # WILL, WONT, DO, DONT
_START_TLS, _NEW_ENVIRON, _AUTHENTICATION = 46, 39, 37
# Commands that edit the line typed, and the keys that do the same (RFC 854): erase character, erase line.
_EDITS = {0xF7: b"\x7f", 0xF8: b"\x15"}
# MS-TNAP, 2.2.2: REPLY, NTLM, and what the server's part of it says.
_NTLM_REPLY = re.compile(rb"\x25\x02\x0f.([\x03\x04])", re.S)
# What the server printed last, in which a prompt is looked for; a line typed; the options of one sub-negotiation.
MAX_TAIL = 512
MAX_TYPED = 1024
MAX_OPTION = 2048
# After a password the server may print a long message of the day before its prompt says that the login succeeded.
MAX_ANSWER = 16 * 1024

_USER = re.compile(rb"(?<![a-z0-9_@-])(?:(?<!last )log[io]n(?: as| name| id| user)?|user ?name|user(?: id)?|account|benutzer(?:name)?|utilisateur|identifiant|usuario|nombre de usuario|utente|login name|\xd0\xbb\xd0\xbe\xd0\xb3\xd0\xb8\xd0\xbd|enter user ?name|nazwa u[^ ]{1,3}ytkownika|brukernavn|gebruikersnaam|nome utente|\xe7\x94\xa8\xe6\x88\xb7\xe5\x90\x8d|\xd0\xb8\xd0\xbc\xd1\x8f \xd0\xbf\xd0\xbe\xd0\xbb\xd1\x8c\xd0\xb7\xd0\xbe\xd0\xb2\xd0\xb0\xd1\x82\xd0\xb5\xd0\xbb\xd1\x8f)(?: ?[\[(][^\])\r\n]{0,32}[\])])?\s*(?:[:>?]|\xef\xbc\x9a)\s*$", re.I)
_PASSWORD = re.compile(
    rb"(?:pass ?word|passwd|passphrase|pass ?code|kennwort|passwort|mot de passe|contrase(?:\xc3\xb1|\xf1|n)a|wachtwoord|senha|parola(?: d'ordine)?|l\xc3\xb6senord|\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c|\xe5\xaf\x86\xe7\xa0\x81|\xe5\x8f\xa3\xe4\xbb\xa4|pin)"
    rb"(?: for [^\r\n:]{1,64}|'s)?(?: ?[\[(][^\])\r\n]{0,32}[\])])?\s*(?:[:>?]|\xef\xbc\x9a)?\s*$",
    re.I,
)
_REFUSED = re.compile(rb"incorrect|invalid|failed|failure|denied|bad password|wrong|not authorized|unauthori[sz]ed(?! (?:access|use|person|entry|connection|login|modif))|error in auth|permission|sorry\b|rejected|no such user|locked|bad (?:secret|user|login)|login fail|mismatch|unknown user|error:|% (?:login|bad|authentic)|falsch|ung\xc3\xbcltig|refus\xc3\xa9|too many", re.I)
_SHELL = re.compile(rb"(?:[^\r\n]{0,80}[$#>\]]|[^\r\n]{0,79}[\w~)\]]%) ?$")
_GRANTED = re.compile(rb"last login|welcome|motd|logged in|login successful|terminal type|\[(?:root|[a-z_][\w-]*)@|microsoft|copyright", re.I)
# Both prompts, each at the end of a line or followed by the echo: a terminal's login where no option was negotiated.
_DIALOGUE = re.compile(rb"(?:^|\n|\r| )(?:login|user ?name) ?: ?[^\n]{0,64}\r?\n\r?(?:[^\n]{0,64} )?pass ?word ?: ?", re.I)
# What is asked for after a password that was right but must be changed, or typed twice.
_MORE = re.compile(rb"new |re-?(?:type|enter)|again|verify|confirm|change|expired|old ", re.I)
_UNSEEN = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")
# ECMA-48 control sequences, which dress up prompts.
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]{0,16}[@-~]|\][^\x07\x1b]{0,64}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHMc])")


class _Line:
    """The keystrokes of a line, as the terminal driver edits them."""

    __slots__ = ("data", "end", "start")

    def __init__(self) -> None:
        self.data = bytearray()
        self.start = self.end = 0

    def key(self, key: int, at: int) -> None:
        if key in (8, 0x7F):
            del self.data[-1:]
        elif key in (3, 0x15):  # ^C drops the line as ^U does
            self.data.clear()
        elif key == 0x17:
            while self.data and self.data[-1] == 0x20:
                self.data.pop()
            while self.data and self.data[-1] != 0x20:
                self.data.pop()
        elif key >= 0x20 and len(self.data) < MAX_TYPED:
            if not self.data:
                self.start = at
            self.data.append(key)
            self.end = at + 1


class Telnet:
    """What is typed at a user prompt is the user, what is typed at a password prompt the secret."""

    __slots__ = ("_answer", "_escape", "_last_cr", "_line", "_login", "_ntlm", "_option", "_printed_size", "_prompt", "_response", "_state", "_tail", "_user", "_verb")

    def __init__(self) -> None:
        self._state = ["data", "data"]
        self._verb = [0, 0]
        self._option = [bytearray(), bytearray()]
        self._line = _Line()
        self._escape = 0
        self._last_cr = False
        self._tail = b""
        self._prompt = ""  # "user" or "password": what the server waits for
        self._user: str | None = None
        self._login: Login | None = None
        self._answer = b""  # the beginning of what was printed since the password
        self._printed_size = 0
        self._ntlm = Exchange()
        self._response: ChallengeResponse | None = None

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        if self._state[side] == "data" and IAC not in data:
            self._text(side, data, offset, events)
            return events
        for text, at in self._strip(side, offset, data, events):
            self._text(side, text, at, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        events = [*self._settle(Outcome.UNKNOWN), *self._answered(Outcome.UNKNOWN)]
        self._ntlm.forget()
        self._state[side] = "data"
        self._line, self._prompt, self._tail, self._user = _Line(), "", b"", None
        return events

    def close(self) -> Sequence[Event]:
        return [*self._settle(self._verdict()), *self._answered(Outcome.UNKNOWN)]

    def _settle(self, outcome: Outcome) -> list[Event]:
        login, self._login = self._login, None
        return [replace(login, outcome=outcome)] if login is not None else []

    def _answered(self, outcome: Outcome) -> list[Event]:
        response, self._response = self._response, None
        return [replace(response, outcome=outcome)] if response is not None else []

    def _strip(self, side: Side, offset: int, data: bytes, events: list[Event]) -> list[tuple[bytes, int]]:
        """Text without commands, each run with its offset (RFC 854, 855)."""
        out: list[tuple[bytes, int]] = []
        at, size = 0, len(data)
        while at < size:
            state = self._state[side]
            if state == "data":
                end = data.find(IAC, at)
                end = size if end < 0 else end
                if end > at:
                    out.append((data[at:end], offset + at))
                if end < size:
                    self._state[side] = "iac"
                at = end + 1
            elif state == "sub":
                end = data.find(IAC, at)
                stop = size if end < 0 else end
                if len(self._option[side]) < MAX_OPTION:
                    self._option[side] += data[at:stop]
                if end >= 0:
                    self._state[side] = "sub iac"
                at = stop + 1
            else:
                self._command(side, state, data[at], offset + at, out, events)
                at += 1
        return out

    def _command(self, side: Side, state: str, byte: int, at: int, out: list[tuple[bytes, int]], events: list[Event]) -> None:
        if state == "iac":
            if byte in _OPTION_VERBS:
                self._verb[side], self._state[side] = byte, "option"
            elif byte == SB:
                self._option[side], self._state[side] = bytearray(), "sub"
            else:
                self._state[side] = "data"
                if byte == IAC:
                    out.append((b"\xff", at))
                elif byte in _EDITS and side is Side.CLIENT:
                    out.append((_EDITS[byte], at))
        elif state == "option":
            self._state[side] = "data"
        elif byte == SE:
            self._state[side] = "data"
            self._subnegotiation(side, bytes(self._option[side]), at + 1, events)
        else:
            self._state[side] = "sub"
            if byte == IAC:
                self._option[side].append(IAC)

    def _subnegotiation(self, side: Side, option: bytes, at: int, events: list[Event]) -> None:
        if option[:1] == bytes((_START_TLS,)) and side is Side.SERVER and option[1:2] == b"\1":
            events.append(Upgrade(span=Span(side, at - 1, at), to="tls", status="offered"))
        elif option[:1] == bytes((_NEW_ENVIRON,)) and side is Side.CLIENT and self._user is None:
            found = re.search(rb"[\0\3]USER\x01([^\0\x01\x03]{1,64})", option)
            if found:
                self._user = decode(found[1])
        elif option[:1] == bytes((_AUTHENTICATION,)):
            self._authenticate(side, option, at, events)

    def _authenticate(self, side: Side, option: bytes, at: int, events: list[Event]) -> None:
        """NTLM inside the option (MS-TNAP): a message of NTLMSSP from either side, and at last the server's word on it."""
        said = _NTLM_REPLY.match(option) if side is Side.SERVER else None
        if said is not None:
            events += self._answered(Outcome.ACCEPTED if said[1] == b"\3" else Outcome.REJECTED)
            return
        found = self._ntlm.feed(option)
        if found is not None and side is Side.CLIENT:
            events += self._answered(Outcome.UNKNOWN)
            self._response = ChallengeResponse(
                span=Span(side, at - 1, at), mechanism=found.mechanism, username=found.username, realm=found.domain or None,
                response=found.response, where="AUTHENTICATION option", crack=found.crack,
            )  # fmt: skip

    def _text(self, side: Side, data: bytes, at: int, events: list[Event]) -> None:
        if side is Side.SERVER:
            self._printed(data, events)
        else:
            self._typed(data, at, events)

    def _printed(self, data: bytes, events: list[Event]) -> None:
        """The server's output: is it a prompt, or an answer to the password?"""
        self._tail = (self._tail + data)[-MAX_TAIL:]
        if self._login is not None:
            self._answer += data[: MAX_TAIL - len(self._answer)]
            self._printed_size += len(data)
            if self._printed_size > MAX_ANSWER:
                events += self._settle(self._verdict())
        asked = self._asked()
        if (asked == "password" or (asked == "user" and self._prompt != "user")) and _clean(data).strip():
            self._line = _Line()
        # What is printed while a line is being typed is its echo; before, it says that the prompt was none.
        if asked or not self._line.data:
            self._prompt = asked

    def _asked(self) -> str:
        """What the last line asks for; it may end with an empty one, if there is a colon before that."""
        tail = self._tail
        last = _clean(tail[tail.rfind(b"\n") + 1 :]).strip(b"\r ")
        if not last:
            last = _clean(tail).rstrip().rsplit(b"\n", 1)[-1].lstrip(b"\r")
            last = last if last[-1:] == b":" else b""
        last = _rubbed(last[-120:]) if b"\b" in last else last[-120:]
        return "password" if _PASSWORD.search(last) else "user" if _USER.search(last) else ""

    def _verdict(self) -> Outcome:
        """What became of the password, going by all that was printed since: judged when the user goes on or the flow ends,

        so that it does not hang on how the text was cut. A prompt that comes again after words of refusal may be the shell's
        from which ``enable`` or ``su`` was tried; words further down may be anybody's (a message of the day).
        """
        answer = _clean(self._answer)
        first = answer.strip().split(b"\n", 1)[0]
        asked = self._asked()
        last = _clean(self._tail).rsplit(b"\n", 1)[-1].lstrip(b"\r")
        if asked == "user" or _REFUSED.search(first):
            return Outcome.REJECTED
        if asked == "password":
            return Outcome.UNKNOWN if _MORE.search(answer) else Outcome.REJECTED
        if _SHELL.match(last) or self._printed_size > MAX_ANSWER:
            return Outcome.ACCEPTED
        refused, granted = _REFUSED.search(answer), _GRANTED.search(answer)
        if refused and not (granted and granted.start() < refused.start()):
            return Outcome.REJECTED
        return Outcome.ACCEPTED if granted else Outcome.UNKNOWN

    def _typed(self, data: bytes, at: int, events: list[Event]) -> None:
        """Keystrokes, edited as they are; a line ends with CR, CR NUL or CR LF (RFC 854)."""
        for i, key in enumerate(data):
            if self._last_cr and key in (0, 10):
                self._last_cr = False
                continue
            self._last_cr = key == 13
            if self._login is not None and _clean(self._answer).strip():
                events += self._settle(self._verdict())
            if self._escape:
                self._escape = 0 if self._escape > 1 and 0x40 <= key < 0x7F else 2 if key in b"[O" else self._escape + 1 if self._escape < 8 else 0
            elif key == 27:
                self._escape = 1
            elif key in (10, 13):
                self._entered(events)
            else:
                self._line.key(key, at + i)

    def _entered(self, events: list[Event]) -> None:
        line, self._line = self._line, _Line()
        prompt, self._prompt = self._prompt, ""
        if prompt == "user":
            self._user = decode(bytes(line.data)).strip() or None
        elif prompt == "password":
            events += self._settle(self._verdict())
            if line.data:
                span = Span(Side.CLIENT, line.start, line.end)
                self._login = Login(span=span, mechanism="login dialogue", username=self._user, secret=Secret(decode(bytes(line.data))), where="answer to a password prompt")
                self._answer, self._printed_size = b"", 0
        self._tail = b""


def _clean(data: bytes) -> bytes:
    """Text as it shows: without what moves cursors, rings bells or pads."""
    return _UNSEEN.sub(b"", _ESCAPES.sub(b"", data))


def _rubbed(line: bytes) -> bytes:
    """A line without what was rubbed out on the screen, by backspaces and blanks over it."""
    left = bytearray()
    for byte in line:
        if byte != 8:
            left.append(byte)
        else:
            del left[-1:]
    return bytes(left)


def probe(client: bytes, server: bytes) -> Match:
    """Option negotiation at the beginning of either side; without any, the port and a prompt must do."""
    said = [_negotiates(data) for data in (client, server) if data]
    if Match.YES in said:
        return Match.YES
    if Match.MORE in said or not (client or server):
        return Match.MORE
    if client[:1] == b"\xff" or server[:1] == b"\xff":
        return Match.NO
    if not server:
        return Match.MORE if _typed_like(client) else Match.NO
    # Greetings of other line protocols.
    if re.match(rb"[1-5]\d\d[ -]|\* |\+OK|-ERR|SSH-|HTTP/|RFB |@RSYNCD|\{|<", server) or b"\0" in server[:64].replace(b"\r\0", b""):
        return Match.NO
    if _DIALOGUE.search(_clean(server)) and _typed_like(client):
        return Match.YES
    return Match.MORE if _typed_like(client) else Match.NO


def _typed_like(data: bytes) -> bool:
    return all(c >= 0x20 or c in b"\r\n\0\x08\x09\x1b\x03\x04\x15\x17" for c in data[:64])


def _negotiates(data: bytes) -> Match:
    """IAC, a verb, an option that exists; two such, or one and nothing but text behind it."""
    at = 0
    for count in range(3):
        head = data[at : at + 3]
        if count == 2:
            return Match.YES
        if not head:
            return Match.MORE
        if head[0] != IAC:
            return Match.YES if count and (head[0] >= 32 or head[0] in (0, 7, 10, 13, 27)) else Match.NO
        if len(head) > 1 and head[1] not in _OPTION_VERBS and head[1] != SB:
            return Match.NO
        if len(head) < 3:
            return Match.MORE
        if head[2] > 50 and head[2] not in (69, 70, 80, 85, 86, 90, 91, 93, 138, 139, 140, 200, 201, 255):
            return Match.NO
        if head[1] == SB:
            end = data.find(b"\xff\xf0", at)
            if end < 0:
                return Match.MORE if len(data) < 1000 else Match.NO
            at = end + 2
        else:
            at += 3
    return Match.YES


SPEC = Spec(
    name="telnet",
    title="Telnet, RFC 854",
    ports=(23, 2323, 992),
    probe=probe,
    stream=Telnet,
    tier="management",
    remedy="Use SSH, and turn Telnet off.",
)
