"""PostgreSQL frontend/backend protocol 3.0 and 3.2 (PostgreSQL documentation, "Frontend/Backend Protocol")."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._postgresql2 import STARTUP, Version2
from sniffer.dissectors._postgresql_login import Authentication
from sniffer.dissectors._postgresql_probe import (
    BACKEND,
    CANCEL,
    DIGEST,
    FRONTEND,
    GSS_REQUEST,
    MAX_STARTUP,
    SSL_REQUEST,
    probe,
)
from sniffer.dissectors._spec import Spec
from sniffer.dissectors._sqltext import statements
from sniffer.dissectors._turns import BEGINS, LOST, SURE, Footing
from sniffer.errors import Malformed
from sniffer.events import (
    Content,
    Done,
    Encryption,
    Event,
    Greeting,
    Outcome,
    Posture,
    Side,
    Skip,
    Span,
    Upgrade,
)
from sniffer.secret import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Held of one message; rows and COPY data beyond it are passed over, and the rest of the session is read on.
MAX_MESSAGE = 1 << 20
MAX_COLUMNS = 1600  # the server's own limit on columns
_LENGTH = struct.Struct("!I")
_ROWS = frozenset(b"D")
# Messages of the server that say nothing of interest: commands and portals completed, ready for the next.
_SILENT = frozenset(b"CIZ123nst")
# Between the values of rows in text format stand their lengths, which begin with two zero bytes as no text does (or
# are -1 for NULL). Binary values come out garbled; they are not text anyway.
_NULL, _EMPTY = b"\xff\xff\xff\xff", b"\0\0\0\0"
_ROW_HEAD = re.compile(rb"D\0[\0-\x10]..\0.\0[\0-\x10]..", re.S)
_BETWEEN = re.compile(rb"\0[\0-\x10]..", re.S)


class PostgreSql:
    """Startup, authentication with the server's verdict, then statements and rows."""

    __slots__ = ("_buffers", "_columns", "_footing", "_gaps", "_login", "_old", "_over", "_rows", "_rows_at", "_started", "_waiting")

    def __init__(self) -> None:
        self._buffers = (Buffer(4 * MAX_MESSAGE), Buffer(4 * MAX_MESSAGE))
        self._started = [False, False]
        self._waiting: str | None = None  # the encryption asked for, until the server's one byte
        self._login = Authentication()
        self._old: Version2 | None = None
        self._columns: list[bytes] = []
        self._rows: list[bytes] = []
        self._rows_at = 0
        self._gaps = False  # whether there were any: only then is it asked where messages begin
        self._footing = Footing()
        self._over = [0, 0]  # what is left of a message too long to hold

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        if self._gaps and self._footing.turn(side):
            buffer.clear()
        buffer.feed(offset, data)
        events: list[Event] = []
        step = self._client if side is Side.CLIENT else self._server
        while step(buffer, events):
            if events and (type(events[-1]) is Done or (type(events[-1]) is Upgrade and events[-1].resume is not None)):
                return events
        if side is Side.SERVER and self._rows:
            self._flush(buffer.start, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        """Without message boundaries the way back into the stream is a type and a length that fit, here or where a turn begins."""
        if not self._started[side]:
            self._cut_startup(side)
        self._buffers[side].clear()
        self._over[side] = max(0, self._over[side] - size)
        self._gaps = True
        self._footing.gap(side)
        self._rows, self._columns = [], []
        self._login.forget()
        self._waiting = None
        self._started[side] = True
        return self._old.lost() if self._old is not None else self._login.settle(Outcome.UNKNOWN)

    def close(self) -> Sequence[Event]:
        return self._old.settle(Outcome.UNKNOWN) if self._old is not None else self._login.settle(Outcome.UNKNOWN)

    # The client's side.

    def _client(self, buffer: Buffer, events: list[Event]) -> bool:
        if not self._started[Side.CLIENT]:
            return self._startup(buffer, events)
        if self._old is not None:
            return self._old.client(buffer, events)
        return self._message(Side.CLIENT, buffer, events)

    def _startup(self, buffer: Buffer, events: list[Event]) -> bool:
        head = buffer.peek(8)
        if head is None:
            return False
        size, code = struct.unpack("!II", head)
        if self._waiting == "tls" and head.startswith(b"\x16\x03"):
            # The server's answer was not seen, or is yet to come.
            start, answer = buffer.start, self._buffers[Side.SERVER].end + 1
            events.append(Upgrade(span=Span(Side.CLIENT, start, start + 1), to="tls", status="granted", resume=(start, answer)))
            return True
        if head[0] in FRONTEND and head[0] != 0:
            self._started[Side.CLIENT] = True  # joined in the middle
            return True
        if not 8 <= size <= MAX_STARTUP:
            raise Malformed("not a PostgreSQL startup packet")
        start = buffer.start
        packet = buffer.take(size)
        if packet is None:
            return False
        span = Span(Side.CLIENT, start, buffer.start)
        if code in (SSL_REQUEST, GSS_REQUEST):
            self._waiting = "tls" if code == SSL_REQUEST else "gss"
            events.append(Upgrade(span=span, to=self._waiting, status="asked"))
        elif code == CANCEL:
            return True
        elif code >> 16 == 3:
            self._parameters(packet[8:])
            self._started[Side.CLIENT] = True
        elif code >> 16 == 2 and size == STARTUP:
            self._old = Version2(packet)
            self._started[Side.CLIENT] = True
        else:
            raise Malformed("a PostgreSQL protocol version that does not exist")
        return True

    def _cut_startup(self, side: Side) -> None:
        """Of a startup packet cut short by a capture's snap length, the parameters that are whole."""
        held = self._buffers[side].rest()
        if side is Side.CLIENT and held[4:6] == b"\0\3":
            self._parameters(held[8 : held.rfind(b"\0") + 1])

    def _parameters(self, data: bytes) -> None:
        words = data.split(b"\0")
        pairs = dict(zip(words[::2], words[1::2], strict=False))
        if pairs.get(b"user"):
            self._login.user = decode(pairs[b"user"])

    # Messages of either side: a type, a length that counts itself, a body.

    def _message(self, side: Side, buffer: Buffer, events: list[Event]) -> bool:
        if self._over[side]:
            taken = min(self._over[side], len(buffer))
            buffer.take(taken)
            self._over[side] -= taken
            return taken > 0
        data, at = buffer.window()
        held = len(data) - at
        if held < 5:
            return False
        size = _LENGTH.unpack_from(data, at + 1)[0]
        kinds = BACKEND if side else FRONTEND
        if self._gaps and self._footing.at[side] != SURE and not self._fits(side, data[at] in kinds, size):
            buffer.clear()
            return False
        if data[at] not in kinds or size < 4 or size > 1 << 30:
            raise Malformed("not a PostgreSQL message")
        if size > MAX_MESSAGE:
            start = buffer.start
            buffer.take(5)
            self._over[side] = size - 4
            events.append(Skip(span=Span(side, start, start + 1 + size)))
            # What is skipped is not delivered again.
            if len(buffer) < size - 4:
                buffer.clear()
                self._over[side] = 0
            return True
        if held <= size:
            return False
        start = buffer.start
        buffer.skip(1 + size)
        message = data[at : at + 1 + size]
        if side is Side.CLIENT:
            self._frontend(message, start, events)
        else:
            self._backend(message, start, events)
        return True

    def _fits(self, side: Side, known: bool, size: int) -> bool:
        """After a gap: whether the head of a message can be one."""
        at = self._footing.at
        fits = known and at[side] != LOST and 4 <= size <= MAX_MESSAGE
        if not fits:
            at[side] = LOST
        elif at[side] == BEGINS:
            at[side] = SURE
        return fits

    def _frontend(self, message: bytes, start: int, events: list[Event]) -> None:
        kind = message[:1]
        if kind == b"p":
            self._login.response(message[5:], start + 5, events)
        elif kind in (b"Q", b"P"):
            body = message[5:]
            at = 5
            if kind == b"P":  # a statement's name comes first
                name = body.find(b"\0") + 1
                body, at = body[name:], at + name
            text = body.split(b"\0", 1)[0]
            span = Span(Side.CLIENT, start + at, start + at + len(text))
            if text:
                events.append(Content(span=span, data=text, media="application/sql", where="statement"))
                events.extend(statements(text, start + at))
        elif kind == b"d" and self._login.asked == DIGEST:
            self._login.digest(message, start)
        elif kind in (b"d", b"B") and len(message) > 12:
            events.append(Content(span=Span(Side.CLIENT, start + 5, start + len(message)), data=message[5:], media="text/plain", where="COPY data" if kind == b"d" else "bound parameters"))

    # The server's side.

    def _server(self, buffer: Buffer, events: list[Event]) -> bool:
        if self._waiting is not None:
            return self._encryption(buffer, events)
        if not self._started[Side.SERVER]:
            return self._first(buffer)
        if self._old is not None:
            return self._old.server(buffer, events)
        if self._columns and not self._over[Side.SERVER]:
            self._run(buffer)
        return self._message(Side.SERVER, buffer, events)

    def _first(self, buffer: Buffer) -> bool:
        """With the client unseen, what the server says first may be the answer to a request for TLS: no message follows then."""
        head = buffer.peek(2)
        if head is None:
            return False
        if not self._buffers[Side.CLIENT].end and (head == b"S\x16" or head == b"NR"):
            self._waiting = "tls"
        self._started[Side.SERVER] = True
        return True

    def _run(self, buffer: Buffer) -> None:
        """All whole rows at once, and what ends them: most bytes of a database session are rows, and one by one they cost ten
        times this.
        """
        data, start = buffer.window()
        end = len(data)
        rows = _whole(data, start, end, _ROWS)
        if rows > start:
            self._keep(data[start:rows], buffer.start)
        after = _whole(data, rows, end, _SILENT)
        if after > start:
            buffer.skip(after - start)

    def _encryption(self, buffer: Buffer, events: list[Event]) -> bool:
        """One byte: S or G and the handshake follows, N and the session goes on in the clear, E from old servers."""
        start = buffer.start
        answer = buffer.peek(1)
        if answer is None:
            return False
        to, self._waiting = self._waiting or "tls", None
        if answer == b"E":
            self._started[Side.SERVER] = True
            events.append(Upgrade(span=Span(Side.SERVER, start, start + 1), to=to, status="refused"))
            return True
        buffer.take(1)
        span = Span(Side.SERVER, start, start + 1)
        if answer == b"G":
            why = "the server answered GSSENCRequest with G"
            events += [Upgrade(span=span, to=to, status="granted"), Posture(span=span, encryption=Encryption.ENCRYPTED, why=why), Done(span=span)]
        elif answer == b"S":
            events.append(Upgrade(span=span, to=to, status="granted", resume=(self._buffers[0].start, start + 1)))
        elif answer == b"N":
            events.append(Upgrade(span=span, to=to, status="refused"))
            if to == "tls":
                events.append(Posture(span=span, encryption=Encryption.REFUSED, why="the server answered SSLRequest with N"))
        else:
            raise Malformed("not an answer to SSLRequest")
        return True

    def _backend(self, message: bytes, start: int, events: list[Event]) -> None:
        kind = message[:1]
        if kind == b"D":
            self._keep(message, start)
        elif kind == b"T":
            self._flush(start, events)
            self._describe(message)
        elif kind == b"R":
            self._login.request(message, events)
        elif kind == b"E":
            if self._login.asked is not None or self._login.login is not None:
                events += self._login.settle(Outcome.REJECTED)
        elif kind == b"S":
            name, _, rest = message[5:].partition(b"\0")
            if name == b"server_version":
                events.append(Greeting(span=Span(Side.SERVER, start, start + len(message)), product="PostgreSQL", version=decode(rest.split(b"\0", 1)[0])[:40]))
        elif kind == b"d" and len(message) > 12:
            events.append(Content(span=Span(Side.SERVER, start + 5, start + len(message)), data=message[5:], media="text/plain", where="COPY data"))

    def _describe(self, message: bytes) -> None:
        """Column names of the rows that follow, so that what stands under a name is known by it."""
        count = int.from_bytes(message[5:7], "big")
        at = 7
        self._columns = []
        for _ in range(min(count, MAX_COLUMNS)):
            end = message.find(b"\0", at)
            if end < 0:
                break
            self._columns.append(message[at:end])
            at = end + 19

    def _keep(self, line: bytes, start: int) -> None:
        if not self._rows:
            self._rows_at = start
        self._rows.append(line)

    def _flush(self, end: int, events: list[Event]) -> None:
        """The rows of this turn, under their column names, as lines of values."""
        if not self._rows:
            return
        rows, self._rows = b"".join(self._rows), []
        # With NULL made empty both patterns begin with a byte of their own, which is looked for twice as fast.
        text = _BETWEEN.sub(b"\t", _ROW_HEAD.sub(b"\n", rows.replace(_NULL, _EMPTY)))
        data = b"\t".join(self._columns) + text
        events.append(Content(span=Span(Side.SERVER, self._rows_at, max(end, self._rows_at)), data=data, media="text/tab-separated-values", where="result rows"))


def _whole(data: bytes, at: int, end: int, kinds: frozenset[int]) -> int:
    """Where the whole messages of these kinds that begin at ``at`` end."""
    length = _LENGTH.unpack_from
    while at + 5 <= end and data[at] in kinds:
        after: int = at + 1 + length(data, at + 1)[0]
        if after > end or after < at + 5:
            break
        at = after
    return at


SPEC = Spec(
    name="postgresql",
    title="PostgreSQL, protocol 3",
    # PostgreSQL; PgBouncer; Pgpool; Redshift; CockroachDB.
    ports=(5432, 5433, 6432, 9999, 5439, 26257),
    probe=probe,
    stream=PostgreSql,
    tier="database",
    remedy="Set ssl=on and hostssl in pg_hba.conf, and sslmode=verify-full in the clients.",
)
