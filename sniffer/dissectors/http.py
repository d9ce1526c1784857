"""HTTP/1.0 and HTTP/1.1, RFC 9110 and RFC 9112."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._http_auth import holds_secrets, short_login
from sniffer.dissectors._http_body import (
    CHUNK,
    CHUNK_END,
    CLOSE,
    FIXED,
    HEAD,
    LOST,
    OPEN,
    PIECE,
    Body,
    framing,
    kind_of,
    undeclared,
    whole,
)
from sniffer.dissectors._http_head import REQUEST, STATUS, Head, end_of_head, tokens
from sniffer.dissectors._http_probe import plausible, probe
from sniffer.dissectors._http_sent import Sent, outcome_of
from sniffer.dissectors._http_steps import Steps, Way
from sniffer.dissectors._spec import Spec
from sniffer.events import CLIENT, SERVER, UNKNOWN, Event, Greeting, Side, Skip, Span, Upgrade

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
# A byte is looked for by its number, or with find(): ``in`` first takes any other bytes for a number, and that fails slowly.
_AT, _EQUALS = b"@="


class Http(Steps):
    """Pairs requests with responses in order; what a request said is told with the status that answered it."""

    __slots__ = ()

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
            step = Http._head if mode is HEAD else _STEPS[mode]
            at = step(self, way, side, data, at, offset, events)
            if events and type(events[-1]) is Upgrade:
                return events
            if at == before and way.mode is mode:
                way.carry, way.start = data[at:], offset + at
                break
        return events

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
        self._close_tail(events)
        if self._ways[0].mode is OPEN:
            self._close_open(events)
        for side in (CLIENT, SERVER):
            body = self._ways[side].body
            if body is not None and (piece := body.take()) is not None:
                self._give(side, piece, events)
        return [*events, *self._forget()]

    def _head(self, way: Way, side: Side, data: bytes, at: int, offset: int, events: list[Event]) -> int:
        while at < len(data) and data[at] in b"\r\n\0":
            at += 1  # empty lines before a message are to be passed over (RFC 9112, 2.2), as the byte of a keep-alive
        if at == len(data):
            way.start = offset + at
            return at
        line_end, body = end_of_head(data, at + way.scanned - 4 if way.scanned > 4 else at)
        if body < 0:
            if len(data) - at > MAX_HEAD:
                return self._nonsense(way, side, "a head longer than the limit", len(data), offset, events)
            # A client may not wait for its tunnel, or the capture lack the answer: what follows CONNECT is the tunnel's.
            tunnel = side is CLIENT and self._sent and self._sent[-1].method == b"CONNECT"
            if not way.scanned and not tunnel and not plausible(data[at : at + 16], side):
                return self._astray(way, side, data, at, offset, events)
            way.scanned = len(data) - at
            way.carry, way.start = data[at:], offset + at
            return len(data)
        way.scanned = 0
        said = self._request if side is CLIENT else self._response
        after = said(data, at, line_end, body, offset, events)
        return self._astray(way, side, data, at, offset, events) if after < 0 else after

    # ``data[at:end]`` is a head, its body begins at ``body``. They give where the next step begins, or -1 for no such head.

    def _request(self, data: bytes, at: int, end: int, body: int, offset: int, events: list[Event]) -> int:
        found = REQUEST.match(data, at, end)
        if found is None:
            return -1
        self._seen, self._asked, self._blind = True, True, False
        method, target = found[1].upper(), found[2]
        path, _, query = target.partition(b"?")
        text = path[:512].decode("latin-1")
        plain = data[found.end() : end] in _plain and _AT not in target and method not in _FOLLOWED
        waiting: list[Event] = []
        head = None
        if not plain:
            head = Head(data[at:end], offset + at)
            waiting = self._credentials.request(head, method)
        if query.find(b"p=") >= 0:
            waiting += short_login(target, offset + found.start(2))
        if len(self._sent) >= MAX_PENDING:
            events += self._sent.popleft().tell(UNKNOWN)
        self._sent.append(Sent(method, text, waiting, query if _EQUALS in query else b"", offset + found.start(2) + len(path) + 1))
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
        cookies = self._credentials.response(head, status) if status in (401, 407) or b"set-cookie" in head.framing else ()
        if status < 200 and status != 101:
            return body  # only announces the answer
        if self._ways[0].mode is OPEN and len(self._sent) <= 1:
            self._close_open(events)
        sent = self._sent.popleft() if self._sent and not self._blind else None
        outcome = outcome_of(status)
        if sent is not None and (sent.query or sent.events):
            events += sent.tell(UNKNOWN if status == 407 else outcome, outcome_of(status, proxy=True) if sent.events else None)
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


# In the order of Mode.
_STEPS = (Http._head, Http._fixed, Http._chunk_line, Http._chunk, Http._chunk_end, Http._trailer, Http._close, Http._lost, Http._open)


def _remember(fields: bytes) -> None:
    if len(_plain) >= _MAX_PLAIN:
        _plain.clear()
    _plain.add(fields)


SPEC = Spec(
    name="http",
    title="HTTP, RFC 9112",
    ports=(80, 3000, 3128, 5000, 5601, 5985, 8000, 8008, 8080, 8081, 8088, 8123, 8888, 9000, 9090, 9200),
    probe=probe,
    stream=Http,
    remedy="Serve it over HTTPS only, and redirect or close port 80.",
)
