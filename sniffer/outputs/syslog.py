"""Syslog: RFC 5424 messages over UDP (RFC 5426), over TCP with octet counting (RFC 6587), over TLS (RFC 5425)."""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING

from sniffer.outputs.formats import JSON, one_line
from sniffer.outputs.net import connect, hang_up, reason, split_address, tls_context
from sniffer.outputs.record import timestamp
from sniffer.outputs.sink import SinkError
from sniffer.outputs.text import clean, endpoint
from sniffer.outputs.view import View, of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

PORT, TLS_PORT = 514, 6514
# RFC 5426, 3.2: what every receiver should take, and what still passes without many fragments.
MAX_DATAGRAM = 2048
# What rsyslog and syslog-ng take unless told otherwise. A cut JSON object is none, so over UDP too it may be this long.
MAX_MESSAGE = 8192
_FACILITY = 13  # log audit
_SEVERITY = {"critical": 2, "high": 3, "medium": 4, "low": 5, "info": 6}
_NOTICE = 5
# The number RFC 5612 keeps for examples: the project has none of its own, and takes nobody else's.
ENTERPRISE = 32473
MAX_PARAM = 128  # characters of a structured value
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_BOM = b"\xef\xbb\xbf"
_EMPTY = f" [cleartap@{ENTERPRISE}] "
_SIOCOUTQ = 0x5411  # Linux (TIOCOUTQ): bytes the other side has not acknowledged


def escape(value: object) -> str:
    r"""A structured data value: ``"``, ``\`` and ``]`` get a backslash (RFC 5424, 6.3.3); control characters are made visible."""
    return re.sub(r'(["\\\]])', r"\\\1", clean(value, MAX_PARAM))


def cut(encoded: bytes, limit: int) -> bytes:
    """At most ``limit`` bytes, not ending within a character of UTF-8."""
    return encoded if len(encoded) <= limit else encoded[: max(limit, 0)].decode("utf-8", "ignore").encode()


