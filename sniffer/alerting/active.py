"""One alert that fires: what was handed out of it, and what came since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sniffer.alert import Alert, State
from sniffer.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

# Different findings an alert remembers, so that it can tell a new one from a repeat. Past it, and for alerts taken over from
# the state, the state's word for "new" is taken.
MAX_KNOWN = 64


class Active:
    """Mutable, so that a repeat costs some additions. Times are nanoseconds of the clock, not of packets."""

    __slots__ = ("accepted", "alert", "at_once", "count", "dirty", "findings", "first", "known", "last", "restored", "sent", "severity", "soon", "touched", "worst")

    def __init__(self, alert: Alert, now: int, *, restored: bool = False) -> None:
        self.alert = alert  # as it was handed out last
        self.sent = self.touched = now
        self.at_once: int | None = None  # when a repeat last left before its time because of an accepted credential
        self.soon = False  # one such repeat waits
        self.count, self.findings = alert.count, alert.findings
        self.first, self.last = alert.first_seen, alert.last_seen
        self.severity = Severity[alert.severity.upper()]
        self.accepted = alert.finding.get("outcome") == "accepted"
        self.worst: Mapping[str, Any] = alert.finding
        self.known: dict[int, bool] = {}  # findings by hash: whether they were accepted
        self.restored = restored
        self.dirty = False  # more is known than was handed out or kept

    def meet(self, identity: str, accepted: bool, new: bool) -> tuple[bool, bool]:
        """Note a finding; whether it is another one than before, and whether it is a credential newly accepted."""
        mark = hash(identity)
        before = self.known.get(mark)
        if before is not None:
            self.known[mark] = before or accepted
            return False, accepted and not before
        if len(self.known) < MAX_KNOWN:
            self.known[mark] = accepted
            new = new or not self.restored
        return new, accepted and (new or not self.accepted)

    def now(self) -> Alert:
        """The alert with all that came since, under the revision that was handed out last."""
        return replace(
            self.alert,
            severity=str(self.severity),
            count=self.count,
            findings=self.findings,
            first_seen=self.first,
            last_seen=self.last,
            finding=dict(self.worst),
        )

    def hand_out(self, now: int, state: State = State.FIRING) -> Alert:
        """The next revision."""
        self.alert = replace(self.now(), revision=self.alert.revision + 1, state=state)
        self.sent, self.soon, self.dirty = now, False, False
        return self.alert
