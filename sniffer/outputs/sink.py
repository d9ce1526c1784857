"""What receives alerts and findings, whatever way it sends them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class SinkError(Exception):
    """A receiver did not take what was sent. ``permanent``: it never will (refused as malformed), so it is not sent again;
    ``retry_after``: for so many seconds it asks to be left alone.

    The text names the receiver and the reason in one line, and never what was to be sent.
    """

    def __init__(self, text: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to deliver. ``body`` is JSON: a schema-1 finding or channel, or an alert's fields.

    ``id`` is the same for every repeat of the same thing; receivers may drop what they have.
    """

    id: str
    kind: str  # "alert", "finding", "channel"
    body: dict[str, Any]


class Sink(Protocol):
    """One configured receiver. Called from one thread of its own; blocking is allowed, with a timeout."""

    name: str
    wants: frozenset[str]  # kinds of items

    def send(self, items: Sequence[Item]) -> None:
        """Deliver all, in order, or raise SinkError; then all are sent again."""

    def check(self) -> None:
        """Whether the receiver can be reached, without sending it anything that looks like an alert. Raises SinkError."""

    def close(self) -> None: ...
