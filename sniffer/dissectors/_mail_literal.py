"""One side of an IMAP session: its lines, and the literals between them (RFC 9051 section 4.3)."""

from __future__ import annotations

from enum import Enum

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mail import MAX_LINE, Mail
from sniffer.dissectors._mime import contents
from sniffer.events import Content, Span

# Of a longer line (a SEARCH result, a set of message numbers) only both ends are kept, with a NUL between them, which
# no line may hold (RFC 9051 section 9): enough for its tag, its verb and the literal it may end with.
_ENDS = 256


class Use(Enum):
    """What a literal holds."""

    SKIP = 0
    MAIL = 1
    PIECE = 2  # a mail's part without its header
    ARGUMENT = 3  # of LOGIN


class Half:
    """One side: its bytes, the literal being read, and the line that goes on after it."""

    __slots__ = ("buffer", "left", "long", "mail", "open", "size", "tail", "use")

    def __init__(self) -> None:
        self.buffer = Buffer()
        self.left = self.size = 0  # bytes of a literal still to come, and of it in all
        self.use = Use.SKIP
        self.mail: Mail | None = None
        self.open = False  # the next line goes on with the command or response before the literal
        self.long: bytes | None = None  # the beginning of an overlong line
        self.tail = b""

    def line(self) -> bytes | None:
        """The next line, an overlong one as its two ends."""
        buffer = self.buffer
        if self.long is None and buffer.find(b"\n", MAX_LINE) >= 0:
            return buffer.line(MAX_LINE)
        length = buffer.find(b"\n")
        if length < 0 and self.long is None and len(buffer) < MAX_LINE:
            return None
        taken = buffer.take(length + 1) or b"" if length >= 0 else buffer.rest()
        if self.long is None:
            self.long = taken[:_ENDS]
        self.tail = (self.tail + taken)[-_ENDS:]
        if length < 0:
            return None
        line = self.long + b"\0" + self.tail.rstrip(b"\r\n")
        self.long, self.tail = None, b""
        return line

    def forget(self) -> list[Content]:
        """After a gap: what was seen of a mail is given."""
        self.buffer.clear()
        mail, self.mail, self.left, self.open, self.long, self.tail = self.mail, None, 0, False, None, b""
        return given(mail, self.use)


def given(mail: Mail | None, use: Use) -> list[Content]:
    """The contents of a literal."""
    if mail is None or not mail.data:
        return []
    if use is Use.MAIL:
        return mail.contents()
    return contents(bytes(mail.data), Span(mail.side, mail.start, mail.start + mail.size), mail=False)
