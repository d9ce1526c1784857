r"""ArcSight Common Event Format, version 0: one line; ``|`` and ``\`` escaped in the header, ``=`` and ``\`` in the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.outputs.text import clean
from sniffer.outputs.version import version
from sniffer.outputs.view import address, of

if TYPE_CHECKING:
    from sniffer.outputs.sink import Item
    from sniffer.outputs.view import View

_SEVERITY = {"info": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
# The dictionary's bounds, in characters.
_MAX_NAME, _MAX_USER, _MAX_MESSAGE, _MAX_CUSTOM, _MAX_SHORT, _MAX_ID = 512, 1023, 1023, 1023, 31, 40


def header(value: object, limit: int = _MAX_NAME) -> str:
    """A field of the header. Control characters and line ends are shown as by :func:`~sniffer.outputs.text.clean`."""
    return clean(value, limit).replace("\\", "\\\\").replace("|", "\\|")


def extension(value: object, limit: int = _MAX_CUSTOM) -> str:
    """A value of the extension."""
    return clean(value, limit).replace("\\", "\\\\").replace("=", "\\=")


def line(item: Item, sensor: str = "") -> str:
    """One item as one CEF line, without its end."""
    seen = of(item, sensor)
    severity = _SEVERITY["info"] if seen.resolved else _SEVERITY.get(seen.severity, 0)
    head = ("cleartap", "cleartap", version(), seen.rule or seen.kind, seen.title)
    fields = " ".join(f"{name}={value}" for name, value in _fields(seen).items() if value)
    return f"CEF:0|{'|'.join(map(header, head))}|{severity}|{fields}"


def _fields(seen: View) -> dict[str, str]:
    plain = {
        "rt": _milliseconds(seen.last),
        "start": _milliseconds(seen.first),
        "end": _milliseconds(seen.last),
        "cat": extension(seen.category),
        "app": extension(seen.protocol, _MAX_SHORT),
        "proto": extension(seen.transport.upper(), _MAX_SHORT),
        "suser": extension(seen.username, _MAX_USER),
        "sntdom": extension(seen.realm, 255) if seen.username else "",
        "spt": str(seen.client_port or ""),
        "dpt": str(seen.server_port or ""),
        "in": str(seen.server_bytes or ""),
        "out": str(seen.client_bytes or ""),
        "cnt": str(seen.count or ""),
        "act": ("resolved" if seen.resolved else "firing") if seen.kind == "alert" else "",
        "outcome": extension(seen.outcome, _MAX_SHORT),
        "externalId": extension(seen.key, _MAX_ID),
        "deviceExternalId": extension(seen.sensor, 255),
        "msg": extension(seen.line, _MAX_MESSAGE),
    }
    custom = {"secretMask": seen.mask, "secretFingerprint": seen.fingerprint, "channel": seen.channel, "tier": seen.tier, "mechanism": seen.mechanism, "remedy": seen.remedy}
    for place, (label, value) in enumerate(custom.items(), 1):
        if value:
            plain |= {f"cs{place}": extension(value), f"cs{place}Label": label}
    return plain | _address(seen.client, "src", "c6a2", "Source IPv6 Address") | _address(seen.server, "dst", "c6a3", "Destination IPv6 Address")


def _address(host: str, name: str, custom: str, label: str) -> dict[str, str]:
    """Version 0 knows IPv4 only in ``src`` and ``dst``; IPv6 has custom fields."""
    ip = address(host)
    return {custom: ip, f"{custom}Label": label} if ":" in ip else {name: ip}


def _milliseconds(nanoseconds: int) -> str:
    return str(nanoseconds // 1_000_000)
