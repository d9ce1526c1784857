"""MySQL and MariaDB client/server protocol (MySQL internals manual, "Client/Server Protocol"; MariaDB knowledge base)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mysql_login import Authentication, lenenc
from sniffer.dissectors._mysql_probe import probe
from sniffer.dissectors._spec import Spec
from sniffer.dissectors._sqltext import statements
from sniffer.errors import Malformed
from sniffer.events import Content, Done, Event, Outcome, Side, Skip, Span, Upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

# Held of one packet; rows and blobs beyond it are passed over.
MAX_PACKET = 1 << 20
_QUERY, _PREPARE, _CHANGE_USER = 3, 22, 17


class MySql:
    """Greeting, login with the server's verdict, then statements and rows."""

    __slots__ = ("_authentication", "_buffers", "_columns", "_in", "_logging_in", "_text")

    def __init__(self) -> None:
        self._buffers = (Buffer(2 * MAX_PACKET), Buffer(2 * MAX_PACKET))
        self._authentication = Authentication()
        self._logging_in = True
        self._columns: list[bytes] = []
        self._in = ""  # inside a result set: "", "columns", "rows", or "infile"
        self._text: list[bytes] = []

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        while self._packet(side, buffer, events):
            if events and type(events[-1]) in (Upgrade, Done) and (type(events[-1]) is Done or events[-1].resume is not None):  # type: ignore[attr-defined]
                return events
        if side is Side.SERVER:
            self._flush(buffer.start, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        self._buffers[side].clear()
        self._in, self._text = "", []
        self._logging_in = False
        return self._authentication.lost()

    def close(self) -> Sequence[Event]:
        return self._authentication.settle(Outcome.UNKNOWN)

    def _packet(self, side: Side, buffer: Buffer, events: list[Event]) -> bool:
        """One packet: three bytes of length, one of sequence. False when more bytes are needed."""
        head = buffer.peek(4)
        if head is None:
            return False
        size, number = int.from_bytes(head[:3], "little"), head[3]
        if size > MAX_PACKET:
            return self._pass_over(side, buffer, size, events)
        start = buffer.start
        packet = buffer.take(4 + size)
        if packet is None:
            return False
        if side is Side.CLIENT:
            self._client(packet[4:], number, start + 4, events)
        else:
            self._server(packet[4:], number, start + 4, events)
        return True

    def _pass_over(self, side: Side, buffer: Buffer, size: int, events: list[Event]) -> bool:
        if self._logging_in:
            raise Malformed("a MySQL login packet longer than the limit")
        start = buffer.start
        events.append(Skip(span=Span(side, start, start + 4 + size)))
        buffer.take(4)
        if len(buffer) < size:
            buffer.clear()  # what is skipped is not delivered again
        else:
            buffer.take(size)
        return True

    # The client's side.

    def _client(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if self._logging_in and number == 0 and not self._authentication.greeted:
            self._logging_in = False  # joined in the middle
        if self._logging_in:
            self._authentication.client(body, at, self._buffers[1].end, events)
        elif number and body and self._in == "infile":
            events.append(Content(span=Span(Side.CLIENT, at, at + len(body)), data=body, media="text/plain", where="LOCAL INFILE data"))
        elif number == 0 and body:
            self._command(body, at, events)

    def _command(self, body: bytes, at: int, events: list[Event]) -> None:
        kind = body[0]
        if kind in (_QUERY, _PREPARE) and len(body) > 1:
            text = body[1:].removeprefix(b"\0\1")  # no query attributes (CLIENT_QUERY_ATTRIBUTES)
            at += len(body) - 1 - len(text)
            events.append(Content(span=Span(Side.CLIENT, at + 1, at + 1 + len(text)), data=text, media="application/sql", where="statement"))
            events.extend(statements(text, at + 1, escapes=True))
            self._in = "columns" if kind == _QUERY else ""
            self._columns, self._text = [], []
        elif kind == _CHANGE_USER:
            self._logging_in = True
            self._authentication.change_user(body, at, events)
        else:
            self._in = ""

    # The server's side.

    def _server(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if not body:
            return
        if self._logging_in:
            self._logging_in = self._authentication.server(body, number, at, events)
        elif self._in:
            self._result(body)

    def _result(self, body: bytes) -> None:
        """Column definitions, then rows, each up to an EOF or OK packet (or without, when they are deprecated)."""
        kind = body[0]
        if kind in (0xFF, 0, 0xFB) and not self._columns and self._in == "columns":
            self._in = "infile" if kind == 0xFB else ""
        elif self._in == "infile":
            self._in = ""
        elif kind == 0xFE and len(body) < 9:
            self._in = "rows" if self._in == "columns" and self._columns else ""
        elif self._in == "columns":
            if body.startswith(b"\x03def"):
                self._columns.append(_column(body))
            elif self._columns:
                self._in = "rows"
                self._row(body)
        else:
            self._row(body)

    def _row(self, body: bytes) -> None:
        values: list[bytes] = []
        place = 0
        while place < len(body) and len(values) <= len(self._columns):
            if body[place] == 0xFB:
                values.append(b"")
                place += 1
                continue
            size, place = lenenc(body, place)
            value = body[place : place + size]
            values.append(b'"' + value.replace(b'"', b'""') + b'"' if b"," in value or b'"' in value or b"\n" in value else value)
            place += size
        self._text.append(b",".join(values))

    def _flush(self, end: int, events: list[Event]) -> None:
        if not self._text:
            return
        rows, self._text = self._text, []
        data = b"\n".join([b",".join(self._columns), *rows])
        events.append(Content(span=Span(Side.SERVER, max(0, end - len(data)), end), data=data, media="text/csv", where="result rows"))


def _column(body: bytes) -> bytes:
    """The name in a column definition: catalog, schema, table, original table, name."""
    place = 0
    value = b""
    for _ in range(5):
        size, place = lenenc(body, place)
        value = body[place : place + size]
        place += size
    return value


SPEC = Spec(
    name="mysql",
    title="MySQL, client/server protocol 10",
    ports=(3306, 3307),
    probe=probe,
    stream=MySql,
    tier="database",
    remedy="Set require_secure_transport=ON, and ssl-mode=VERIFY_IDENTITY in the clients.",
)
