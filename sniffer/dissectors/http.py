"""HTTP/1.0 and HTTP/1.1, RFC 9110 and RFC 9112."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._http_auth import Credentials, holds_secrets, short_login
from sniffer.dissectors._http_body import (
    CHUNK,
    CHUNK_END,
    CHUNK_LINE,
    CLOSE,
    FIXED,
    HEAD,
    LOST,
    MAX_CHUNK_LINE,
    MAX_OPEN,
    OPEN,
    PIECE,
    TRAILER,
    Body,
    chunk_size,
    framing,
    kind_of,
    undeclared,
    whole,
)
from sniffer.dissectors._http_head import LONGEST_RESUME, METHODS, REQUEST, RESUME, STATUS, Head, end_of_head, tokens
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import (
    ACCEPTED,
    CLIENT,
    REJECTED,
    SERVER,
    UNKNOWN,
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
# Fields of requests that held no secret and announced no body, just as they stood: clients send the same ones again and
# again. So many of up to so many bytes are remembered.
_MAX_PLAIN = 4096
_MAX_PLAIN_SIZE = 2048
_plain: set[bytes] = set()
# Requests whose heads are read even if their fields say nothing: what follows them may be a tunnel's, or a body all the same.
_FOLLOWED = frozenset((b"CONNECT", b"POST"))


class _Sent:
    """A request waiting for its answer, with its query and the events that wait for its outcome."""

    __slots__ = ("at", "events", "method", "query", "target")

    def __init__(self, method: bytes, target: str, events: list[Event], query: bytes, at: int) -> None:
        self.method = method
        self.target = target
        self.events = events
        self.query = query
        self.at = at  # stream offset of the query

    def tell(self, outcome: Outcome, proxied: Outcome | None = None) -> list[Event]:
        """What was said in the request, with what became of it; ``proxied`` is what became of what was meant for a proxy."""
        told = self.events if outcome is UNKNOWN and not proxied else [replace(e, outcome=proxied if proxied and _for_proxy(e) else outcome) for e in self.events]
        if self.query:
            span = Span(CLIENT, self.at, self.at + len(self.query))
            told.append(Content(span=span, data=self.query, media="application/x-www-form-urlencoded", where="query string", outcome=outcome, target=self.target))
        return told


class _Way:
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
        if offset > way.next and way.mode is FIXED:
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
            way.mode, way.body = HEAD, None

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        """Lost in a body of known length, the next message's place is still known; else it is looked for."""
        way = self._ways[side]
        way.next = offset + size
        events: list[Event] = []
        if side and self._ways[0].mode is OPEN:
            self._close_open(events)
        events += self._forget()
        if way.body is not None and (piece := way.body.spoil()) is not None:
            self._give(side, piece, events)
        if way.mode in (FIXED, CHUNK) and not way.carry and size <= way.left:
            way.left -= size
            if not way.left:
                way.mode = HEAD if way.mode is FIXED else CHUNK_END
                if way.mode is HEAD:
                    way.body = None
        elif way.mode is not CLOSE:
            way.mode, way.body = LOST, None
        way.carry, way.scanned = b"", 0
        return events

    def close(self) -> Sequence[Event]:
        events: list[Event] = []
        if self._ways[0].mode is OPEN:
            self._close_open(events)
        for side in (CLIENT, SERVER):
            body = self._ways[side].body
            if body is not None and (piece := body.take()) is not None:
                self._give(side, piece, events)
        return [*events, *self._forget()]

    # Steps: each takes what it can from ``data[at:]`` and gives the new place; the same place asks for more bytes.

    def _head(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        while at < len(data) and data[at] in b"\r\n":
            at += 1  # empty lines before a message are to be passed over (RFC 9112, 2.2)
        if at == len(data):
            way.start = offset + at
            return at
        line_end, body = end_of_head(data, at + way.scanned - 4 if way.scanned > 4 else at)
        if body < 0:
            if len(data) - at > MAX_HEAD:
                return self._nonsense(way, side, "a head longer than the limit", len(data), offset, events)
            # A client may not wait for its tunnel, or the capture lack the answer: what follows CONNECT is the tunnel's.
            tunnel = side is CLIENT and self._sent and self._sent[-1].method == b"CONNECT"
            if not way.scanned and not tunnel and not _plausible(data[at : at + 16], side):
                return self._nonsense(way, side, "no message where one was due", len(data), offset, events)
            way.scanned = len(data) - at
            way.carry, way.start = data[at:], offset + at
            return len(data)
        way.scanned = 0
        said = self._request if side is CLIENT else self._response
        after = said(data, at, line_end, body, offset, events)
        if after < 0:
            return self._nonsense(way, side, "no message where one was due", len(data), offset, events)
        return after

    def _nonsense(self, way: _Way, side: Side, reason: str, end: int, offset: int, events: list[Event]) -> int:
        if not self._seen:
            raise Malformed(reason)
        events.append(Anomaly(span=Span(side, offset, offset + end), reason=reason))
        events.extend(self._forget())
        way.mode, way.body, way.scanned = LOST, None, 0
        return end

    # ``data[at:end]`` is a head, its body begins at ``body``. They give where the next step begins, or -1 for no such head.

    def _request(self, data: bytes, at: int, end: int, body: int, offset: int, events: list[Event]) -> int:
        found = REQUEST.match(data, at, end)
        if found is None:
            return -1
        self._seen, self._blind = True, False
        method, target = found[1].upper(), found[2]
        path, _, query = target.partition(b"?")
        text = path[:512].decode("latin-1")
        plain = data[found.end() : end] in _plain and b"@" not in target and method not in _FOLLOWED
        waiting: list[Event] = []
        head = None
        if not plain:
            head = Head(data[at:end], offset + at)
            waiting = self._credentials.request(head, method)
        if b"p=" in query:
            waiting += short_login(target, offset + found.start(2))
        if len(self._sent) >= MAX_PENDING:
            events += self._sent.popleft().tell(UNKNOWN)
        self._sent.append(_Sent(method, text, waiting, query if b"=" in query else b"", offset + found.start(2) + len(path) + 1))
        if head is None:
            self._ways[0].start = offset + body
            return body
        after = self._begin(CLIENT, head, text, data, body, offset, events, bodiless=method == b"CONNECT")
        if method == b"POST" and self._ways[0].mode is HEAD and undeclared(head.framing):
            self._ways[0].mode, self._ways[0].body = OPEN, Body(kind_of(head.framing), CLIENT, text)
        if after == body and self._ways[0].mode is HEAD and not holds_secrets(head) and end - found.end() <= _MAX_PLAIN_SIZE:
            _remember(data[found.end() : end])
        return after

    def _response(self, data: bytes, at: int, end: int, body: int, offset: int, events: list[Event]) -> int:
        found = STATUS.match(data, at, end)
        if found is None:
            return -1
        self._seen = True
        status = int(found[1])
        head = Head(data[at:end], offset + at)
        if not self._greeted:
            self._greet(head, events)
        cookies = self._credentials.response(head, status) if status in (401, 407) or b"\nset-cookie:" in head.low else ()
        if 100 <= status < 200 and status != 101:
            return body  # only announces the answer
        if self._ways[0].mode is OPEN and len(self._sent) <= 1:
            self._close_open(events)
        sent = self._sent.popleft() if self._sent and not self._blind else None
        outcome = _outcome(status)
        if sent is not None and (sent.query or sent.events):
            events += sent.tell(UNKNOWN if status == 407 else outcome, _outcome(status, proxy=True))
        for cookie in cookies:
            events.append(replace(cookie, outcome=outcome))
        if status == 101 or (sent is not None and sent.method == b"CONNECT" and 200 <= status < 300):
            self._upgrade(head, status, offset + body, events)
            return body
        bodiless = status in (204, 304) or (sent is not None and sent.method == b"HEAD")
        return self._begin(SERVER, head, sent.target if sent else "", data, body, offset, events, bodiless=bodiless)

    def _greet(self, head: Head, events: list[Event]) -> None:
        self._greeted = True
        start, end = head.find(b"server")
        if end > start:
            product, _, number = head.data[start:end][:100].decode("latin-1").partition("/")
            events.append(Greeting(span=Span(SERVER, head.start + start, head.start + end), product=product, version=number.split(" ")[0] or None))

    def _upgrade(self, head: Head, status: int, after: int, events: list[Event]) -> None:
        """Another protocol (101) or a tunnel (CONNECT): the rest of both streams is not HTTP any more."""
        name = (tokens(head.framing.get(b"upgrade")) or [""])[0].partition("/")[0] if status == 101 else ""
        resume = self._ways[0].start
        events.append(Upgrade(span=Span(SERVER, head.start, after), to=name, status="granted", resume=(resume, after)))

    def _begin(self, side: Side, head: Head, target: str, data: bytes, at: int, offset: int, events: list[Event], *, bodiless: bool) -> int:
        """The body of a message begins at ``data[at]``; one that is there as a whole is taken at once."""
        way = self._ways[side]
        fields = head.framing
        way.mode, way.left = mode, left = (HEAD, 0) if bodiless else framing(fields, side)
        start = offset + at
        if not way.carry:
            way.start = start
        if mode is HEAD:
            return at
        kind = kind_of(fields)
        if mode is FIXED:
            if not kind.wanted:
                events.append(Skip(span=Span(side, start, start + left)))
            if left <= len(data) - at and left <= PIECE:
                if (piece := whole(kind, side, target, start, data[at : at + left])) is not None:
                    self._give(side, piece, events)
                way.mode, way.left, way.start = HEAD, 0, start + left
                return at + left
        way.body = Body(kind, side, target)
        return at

    def _fixed(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken] if taken < len(data) else data, events)
        if not way.left:
            self._finish(way, side, events)
            way.mode = HEAD
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
        if side is CLIENT and self._sent and len(self._sent[-1].events) < 64:
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
        way.mode = CHUNK if size else TRAILER
        return end + 1

    def _chunk(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        taken = min(way.left, len(data) - at)
        way.left -= taken
        self._collect(way, side, offset + at, data[at : at + taken], events)
        if not way.left:
            way.mode = CHUNK_END
        return at + taken

    def _chunk_end(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        if data[at : at + 1] == b"\r" and at + 1 == len(data):
            return at
        way.mode = CHUNK_LINE
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
            way.mode = HEAD
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
        way.mode = HEAD
        return found.start()

    def _open(self, way: _Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        """A body without a length (RFC 1945, 7.2.2, forbids it): held until it is known to be one, and where it ends."""
        found = RESUME.search(data, at + max(0, way.scanned - LONGEST_RESUME))
        end = found.start() if found else len(data)
        if end - at > MAX_OPEN:
            return self._nonsense(way, side, "a body without a length longer than the limit", end, offset, events)
        if found is None:
            way.scanned = len(data) - at
            return at
        return end if self._end_open(way, data[at:end], offset + at, events) else at

    def _end_open(self, way: _Way, data: bytes, start: int, events: list[Event]) -> bool:
        """Whether what came after the head of a POST was its body, and not the beginning of another request."""
        blank = not data.strip()  # old browsers put an empty line after what they post
        body = blank or _request_line(data) is Match.NO
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

    def _forget(self) -> list[Event]:
        """Pending requests get no answer that could be told from another's."""
        events = [event for sent in self._sent for event in sent.tell(UNKNOWN)]
        self._sent.clear()
        self._credentials.forget()
        self._blind = True
        return events


# In the order of Mode.
_STEPS = (Http._head, Http._fixed, Http._chunk_line, Http._chunk, Http._chunk_end, Http._trailer, Http._close, Http._lost, Http._open)


def _remember(fields: bytes) -> None:
    if len(_plain) >= _MAX_PLAIN:
        _plain.clear()
    _plain.add(fields)


def _for_proxy(event: Event) -> bool:
    return isinstance(event, (Login, ChallengeResponse, Token)) and event.where.startswith("Proxy-")


def _outcome(status: int, *, proxy: bool = False) -> Outcome:
    """What a status says of the credentials sent; a proxy has let through what the origin refuses with 401 (RFC 9110, 11.7)."""
    if proxy and status in (401, 403, 404):
        return UNKNOWN if status == 403 else ACCEPTED
    if status in (401, 403, 407):
        return REJECTED
    return ACCEPTED if 200 <= status < 400 else UNKNOWN


def _plausible(start: bytes, side: Side) -> bool:
    """Whether bytes could be the beginning of a start line."""
    if side is SERVER:
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
