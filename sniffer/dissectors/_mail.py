"""What the mail protocols share: bodies ended by a dot (RFC 5321 section 4.5.2, RFC 1939 section 3), names in banners."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mime import contents
from sniffer.dissectors._sasl import Sasl
from sniffer.events import ChallengeResponse, Content, Event, Greeting, Login, Outcome, Side, Span
from sniffer.secret import decode

# Of one mail this much is kept and looked into: text comes first, attachments are what makes mails larger. Its end is
# still found. Both sides of an IMAP session may hold one at a time.
MAX_MAIL = 1 << 20
# Commands and replies have 512 octets (RFC 5321 section 4.5.3.1), with AUTH 12288 (RFC 4954 section 4); Kerberos
# tokens of users in many groups pass that. What has no line end within this is no mail protocol.
MAX_LINE = 48 * 1024
# Commands whose replies are still to come: more than any client pipelines (Postfix stops at some hundred recipients a
# group). Beyond it (one side captured) the oldest are let go, pending logins among them as unknown.
MAX_PENDING = 256
# Unfinished exchanges held at a time, since each may hold a response of a line's length.
MAX_EXCHANGES = 16

_DOT = re.compile(rb"^\.", re.M)
_PRODUCTS = (
    "Postfix", "Exim", "Sendmail", "OpenSMTPD", "Haraka", "Courier-IMAP", "Courier", "Dovecot", "Cyrus", "qmail", "Qpopper",
    "QPOP", "hMailServer", "MailEnable", "Zimbra", "MDaemon", "IceWarp", "Kerio Connect", "CommuniGate Pro", "Lotus Domino",
    "IBM Domino", "Stalwart", "Maddy", "UW IMAP", "GroupWise", "Merak", "ArGoSoft", "Mercury", "GreenMail",
    "Microsoft ESMTP MAIL Service", "Microsoft Exchange",
)  # fmt: skip
_PRODUCT = re.compile(
    rb"\b(" + "|".join(_PRODUCTS).encode() + rb")\b(?:[^\r\n<>\[]{0,40}?\b[vV]?(\d{1,4}\.\d[\w.-]{0,20}))?", re.I
)
_AS_WRITTEN = {name.casefold(): name for name in _PRODUCTS}


def greeting(text: bytes, span: Span) -> list[Greeting]:
    """The server's product, if its banner names one that is known."""
    match = _PRODUCT.search(text[:512])
    if not match:
        return []
    name = decode(match[1])
    return [Greeting(span=span, product=_AS_WRITTEN.get(name.casefold(), name), version=decode(match[2]) if match[2] else None)]


class Mail:
    """A mail as it crosses: its first ``MAX_MAIL`` bytes and its true size."""

    __slots__ = ("data", "side", "size", "start")

    def __init__(self, side: Side, start: int) -> None:
        self.side = side
        self.start = start
        self.size = 0
        self.data = bytearray()

    def keep(self, data: bytes) -> None:
        """Append what comes."""
        self.size += len(data)
        if len(self.data) < MAX_MAIL:
            self.data += data[: MAX_MAIL - len(self.data)]

    def contents(self) -> list[Content]:
        """What is in it: the mail and its decoded parts."""
        span = Span(self.side, self.start, self.start + self.size)
        return contents(bytes(self.data), span) if self.data else []


class Dotted(Mail):
    """Lines up to one that is a single dot; in them, a leading dot is doubled."""

    __slots__ = ("_fresh", "_stop", "torn")

    def __init__(self, side: Side, start: int, newline: bytes = b"\r\n") -> None:
        super().__init__(side, start)
        self._stop = newline + b"." + newline
        self._fresh = True
        self.torn = False  # by a gap: its end may have been lost

    def read(self, buffer: Buffer) -> bool:
        """Take what is there; True once the end was found, which is then taken too."""
        newline = len(self._stop) // 2
        if self._fresh:
            mark = self._stop[newline:]
            head = buffer.peek(min(len(buffer), len(mark))) or b""
            if mark.startswith(head):
                if len(head) < len(mark):
                    return False
                buffer.take(len(mark))
                return True
            self._fresh = False
        length = buffer.find(self._stop)
        if length >= 0:
            self.keep(buffer.take(length + newline) or b"")
            buffer.take(len(self._stop) - newline)
            return True
        self.keep(buffer.take(max(0, len(buffer) - len(self._stop) + 1)) or b"")
        return False

    def tear(self, start: int) -> None:
        """A gap up to ``start``: what follows is another piece of the mail (take ``contents`` before)."""
        self.data, self.size, self.start = bytearray(), 0, start
        self._fresh, self.torn = False, True

    def lines(self) -> list[bytes]:
        """The body's lines."""
        return bytes(self.data).split(b"\n")

    def contents(self) -> list[Content]:
        """As for any mail, after the doubled dots were undone."""
        if self.data.startswith(b".") or b"\n." in self.data:
            self.data = bytearray(_DOT.sub(b"", bytes(self.data)))
        return super().contents()


