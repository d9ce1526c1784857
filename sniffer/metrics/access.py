"""Where the endpoint listens and under which web configuration: loopback unless protected, reread when a file changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sniffer.errors import UsageError
from sniffer.metrics.passwords import Users
from sniffer.metrics.tls import server_context
from sniffer.metrics.webconfig import WebConfig, load

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


class Listen(NamedTuple):
    """An address to listen on; ``host`` is "" for all addresses of both families."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return bool(self.host) and ip_address(self.host).is_loopback


def parse_listen(text: str) -> Listen:
    """``127.0.0.1:9476``, ``[::1]:9476``, ``localhost:9476``, or ``:9476`` for every address. No other names: nothing is looked up."""
    host, colon, port = text.strip().rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if host:
            ip_address(host)
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError
    except ValueError:
        raise UsageError(f"metrics.listen {text[:80]!r}: give an address and a port, such as 127.0.0.1:9476, [::1]:9476 or :9476") from None
    return Listen(host, int(port))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A web configuration ready for use."""

    config: WebConfig
    context: ssl.SSLContext | None
    users: Users | None


class Access:
    """The web configuration in use. One that cannot be read any more leaves the last good one in force.

    ``open_to_others``: listening where others reach it, so TLS and authentication are required. Raises UsageError at the start.
    """

    def __init__(self, path: str, wait: Callable[[float], object], told: Callable[[bool], object], *, open_to_others: bool) -> None:
        self.problem: str | None = None
        self._path = Path(path) if path else None
        self._wait = wait
        self._told = told
        self._required = open_to_others
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._loaded = self._load()

    def current(self) -> Loaded:
        """The configuration, read again if a file has changed; ``problem`` says in one line why that failed."""
        if self._path is None:
            return self._loaded
        with self._lock:
            seen = self._signature(self._loaded.config)
            if seen != self._seen:
                self._seen = seen  # one that fails is not read again until it changes
                self._reread()
            return self._loaded

    def _reread(self) -> None:
        try:
            self._loaded, self.problem = self._load(), None
        except UsageError as error:
            self.problem = str(error)
        self._told(self.problem is None)

    def _load(self) -> Loaded:
        read = _stamp(self._path) if self._path is not None else ()
        config = load(self._path) if self._path is not None else WebConfig()
        if self._required:
            _protected(config)
        # Stamped before they are read: what changes meanwhile is read once more.
        seen = (read, *map(_stamp, config.files))
        context = server_context(config.tls) if config.tls is not None else None
        self._seen = seen
        return Loaded(config, context, Users(config.users, self._wait) if config.users else None)

    def _signature(self, config: WebConfig) -> tuple[object, ...]:
        return tuple(map(_stamp, (self._path, *config.files))) if self._path is not None else ()


def _protected(config: WebConfig) -> None:
    missing = [what for what, there in (("TLS", config.tls), ("authentication", config.authenticates)) if not there]
    if missing:
        raise UsageError(
            f"metrics.listen: an address that others reach needs TLS and authentication in metrics.web_config; {' and '.join(missing)} is missing "
            "(on 127.0.0.1 it needs neither)"
        )


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return (path,)
    return path, status.st_ino, status.st_size, status.st_mtime_ns
