"""MySQL and MariaDB client/server protocol (MySQL internals manual, "Client/Server Protocol"; MariaDB knowledge base)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._mysql_compressed import Layer, TooLong
from sniffer.dissectors._mysql_login import Authentication
from sniffer.dissectors._mysql_probe import probe
from sniffer.dissectors._mysql_result import BULK_EXECUTE, EXECUTE, PREPARE, QUERY, Results, binlog_statement
from sniffer.dissectors._spec import Spec
from sniffer.dissectors._sqltext import statements
from sniffer.dissectors._turns import BEGINS, LOST, SURE, Footing
from sniffer.errors import Malformed
from sniffer.events import Anomaly, Content, Done, Event, Outcome, Side, Skip, Span, Statement, Upgrade
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Held of one packet; rows and blobs beyond it are passed over.
MAX_PACKET = 1 << 20
_CHANGE_USER, _REGISTER_SLAVE, _LONG_DATA = 17, 21, 24
_COMMANDS = frozenset((*range(1, 33), *range(0xFA, 0xFF)))


class MySql:
    """Greeting, login with the server's verdict, then statements and rows."""

    __slots__ = ("_authentication", "_buffers", "_footing", "_layer", "_logging_in", "_results")

    def __init__(self) -> None:
        self._buffers = (Buffer(2 * MAX_PACKET), Buffer(2 * MAX_PACKET))
        self._authentication = Authentication()
        self._logging_in = True
        self._results = Results()
        self._layer: Layer | None = None  # the compressed packets that hold all since the login
        self._footing = Footing()

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        if self._footing.turn(side):
            self._buffers[side].clear()
        if self._layer is not None:
            return self._unpack(side, offset, data)
        events = self._read(side, offset, data)
        if self._layer is None:
            return events
        rest = [buffer.window() for buffer in self._buffers]
        for of, (held, at) in zip(Side, rest, strict=True):
            start = self._buffers[of].start
            self._buffers[of].clear()
            if at < len(held):
                events += self._unpack(of, start, held[at:])
        return events

    def _unpack(self, side: Side, offset: int, data: bytes) -> list[Event]:
        """What the compressed packets hold. Its events stand where the packets stood that they came in."""
        assert self._layer is not None
        events: list[Event] = []
        try:
            for span, at, inside in self._layer.feed(side, offset, data):
                events += [replace(event, span=span) for event in self._read(side, at, inside) if not isinstance(event, Skip)]
        except TooLong:
            span = Span(side, offset, offset + len(data))
            events += [*self.close(), Anomaly(span=span, reason="a compressed packet longer than the limit"), Done(span=span)]
        return events

    def _read(self, side: Side, offset: int, data: bytes) -> list[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        layer = self._layer
        while self._packet(side, buffer, events):
            if self._layer is not layer or (events and type(events[-1]) is Upgrade and events[-1].resume is not None):
                return events
        if side is Side.SERVER:
            self._flush(buffer.start, events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        self._buffers[side].clear()
        self._results = Results()
        self._footing.gap(side)
        # With the greeting lost in whole or in part, the client's login can still be read, though not what it answers to.
        self._logging_in = self._logging_in and side is Side.SERVER and not self._authentication.asked
        compressed = self._layer is not None or (self._authentication.asked and self._authentication.coding)
        events = self._authentication.lost()
        if compressed:
            events.append(Done(span=Span(side, offset, offset)))  # compressed packets cannot be found again
        return events

    def close(self) -> Sequence[Event]:
        return self._authentication.settle(Outcome.UNKNOWN)

    def _packet(self, side: Side, buffer: Buffer, events: list[Event]) -> bool:
        """One packet: three bytes of length, one of sequence. False when more bytes are needed."""
        head = buffer.peek(4)
        if head is None:
            return False
        size, number = int.from_bytes(head[:3], "little"), head[3]
        if self._footing.at[side] != SURE and not self._fits(side, size, number):
            buffer.clear()
            return False
        if side is Side.CLIENT and not number and self._unanswered(events):
            return False
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

    def _fits(self, side: Side, size: int, number: int) -> bool:
        """After a gap: whether this is the head of a packet, as far as can be told. Text that is read as one has a length
        beyond all limits; where a turn begins, a command or its answer does.
        """
        at = self._footing.at
        first = int(side is Side.SERVER)
        fits = at[side] != LOST and 0 < size <= MAX_PACKET and (at[side] != BEGINS or number == first or self._logging_in)
        if not fits:
            at[side] = LOST
        elif at[side] == BEGINS:
            at[side] = SURE
        return fits

    def _pass_over(self, side: Side, buffer: Buffer, size: int, events: list[Event]) -> bool:
        if self._logging_in:
            raise Malformed("a MySQL login packet longer than the limit")
        if self._layer is not None:
            raise TooLong
        start = buffer.start
        events.append(Skip(span=Span(side, start, start + 4 + size)))
        buffer.take(4)
        if len(buffer) < size:
            buffer.clear()  # what is skipped is not delivered again
        else:
            buffer.take(size)
        return True

    def _unanswered(self, events: list[Event]) -> bool:
        """A command while the login has no verdict: without any word of the server the capture has only the client's side.
        True if what begins here is a compressed packet.
        """
        if not (self._logging_in and self._authentication.asked) or self._buffers[Side.SERVER].end:
            return False
        self._logging_in = False
        events += self._authentication.settle(Outcome.UNKNOWN)
        if self._layer is None and self._authentication.coding:
            self._layer = Layer(self._authentication.coding)
            return True
        return False

    # The client's side.

    def _client(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if self._logging_in and number == 0 and not self._authentication.greeted:
            self._logging_in = False  # joined in the middle
        if self._logging_in and (number or not self._authentication.asked):
            self._authentication.client(body, at, self._buffers[1].end, events)
        elif number and body and self._results.state == "infile":
            events.append(Content(span=Span(Side.CLIENT, at, at + len(body)), data=body, media="text/plain", where="LOCAL INFILE data"))
        elif number == 0 and body:
            self._command(body, at, events)

    def _command(self, body: bytes, at: int, events: list[Event]) -> None:
        kind = body[0]
        if kind == _CHANGE_USER:
            self._logging_in = True
            self._authentication.change_user(body, at, events)
            return
        self._results.asked(kind)
        if kind in (QUERY, PREPARE) and len(body) > 1:
            text = body[1:].removeprefix(b"\0\1")  # no query attributes (CLIENT_QUERY_ATTRIBUTES)
            at += len(body) - 1 - len(text)
            events.append(Content(span=Span(Side.CLIENT, at + 1, at + 1 + len(text)), data=text, media="application/sql", where="statement"))
            events.extend(statements(text, at + 1, escapes=True))
        elif kind in (EXECUTE, BULK_EXECUTE, _LONG_DATA) and len(body) > 14:
            events.append(Content(span=Span(Side.CLIENT, at + 5, at + len(body)), data=body[5:], media="text/plain", where="bound parameters"))
        elif kind == _REGISTER_SLAVE:
            self._replica(body, at, events)

    def _replica(self, body: bytes, at: int, events: list[Event]) -> None:
        """COM_REGISTER_SLAVE: the replica's number, then its host, user and password as it wants them shown (report_password)."""
        place = 5
        words: list[bytes] = []
        for _ in range(3):
            size = body[place] if place < len(body) else 0
            words.append(body[place + 1 : place + 1 + size])
            place += 1 + size
        if words[2] and place <= len(body):
            span = Span(Side.CLIENT, at + place - len(words[2]), at + place)
            events.append(Statement(span=span, mechanism="COM_REGISTER_SLAVE", username=decode(words[1]) or None, secret=Secret(decode(words[2])), where="report_password"))

    # The server's side.

    def _server(self, body: bytes, number: int, at: int, events: list[Event]) -> None:
        if not body:
            return
        if not self._logging_in:
            self._results.answer(body, number)
            if self._results.state == "binlog" and (event := binlog_statement(body)):
                place, text = at + event[0], event[1]
                events.append(Content(span=Span(Side.SERVER, place, place + len(text)), data=text, media="application/sql", where="replicated statement"))
                events.extend(statements(text, place, Side.SERVER, escapes=True))
            return
        self._logging_in = self._authentication.server(body, number, at, events)
        if not self._logging_in and self._layer is None and self._authentication.coding:
            self._layer = Layer(self._authentication.coding)

    def _flush(self, end: int, events: list[Event]) -> None:
        events.extend(Content(span=Span(Side.SERVER, max(0, end - len(data)), end), data=data, media="text/csv", where="result rows") for data in self._results.blocks())


SPEC = Spec(
    name="mysql",
    title="MySQL, client/server protocol 10",
    # MySQL; TiDB; MaxScale; ProxySQL; MySQL Router; Doris and StarRocks; Vitess; OceanBase.
    ports=(3306, 3307, 4000, 4006, 6033, 6446, 6447, 9030, 15306, 2881, 2883),
    probe=probe,
    stream=MySql,
    tier="database",
    remedy="Set require_secure_transport=ON, and ssl-mode=VERIFY_IDENTITY in the clients.",
)
