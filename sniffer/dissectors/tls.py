"""TLS, RFC 8446 and 5246, back to SSL 3.0 (RFC 6101) and SSL 2.0's hello (RFC 5246, appendix E.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors import _certificates, _tls_ssl2
from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._sealed import begins_sealed, sealed
from sniffer.dissectors._spec import Match, Spec
from sniffer.dissectors._tls_state import Handshake, Messages
from sniffer.errors import Malformed
from sniffer.events import Anomaly, Content, Done, Encryption, Event, Posture, Side, Span, Tls

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION, HEARTBEAT = 20, 21, 22, 23, 24
_KINDS = frozenset((CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION, HEARTBEAT))
# RFC 8446, 5.2: 2^14 and 256 bytes for the cipher's expansion; RFC 5246 allows 2048.
MAX_RECORD = (1 << 14) + 2048
# Both sides together; a handshake with a long chain and client certificates stays far below.
MAX_HANDSHAKE = 256 * 1024
# Of a client whose server has said nothing yet: early data (RFC 8446, 4.2.10) seldom may be more than 16 KiB.
MAX_EARLY = 32 * 1024
_FATAL = 2
# The version of China's TLCP (GB/T 38636-2020), whose records and messages are else those of TLS 1.1.
_TLCP = b"\1\1"
# An alert or data under the keys: the least that a cipher's tag or code adds is 16 bytes.
_MIN_SEALED = 17
# What a side can say first where the capture begins inside a handshake: certificate, its proof, key exchange, …
_MESSAGES = (frozenset((1, 11, 15, 16)), frozenset((0, 1, 2, 4, 6, 11, 12, 13, 14, 22)))


class TlsRecords:
    """Reads records until the keys change; then there is nothing more to be seen."""

    __slots__ = ("_buffers", "_changed", "_early", "_handshake", "_lost", "_messages", "_records", "_said", "_seen")

    def __init__(self) -> None:
        self._buffers = (Buffer(MAX_RECORD + 64 + (1 << 18)), Buffer(MAX_RECORD + 64 + (1 << 18)))
        self._messages = (Messages(), Messages())
        self._handshake = Handshake("t")
        self._changed = [False, False]
        self._records = [0, 0]
        self._early = False
        self._lost = 0  # bit of each side whose next record's place is not known
        self._seen = 0
        self._said = False

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        self._seen += len(data)
        if self._lost and self._still_lost(side):
            return self._bounded(side, offset)
        if not self._records[side] and (head := buffer.peek(3)) and head[0] & 0x80 and head[2] == (4 if side else 1):
            events += self._old_hello(buffer, side)
            if not self._records[side] or self._said:
                return events
        held, at = buffer.window()
        end, start = len(held), buffer.start
        while end - at >= 5:
            kind, size = held[at], held[at + 3] << 8 | held[at + 4]
            if kind not in _KINDS or (held[at + 1] != 3 and held[at + 1 : at + 3] != _TLCP) or size > MAX_RECORD:
                if self._joined_inside(side, data):
                    return [] if self._still_lost(side) else self.feed(side, buffer.end, b"")
                if self._handshake.version:  # the guess was right: what was shown before the damage stays true
                    return [*events, Anomaly(span=Span(side, start, start + 5), reason="no TLS record where one was due"), *self.gap(side, start, 0)]
                raise Malformed("no TLS record where one was due")
            if kind == APPLICATION and not self._handshake.null and not self._awaits(side, start):
                # Nothing in it can be read: no need to wait for the whole of it.
                events += self._established(Span(side, start, start + 5))
                return events
            if end - at - 5 < size:
                break
            buffer.skip(5 + size)
            self._records[side] += 1
            events += self._record(kind, held[at + 5 : at + 5 + size], Span(side, start, start + 5 + size))
            at += 5 + size
            start += 5 + size
            if self._said and not self._handshake.null:
                return events
        if at < end and not self._records[side] and held[at] not in _KINDS and not held[at] & 0x80:
            raise Malformed("no TLS record where one was due")  # too few bytes for the loop, as a keep-alive of one
        return events + self._bounded(side, offset) if self._seen > MAX_HANDSHAKE else events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        """Record boundaries are lost with the bytes; what the handshake showed before stays true.

        Where the server's choice is not among that, a later packet may show it, or application data: packets cut short
        by a snap length begin with records all the same.
        """
        span = Span(side, offset, offset)
        if self._said:
            return [Done(span=span)]
        events = self._cut(side)
        if self._handshake.version or self._early:
            return [*events, self._handshake.established(span, seen=self._early), Done(span=span)]
        self._lost |= 1 << side
        return events

    def close(self) -> Sequence[Event]:
        """The server has chosen, or the client went on under its keys: nothing of the rest could be read."""
        if self._said:
            return ()
        events = [*self._cut(Side.CLIENT), *self._cut(Side.SERVER)]
        if self._lost and not any(self._records) and not self._handshake.offered:
            events.append(Posture(span=Span(Side.CLIENT, 0, 0), encryption=Encryption.UNKNOWN, why="joined inside a record; looks encrypted"))
        if not (self._handshake.version or self._early):
            return events
        side = Side.SERVER if self._handshake.version else Side.CLIENT
        end = self._buffers[side].start
        return [*events, self._handshake.established(Span(side, end, end), seen=self._early)]

    def _bounded(self, side: Side, offset: int) -> list[Event]:
        if self._seen <= MAX_HANDSHAKE or self._handshake.null:
            return []
        span = Span(side, offset, self._buffers[side].end)
        return [Anomaly(span=span, reason="a handshake without end"), Done(span=span)]

    def _still_lost(self, side: Side) -> bool:
        """After a hole, or where the capture begins inside a record: the next record is looked for."""
        if not self._lost & 1 << side:
            return False
        buffer = self._buffers[side]
        held, at = buffer.window()
        found = _next_record(held[at:])
        if found < 0:
            if len(buffer) >= 5:
                buffer.clear()
            return True
        buffer.skip(found)
        self._lost &= ~(1 << side)
        return False

    def _joined_inside(self, side: Side, data: bytes) -> bool:
        """Whether the capture begins inside a record of this side: ciphertext, which may end where the next record begins."""
        if self._records[side] or not sealed(data):
            return False
        self._lost |= 1 << side
        return True

    def _cut(self, side: Side) -> list[Event]:
        """What stands of hellos in a record or message that is not all there."""
        held, messages = self._buffers[side].rest(), self._messages[side]
        span = Span(side, self._buffers[side].start - len(held), self._buffers[side].start)
        events: list[Event] = []
        if len(held) > 5 and held[0] == HANDSHAKE and not self._changed[side] and not self._handshake.version:
            for number, message in messages.feed(held[5:]):
                events += self._handshake.message(number, message, span)
        kind, body = messages.rest()
        return events if self._handshake.version else events + self._handshake.part(kind, body, span)

    def _awaits(self, side: Side, start: int) -> bool:
        """Whether a client's records come before its server's first word: early data, or a capture of one side."""
        if side or self._records[1] or not self._handshake.offered or start > MAX_EARLY:
            return False
        self._early = True
        return True

    def _old_hello(self, buffer: Buffer, side: Side) -> list[Event]:
        """An SSL 2.0 record with a hello. After a client's, what follows is of the version that the server chooses."""
        head = buffer.peek(2) or b"\0\0"
        record = buffer.take(2 + ((head[0] & 0x7F) << 8 | head[1]))
        if record is None:
            return []
        self._records[side] += 1
        span = Span(side, buffer.start - len(record), buffer.start)
        if side is Side.CLIENT:
            return [Anomaly(span=span, reason="an SSL 2.0 client hello")]
        if _tls_ssl2.server(record) is not Match.YES:
            raise Malformed("no TLS record where one was due")
        hello = _tls_ssl2.server_hello(record)
        self._handshake.choose("SSL 2.0", hello.cipher or "")
        return [Tls(span=span, version="SSL 2.0", cipher=hello.cipher, certificate=_certificates.parse(hello.certificate)), *self._established(span)]

    def _record(self, kind: int, body: bytes, span: Span) -> list[Event]:
        side = span.side
        if kind == CHANGE_CIPHER:
            if self._handshake.tls13:
                return []  # it means nothing any more (RFC 8446, appendix D.4)
            self._changed[side] = True
            if self._awaits(side, span.start):
                return []
            if self._changed[side.other] or self._records[side.other] == 0:
                return self._established(span)
            return []
        if kind == ALERT:
            # One under the keys is longer; where nothing came before, the capture shows the end of a session.
            return self._alert(body, span) if len(body) < _MIN_SEALED else self._established(span)
        if kind == HANDSHAKE and not self._changed[side]:
            events: list[Event] = []
            for number, message in self._messages[side].feed(body):
                events += self._handshake.message(number, message, span)
            return events
        if kind == APPLICATION and self._handshake.null:
            return self._readable(body, span)
        return []

    def _established(self, span: Span) -> list[Event]:
        if self._said:
            return []
        self._said = True
        posture = self._handshake.established(span)
        if self._handshake.null:
            return [posture]
        return [posture, Done(span=span)]

    def _alert(self, body: bytes, span: Span) -> list[Event]:
        if len(body) != 2 or body[0] != _FATAL or self._said:
            return []
        self._said = True
        return [Posture(span=span, encryption=Encryption.UNKNOWN, why=f"the handshake failed with alert {body[1]}"), Done(span=span)]

    def _readable(self, body: bytes, span: Span) -> list[Event]:
        """Application data under a NULL cipher, with its message authentication code at the end.

        In TLS 1.3 (RFC 9150) the kind of the record and padding stand between the two.
        """
        events = [] if self._said else self._established(span)
        if self._handshake.tls13:
            body = body[: -48 if "384" in self._handshake.suite else -32].rstrip(b"\0")
            if body[-1:] != bytes((APPLICATION,)):
                return events
            body = body[:-1]
        return [*events, Content(span=span, data=body, media="text/plain", where="TLS record under a NULL cipher")]