def message(item: Item, sensor: str, form: str, limit: int) -> bytes:
    """One item as an RFC 5424 message of at most ``limit`` bytes. JSON that does not fit goes as plain words instead."""
    seen = of(item, sensor)
    head = _header(seen).encode()
    room = limit if form in ("plain", "cef") else MAX_MESSAGE
    text = seen.line if form == "plain" else one_line(item, sensor, form)
    if form in JSON and len(head) + len(text) + len(_EMPTY) > room:
        text, form, room = seen.line, "plain", limit
    # Plain words announce their encoding as 6.4 asks; CEF and JSON are ASCII or have an encoding of their own.
    encoded = text.encode() if form != "plain" or text.isascii() else _BOM + text.encode()
    kept = len(encoded) if form in JSON else min(len(encoded), room // 2)
    data = _structured(seen, room - len(head) - kept - 2)
    start = head + b" " + data + b" "
    return start + cut(encoded, room - len(start))


def _header(seen: View) -> str:
    severity = _NOTICE if seen.resolved else _SEVERITY.get(seen.severity, _NOTICE)
    host = _NOT_PRINTABLE.sub("?", seen.sensor)[:255] or "-"
    name = _NOT_PRINTABLE.sub("?", seen.rule or seen.kind)[:32] or "-"
    return f"<{_FACILITY * 8 + severity}>1 {timestamp(seen.last)} {host} cleartap {os.getpid()} {name}"


def _structured(seen: View, room: int) -> bytes:
    """The facts as structured data, the least needed left out where there is no room for all."""
    facts = {
        "id": seen.key, "kind": seen.kind, "rule": seen.rule, "severity": seen.severity, "state": "resolved" if seen.resolved else "",
        "client": seen.client, "server": seen.server, "port": seen.server_port or "", "protocol": seen.protocol, "transport": seen.transport,
        "channel": seen.channel, "count": seen.count or "", "outcome": seen.outcome, "fingerprint": seen.fingerprint, "mask": seen.mask,
        "user": seen.username, "tier": seen.tier, "encryption": seen.encryption, "mechanism": seen.mechanism, "path": " ".join(seen.path),
    }  # fmt: skip
    data = _EMPTY.strip(" ]").encode()
    for name, value in facts.items():
        more = f' {name}="{escape(value)}"'.encode() if value != "" else b""
        if len(data) + len(more) < room:
            data += more
    return data + b"]"


class SyslogSink:
    """One connection, opened when first needed and again after an error.

    Syslog has no acknowledgement of its own. Over TCP and TLS a batch counts as sent once the other side's kernel has
    acknowledged it and has not hung up; over UDP, unless an ICMP error comes back at once.
    """

    def __init__(self, settings: OutputSettings, sensor: str, wants: frozenset[str]) -> None:
        self.name, self.wants = settings.name, wants
        self._sensor, self._form = sensor, settings.format
        self._transport, self._timeout = settings.transport, float(settings.timeout_seconds)
        self._context = tls_context(settings) if settings.transport == "tls" else None
        self._host, self._port = split_address(settings.address, TLS_PORT if self._context else PORT)
        self._socket: socket.socket | None = None

    def send(self, items: Sequence[Item]) -> None:
        """Deliver all, or raise SinkError with the connection closed."""
        limit = MAX_DATAGRAM if self._transport == "udp" else MAX_MESSAGE
        messages = [message(item, self._sensor, self._form, limit) for item in items]
        try:
            if self._transport == "udp":
                self._datagrams(messages)
            else:
                self._stream(b"".join(b"%d %s" % (len(m), m) for m in messages))
        except OSError as error:
            self.close()
            raise self._error(reason(error)) from None
        except SinkError:
            self.close()
            raise

    def check(self) -> None:
        """Whether the receiver takes a connection; over UDP, whether its name resolves and there is a way to it."""
        try:
            if self._transport == "udp":
                self._udp().close()
            else:
                hang_up(connect(self._host, self._port, self._timeout, self._context))
        except OSError as error:
            raise self._error(reason(error)) from None

    def close(self) -> None:
        held, self._socket = self._socket, None
        hang_up(held)

    def _error(self, why: str) -> SinkError:
        return SinkError(f"syslog {endpoint(clean(self._host), self._port)}: {why}")

    def _udp(self) -> socket.socket:
        family, _, _, _, where = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.settimeout(self._timeout)
            made.connect(where)  # so that an ICMP error comes back to us
        except OSError:
            made.close()
            raise
        return made

    def _datagrams(self, messages: list[bytes]) -> None:
        if self._socket is None:
            self._socket = self._udp()
        for each in messages:
            self._socket.send(each)
        if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))

    def _stream(self, octets: bytes) -> None:
        if self._socket is not None and self._hung_up(self._socket):
            self.close()
        if self._socket is None:
            self._socket = connect(self._host, self._port, self._timeout, self._context)
        self._socket.settimeout(self._timeout)
        self._socket.sendall(octets)
        self._await_acknowledgement(self._socket)

    def _await_acknowledgement(self, connection: socket.socket) -> None:
        end, pause = time.monotonic() + self._timeout, 0.0005
        while _unacknowledged(connection):
            if self._hung_up(connection):
                break
            if time.monotonic() > end:
                raise self._error("takes nothing any more")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        if self._hung_up(connection):
            raise self._error("hung up")

    @staticmethod
    def _hung_up(connection: socket.socket) -> bool:
        """Whether the other side has closed. What it says is read away: over TLS 1.3 there are session tickets."""
        connection.settimeout(0)
        try:
            for _ in range(16):  # a receiver that talks without end is not waited for
                if not connection.recv(4096):
                    return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError):
            return True
        return False


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes sent and not acknowledged; 0 where the system does not tell."""
    try:
        from fcntl import ioctl

        return int.from_bytes(ioctl(connection.fileno(), _SIOCOUTQ, bytes(4)), sys.byteorder)
    except (ImportError, OSError):
        return 0
