"""What is left unread, in a stated order and counted, when reading cannot keep up with the link.

1. ``content``: bodies over BULK_BODY are not searched. Logins, headers, small forms still are.
2. ``flows``: connections that have carried more than BULK_FLOW are only counted from there on; what was pending in them is told first.

Logins are never shed: what is lost beyond the second step is lost by the kernel, and counted by it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from sniffer.events import Content
from sniffer.session import Report, Session

if TYPE_CHECKING:
    from sniffer.capture.frames import Frames
    from sniffer.events import Event
    from sniffer.flows.flow import Flow

# No login form, API call with a password or connection string is that long; pages, downloads and query results are.
BULK_BODY = 16 * 1024
# Any protocol's login lies in the first kilobytes; a connection beyond this moves data.
BULK_FLOW = 1 << 20

NOTHING, CONTENT, FLOWS = 0, 1, 2
STEPS = ("nothing", "bulk bodies are not searched", "bulk bodies are not searched, long connections are only counted")

# Without pressure for so long (seconds), one step is taken back: long enough that a load which comes in waves does not flap.
RELAX_AFTER = 10.0
# How full a ring may be, and how far behind the wire reading may be (seconds), before something is shed.
FULL, LATE = 0.5, 1.0


class Shedder:
    """Chooses the step from what the capture says of itself, once a report."""

    def __init__(self) -> None:
        self.step = NOTHING
        self._calm_since = 0.0
        self._dropped: int | None = None

    def look(self, now: float, *, dropped: int, fill: float, late: float) -> int:
        """The step from here on. ``now`` is a monotonic clock; ``dropped`` the kernel's count since the opening,
        ``fill`` the fullest ring's share, ``late`` the seconds between the wire and us.
        """
        pressed = (self._dropped is not None and dropped > self._dropped) or fill > FULL or late > LATE
        self._dropped = dropped
        if pressed:
            self.step, self._calm_since = min(self.step + 1, FLOWS), now
        elif self.step and now - self._calm_since >= RELAX_AFTER:
            self.step, self._calm_since = self.step - 1, now
        return self.step


class SheddingSession(Session):
    """A session that can be told to leave bulk unread."""

    step = NOTHING

    def __init__(self, fingerprint_key: bytes, *, strict: bool = False) -> None:
        self._shed: Counter[str] = Counter()
        self._left: dict[int, tuple[int, int]] = {}  # bytes of flows let go, by row: as counted, and the flow's beginning
        super().__init__(fingerprint_key, strict=strict)

    def feed(self, frames: Frames) -> None:
        """Take one batch; before it, let go of the connections that have become bulk."""
        if self.step >= FLOWS:
            self._let_go()
        super().feed(frames)
        if self._left:
            self._count_left()

    def report(self, now: int) -> Report:
        """What has come up since the last report, with what was shed."""
        self.summary.shed = Counter(self._shed)
        return super().report(now)

    def _publish(self, flow: Flow, event: Event) -> None:
        if self.step and type(event) is Content and len(event.data) > BULK_BODY:
            self._shed["content"] += len(event.data)
            return
        super()._publish(flow, event)

    def _let_go(self) -> None:
        table = self._table
        carried = table.bytes.sum(axis=1)
        for row in np.flatnonzero(table.used & table.wanted & (carried > BULK_FLOW)).tolist():
            flow = table.flow[row]
            if flow is not None:
                flow.close()
                self._engine.leave(flow)
                self._left[row] = (int(carried[row]), int(table.first[row]))

    def _count_left(self) -> None:
        """Bytes that came in connections let go since they were last counted."""
        table = self._table
        for row, (counted, first) in list(self._left.items()):
            if not table.used[row] or int(table.first[row]) != first:
                del self._left[row]
                continue
            carried = int(table.bytes[row].sum())
            self._shed["flows"] += carried - counted
            self._left[row] = (carried, first)
