"""From reports to the record: policy, alerts, one transaction, deliveries. What cannot be written waits in memory, bounded."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.alerting import Alerting
from sniffer.errors import StateCorrupt, StateError, StateFull
from sniffer.findings import Severity
from sniffer.outputs import record
from sniffer.outputs.sink import Item
from sniffer.policy import Policy
from sniffer.posture import RULES
from sniffer.watch.pending import Pending
from sniffer.watch.posture import MAX_TOLD, Posture
from sniffer.watch.status import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sniffer.alert import Alert
    from sniffer.channels import Channel
    from sniffer.config import Config
    from sniffer.findings import Finding
    from sniffer.outputs.sink import Sink
    from sniffer.policy import Judged
    from sniffer.session import Report
    from sniffer.state import Interval, State, Transaction

# After a write that failed the next try comes so much later (seconds): a full disk does not get room by being asked often.
RETRY_AFTER = 2.0
# What alerts have learned without being sent again is kept that often (seconds).
KEEP_EVERY = 10.0
# Findings and channels in one transaction: a fifth of a second, and a few megabytes. The rest comes in the next.
AT_ONCE = 5000
# A worker that dies for good reason every time dies every ten seconds: hours of a full disk.
MAX_INTERVALS = 1000
# What the clock gains on the monotonic one between two commits by less (nanoseconds) is adjusting, no step.
JUMP = 10_000_000_000
# Channels whose last told verdict is remembered, so that a receiver hears of a row when it changes; 100 bytes each.
MAX_VERDICTS = 200_000


@dataclass(slots=True)
class Recorded:
    """What one transaction brought."""

    new: list[Shown] = field(default_factory=list)
    seen: list[tuple[Finding, Judged]] = field(default_factory=list)  # all, also repeats
    channels: list[Channel] = field(default_factory=list)  # as they now stand
    alerts: list[Alert] = field(default_factory=list)  # handed out
    fresh: set[str] = field(default_factory=set)  # ids of findings that are new


class Recorder:
    """Owns the state's writing side. ``trouble`` says why nothing can be written, while it cannot."""

    def __init__(self, state: State, config: Config, sinks: Sequence[Sink], key: bytes) -> None:
        self._state = state
        self.pending = Pending()
        self.trouble = ""
        self.damaged = False  # the state is to be renewed
        self.errors: Counter[str] = Counter()  # failed writes, by reason
        self._posture = Posture(key)
        self.channels: Counter[str] = Counter()  # by verdict
        self._verdicts: OrderedDict[str, str] = OrderedDict()
        self._intervals: list[Interval] = []
        self._retry = self._kept = 0.0
        self._clocks = (0, 0)  # at the last commit: of the day, and monotonic
        self._config = config
        self.policy = Policy(config)
        self._sinks = list(sinks)
        self._restore()

    def configure(self, config: Config, sinks: Sequence[Sink]) -> None:
        """Take another configuration: policy, alerts and receivers from here on."""
        self._config, self._sinks = config, list(sinks)
        self.policy = Policy(config)
        self.alerting.reload(config.alerts, self.policy)

    def _restore(self) -> None:
        """Alerts as the state has them: what a failed transaction had advanced is taken back with it."""
        self.alerting = Alerting(self._config.alerts, self.policy, self._config.sensor, self._state.alerts(), self._state.told())

    def remember(self) -> list[Channel]:
        """Take up what earlier runs left, the latest of it as far as it is remembered here; these channels, the oldest first."""
        channels = self._state.channels(limit=MAX_VERDICTS)[::-1]
        self.know(channels)
        for rule in RULES:
            self._posture.remember((channel, rule.id) for channel in reversed(self._state.found_on(rule.id, MAX_TOLD)))
        return channels

    def unwatched(self, intervals: Iterable[Interval]) -> None:
        """Times in which something was not watched, for the record; the latest, should it have to wait long."""
        self._intervals = [*self._intervals, *intervals][-MAX_INTERVALS:]

    def renewed(self) -> None:
        """The state was begun anew: what the ledger itself finds is to be on record there too."""
        self.damaged = False
        self._posture.begin_anew()

    def take(self, report: Report) -> None:
        """A worker's report; recorded with the next commit."""
        self.pending.add(report)

    def commit(self, now: int, conditions: Iterable[Said] = (), heard: Mapping[str, int] | None = None, *, watched: int = 0, force: bool = False) -> Recorded | None:
        """Record what waits, or its first part, and how the sensor's own conditions stand, and tick. None when it could not be written: it is
        tried again later. ``heard`` is when each link last had a packet, ``watched`` the time up to which all that was read
        has been taken here: were we killed now, what is not on record begins there. Times in nanoseconds since the epoch, by the clock.
        """
        if self.trouble and time.monotonic() < self._retry and not force:
            return None
        self._mind_the_clock(now)
        findings, channels = self.pending.rows(AT_ONCE)
        try:
            with self._state.transaction() as tx:
                recorded = self._write(tx, findings, channels, list(conditions), heard or {}, now)
                for interval in self._intervals:
                    tx.unwatched(interval)
                if self.pending.all_taken:
                    tx.heartbeat(min(watched or now, now))
        except StateError as error:
            self._failed(error)
            return None
        self.trouble = ""
        self._posture.keep()
        self.know(recorded.channels)
        self.pending.recorded()
        self._intervals.clear()
        return recorded

    def _mind_the_clock(self, now: int) -> None:
        """Time that passed by the clock alone resolves no alert."""
        steady = time.monotonic_ns()
        before, self._clocks = self._clocks, (now, steady)
        jump = now - before[0] - (steady - before[1])
        if before[0] and jump >= JUMP:
            self.alerting.skip(jump)

    def _failed(self, error: StateError) -> None:
        self.errors["full" if isinstance(error, StateFull) else "other"] += 1
        self.trouble, self._retry = str(error), time.monotonic() + RETRY_AFTER
        self._posture.forget()
        self.damaged = isinstance(error, StateCorrupt)
        try:
            self._restore()
        except StateError as worse:
            self.trouble = str(worse)

    def _write(self, tx: Transaction, findings: list[Finding], channels: list[Channel], conditions: list[Said], heard: Mapping[str, int], now: int) -> Recorded:
        out = Recorded()
        out.fresh = tx.findings(findings)
        _recount(channels, findings, out.fresh)
        out.channels = tx.channels(channels)
        whole = {row.id: row for row in out.channels}
        posture = [found for row in channels if row.id in whole for found in self._posture.look(whole[row.id], row)]
        if posture:
            fresh = tx.findings(posture)
            tx.channels(_marks(posture, fresh, whole))
            findings, out.fresh = findings + posture, out.fresh | fresh
        out.alerts = self._alerts(findings, whole, out, now) + self._conditions(conditions, heard, now)
        tx.alerts(out.alerts, self.alerting.told(out.alerts))
        if time.monotonic() - self._kept >= KEEP_EVERY:
            self._kept = time.monotonic()
            updates = self.alerting.updates()
            tx.alerts(updates, self.alerting.told(updates))
        self._enqueue(tx, out)
        return out

    def _alerts(self, findings: Sequence[Finding], whole: dict[str, Channel], out: Recorded, now: int) -> list[Alert]:
        alerts = []
        for found in findings:
            channel = whole.get(found.channel)
            judged = self.policy.judge(found, channel, now)
            new = found.id in out.fresh
            out.seen.append((found, judged))
            if new:
                out.new.append(Shown(found, judged.severity, judged.suppressed_by is not None))
            alerts.append(self.alerting.observe(found, channel, judged, now, new=new))
        return [alert for alert in alerts if alert is not None]

    def _conditions(self, conditions: list[Said], heard: Mapping[str, int], now: int) -> list[Alert]:
        alerts = [self.alerting.condition(said.rule, said.key, said.firing, now, detail=said.detail, count=said.count) for said in conditions]
        alerts += [self.alerting.link(name, last, now) for name, last in heard.items()]
        return [alert for alert in alerts if alert is not None] + self.alerting.due(now)

    def _enqueue(self, tx: Transaction, out: Recorded) -> None:
        changed = self._changed(out.channels)
        for sink in self._sinks:
            least = self._least(sink.name)
            items: list[Item] = []
            if "alert" in sink.wants:
                items += [alert_item(a) for a in out.alerts if Severity[a.severity.upper()] >= least]
            if "finding" in sink.wants:
                items += [_item(shown) for shown in out.new if shown.severity >= least]
            if "channel" in sink.wants:
                items += [Item(row.id, "channel", record.channel(row)) for row in changed]
            if items:
                tx.enqueue(sink.name, items)

    def _least(self, name: str) -> Severity:
        found = next((output.min_severity for output in self._config.outputs if output.name == name), "info")
        return Severity[found.upper()]

    def _changed(self, rows: Iterable[Channel]) -> list[Channel]:
        """Channels that are new here or whose verdict is another one now."""
        return [row for row in rows if self._verdicts.get(row.id) != str(row.encryption)]

    def know(self, rows: Iterable[Channel]) -> None:
        """Channels as they are on record."""
        for row in rows:
            verdict, id = str(row.encryption), row.id
            before = self._verdicts.pop(id, None)
            if before != verdict:
                self.channels[verdict] += 1
                if before is not None:
                    self.channels[before] -= 1
            self._verdicts[id] = verdict
        while len(self._verdicts) > MAX_VERDICTS:
            self.channels[self._verdicts.popitem(last=False)[1]] -= 1

    def forget(self, ids: Iterable[str]) -> None:
        """Channels that the state no longer keeps."""
        for id in ids:
            if (verdict := self._verdicts.pop(id, None)) is not None:
                self.channels[verdict] -= 1


