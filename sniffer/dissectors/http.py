"""HTTP/1.0 and HTTP/1.1, RFC 9110 and RFC 9112."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.dissectors._http_auth import Credentials
from sniffer.dissectors._http_body import MAX_CHUNK_LINE, Body, Mode, chunk_size, framing
from sniffer.dissectors._http_head import METHODS, REQUEST, RESUME, STATUS, Head, end_of_head, tokens
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import (
    Anomaly,
    ChallengeResponse,
    Content,
    Event,
    Greeting,
    Login,
    Outcome,
    Side,
    Skip,
    Span,
    Token,
    Upgrade,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# Servers take heads of 8 to 64 KiB; Kerberos tickets and cookies make large ones.
MAX_HEAD = 128 * 1024
# Requests sent ahead of their answers; browsers never had more than a few.
MAX_PENDING = 256
_LATER = (Login, Token, ChallengeResponse, Content)


class _Sent:
    """A request waiting for its answer, with the events that wait for its outcome."""

    __slots__ = ("events", "method", "target")

    def __init__(self, method: bytes, target: str, events: list[Event]) -> None:
        self.method = method
        self.target = target
        self.events = events


class _Way:
    """One side of the connection."""

    __slots__ = ("body", "carry", "left", "mode", "next", "scanned", "start")

    def __init__(self) -> None:
        self.mode = Mode.HEAD
        self.carry = b""
        self.start = 0  # stream offset of carry's first byte
        self.scanned = 0
        self.left = 0
        self.next = 0  # the stream offset due next; more has come where a Skip was honoured
        self.body: Body | None = None


class Http:
    """Pairs requests with responses in order; what a request said is told with the status that answered it."""

    __slots__ = ("_blind", "_credentials", "_greeted", "_seen", "_sent", "_ways")

    def __init__(self) -> None:
        self._ways = (_Way(), _Way())
        self._sent: deque[_Sent] = deque()
        self._credentials = Credentials()
        self._greeted = False
        self._blind = False  # a gap may have hidden a request: the next response may not be the next request's
        self._seen = False

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        way = self._ways[side]
        if offset > way.next and way.mode is Mode.FIXED:
            self._skipped(way, offset - way.next)
        way.next = offset + len(data)
        if way.carry:
            data, offset = way.carry + data, way.start
            way.carry = b""
        events: list[Event] = []
        at, end = 0, len(data)
        while at < end:
            before, mode = at, way.mode
            at = _STEPS[mode](self, way, side, data, at, offset, events)
            if events and type(events[-1]) is Upgrade:
                return events
            if at == before and way.mode is mode:
                way.carry, way.start = data[at:], offset + at
                break
        return events

    @staticmethod
    def _skipped(way: _Way, size: int) -> None:
        way.left = max(0, way.left - size)
        if not way.left:
            way.mode, way.body = Mode.HEAD, None

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        """Lost in a body of known length, the next message's place is still known; else it is looked for."""
        way = self._ways[side]
        way.next = offset + size
        events = self._forget()
        if way.body is not None and (piece := way.body.spoil()) is not None:
            self._give(side, piece, events)
        if way.mode in (Mode.FIXED, Mode.CHUNK) and not way.carry and size <= way.left:
            way.left -= size
            if not way.left:
                way.mode = Mode.HEAD if way.mode is Mode.FIXED else Mode.CHUNK_END
                if way.mode is Mode.HEAD:
                    way.body = None
        elif way.mode is not Mode.CLOSE:
            way.mode, way.body = Mode.LOST, None
        way.carry, way.scanned = b"", 0
        return events

    def close(self) -> Sequence[Event]:
        events: list[Event] = []
        for side in (Side.CLIENT, Side.SERVER):
            body = self._ways[side].body
            if body is not None and (piece := body.take()) is not None:
                self._give(side, piece, events)
        return [*events, *self._forget()]

    # Steps: each takes what it can from ``data[at:]`` and gives the new place; the same place asks for more bytes.

    def _head(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        while data[at : at + 1] in (b"\r", b"\n") and at < len(data):
            at += 1  # empty lines before a message are to be passed over (RFC 9112, 2.2)
        line_end, body = end_of_head(data, max(at, at + way.scanned - 4))
        if body < 0:
            if len(data) - at > MAX_HEAD:
                return self._nonsense(way, side, "a head longer than the limit", len(data), offset, events)
            if not way.scanned and not _plausible(data[at : at + 16], side):
                return self._nonsense(way, side, "no message where one was due", len(data), offset, events)
            way.scanned = len(data) - at
            way.carry, way.start = data[at:], offset + at
            return len(data)
        way.scanned = 0
        head = Head(data[at:line_end], offset + at)
        ok = self._request(head, events, offset + body) if side is Side.CLIENT else self._response(head, events, offset + body)
        if not ok:
            return self._nonsense(way, side, "no message where one was due", len(data), offset, events)
        return body

    def _nonsense(self, way: _Way, side: Side, reason: str, end: int, offset: int, events: list[Event]) -> int:
        if not self._seen:
            raise Malformed(reason)
        events.append(Anomaly(span=Span(side, offset, offset + end), reason=reason))
        events.extend(self._forget())
        way.mode, way.body, way.scanned = Mode.LOST, None, 0
        return end

    def _request(self, head: Head, events: list[Event], after: int) -> bool:
        found = REQUEST.match(head.data)
        if found is None:
            return False
        self._seen, self._blind = True, False
        method, target = found[1].upper(), found[2]
        waiting = self._credentials.request(head, method)
        path, mark, query = target.partition(b"?")
        text = path[:512].decode("latin-1")
        if mark and b"=" in query:
            start = head.start + found.start(2) + len(path) + 1
            waiting.append(Content(span=Span(Side.CLIENT, start, start + len(query)), data=query, media="application/x-www-form-urlencoded", where="query string", target=text))
        if len(self._sent) >= MAX_PENDING:
            events.extend(self._sent.popleft().events)
        self._sent.append(_Sent(method, text, waiting))
        self._begin(Side.CLIENT, head, text, after, events, bodiless=method == b"CONNECT")
        return True

    def _response(self, head: Head, events: list[Event], after: int) -> bool:
        found = STATUS.match(head.data)
        if found is None:
            return False
        self._seen = True
        status = int(found[1])
        if not self._greeted:
            self._greet(head, events)
        cookies = self._credentials.response(head, status) if status in (401, 407) or b"\nset-cookie:" in head.low else ()
        if 100 <= status < 200 and status != 101:
            return True  # only announces the answer
        sent = self._sent.popleft() if self._sent and not self._blind else None
        outcome = _outcome(status)
        if sent is not None and sent.events:
            events.extend(replace(e, outcome=outcome) for e in sent.events)  # type: ignore[call-arg]
        events.extend(replace(c, outcome=outcome) for c in cookies)  # type: ignore[call-arg]
        if self._upgrade(head, status, sent, after, events):
            return True
        bodiless = status in (204, 304) or (sent is not None and sent.method == b"HEAD")
        self._begin(Side.SERVER, head, sent.target if sent else "", after, events, bodiless=bodiless)
        return True

    def _greet(self, head: Head, events: list[Event]) -> None:
        self._greeted = True
        start, end = head.find(b"server")
        if end > start:
            product, _, number = head.data[start:end][:100].decode("latin-1").partition("/")
            events.append(Greeting(span=Span(Side.SERVER, head.start + start, head.start + end), product=product, version=number.split(" ")[0] or None))

    def _upgrade(self, head: Head, status: int, sent: _Sent | None, after: int, events: list[Event]) -> bool:
        """A tunnel (CONNECT) or another protocol (101): the rest of both streams is not HTTP any more."""
        tunnel = sent is not None and sent.method == b"CONNECT" and 200 <= status < 300
        if not tunnel and status != 101:
            return False
        name = "" if tunnel else (tokens(head.framing(b"upgrade")) or [""])[0].partition("/")[0]
        client = self._ways[0]
        resume = client.start if client.carry else self._client_end
        events.append(Upgrade(span=Span(Side.SERVER, head.start, after), to=name, status="granted", resume=(resume, after)))
        return True

    @property
    def _client_end(self) -> int:
        return self._ways[0].start

    def _begin(self, side: Side, head: Head, target: str, after: int, events: list[Event], *, bodiless: bool) -> None:
        way = self._ways[side]
        way.mode, way.left = framing(head, side, bodiless=bodiless)
        if not way.carry:
            way.start = after
        if way.mode is Mode.HEAD:
            return
        way.body = Body(head, side, target)
        if way.mode is Mode.FIXED and not way.body.wanted:
            events.append(Skip(span=Span(side, after, after + way.left)))

    def _fixed(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken] if taken < len(data) else data, events)
        if not way.left:
            self._finish(way, side, events)
            way.mode = Mode.HEAD
            way.start = offset + at + taken
        return at + taken

    def _collect(self, way: _Way, side: Side, offset: int, data: bytes, events: list[Event]) -> None:
        body = way.body
        if body is not None and body.wanted:
            piece = body.add(offset, data)
            if piece is not None:
                self._give(side, piece, events)

    def _finish(self, way: _Way, side: Side, events: list[Event]) -> None:
        body, way.body = way.body, None
        if body is not None and (piece := body.take()) is not None:
            self._give(side, piece, events)

    def _give(self, side: Side, piece: Content, events: list[Event]) -> None:
        """A response's content at once; a request's when its answer is known."""
        if side is Side.CLIENT and self._sent and len(self._sent[-1].events) < 64:
            self._sent[-1].events.append(piece)
        else:
            events.append(piece)

    def _chunk_line(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        end = data.find(b"\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at < MAX_CHUNK_LINE:
                return at
            return self._nonsense(way, side, "a chunk line longer than the limit", len(data), offset, events)
        size = chunk_size(data[at:end])
        if size is None:
            return self._nonsense(way, side, "no chunk size where one was due", len(data), offset, events)
        way.left = size
        way.mode = Mode.CHUNK if size else Mode.TRAILER
        return end + 1

    def _chunk(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken], events)
        if not way.left:
            way.mode = Mode.CHUNK_END
        return at + taken

    def _chunk_end(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        if data[at : at + 1] == b"\r" and at + 1 == len(data):
            return at
        way.mode = Mode.CHUNK_LINE
        return at + 2 if data[at : at + 2] == b"\r\n" else at + 1 if data[at : at + 1] == b"\n" else at

    def _trailer(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """Trailer fields up to an empty line (RFC 9112, 7.1.2)."""
        end = data.find(b"\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at < MAX_CHUNK_LINE:
                return at
            return self._nonsense(way, side, "a trailer longer than the limit", len(data), offset, events)
        if end - at <= 1 and data[at:end] in (b"", b"\r"):
            self._finish(way, side, events)
            way.mode = Mode.HEAD
            way.start = offset + end + 1
        return end + 1

    def _close(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        self._collect(way, side, offset + at, data[at:], events)
        return len(data)

    def _lost(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """Find where a message begins again."""
        found = RESUME.search(data, at)
        if found is None:
            return len(data)
        way.mode = Mode.HEAD
        return found.start()

    def _forget(self) -> list[Event]:
        """Pending requests get no answer that could be told from another's."""
        events = [event for sent in self._sent for event in sent.events]
        self._sent.clear()
        self._credentials.forget()
        self._blind = True
        return events


_STEPS = {
    Mode.HEAD: Http._head,
    Mode.FIXED: Http._fixed,
    Mode.CHUNK_LINE: Http._chunk_line,
    Mode.CHUNK: Http._chunk,
    Mode.CHUNK_END: Http._chunk_end,
    Mode.TRAILER: Http._trailer,
    Mode.CLOSE: Http._close,
    Mode.LOST: Http._lost,
}


def _outcome(status: int) -> Outcome:
    if status in (401, 403, 407):
        return Outcome.REJECTED
    return Outcome.ACCEPTED if 200 <= status < 400 else Outcome.UNKNOWN


def _plausible(start: bytes, side: Side) -> bool:
    """Whether bytes could be the beginning of a start line."""
    if side is Side.SERVER:
        return b"HTTP/1."[: len(start)] == start[:7]
    word = start.split(b" ", 1)[0].split(b"\r", 1)[0]
    return bool(word) and all(33 <= c < 127 for c in word)


def probe(client: bytes, server: bytes) -> Match:
    """A request line with a method in use, or a status line."""
    if client:
        said = _request_line(client)
        if said is not Match.MORE:
            return said
    if server:
        if server[:7] != b"HTTP/1."[: len(server)]:
            return Match.NO
        return Match.MORE if len(server) < 12 else Match.YES if STATUS.match(server.split(b"\n", 1)[0] + b"\n") or (b"\n" not in server and server[9:12].isdigit()) else Match.NO
    return Match.MORE


def _request_line(data: bytes) -> Match:
    line, end, _ = data.lstrip(b"\r\n").partition(b"\n")
    word, space, _ = line.partition(b" ")
    if not space:
        return Match.MORE if not end and len(word) < 18 and any(m.startswith(word) for m in METHODS) else Match.NO
    if word not in METHODS:
        return Match.NO
    if not end:
        return Match.MORE if len(line) < 1000 else Match.YES
    return Match.YES if REQUEST.match(line + b"\n") else Match.NO


SPEC = Spec(
    name="http",
    title="HTTP, RFC 9112",
    ports=(80, 3000, 3128, 5000, 5601, 5985, 8000, 8008, 8080, 8081, 8088, 8123, 8888, 9000, 9090, 9200),
    probe=probe,
    stream=Http,
    remedy="Serve it over HTTPS only, and redirect or close port 80.",
)
