"""The formats an item can take as one line of text: JSON (schema 1, ECS, OCSF), CEF, or plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sniffer.outputs import cef, ecs, jsonl, native, ocsf
from sniffer.outputs.record import timestamp
from sniffer.outputs.text import clean
from sniffer.outputs.view import of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sniffer.outputs.sink import Item

JSON: dict[str, Callable[[Item, str], dict[str, Any]]] = {"native": native.record, "ecs": ecs.event, "ocsf": ocsf.event}


def plain(item: Item, sensor: str) -> str:
    """Words for people: time, sensor, severity, what it is."""
    seen = of(item, sensor)
    return f"{timestamp(seen.last)} {clean(seen.sensor) or '-'} {seen.severity or '-'} {seen.line}"


def one_line(item: Item, sensor: str, form: str) -> str:
    """An item in any format, without a line end in it."""
    if form in JSON:
        return jsonl.line(JSON[form](item, sensor))
    return cef.line(item, sensor) if form == "cef" else plain(item, sensor)
