"""Alertmanager's API v2: alerts by labels from closed sets and server endpoints, never a client, a user or a secret."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sniffer.outputs.http import Requester
from sniffer.outputs.record import timestamp
from sniffer.outputs.text import clean, endpoint
from sniffer.outputs.view import View, of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

# Alerts remembered as firing. Beyond it an alert is sent as it comes, whatever else has its labels.
MAX_FIRING = 50_000
MAX_LABEL, MAX_ANNOTATION = 200, 1000
_NANOSECONDS = 1_000_000_000
Labels = tuple[tuple[str, str], ...]


def labels(seen: View) -> dict[str, str]:
    """The labels that identify an alert. Those of clients on one server and rule are the same alert."""
    named = {
        "alertname": "Cleartap" + re.sub(r"[^A-Za-z0-9]", "", seen.category.title()),
        "rule": seen.rule,
        "severity": seen.severity,
        "server": seen.server,
        "port": str(seen.server_port or ""),
        "protocol": seen.protocol,
        "tier": seen.tier,
        "sensor": seen.sensor,
    }
    return {name: clean(value, MAX_LABEL) for name, value in named.items() if value}


def notes(seen: View) -> dict[str, str]:
    """What people read: not part of the identity, and without client, user and secret all the same."""
    where = f" at {endpoint(clean(seen.server), seen.server_port)}" if seen.server else ""
    counted = f"{seen.count:,} times, {seen.findings:,} different findings" if seen.findings else f"{seen.count:,} times" if seen.count else ""
    facts = [counted, f"rule {seen.rule}" if seen.rule else "", f"channel {seen.channel}" if seen.channel else "", f"last seen {timestamp(seen.last)}"]
    said = {"summary": f"{seen.title}{where}", "description": ", ".join(fact for fact in facts if fact), "remedy": seen.remedy}
    return {name: clean(value, MAX_ANNOTATION) for name, value in said.items() if value}


class AlertmanagerSink:
    """Posts alerts, and keeps one that several clients share firing until the last of them is resolved.

    ``resend``: seconds after which a firing alert is sent again; Alertmanager takes it for resolved half as long after that.
    """

    def __init__(self, settings: OutputSettings, sensor: str, wants: frozenset[str], resend: int) -> None:
        self.name, self.wants = settings.name, wants
        self._sensor, self._lasting = sensor, resend * 3 // 2 * _NANOSECONDS
        self._requester = Requester(settings, settings.url)
        base = urlsplit(settings.url).path.rstrip("/")
        self._base = base.removesuffix("/api/v2/alerts").removesuffix("/api/v2")
        self._firing: dict[str, Labels] = {}  # by alert
        self._sharing: dict[Labels, set[str]] = {}
        self._ending: set[Labels] = set()  # labels an alert no longer has, still to be told

    def send(self, items: Sequence[Item]) -> None:
        """Post all alerts in one request. Raises SinkError. Sending the same again changes nothing."""
        now = time.time_ns()
        posted: dict[Labels, dict[str, Any]] = {}
        for item in items:
            if item.kind == "alert":
                seen = of(item, self._sensor)
                self._note(seen)
                self._post(seen, now, posted)
        for named in self._ending:
            posted.setdefault(named, {"labels": dict(named), "endsAt": timestamp(now)})
        if posted:
            body = json.dumps(list(posted.values())).encode()
            self._requester.request("POST", f"{self._base}/api/v2/alerts", body, {"Content-Type": "application/json"})
        self._ending.clear()

    def remember(self, items: Iterable[Item]) -> None:
        """Alerts that fire since before this was opened: of those who share labels none ends the others."""
        for item in items:
            seen = of(item, self._sensor)
            if not seen.resolved:
                self._note(seen)

    def check(self) -> None:
        """Whether Alertmanager says that it is ready. Raises SinkError."""
        self._requester.request("GET", f"{self._base}/-/ready")

    def close(self) -> None:
        self._requester.close()

    def _note(self, seen: View) -> None:
        """Keep who fires under which labels; an alert that became worse leaves its old ones."""
        named = tuple(labels(seen).items())
        before = self._firing.get(seen.id)
        if before is not None and (seen.resolved or before != named):
            del self._firing[seen.id]
            sharing = self._sharing[before]
            sharing.discard(seen.id)
            if not sharing:
                del self._sharing[before]
                self._ending |= {before} - {named}
        if not seen.resolved and (seen.id in self._firing or len(self._firing) < MAX_FIRING):
            self._firing[seen.id] = named
            self._sharing.setdefault(named, set()).add(seen.id)
            self._ending.discard(named)

    def _post(self, seen: View, now: int, posted: dict[Labels, dict[str, Any]]) -> None:
        named = tuple(labels(seen).items())
        if seen.resolved and named in self._sharing:
            return  # another client still does it
        ends = now if seen.resolved else now + self._lasting
        posted[named] = {
            "labels": dict(named),
            "annotations": notes(seen),
            "startsAt": timestamp(min(seen.first, now)),
            "endsAt": timestamp(ends),
        }
