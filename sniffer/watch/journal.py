"""What is said of each transaction: to the metrics, to people, to the receivers; and what becomes of one that fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sniffer.errors import StateError
from sniffer.watch.recorder import Said

if TYPE_CHECKING:
    from sniffer.metrics import Metrics
    from sniffer.state import State
    from sniffer.watch.accounts import Accounts
    from sniffer.watch.receivers import Receivers
    from sniffer.watch.recorder import Recorded, Recorder
    from sniffer.watch.status import Status
    from sniffer.watch.view import View

# With nothing to record, the state hears that we are there that often (seconds): each time is a write to the disk.
HEARTBEAT = 1.0
# After a flood there may be much to record: for so long (seconds) at a time, then the workers are heard again.
LONGEST = 1.0


class Journal:
    """Commits what has been reported and tells of it. ``trouble`` says why it cannot, while it cannot."""

    def __init__(self, state: State, recorder: Recorder, accounts: Accounts, metrics: Metrics, status: Status, view: View) -> None:
        self._state, self._recorder, self._accounts = state, recorder, accounts
        self._metrics, self._status, self._view = metrics, status, view
        self._said: dict[tuple[str, str], Said] = {}
        self._committed = 0.0
        self._omitted = 0
        self.trouble = ""

    def say(self, *said: Said) -> None:
        """How conditions of the sensor stand; alerted with the next commit, the latest word of each."""
        self._said.update({(each.rule, each.key): each for each in said})

    def commit(self, receivers: Receivers, *, force: bool = False) -> None:
        """Record what waits, and say so when it cannot be or can again."""
        now = time.monotonic()
        if not force and not self._recorder.pending and now - self._committed < HEARTBEAT:
            return
        while self._commit(receivers, force) and self._recorder.pending and (force or time.monotonic() - now < LONGEST):
            pass

    def _commit(self, receivers: Receivers, force: bool) -> bool:
        """One transaction; whether it was written."""
        if self._recorder.damaged and not self._renew(receivers):
            return False
        was, before = self.trouble, time.thread_time()
        self._recorder.unwatched(self._accounts.unread())
        recorded = self._recorder.commit(time.time_ns(), self._said.values(), self._accounts.heard(), watched=self._accounts.watched(), force=force)
        self.trouble = self._status.trouble = self._recorder.trouble
        if recorded is None:
            if self.trouble and not was:
                self._view.note(f"{self.trouble}; watching on, findings are held in memory", bad=True)
            if self._recorder.damaged:
                self._renew(receivers)
            return False
        self._committed = time.monotonic()
        self._metrics.stage("record", time.thread_time() - before)
        self._said.clear()
        self._let_go()
        if was:
            lost = self._recorder.pending.lost_findings
            self._view.note(f"the state can be written again; {lost:,} findings were let go since the start for want of room in memory", bad=bool(lost))
        # What could not be told while the disk was full is told now, and at the next commit that it is over.
        self.say(Said("state/full", "state", bool(was), was))
        self._show(recorded)
        receivers.wake()
        return True

    def _let_go(self) -> None:
        """What found no room in memory is counted with what found none in the workers' tables."""
        lost = self._recorder.pending.lost_findings + self._recorder.pending.lost_channels
        self._accounts.omitted(lost - self._omitted)
        self._omitted = lost

    def _show(self, recorded: Recorded) -> None:
        for found, judged in recorded.seen:
            if judged.suppressed_by is None:
                self._metrics.finding(found.rule.id, judged.severity, found.last_seen, found.id in recorded.fresh)
            elif found.id in recorded.fresh:
                self._metrics.suppressed(found.rule.id)
        self._metrics.channels(recorded.channels)
        for shown in sorted(recorded.new, key=lambda shown: -shown.severity):
            if not shown.suppressed:
                self._status.findings[str(shown.severity)] += 1
            self._view.finding(shown)

    def _renew(self, receivers: Receivers) -> bool:
        """The state is damaged: set aside, and a new one begun; whether that could be done by now.

        A delivery that still waits for its receiver has the damaged file open: the last to close it would remove the new one's log.
        """
        if not receivers.stop(1.0):
            return False
        try:
            self._state.renew()
            self._state.begin(time.time_ns())
        except StateError as error:
            self.trouble = self._status.trouble = self._recorder.trouble = str(error)
            return False
        receivers.replace(receivers.sinks, 0.0)
        self._recorder.renewed()
        self._view.note(self._state.notices.pop(), bad=True)
        return True