def probe(client: bytes, server: bytes) -> Match:
    """A client hello, a server hello, two application records in a row, or one that is all that was said."""
    said = [_side(client, True), _side(server, False)]
    if Match.NO in said:
        return Match.NO
    return Match.YES if Match.YES in said else Match.MORE


def _side(data: bytes, client: bool) -> Match:
    if not data:
        return Match.MORE
    said = Match.NO
    if data[0] == HANDSHAKE or data[0] == ALERT:
        said = _hello(data, 1 if client else 2)
        if said is Match.NO:
            said = _records(data)  # under the keys, where neither kind nor length of a message can be read
    elif data[0] == APPLICATION or data[0] == CHANGE_CIPHER:
        said = _records(data)
    elif data[0] & 0x80:
        said = _tls_ssl2.client(data) if client else _tls_ssl2.server(data)
    if said is Match.NO and not _header_like(data, 0) and begins_sealed(data) is not Match.NO:
        # Joined inside a record: that is for the other side to say, or for a record further on.
        found = _next_record(data)
        return Match.YES if found > 0 and sealed(data[:found]) else Match.MORE
    return said


def _hello(data: bytes, kind: int) -> Match:
    version = data[1:3]
    if version not in (b"", b"\1", b"\3", _TLCP) and not (version[0] == 3 and version[1] <= 4):
        return Match.NO
    if len(data) < 6:
        return Match.MORE
    size = data[3] << 8 | data[4]
    if data[0] == ALERT:
        # Both level and description are short numbers; an encrypted one is longer and comes only mid-stream.
        return (Match.YES if data[5] in (1, 2) else Match.NO) if size == 2 else Match.NO
    if not 0 < size <= MAX_RECORD:
        return Match.NO
    if data[5] == kind:
        return Match.YES
    if data[5] not in _MESSAGES[kind - 1]:
        return Match.NO
    return Match.MORE if len(data) < 9 else Match.NO if data[6] else Match.YES


