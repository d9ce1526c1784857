"""What both sides of an HTTP/1 connection are at, and the steps through bodies (RFC 9112, sections 6 and 7)."""

from __future__ import annotations

from collections import deque

from sniffer.dissectors._http_auth import Credentials
from sniffer.dissectors._http_body import (
    CHUNK,
    CHUNK_END,
    CHUNK_LINE,
    HEAD,
    LOST,
    MAX_CHUNK_LINE,
    MAX_OPEN,
    TRAILER,
    Body,
    chunk_size,
    kind_of,
)
from sniffer.dissectors._http_head import BEGUN, LONGEST_BEGUN, LONGEST_RESUME, RESUME
from sniffer.dissectors._http_probe import request_line
from sniffer.dissectors._http_sent import Sent
from sniffer.dissectors._raw import readable
from sniffer.dissectors._spec import Match
from sniffer.errors import Malformed
from sniffer.events import CLIENT, SERVER, UNKNOWN, Anomaly, Content, Encryption, Event, Posture, Side, Span

_SAMPLE = 512  # bytes by which text is told


class Way:
    """One side of the connection."""

    __slots__ = ("body", "carry", "left", "mode", "next", "scanned", "start")

    def __init__(self) -> None:
        self.mode = HEAD
        self.carry = b""
        self.start = 0  # stream offset of carry's first byte
        self.scanned = 0
        self.left = 0
        self.next = 0  # the stream offset due next; more has come where a Skip was honoured
        self.body: Body | None = None


