"""One HTTP/1.1 request and its answer, under one deadline (RFC 9110); says nothing of what serves it."""

from __future__ import annotations

import gzip
import io
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from sniffer.metrics.exposition import OPENMETRICS, TEXT
from sniffer.metrics.passwords import Verdict

if TYPE_CHECKING:
    import socket

    from sniffer.metrics.access import Loaded

# Bytes of a request that are read; a scrape needs some hundred.
MAX_REQUEST = 16384
# Fast, and a twelfth of the size; slower levels gain little.
_GZIP_LEVEL = 1
# Longest reason given for not being healthy or ready.
_MAX_REASON = 300
_PIECE = 65536


class Deadline(io.RawIOBase):
    """A socket as a stream that ends with TimeoutError at a point in time, however slowly the peer reads or writes, and after MAX_REQUEST bytes read."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until
        self._room = MAX_REQUEST

    @property
    def exhausted(self) -> bool:
        """Whether no more of the request is read, though there may be."""
        return not self._room

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left()
        read = self._connection.recv_into(buffer, min(len(buffer), self._room)) if self._room else 0
        self._room -= read
        return read

    def write(self, data: Any) -> int:
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self._left()
            self._connection.sendall(view[start : start + _PIECE])
        return len(view)

    def _left(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


class Request(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server: Any

    def __init__(self, connection: Any, client_address: Any, server: Any, loaded: Loaded, deadline: float) -> None:
        self._loaded = loaded
        self._deadline = deadline
        super().__init__(connection, client_address, server)

    def setup(self) -> None:
        self._stream = Deadline(self.request, self._deadline)
        self.rfile = io.BufferedReader(self._stream)
        self.wfile = self._stream  # type: ignore[assignment]

    def finish(self) -> None:
        """Nothing is buffered."""

    def handle(self) -> None:
        """One request: what scrapes comes back after seconds, and an idle connection would hold a thread."""
        self.handle_one_request()

    def do_GET(self) -> None:
        """Authenticate, then route."""
        if self._stream.exhausted:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        if not self._admitted():
            return
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path in self.server.checks:
            reason = self.server.checks[path]()
            status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, ("ok" if reason is None else _line(reason)) + "\n")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _admitted(self) -> bool:
        users = self._loaded.users
        if users is None:
            return True
        verdict = users.check(self.headers.get("Authorization"), self.client_address[0])
        if verdict is Verdict.RIGHT:
            return True
        busy = verdict is Verdict.BUSY
        self.server.metrics.refused("throttled" if busy else "unauthorized")
        status = HTTPStatus.TOO_MANY_REQUESTS if busy else HTTPStatus.UNAUTHORIZED
        extra = ("Retry-After", "2") if busy else ("WWW-Authenticate", 'Basic realm="metrics", charset="UTF-8"')
        self._answer(status, f"{status.phrase}\n", extra)
        return False

    def _metrics(self) -> None:
        openmetrics = prefers_openmetrics(self.headers.get("Accept", ""))
        body = self.server.metrics.render(openmetrics=openmetrics)
        extra = [("Vary", "Accept, Accept-Encoding")]
        if _qualities(self.headers.get("Accept-Encoding", "")).get("gzip", 0) > 0:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            extra.append(("Content-Encoding", "gzip"))
        self._answer(HTTPStatus.OK, body, *extra, kind=OPENMETRICS if openmetrics else TEXT)

    def _answer(self, status: HTTPStatus, body: str | bytes, *extra: tuple[str, str], kind: str = "text/plain; charset=utf-8") -> None:
        content = body.encode() if isinstance(body, str) else body
        self.close_connection = True
        self.send_response_only(status)
        fixed = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store", "Connection": "close"}
        for name, value in {"X-Content-Type-Options": "nosniff", **self._loaded.config.headers, **fixed, **dict(extra)}.items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line of the status alone: what was asked for is not repeated."""
        known = HTTPStatus(code)
        if known is HTTPStatus.NOT_IMPLEMENTED:  # a method without a function here
            known = HTTPStatus.METHOD_NOT_ALLOWED
        extra = [("Allow", "GET, HEAD")] if known is HTTPStatus.METHOD_NOT_ALLOWED else []
        self._answer(known, f"{known.phrase}\n", *extra)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing of a request is logged: it may hold a password."""


def prefers_openmetrics(accept: str) -> bool:
    """Whether an ``Accept`` header (RFC 9110, 12.5.1) names OpenMetrics, and no plain text with a higher weight."""
    found = _qualities(accept)
    weight = found.get("application/openmetrics-text", 0)
    return weight > 0 and weight >= found.get("text/plain", 0)


def _qualities(header: str) -> dict[str, float]:
    """Names and the highest weight of each; without parameters other than ``q``."""
    found: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        found[name] = max(found.get(name, 0), weight)
    return found


def _weight(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def _line(text: str) -> str:
    """A reason in one line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON])