def _records(data: bytes) -> Match:
    """Joined in the middle: a whole record and the header of another, or one sealed record and nothing else."""
    at = 0
    for count in range(3):
        if count == 2 or (count and at == len(data) and data[0] in (ALERT, APPLICATION) and at >= 5 + _MIN_SEALED):
            return Match.YES
        head = data[at : at + 5]
        if (head[:1] and head[0] not in _KINDS) or (len(head) > 1 and head[1] != 3) or (len(head) > 2 and head[2] > 4):
            return Match.NO
        if len(head) < 5:
            return Match.MORE
        size = head[3] << 8 | head[4]
        if not size or size > MAX_RECORD or (not at and head[0] == ALERT and size < _MIN_SEALED):
            return Match.NO
        at += 5 + size
        if at > 1000:
            # The next header lies beyond what a probe sees; a version and a length in range must do.
            return Match.YES if count or head[0] == APPLICATION else Match.NO
    return Match.YES


def _next_record(data: bytes) -> int:
    """Where a record begins: at once, or further on one of application data that another follows; -1 where none does."""
    if _header_like(data, 0):
        return 0
    at = data.find(b"\x17\x03", 1)
    while 0 <= at < len(data) - 5:
        if _header_like(data, at) and _header_like(data, at + 5 + (data[at + 3] << 8 | data[at + 4])):
            return at
        at = data.find(b"\x17\x03", at + 2)
    return -1


def _header_like(data: bytes, at: int) -> bool:
    return at + 5 <= len(data) and data[at] in _KINDS and data[at + 1] == 3 and data[at + 2] <= 4 and 0 < data[at + 3] << 8 | data[at + 4] <= MAX_RECORD


SPEC = Spec(
    name="tls",
    title="TLS, RFC 8446",
    ports=(443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 2376, 3269, 5061, 5223, 5671, 6443, 6697, 8443, 8883, 9443),
    probe=probe,
    stream=TlsRecords,
    encrypted=True,
)
