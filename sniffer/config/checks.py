"""What texts of the configuration must be: networks, endpoints (RFC 3986 authority), URLs. Each gives what is wrong, or None.

An empty text means that there is nothing more exact to say than what the value is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import urlsplit


def network_wrong(value: str) -> str | None:
    """A CIDR, or one address. Bits beyond the prefix are refused: they show that one of the two is not meant."""
    try:
        ip_network(value)
    except ValueError as error:
        return f"is {json.dumps(value[:60])}, which has host bits set" if "host bits" in str(error) else ""
    return None


def endpoint_wrong(value: str, *, low: int = 1, port: bool = True) -> str | None:
    """host:port, with an IPv6 address in brackets; the port not below ``low``, and left out only where ``port`` is False."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?", value, re.ASCII)
    if not match or not _host(match[1], match[2]):
        return ""
    return "" if (port if match[3] is None else not low <= int(match[3]) <= 65535) else None


def _host(six: str | None, other: str | None) -> bool:
    if six is None and not re.fullmatch(r"[0-9.]+", other or ""):
        return True
    try:
        return ip_network((six or other or "").partition("%")[0]).version == (6 if six else 4)
    except ValueError:
        return False


def url_wrong(value: str) -> str | None:
    """An absolute http or https URL without a user and a password in it (RFC 3986)."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if "@" in parts.netloc:
        return "has a user or a password in it"
    if parts.hostname and parts.hostname.endswith("hooks.slack.com"):
        return "is a secret as a whole: write it to a file of mode 0600 and name that as url_file"
    return None if parts.scheme in ("http", "https") and host and port != 0 and not re.search(r"\s", value) else ""


def sent_in_clear(url: str) -> bool:
    """Whether what is sent to a URL crosses a network unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not loopback(parts.hostname or "")


def loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_network(host).is_loopback
    except ValueError:
        return False


def matching(pattern: str) -> Callable[[str], str | None]:
    """The check that a text has a form."""
    form = re.compile(pattern)
    return lambda value: None if form.fullmatch(value) else ""
