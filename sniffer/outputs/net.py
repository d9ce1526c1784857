"""What network sinks share: addresses, TLS contexts, secret files, and errors as one harmless line."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sniffer.errors import UsageError
from sniffer.outputs.sink import SinkError
from sniffer.outputs.text import clean, endpoint

if TYPE_CHECKING:
    from sniffer.config import OutputSettings

# A key or a password, not a file named by mistake.
MAX_SECRET_FILE = 4096


def split_address(value: str, port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``. Raises UsageError."""
    try:
        parts = urlsplit(f"//{value}")
        host, named = parts.hostname, parts.port
    except ValueError:
        host, named = None, None
    if not host or parts.path or parts.query or parts.username:
        raise UsageError(f"{clean(value)!r} is no address: host, host:port or [IPv6]:port")
    return host, port if named is None else named


def tls_context(settings: OutputSettings) -> ssl.SSLContext:
    """Certificate and name verified, TLS 1.2 or later; a client certificate where one is set. Raises UsageError."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            # An empty passphrase: a key that needs one must fail, not ask on a terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise UsageError(f"output {settings.name}: ca_file, cert_file or key_file: {reason(error)}") from None
    return context


def read_secret(path: str, what: str) -> str:
    """The first line of a file that only its owner may change and strangers may not read. Raises UsageError.

    A group may read it: service managers hand credentials over as ``root:service 0440``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise UsageError(f"{what} {path}: not a regular file")
            if facts.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise UsageError(f"{what} {path}: others can read or change it; chmod 600 it")
            held = os.read(handle, MAX_SECRET_FILE + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise UsageError(f"{what} {path}: {reason(error)}") from None
    if len(held) > MAX_SECRET_FILE:
        raise UsageError(f"{what} {path}: longer than {MAX_SECRET_FILE} bytes")
    try:
        secret = held.decode().split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{what} {path}: not UTF-8 text") from None
    if not secret:
        raise UsageError(f"{what} {path}: empty")
    return secret


def reason(error: BaseException) -> str:
    """One printable line for an error of a socket, of TLS or of a file, without what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {clean(error.verify_message, 200)}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "hung up"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {clean(error.reason or type(error).__name__, 100)}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    return clean(getattr(error, "strerror", None) or type(error).__name__, 200)


def connect(host: str, port: int, timeout: float, context: ssl.SSLContext | None) -> socket.socket:
    """A TCP connection, wrapped in TLS where a context is given. Raises SinkError."""
    try:
        raw = socket.create_connection((host, port), timeout)
        if context is None:
            return raw
        try:
            return context.wrap_socket(raw, server_hostname=host)
        except (OSError, ValueError):
            raw.close()
            raise
    except (OSError, ValueError) as error:
        raise SinkError(f"{endpoint(clean(host), port)}: {reason(error)}") from None


def hang_up(connection: socket.socket | None, timeout: float = 1.0) -> None:
    """Close, over TLS with both sides' close_notify (RFC 5425, 4.4), so that the receiver logs no error."""
    if connection is None:
        return
    try:
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(timeout)
            connection.unwrap()
    except (OSError, ValueError):
        pass
    finally:
        connection.close()
