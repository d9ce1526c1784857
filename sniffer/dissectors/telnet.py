"""Telnet, RFC 854, 855, 857, 1184, 1572, NTLM in RFC 2941 (MS-TNAP): options taken out, keystrokes edited, prompts answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._ntlmssp import Exchange
from sniffer.dissectors._spec import Match, Spec
from sniffer.dissectors._telnet_prompts import (
    any_prompt,
    asks_password,
    clean,
    dialogue,
    echoes,
    is_form,
    last_line,
    prompt,
    question,
    verdict,
    whose,
)
from sniffer.events import ChallengeResponse, Encryption, Event, Login, Outcome, Posture, Side, Span, Upgrade
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

IAC, SB, SE = 0xFF, 0xFA, 0xF0
_OPTION_VERBS = range(0xFB, 0xFF)  # WILL, WONT, DO, DONT
_WILL, _ECHO = 0xFB, 1
_ENVIRON, _AUTHENTICATION, _ENCRYPT, _NEW_ENVIRON, _START_TLS = b"\x24", b"\x25", b"\x26", b"\x27", b"\x2e"
_FOLLOWS, _START = b"\1", b"\3"  # of START-TLS, of ENCRYPT
# RFC 1572; RFC 1408 before it, whose implementations had VAR and VALUE (0 and 1) either way round (RFC 1571).
_ENVIRON_USER = re.compile(rb"[\0\1\3]USER[\0\1]([^\0\1\3]{1,64})")
# Commands of two bytes that may come before any option: NOP, data mark, "are you there", "go ahead".
_BARE, _MAX_BARE = frozenset((0xF1, 0xF2, 0xF6, 0xF9)), 16
# Commands that edit the line typed, and the keys that do the same (RFC 854): erase character, erase line.
_EDITS = {0xF7: b"\x7f", 0xF8: b"\x15"}
# MS-TNAP, 2.2.2: REPLY, NTLM, and what the server's part of it says.
_NTLM_REPLY = re.compile(rb"\x25\x02\x0f.([\x03\x04])", re.S)
# Greetings of other line protocols.
_OTHERS = re.compile(rb"[1-5]\d\d[ -]|\* (?:OK|BYE|PREAUTH)\b|\+OK|-ERR|SSH-|HTTP/|RFB |@RSYNCD|\{|<[?!a-zA-Z]")
# What the server printed last, in which a prompt is looked for; a line typed; the options of one sub-negotiation.
MAX_TAIL = 512
MAX_TYPED = 1024
MAX_OPTION = 2048
# After a password the server may print a long message of the day before its prompt says that the login succeeded.
MAX_ANSWER = 16 * 1024

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
    """What is typed at a user prompt is the user, what is typed at a password prompt the secret.

    What was printed is looked at when the client goes on, so that nothing hangs on how the text was cut.
    """

    __slots__ = (
        "_ahead", "_answer", "_asked", "_command_line", "_echoed", "_encrypted", "_escape", "_follows", "_form", "_hides", "_last_cr", "_line", "_login",
        "_maybe_user", "_new", "_ntlm", "_option", "_printed_size", "_prompt", "_prompted", "_response", "_state", "_tail", "_user", "_verb",
    )  # fmt: skip

    def __init__(self) -> None:
        self._state = ["data", "data"]
        self._verb = [0, 0]
        self._option = [bytearray(), bytearray()]
        self._encrypted = [False, False]  # the ENCRYPT option, from START on
        self._follows: list[int | None] = [None, None]  # where TLS begins, once a side said that it follows
        self._ntlm = Exchange()
        self._response: ChallengeResponse | None = None
        self._escape = 0
        self._last_cr = False
        self._printed_size = 0
        self._forget()

    def _forget(self) -> None:
        """Nothing is known of what the server waits for."""
        self._line = _Line()
        self._tail = self._new = b""  # what was printed since a line was entered (its end), since it was last looked at
        self._prompt = ""  # what the server waits for: "user", "password", "form", or nothing known
        self._asked = b""  # the line with the prompt
        self._prompted = ""  # "user" when the line entered last was a user's name
        self._user: str | None = None
        self._maybe_user: str | None = None  # what was entered at a prompt whose words are not known
        self._command_line = b""  # what was last entered at no prompt
        self._form = False  # the password's field was drawn together with the user's
        self._echoed = self._hides = False  # the user name was echoed; the server said since that it echoes (and does not)
        self._ahead = False  # the password was typed before it was asked for, and counts only if it was
        self._login: Login | None = None
        self._answer = b""  # the beginning of what was printed since the password

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        if self._encrypted[side]:
            return events
        if self._state[side] == "data" and IAC not in data:
            self._text(side, data, offset, events)
            return events
        for text, at in self._strip(side, offset, data, events):
            if events and isinstance(events[-1], Upgrade) and events[-1].resume and at >= events[-1].resume[side]:
                break
            self._text(side, text, at, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        events = [*self._settle(), *self._answered(Outcome.UNKNOWN)]
        events = [replace(event, outcome=Outcome.UNKNOWN) if isinstance(event, Login) else event for event in events]
        self._ntlm.forget()
        self._state[side] = "data"
        self._forget()
        return events

    def close(self) -> Sequence[Event]:
        return [*self._settle(), *self._answered(Outcome.UNKNOWN)]

    def _settle(self, *, went_on: bool = False) -> list[Event]:
        """The login, with what became of it. One typed ahead is none if no password was asked for."""
        login, self._login = self._login, None
        ahead, self._ahead = self._ahead, False
        if login is None or (ahead and not asks_password(self._answer)):
            return []
        outcome = verdict(self._answer, self._tail, much=self._printed_size > MAX_ANSWER, went_on=went_on)
        return [replace(login, outcome=outcome)]

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
            if byte == _ECHO and side is Side.SERVER:
                self._hides = self._verb[side] == _WILL
        elif byte == SE:
            self._state[side] = "data"
            self._subnegotiation(side, bytes(self._option[side]), at + 1, events)
        else:
            self._state[side] = "sub"
            if byte == IAC:
                self._option[side].append(IAC)

    def _subnegotiation(self, side: Side, option: bytes, at: int, events: list[Event]) -> None:
        kind, said = option[:1], option[1:2]
        if kind == _START_TLS and said == _FOLLOWS:
            self._start_tls(side, at, events)
        elif kind == _ENCRYPT and said == _START:
            self._encrypted[side] = True
            if all(self._encrypted):
                events.append(Posture(span=Span(side, at - 1, at), encryption=Encryption.ENCRYPTED, why="Telnet ENCRYPT option (RFC 2946)"))
        elif kind in (_ENVIRON, _NEW_ENVIRON) and side is Side.CLIENT and self._user is None:
            found = _ENVIRON_USER.search(option)
            if found:
                self._user = decode(found[1])
        elif kind == _AUTHENTICATION:
            self._authenticate(side, option, at, events)

    def _start_tls(self, side: Side, at: int, events: list[Event]) -> None:
        """Both sides say that TLS follows (draft-altman-telnet-starttls); the client's hello comes after the server's word."""
        self._follows[side] = at
        client, server = self._follows
        if client is not None and server is not None:
            events.append(Upgrade(span=Span(side, at - 1, at), to="tls", status="granted", resume=(client, server)))
        else:
            events.append(Upgrade(span=Span(side, at - 1, at), to="tls", status="offered" if side is Side.SERVER else "asked"))

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
        """The server's output: it is kept until the client goes on."""
        self._tail = (self._tail + data)[-MAX_TAIL:]
        self._new = (self._new + data)[-MAX_TAIL:]
        if self._login is not None:
            self._answer += data[: MAX_TAIL - len(self._answer)]
            self._printed_size += len(data)
            if self._printed_size > MAX_ANSWER:
                events += self._settle()

    def _look(self) -> None:
        """Is what was printed a prompt? What is printed while a line is being typed is mostly its echo."""
        new, self._new = self._new, b""
        typed = bytes(self._line.data)
        if self._form and self._prompt:
            return
        kind, line = prompt(self._tail, typed)
        if not typed and kind != "user" and is_form(self._tail):
            kind = "form"
        if kind and typed and clean(new).strip() and not kind == self._prompt == "user":
            self._line = _Line()
        if kind or not typed:
            self._prompt, self._asked = kind, line

    def _typed(self, data: bytes, at: int, events: list[Event]) -> None:
        """Keystrokes, edited as they are; a line ends with CR, CR NUL or CR LF (RFC 854)."""
        if self._new:
            self._look()
        for i, key in enumerate(data):
            if self._last_cr and key in (0, 10):
                self._last_cr = False
                continue
            self._last_cr = key == 13
            if self._login is not None and clean(self._answer).strip():
                events += self._settle(went_on=True)
            if self._escape:
                self._escape = 0 if self._escape > 1 and 0x40 <= key < 0x7F else 2 if key in b"[O" else self._escape + 1 if self._escape < 8 else 0
            elif key == 27:
                self._escape = 1
            elif key in (10, 13) or (key == 9 and self._prompt == "form"):
                self._entered(events)
            else:
                self._line.key(key, at + i)

    def _entered(self, events: list[Event]) -> None:
        line, self._line = self._line, _Line()
        asked, self._prompt = self._prompt, ""
        shown, text = last_line(self._tail), bytes(line.data)
        at_once, self._tail = not self._tail, b""
        after_user, self._form = self._prompted == "user", False
        if not asked and after_user and text and self._is_secret(shown, text):
            asked = "password"
        if asked in ("user", "form"):
            self._user = decode(text).strip() or None
            self._echoed, self._hides = bool(text) and echoes(shown, text), False
            self._command_line, self._maybe_user = b"", None
            if asked == "form":
                self._form, self._prompt = True, "password"
        elif asked == "password":
            events += self._settle()
            if text:
                user = whose(self._asked, self._command_line, self._user or self._maybe_user)
                self._take(line, user, ahead=False)
        elif after_user and at_once and text:
            events += self._settle()
            self._take(line, self._user, ahead=True)
        elif text:
            self._command_line = text.strip()
            self._maybe_user = decode(self._command_line) or None if question(shown.removesuffix(text)) else None
        self._prompted = "user" if asked in ("user", "form") else ""

    def _is_secret(self, shown: bytes, text: bytes) -> bool:
        """After a user name that was echoed, what is not echoed is a password, whatever the words of its prompt."""
        return (self._echoed or self._hides) and any_prompt(shown) and not echoes(shown, text)

    def _take(self, line: _Line, user: str | None, *, ahead: bool) -> None:
        span = Span(Side.CLIENT, line.start, line.end)
        self._login = Login(span=span, mechanism="login dialogue", username=user, secret=Secret(decode(bytes(line.data))), where="answer to a password prompt")
        self._answer, self._printed_size, self._ahead = b"", 0, ahead


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
    if _OTHERS.match(server) or b"\0" in server[:64].replace(b"\r\0", b""):
        return Match.NO
    if dialogue(server) and _typed_like(client):
        return Match.YES
    return Match.MORE if _typed_like(client) else Match.NO


def _typed_like(data: bytes) -> bool:
    return all(c >= 0x20 or c in b"\r\n\0\x08\x09\x1b\x03\x04\x15\x17" for c in data[:64])


def _negotiates(data: bytes) -> Match:
    """IAC, a verb, an option that exists; two such, or one and nothing but text behind it."""
    at = 0
    while len(bare := data[at : at + 2]) == 2 and bare[0] == IAC and bare[1] in _BARE and at < _MAX_BARE:
        at += 2
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
