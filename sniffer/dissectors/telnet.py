"""Telnet, RFC 854, 855, 857, 1184, 1572: options taken out, keystrokes edited, prompts answered."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.dissectors._spec import Match, Spec
from sniffer.events import Event, Login, Outcome, Side, Span, Upgrade
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

IAC, SB, SE = 0xFF, 0xFA, 0xF0
_OPTION_VERBS = range(0xFB, 0xFF)  # WILL, WONT, DO, DONT
_START_TLS, _NEW_ENVIRON = 46, 39
# What the server printed last, in which a prompt is looked for; a line typed; the options of one sub-negotiation.
MAX_TAIL = 512
MAX_TYPED = 1024
MAX_OPTION = 2048
# After a password the server may print a long message of the day before its prompt says that the login succeeded.
MAX_ANSWER = 16 * 1024

_USER = re.compile(rb"(?:(?<!last )log[io]n(?: as| name)?|user ?name|user(?: id)?|account|benutzer(?:name)?|utilisateur|identifiant|usuario|nombre de usuario|utente|login name|\xd0\xbb\xd0\xbe\xd0\xb3\xd0\xb8\xd0\xbd|enter user ?name)\s*[:>?]\s*$", re.I)
_PASSWORD = re.compile(
    rb"(?:pass ?word|passwd|passphrase|pass ?code|kennwort|passwort|mot de passe|contrase(?:\xc3\xb1|\xf1|n)a|wachtwoord|senha|parola(?: d'ordine)?|l\xc3\xb6senord|\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c|\xe5\xaf\x86\xe7\xa0\x81|\xe5\x8f\xa3\xe4\xbb\xa4|pin)"
    rb"(?: for [^\r\n:]{1,64}|'s)?(?: ?\([^)\r\n]{0,32}\))?\s*[:>?]?\s*$",
    re.I,
)
_REFUSED = re.compile(rb"incorrect|invalid|failed|failure|denied|bad password|wrong|not authorized|unauthori[sz]ed|unknown user|error:|% (?:login|bad|authentic)|falsch|ung\xc3\xbcltig|refus\xc3\xa9|too many", re.I)
_GRANTED = re.compile(rb"last login|welcome|motd|logged in|login successful|(?:^|[\r\n])(?:[^\r\n]{0,80}[$#>\]]|[^\r\n]{0,79}[\w~)\]]%) ?$|terminal type|\[(?:root|[a-z_][\w-]*)@|microsoft|copyright", re.I)
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
        elif key == 0x15:
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

    __slots__ = ("_answer", "_escape", "_last_cr", "_line", "_login", "_option", "_prompt", "_state", "_tail", "_user", "_verb")

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
        self._answer = 0

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        if self._state[side] == "data" and IAC not in data:
            self._text(side, data, offset, events)
            return events
        for text, at in self._strip(side, offset, data, events):
            self._text(side, text, at, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        events = self._settle(Outcome.UNKNOWN)
        self._state[side] = "data"
        self._line, self._prompt, self._tail, self._user = _Line(), "", b"", None
        return events

    def close(self) -> Sequence[Event]:
        return self._settle(Outcome.UNKNOWN)

    def _settle(self, outcome: Outcome) -> list[Event]:
        login, self._login = self._login, None
        return [replace(login, outcome=outcome)] if login is not None else []

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
            found = re.search(rb"\0USER\x01([^\0\x01\x03]{1,64})", option)
            if found:
                self._user = decode(found[1])

    def _text(self, side: Side, data: bytes, at: int, events: list[Event]) -> None:
        if side is Side.SERVER:
            self._printed(data, events)
        else:
            self._typed(data, at, events)

    def _printed(self, data: bytes, events: list[Event]) -> None:
        """The server's output: is it a prompt, or an answer to the password?"""
        before = self._tail
        self._tail = (before + data)[-MAX_TAIL:]
        shown = _ESCAPES.sub(b"", self._tail).replace(b"\0", b"")
        last = shown.rsplit(b"\n", 1)[-1].lstrip(b"\r")
        if self._login is not None:
            self._judge(shown, last, len(data), events)
        if _PASSWORD.search(last[-120:]):
            self._prompt = "password"
            self._line = _Line()
        elif _USER.search(last[-120:]):
            if self._prompt != "user":
                self._line = _Line()
            self._prompt = "user"

    def _judge(self, shown: bytes, last: bytes, size: int, events: list[Event]) -> None:
        self._answer += size
        asked_again = _USER.search(last[-120:]) or _PASSWORD.search(last[-120:])
        if _REFUSED.search(shown):
            events += self._settle(Outcome.REJECTED)
        elif asked_again and shown.strip(b"\r\n \0"):
            events += self._settle(Outcome.REJECTED if _USER.search(last[-120:]) else Outcome.UNKNOWN)
        elif _GRANTED.search(shown) or self._answer > MAX_ANSWER:
            events += self._settle(Outcome.ACCEPTED)

    def _typed(self, data: bytes, at: int, events: list[Event]) -> None:
        """Keystrokes, edited as they are; a line ends with CR, CR NUL or CR LF (RFC 854)."""
        for i, key in enumerate(data):
            if self._last_cr and key in (0, 10):
                self._last_cr = False
                continue
            self._last_cr = key == 13
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
            events += self._settle(Outcome.UNKNOWN)
            if line.data:
                span = Span(Side.CLIENT, line.start, line.end)
                self._login = Login(span=span, mechanism="login dialogue", username=self._user, secret=Secret(decode(bytes(line.data))), where="answer to a password prompt")
                self._answer = 0
        self._tail = b""


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
            return Match.YES if count and (32 <= head[0] < 127 or head[0] in (7, 10, 13, 27)) else Match.NO
        if len(head) > 1 and head[1] not in _OPTION_VERBS and head[1] != SB:
            return Match.NO
        if len(head) < 3:
            return Match.MORE
        if head[2] > 50 and head[2] not in (70, 80, 86, 138, 139, 140, 200, 255):
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
