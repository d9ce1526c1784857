"""Messages for Slack-compatible incoming webhooks: text and Block Kit blocks, ``&``, ``<`` and ``>`` escaped, nothing linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sniffer.outputs.record import timestamp
from sniffer.outputs.text import clean, plural
from sniffer.outputs.view import of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.outputs.sink import Item
    from sniffer.outputs.view import View

# Slack's bounds: 50 blocks a message, 3000 characters a text, 10 fields of 2000 a section. Three blocks an item and a heading.
MAX_ITEMS = 16
MAX_TEXT, MAX_FIELD, MAX_FIELDS = 3000, 2000, 10
MAX_FALLBACK = 3000
_MARK = {"critical": "🟥", "high": "🟧", "medium": "🟨", "low": "🟦", "info": "⬜"}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(value: object, limit: int = MAX_FIELD) -> str:
    """Text that Slack shows as it is, of at most ``limit`` characters: no mention, no link; cut between characters, not in an entity."""
    said = "".join(_ENTITIES.get(c, c) for c in clean(value, limit))
    if len(said) <= limit:
        return said
    kept, room = [], limit - 1
    for part in (_ENTITIES.get(c, c) for c in clean(value, limit)):
        room -= len(part)
        if room < 0:
            break
        kept.append(part)
    return "".join(kept) + "…"


def message(items: Sequence[Item], sensor: str) -> dict[str, Any]:
    """At most MAX_ITEMS items as one message."""
    seen = [of(item, sensor) for item in items[:MAX_ITEMS]]
    blocks: list[dict[str, Any]] = []
    if len(seen) > 1:
        blocks.append({"type": "header", "text": {"type": "plain_text", "text": f"cleartap: {plural(len(seen), 'message')}", "emoji": False}})
    for place, each in enumerate(seen):
        blocks += [{"type": "divider"}] if place else []
        blocks += _blocks(each)
    return {"text": escape("; ".join(f"{each.severity or '-'} {each.line}" for each in seen), MAX_FALLBACK), "blocks": blocks}


def _blocks(seen: View) -> list[dict[str, Any]]:
    head = f"{'✅ resolved' if seen.resolved else _MARK.get(seen.severity, '')} *{escape(seen.severity, 20)}* {escape(seen.title, 500)}"
    facts = {
        "From": seen.client, "To": seen.ends.rpartition(" -> ")[2] if seen.server else "", "Protocol": seen.protocol, "User": seen.username,
        "Secret": seen.mask, "Outcome": seen.outcome, "Tier": " ".join(filter(None, (seen.tier, seen.network))), "Seen": plural(seen.count, "time") if seen.count else "",
    }  # fmt: skip
    fields = [_text(f"{name}\n{escape(value, 300)}") for name, value in facts.items() if value][:MAX_FIELDS]
    foot = " · ".join(part for part in (escape(seen.rule, 100), escape(seen.sensor, 100), timestamp(seen.last), escape(seen.channel, 20), escape(seen.remedy, 500)) if part)
    section = {"type": "section", "text": _text(head)}
    return [{**section, "fields": fields} if fields else section, {"type": "context", "elements": [_text(foot)]}]


def _text(said: str) -> dict[str, Any]:
    """Slack's markup with ``verbatim``: names and addresses in it become no links and no mentions."""
    return {"type": "mrkdwn", "text": said, "verbatim": True}