class Steps:
    """The state of a connection, and all that it does but reading heads.

    A step takes what it can from ``data[at:]`` and gives the new place; the same place asks for more bytes.
    """

    __slots__ = ("_asked", "_blind", "_credentials", "_greeted", "_seen", "_sent", "_ways")

    def __init__(self) -> None:
        self._ways = (Way(), Way())
        self._sent: deque[Sent] = deque()
        self._credentials = Credentials()
        self._greeted = False
        self._blind = False  # a gap may have hidden a request: the next response may not be the next request's
        self._asked = False  # a request was seen
        self._seen = False

    def _fixed(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken] if taken < len(data) else data, events)
        if not way.left:
            self._finish(way, side, events)
            way.mode = HEAD
            way.start = offset + at + taken
        return at + taken

    def _collect(self, way: Way, side: Side, offset: int, data: bytes, events: list[Event]) -> None:
        body = way.body
        if body is not None and body.wanted:
            piece = body.add(offset, data)
            if piece is not None:
                self._give(side, piece, events)

    def _finish(self, way: Way, side: Side, events: list[Event]) -> None:
        body, way.body = way.body, None
        if body is not None and (piece := body.take()) is not None:
            self._give(side, piece, events)

    def _give(self, side: Side, piece: Content, events: list[Event]) -> None:
        """A response's content at once; a request's when its answer is known."""
        if side is CLIENT and self._sent and len(self._sent[-1].events) < 64:
            self._sent[-1].events.append(piece)
        else:
            events.append(piece)

    def _chunk_line(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        end = data.find(b"\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at < MAX_CHUNK_LINE:
                return at
            return self._nonsense(way, side, "a chunk line longer than the limit", len(data), offset, events)
        size = chunk_size(data[at:end])
        if size is None:
            return self._nonsense(way, side, "no chunk size where one was due", len(data), offset, events)
        way.left = size
        way.mode = CHUNK if size else TRAILER
        return end + 1

    def _chunk(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken], events)
        if not way.left:
            way.mode = CHUNK_END
        return at + taken

    def _chunk_end(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        if data[at : at + 1] == b"\r" and at + 1 == len(data):
            return at
        way.mode = CHUNK_LINE
        return at + 2 if data[at : at + 2] == b"\r\n" else at + 1 if data[at : at + 1] == b"\n" else at

    def _trailer(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """Trailer fields up to an empty line (RFC 9112, 7.1.2)."""
        end = data.find(b"\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at < MAX_CHUNK_LINE:
                return at
            return self._nonsense(way, side, "a trailer longer than the limit", len(data), offset, events)
        if end - at <= 1 and data[at:end] in (b"", b"\r"):
            self._finish(way, side, events)
            way.mode = HEAD
            way.start = offset + end + 1
        return end + 1

    def _close(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        self._collect(way, side, offset + at, data[at:], events)
        return len(data)

    def _lost(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """Find where a message begins again, also one of which only the beginning has come."""
        found = RESUME.search(data, at + way.scanned)
        way.scanned = 0
        if found is None:
            line = max(at, data.rfind(b"\n") + 1, len(data) - LONGEST_RESUME)
            begun = BEGUN.search(data, line)
            end = begun.start() if begun is not None else max(at, len(data) - LONGEST_BEGUN)
            self._collect(way, side, offset + at, data[at:end], events)
            return end
        self._collect(way, side, offset + at, data[at : found.start()], events)
        self._finish(way, side, events)
        way.mode = HEAD
        return found.start()

    def _astray(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """No message where one was due. Before the first it may be the end of one that began before the capture did; not on both sides."""
        begun = self._greeted if side else self._asked
        if begun or (not self._seen and self._ways[side.other].mode is LOST):
            return self._nonsense(way, side, "no message where one was due", at + 1, offset, events)
        way.mode, way.scanned, way.body = LOST, 1, _tail(data[at:], side)
        return at

    def _close_tail(self, events: list[Event]) -> None:
        """What is held of a side of which no message was seen: text may be the end of one, of other bytes nothing can be said."""
        for side in (CLIENT, SERVER):
            way = self._ways[side]
            if way.mode is HEAD and side is CLIENT and way.carry and not self._asked:
                way.body = _tail(way.carry, side)
            elif way.mode is not LOST:
                continue
            self._collect(way, side, way.start, way.carry, events)
        if not self._seen and not any(way.body is not None and way.body.wanted for way in self._ways):
            events.append(Posture(span=Span(CLIENT, 0, self._ways[0].next), encryption=Encryption.UNKNOWN, why="no message was seen"))

    def _open(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """A body without a length (RFC 1945, 7.2.2, forbids it): held until it is known to be one, and where it ends."""
        found = RESUME.search(data, at + max(0, way.scanned - LONGEST_RESUME))
        end = found.start() if found else len(data)
        if end - at > MAX_OPEN:
            return self._nonsense(way, side, "a body without a length longer than the limit", end, offset, events)
        if found is None:
            way.scanned = len(data) - at
            return at
        return end if self._end_open(way, data[at:end], offset + at, events) else at

    def _end_open(self, way: Way, data: bytes, start: int, events: list[Event]) -> bool:
        """Whether what came after the head of a POST was its body, and not the beginning of another request."""
        blank = not data.strip()  # old browsers put an empty line after what they post
        body = blank or request_line(data) is Match.NO
        if body:
            if not blank:
                self._collect(way, CLIENT, start, data, events)
                self._finish(way, CLIENT, events)
            way.start = start + len(data)
        way.mode, way.body, way.scanned = HEAD, None, 0
        return body

    def _close_open(self, events: list[Event]) -> None:
        """The answer, or the end, ends a body without a length."""
        way = self._ways[0]
        if self._end_open(way, way.carry, way.start, events):
            way.carry = b""

    @staticmethod
    def _skipped(way: Way, size: int) -> None:
        way.left = max(0, way.left - size)
        if not way.left:
            way.mode, way.body = HEAD, None

    def _nonsense(self, way: Way, side: Side, reason: str, end: int, offset: int, events: list[Event]) -> int:
        if not self._seen:
            raise Malformed(reason)
        events.append(Anomaly(span=Span(side, offset, offset + end), reason=reason))
        events.extend(self._forget())
        way.mode, way.body, way.scanned = LOST, None, 0
        return end

    def _forget(self) -> list[Event]:
        """Pending requests get no answer that could be told from another's."""
        events = [event for sent in self._sent for event in sent.tell(UNKNOWN)]
        self._sent.clear()
        self._credentials.forget()
        self._blind = True
        return events


def _tail(data: bytes, side: Side) -> Body:
    """For what may be the end of a body; wanted where it is text."""
    body = Body(kind_of({}), side, "")
    body.wanted = readable(data[:_SAMPLE])
    return body
