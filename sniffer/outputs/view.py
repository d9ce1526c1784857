"""What every format needs of an item, read by name from its schema-1 body: whatever is not named here goes nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from sniffer.outputs.text import clean, endpoint

if TYPE_CHECKING:
    from sniffer.outputs.sink import Item

# Elasticsearch's keyword fields ignore more by default, and no honest name is longer.
MAX_VALUE = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A finding, an alert or a channel under one set of names. Text is "" and numbers are 0 where nothing is known.

    Times are nanoseconds since the epoch. Of a secret there is the mask, the keyed fingerprint and the kind.
    """

    kind: str
    id: str
    key: str  # differs between repeats of one alert, the same when one delivery is tried again
    sensor: str
    resolved: bool
    revision: int
    rule: str
    category: str
    severity: str
    title: str
    protocol: str
    transport: str
    client: str
    client_port: int
    server: str
    server_port: int
    path: tuple[str, ...]
    tier: str
    network: str
    channel: str
    mechanism: str
    outcome: str
    username: str
    realm: str
    mask: str
    fingerprint: str
    secret: str
    where: str
    source: str
    frame: int
    confidence: float
    count: int
    findings: int
    first: int
    last: int
    remedy: str
    references: tuple[str, ...]
    encryption: str
    why: str
    client_bytes: int
    server_bytes: int
    tls: dict[str, str]

    @property
    def ends(self) -> str:
        """``10.0.0.5 -> 10.0.0.9:21``, as far as it is known."""
        server = endpoint(clean(self.server), self.server_port) if self.server else ""
        return " -> ".join(part for part in (clean(self.client), server) if part)

    @property
    def line(self) -> str:
        """One printable line for people, without the secret's mask."""
        head = f"{'resolved: ' if self.resolved else ''}{clean(self.title, 200)}"
        facts = [self.ends, f"{clean(self.protocol)}/{clean(self.transport)}" if self.protocol else ""]
        facts += [f"user {clean(self.username)}" if self.username else "", clean(self.outcome)]
        facts += [f"{self.encryption}, {clean(self.why, 200)}" if self.kind == "channel" else "", f"{self.count:,} times" if self.count > 1 else ""]
        said = ", ".join(fact for fact in facts if fact)
        return f"{head}: {said}" if said else head


def of(item: Item, sensor: str) -> View:
    """The view of an item as seen by ``sensor``."""
    body = item.body
    if item.kind == "alert":
        return _alert(item, body, sensor)
    return _channel(item, body, sensor) if item.kind == "channel" else _finding(item, body, sensor)


def _finding(item: Item, body: dict[str, Any], sensor: str) -> View:
    client, server = _map(body, "client"), _map(body, "server")
    ends = {"client": text(client, "ip"), "client_port": number(client, "port"), "server": text(server, "ip"), "server_port": number(server, "port")}
    return _view(item, body, _map(body, "secret"), key=item.id, sensor=sensor, findings=1, count=number(body, "count") or 1, **ends)


def _alert(item: Item, body: dict[str, Any], sensor: str) -> View:
    found = _map(body, "finding")
    ends = {"client": text(body, "client"), "client_port": number(_map(found, "client"), "port"), "server": text(body, "server"), "server_port": number(body, "port")}
    # The finding tells of the login, the alert of everything both know.
    merged = {**found, **{name: value for name, value in body.items() if name != "finding" and value not in ("", None)}}
    return _view(
        item, merged, _map(found, "secret"), key=delivery_key(item), sensor=text(body, "sensor") or sensor,
        findings=number(body, "findings"), count=number(body, "count"), **ends,
    )  # fmt: skip


def _channel(item: Item, body: dict[str, Any], sensor: str) -> View:
    sent = _map(body, "bytes")
    facts = {name: text(_map(body, "tls"), name) for name in ("version", "cipher", "sni", "ja4")}
    named = {**body, "title": f"channel {text(body, 'encryption')}", "severity": "info", "category": "channel", "channel": text(body, "id")}
    return _view(
        item, named, {}, key=item.id, sensor=sensor, findings=0, count=number(body, "sessions"),
        client=text(body, "client"), client_port=0, server=text(body, "server"), server_port=number(body, "port"),
        client_bytes=number(sent, "client"), server_bytes=number(sent, "server"), tls={name: value for name, value in facts.items() if value},
    )  # fmt: skip


_TEXTS = ("rule", "category", "severity", "title", "protocol", "transport", "tier", "network", "channel", "mechanism", "outcome", "username", "realm")
_MORE = ("where", "source", "remedy", "encryption", "why")


def _view(item: Item, body: dict[str, Any], secret: dict[str, Any], **known: Any) -> View:
    values: dict[str, Any] = {"client_bytes": 0, "server_bytes": 0, "tls": {}}
    values |= {name: text(body, name) for name in (*_TEXTS, *_MORE)}
    values |= {"path": _texts(body, "path"), "references": _texts(body, "references"), "frame": number(body, "frame"), "revision": number(body, "revision")}
    values |= {"mask": text(secret, "mask"), "fingerprint": text(secret, "fingerprint"), "secret": text(secret, "kind")}
    values |= {"first": moment(body.get("first_seen")), "last": moment(body.get("last_seen")), "resolved": body.get("state") == "resolved"}
    confidence = body.get("confidence")
    values["confidence"] = float(confidence) if isinstance(confidence, (int, float)) else 0.0
    return View(kind=item.kind, id=text(body, "id") or item.id, **{**values, **known})


def delivery_key(item: Item) -> str:
    """One name for one thing to deliver: the item's id, and for an alert which of its repeats it is.

    An alert that fires again after it was resolved begins at revision 1 again: when it began tells it from the one before.
    """
    revision = number(item.body, "revision")
    if item.kind != "alert" or not revision or item.id != item.body.get("id"):
        return item.id
    began = moment(item.body.get("first_seen"))
    return f"{item.id}.{began}.{revision}" + (".resolved" if item.body.get("state") == "resolved" else "")


def text(body: dict[str, Any], name: str) -> str:
    """A field as text of bounded length that every UTF-8 encoder takes; control characters are left to the format."""
    value = body.get(name)
    if value is None or isinstance(value, (dict, list, tuple)):
        return ""
    said = sound(str(value))
    return said if len(said) <= MAX_VALUE else said[: MAX_VALUE - 1] + "…"


def sound(value: str) -> str:
    """Without lone surrogates, which are no Unicode text and make receivers refuse the whole message (RFC 8259, 8.2)."""
    return _LONE_SURROGATE.sub("\ufffd", value)


def number(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) else 0


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    return tuple(sound(str(part))[:MAX_VALUE] for part in value) if isinstance(value, (list, tuple)) else ()


def _map(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def moment(value: object) -> int:
    """Nanoseconds since the epoch, from the same or from RFC 3339 text; 0 for neither."""
    if isinstance(value, str):
        try:
            return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1) * 1000
        except (ValueError, TypeError):
            return 0
    return value if isinstance(value, int) else 0


def address(value: str) -> str:
    """The value if it is an IP address without a zone, else ""."""
    try:
        return str(ip_address(value)) if "%" not in value else ""
    except ValueError:
        return ""


def vlan(view: View) -> str:
    """The outermost VLAN of the path, "" without one."""
    return next((part.removeprefix("vlan:") for part in view.path if part.startswith("vlan:")), "")


def present(record: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known, at every depth."""
    kept = {name: present(value) if isinstance(value, dict) else value for name, value in record.items()}
    return {name: value for name, value in kept.items() if value not in ("", None, [], {}, ())}