@dataclass(frozen=True, slots=True)
class Said:
    """How a condition of the sensor stands (``sniffer.alerting.CONDITIONS``)."""

    rule: str
    key: str
    firing: bool
    detail: str = ""
    count: int = 1


def alert_item(alert: Alert) -> Item:
    """An alert for a receiver."""
    return Item(alert.id, "alert", {**asdict(alert), "state": str(alert.state)})


def _item(shown: Shown) -> Item:
    """A finding for a receiver, with the severity that policy gives it."""
    body = {**record.finding(shown.finding), "severity": str(shown.severity)}
    return Item(shown.finding.id, "finding", body)


def _recount(channels: Iterable[Channel], findings: Iterable[Finding], fresh: set[str]) -> None:
    """A worker forgets what it has reported and counts a repeat as new; the state knows better."""
    by_id = {row.id: row for row in channels}
    for row in by_id.values():
        row.findings = {}
    for found in findings:
        if found.id in fresh and found.channel in by_id:
            by_id[found.channel].found(found.severity)


def _marks(posture: Iterable[Finding], fresh: set[str], whole: dict[str, Channel]) -> list[Channel]:
    """What the ledger's own findings add to their channels' counts."""
    out = []
    for found in posture:
        if found.id in fresh:
            row = whole[found.channel]
            mark = replace(row, sessions=0, client_bytes=0, server_bytes=0, one_sided=0, verdicts={}, tls=None, upgraded=False, product=None, findings={})
            mark.found(found.severity)
            out.append(mark)
    return out
