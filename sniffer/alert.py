"""An alert: all findings of one rule on one channel as one thing that fires, repeats and is resolved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Whether it still goes on."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a receiver is told. Holds no secret: ``finding`` is the schema-1 record of the worst finding behind it.

    ``id`` is the same for every repeat of one alert; ``revision`` counts them from 1. Times are nanoseconds since the epoch.
    """

    id: str
    revision: int
    state: State
    rule: str
    severity: str
    category: str
    title: str
    sensor: str
    protocol: str
    transport: str
    client: str
    server: str
    port: int
    tier: str
    network: str  # the policy's name for the server's network, "" without one
    path: tuple[str, ...]
    channel: str
    count: int  # times seen
    findings: int  # different findings: other users, other secrets
    first_seen: int
    last_seen: int
    remedy: str
    references: tuple[str, ...]
    finding: dict[str, Any]
