"""The HTTP endpoint (RFC 9110, 9112): /metrics, /-/healthy and /-/ready, one request a connection, in threads of its own."""

from __future__ import annotations

import socket
import socketserver
import ssl
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from sniffer.errors import UsageError
from sniffer.metrics.access import Access, Listen, Loaded, parse_listen
from sniffer.metrics.request import Request
from sniffer.metrics.tls import allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sniffer.metrics.registry import Metrics

# Connections at once, in all and from one address: a few Prometheus servers scrape every 15 s and need 20 ms each.
MAX_CONNECTIONS = 16
MAX_CONNECTIONS_EACH = 8
# Seconds for a connection from its first byte to its last, handshake included, whatever the client does.
DEADLINE = 10.0
# Seconds between two looks at whether to stop.
_POLL = 0.2
# Seconds the peer gets to close its side of TLS after the answer.
_UNWRAP = 0.2
# Seconds to wait for connections to end once their sockets are shut.
_STOP = 2.0


class Endpoint:
    """Serves ``metrics`` on ``listen`` until stopped; a context manager that starts and stops.

    ``healthy`` and ``ready`` return None, or the reason why not in one line; they are called from the endpoint's threads.
    ``web_config`` is a file of the exporter-toolkit's form, or "". UsageError if it is wrong, if the address cannot be had, or
    if it is reachable by others without both TLS and authentication, unless ``allow_insecure``.
    """

    def __init__(
        self, metrics: Metrics, listen: str, web_config: str,
        healthy: Callable[[], str | None], ready: Callable[[], str | None], *, allow_insecure: bool = False,
    ) -> None:  # fmt: skip
        where = parse_listen(listen)
        self._stopping = threading.Event()
        self._access = Access(
            web_config, self._stopping.wait, lambda good: metrics.web_config(good=good), open_to_others=not (where.loopback or allow_insecure)
        )
        self._server = _Server(where, metrics, self._access, healthy, ready)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", kwargs={"poll_interval": _POLL}, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port in use."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def scheme(self) -> str:
        """``https`` with TLS, which the web configuration may also be without."""
        return "https" if self._access.current().context is not None else "http"

    @property
    def problem(self) -> str | None:
        """Why the web configuration on disk is not the one in use, or None."""
        return self._access.problem

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; connections are cut. Returns within 3 s."""
        self._stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.cut(_STOP)

    def __enter__(self) -> Endpoint:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A bounded number of threads, one a connection."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, where: Listen, metrics: Metrics, access: Access, healthy: Callable[[], str | None], ready: Callable[[], str | None]) -> None:
        self.metrics = metrics
        self.access = access
        self.checks = {"/-/healthy": healthy, "/-/ready": ready}
        self._lock = threading.Lock()
        self._open: dict[socket.socket, str] = {}
        self._ended = threading.Condition(self._lock)
        super().__init__((where.host, where.port), socketserver.BaseRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = _listener(where, self.request_queue_size)
        self.server_address = self.socket.getsockname()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection; otherwise it is closed unanswered."""
        with self._lock:
            each = Counter(self._open.values())
            room = len(self._open) < MAX_CONNECTIONS and each[client_address[0]] < MAX_CONNECTIONS_EACH
            if room:
                self._open[request] = client_address[0]
        if not room:
            self.metrics.refused("busy")
        return room

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's thread: TLS if it is configured, then the request."""
        deadline = time.monotonic() + DEADLINE
        request.settimeout(DEADLINE)
        # The head and the body of an answer leave one after the other; Nagle's algorithm would wait 40 ms between them.
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loaded = self.access.current()
        if loaded.context is None:
            Request(request, client_address, self, loaded, deadline)
            return
        with loaded.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secured:
            self._move(request, secured)  # so has the descriptor
            try:
                secured.do_handshake()
                self._secured(secured, client_address, loaded, deadline)
            finally:
                self._move(secured, request)

    def _secured(self, secured: ssl.SSLSocket, client_address: Any, loaded: Loaded, deadline: float) -> None:
        assert loaded.config.tls is not None
        if not allowed(secured.getpeercert(), loaded.config.tls.client_allowed_sans):
            self.metrics.refused("unauthorized")
            return
        Request(secured, client_address, self, loaded, deadline)
        secured.settimeout(_UNWRAP)
        try:
            secured.unwrap()
        except (OSError, ValueError):  # the peer went first
            pass

    def _move(self, old: socket.socket, new: socket.socket) -> None:
        with self._lock:
            self._open[new] = self._open.pop(old)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._ended:
            self._open.pop(request, None)
            self._ended.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What the network does is no error; anything else is ours, and counted."""
        if not isinstance(sys.exc_info()[1], OSError):  # TimeoutError and ssl.SSLError are OSErrors too
            self.metrics.bug()

    def cut(self, timeout: float) -> None:
        """Shut all connections and wait for their threads."""
        with self._ended:
            for connection in self._open:
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:  # gone, or its descriptor has moved
                    pass
            self._ended.wait_for(lambda: not self._open, timeout)


def _listener(where: Listen, backlog: int) -> socket.socket:
    try:
        if not where.host and socket.has_dualstack_ipv6():
            return socket.create_server(("", where.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        return socket.create_server((where.host, where.port), family=family, backlog=backlog)
    except OSError as error:
        raise UsageError(f"metrics.listen {where.host}:{where.port}: {error.strerror}") from None
