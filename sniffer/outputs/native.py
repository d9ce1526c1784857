"""Items as schema 1 for sinks: findings and channels as recorded, alerts with RFC 3339 times; a value is taken out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sniffer.outputs.record import SCHEMA, timestamp
from sniffer.outputs.view import moment, sound

if TYPE_CHECKING:
    from sniffer.outputs.sink import Item

# What --reveal adds to a record. Nothing revealed is ever queued; a sink does not rely on that.
_REVEALED = {"secret": "value", "crack": "line"}


def record(item: Item, sensor: str) -> dict[str, Any]:
    """One item as a schema-1 object, with the sensor that saw it."""
    body: dict[str, Any] = _kept(item.body)
    if item.kind != "alert":
        return {**body, "sensor": sensor} if sensor else body
    times = {name: timestamp(moment(body.get(name))) for name in ("first_seen", "last_seen")}
    return {"type": "alert", "schema": SCHEMA, **body, **times}


def _kept(value: Any, parent: str = "") -> Any:
    if isinstance(value, dict):
        return {sound(str(name)): _kept(inner, name) for name, inner in value.items() if _REVEALED.get(parent) != name}
    if isinstance(value, (list, tuple)):
        return [_kept(inner) for inner in value]
    return sound(value) if isinstance(value, str) else value