_COMMAND = re.compile(rb"[ \t]*([^ \t]*)[ \t]?(.*)", re.S)
# Words of a refusal that is about the channel, not about the password: what was sent may well be right.
_WANTS_TLS = re.compile(rb"\b(?:START)?TLS\b|\bSTLS\b|\bSSL\b|\bencrypt|\bnon-?secure\b|\binsecure\b|\[PRIVACYREQUIRED\]|\bprivacy\b", re.I)


def command(line: bytes) -> tuple[bytes, bytes]:
    """A command's verb and argument. A person's blanks before the verb and a tab after it are taken as servers take them."""
    match = _COMMAND.fullmatch(line)
    return (match[1].upper(), match[2]) if match else (b"", b"")


def wants_tls(text: bytes) -> bool:
    """Whether a refusal asks for encryption first (RFC 4954 section 6, RFC 5530 section 3), no word on the login."""
    return _WANTS_TLS.search(text) is not None


def bare_newline(buffer: Buffer, start: int, line: bytes) -> bytes:
    """The line end a peer uses, told by the line just taken from ``start``."""
    return b"\n" if buffer.start - start == len(line) + 1 else b"\r\n"


class Claim:
    """A login that waits for the server's answer."""

    __slots__ = ("_event",)

    def __init__(self, event: Login | ChallengeResponse) -> None:
        self._event = event

    def finish(self, outcome: Outcome) -> list[Login | ChallengeResponse]:
        return [replace(self._event, outcome=outcome)]


# What stands in the queue for a command: its verb, or the login it made.
Entry = bytes | Sasl | Claim


def finished(entry: Entry | None, outcome: Outcome) -> Sequence[Event]:
    """The login of an entry, if it is one."""
    return () if entry is None or isinstance(entry, bytes) else entry.finish(outcome)


class Pending:
    """Commands in the order of the replies to come (RFC 2920, RFC 2449 section 6.6). Bounded: the oldest are let go."""

    __slots__ = ("_logins", "_queue")

    def __init__(self) -> None:
        self._queue: deque[Entry] = deque()
        self._logins = 0

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, entry: Entry) -> list[Event]:
        """Append a command; the events are of logins let go for it."""
        self._queue.append(entry)
        self._logins += not isinstance(entry, bytes)
        out: list[Event] = []
        while len(self._queue) > MAX_PENDING or self._logins > MAX_EXCHANGES:
            out += finished(self.next(), Outcome.UNKNOWN)
        return out

    def next(self) -> Entry | None:
        """Take the command that a reply belongs to."""
        if not self._queue:
            return None
        entry = self._queue.popleft()
        self._logins -= not isinstance(entry, bytes)
        return entry

    @property
    def head(self) -> Entry | None:
        return self._queue[0] if self._queue else None

    def seek(self, wanted: type | bytes) -> list[Event] | None:
        """Let go what waits before the first entry that is ``wanted`` (a verb or a class); None if there is none."""
        for at, entry in enumerate(self._queue):
            if entry == wanted if isinstance(wanted, bytes) else isinstance(entry, wanted):
                return [event for _ in range(at) for event in finished(self.next(), Outcome.UNKNOWN)]
        return None

    def settle(self) -> list[Event]:
        """Forget all pairings; logins wholly seen are given as unknown."""
        queue, self._queue, self._logins = self._queue, deque(), 0
        return [event for entry in queue for event in finished(entry, Outcome.UNKNOWN)]
