"""HTTP/1.1 requests to one receiver over a kept connection (RFC 9110, 9112): TLS verified, no redirect followed, no proxy."""

from __future__ import annotations

import base64
import http.client
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sniffer.errors import UsageError
from sniffer.outputs.net import read_secret, reason, tls_context
from sniffer.outputs.sink import SinkError
from sniffer.outputs.text import clean, endpoint
from sniffer.outputs.version import version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sniffer.config import OutputSettings

# An answer is read to keep the connection, not for what it says.
MAX_ANSWER = 65_536
# Client errors that pass: request timeout, too early, too many requests (RFC 9110, 15.5.9; RFC 8470; RFC 6585), and those
# that a new token or password mends (401, 403, 407): what waits for that is not lost.
PASSING = frozenset({401, 403, 407, 408, 425, 429})
# A receiver that asks for longer is tried again all the same.
MAX_RETRY_AFTER = 3600.0
_HUNG_UP = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class HttpError(SinkError):
    """A receiver answered with an error, of this status."""

    def __init__(self, text: str, status: int, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text, permanent=permanent, retry_after=retry_after)
        self.status = status


class Requester:
    """Sends requests to one URL. Error texts name host and port only: path and query may hold a token."""

    def __init__(self, settings: OutputSettings, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts_wrong(url) or not host:
            raise UsageError(f"output {settings.name}: the url is no http or https URL without user, password and fragment")
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port or (443 if self._secure else 80)
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = float(settings.timeout_seconds)
        self._context = tls_context(settings) if self._secure else None
        self._headers = {"User-Agent": f"cleartap/{version()}", **_login(settings), **settings.headers}
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Send one request. Raises SinkError, or HttpError where there was an answer other than 2xx."""
        reused = self._connection is not None
        try:
            status, after, closing = self._exchange(method, target, body, headers or {})
        except _HUNG_UP as error:
            self.close()
            if not reused:
                raise self._error(reason(error)) from None
            # The receiver closed a connection that lay idle (RFC 9112, 9.3.1): once more on a new one.
            return self.request(method, target, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._error(reason(error)) from None
        if closing:
            self.close()
        if not 200 <= status < 300:
            raise self._refused(status, after)
        return None

    def check(self) -> None:
        """Whether the receiver takes a connection, with TLS where it should; sends no request. Raises SinkError."""
        self.close()
        try:
            self._open().connect()
        except (OSError, ValueError) as error:
            raise self._error(reason(error)) from None
        finally:
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return self._connection

    def _exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, str | None, bool]:
        connection = self._open()
        connection.request(method, target, body, {**self._headers, **headers})
        answer = connection.getresponse()
        answer.read(MAX_ANSWER)
        return answer.status, answer.getheader("Retry-After"), not answer.isclosed()

    def _error(self, why: str) -> SinkError:
        return SinkError(f"{endpoint(clean(self._host), self._port)}: {why}")

    def _refused(self, status: int, after: str | None) -> HttpError:
        where = endpoint(clean(self._host), self._port)
        if 300 <= status < 400:
            return HttpError(f"{where}: answered {status}, a redirect, which is not followed; set the final URL", status)
        permanent = 400 <= status < 500 and status not in PASSING
        return HttpError(f"{where}: answered {status}", status, permanent=permanent, retry_after=None if permanent else retry_after(after))


def _login(settings: OutputSettings) -> dict[str, str]:
    """The Authorization field of a user and the password in a file (RFC 7617)."""
    if not settings.username:
        return {}
    password = read_secret(settings.password_file, f"output {settings.name}: password_file") if settings.password_file else ""
    return {"Authorization": "Basic " + base64.b64encode(f"{settings.username}:{password}".encode()).decode()}


def parts_wrong(url: str) -> bool:
    """Whether a URL is not one to post to: another scheme, a user in it, a fragment, or characters no URL has."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    printable = url.isascii() and url.isprintable() and " " not in url
    return parts.scheme not in ("http", "https") or not printable or bool(parts.username or parts.password or parts.fragment)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After field, a number or a date (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER; None for nonsense."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return min(float(value.strip()[:9]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
