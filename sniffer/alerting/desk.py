"""Alerting itself: fires, repeats, resolves. Reads no clock: every call is told the time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.alert import Alert, State
from sniffer.alerting.active import Active
from sniffer.alerting.compose import alert_id, evidence, of_condition, of_finding
from sniffer.alerting.conditions import CATEGORY, CONDITIONS
from sniffer.alerting.pending import Pending
from sniffer.events import Outcome
from sniffer.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sniffer.channels import Channel
    from sniffer.config import AlertSettings, Expected
    from sniffer.findings import Finding
    from sniffer.policy import Judged, Policy

# Alerts that fire at one time, about 3 KB each. What comes beyond is counted in ``let_go`` and tried again at its next sight.
MAX_ACTIVE = 20_000
# Of these, room for what is high or critical: a flood of lesser things must not keep them out.
_RESERVED = MAX_ACTIVE // 10
# Conditions that fire at one time. Their keys come from the configuration; past it something is wrong with us.
MAX_CONDITIONS = 1000
# Accepted credentials leave at once, but not more often than this for one alert: a busy login page has thousands an hour.
AT_ONCE_EVERY = 60_000_000_000
# Updates given at one time, about 15 µs each: a busy network repeats all its alerts every second.
UPDATES = 1000
_MINUTE = 60_000_000_000
_NEVER = 1 << 63
_EXPIRED = "policy/expected-expired"


class Alerting:
    """All alerts that fire. What a method returns is to be kept in the state and sent, in one transaction.

    ``active`` are the alerts the state kept; those that fired go on where they stood and are not told again before it is time,
    which ``told`` says: when each was last handed out, by id.
    ``now`` is the time in nanoseconds since the epoch; a clock that was set back delays and repeats nothing.
    """

    def __init__(self, settings: AlertSettings, policy: Policy, sensor: str, active: Sequence[Alert] = (), told: Mapping[str, int] | None = None) -> None:
        self._settings, self._policy, self._sensor = settings, policy, sensor
        self._restored: Sequence[Alert] = [alert for alert in active if alert.state is State.FIRING]
        self._told = dict(told or {})
        self._active: dict[str, Active] = {}
        self._conditions: dict[str, Active] = {}
        self._pending = Pending()
        self._changed: dict[Active, None] = {}  # those with ``dirty`` set, longest waiting first
        self._next = self._next_expiry = -1  # when ``due`` has something to do
        self._clock = 0  # the last time we were told
        self._let_go = 0

    @property
    def let_go(self) -> int:
        """Alerts that were not fired, and counts towards a threshold that were given up, for want of room."""
        return self._let_go + self._pending.let_go

    def reload(self, settings: AlertSettings, policy: Policy) -> None:
        """Another configuration. What fires goes on; what is suppressed from now on resolves when it was quiet long enough."""
        self._settings, self._policy = settings, policy
        self._next = self._next_expiry = -1

    def skip(self, nanoseconds: int) -> None:
        """The clock was set forward by so much, or the machine slept: that was no quiet time."""
        for active in (*self._active.values(), *self._conditions.values()):
            active.touched += nanoseconds

    def observe(self, finding: Finding, channel: Channel | None, judged: Judged, now: int, *, new: bool = False) -> Alert | None:
        """Take a finding (its ``count`` is what was added); the alert to send, if this one is to be told now.

        ``new``: the state had not seen this finding before.
        """
        if judged.suppressed_by is not None or judged.severity < self._least():
            return None
        self._begin(now)
        key = alert_id(finding.rule.id, finding.channel)
        active = self._active.get(key)
        if active is None:
            return self._fire(key, finding, judged, now)
        return self._again(active, finding, judged, now, new)

    def due(self, now: int) -> list[Alert]:
        """What is to be sent because time has passed: repeats, resolutions, expected cleartext that expired."""
        self._begin(now)
        out = self._expirations(now) if now >= self._next_expiry else []
        if now < self._next:
            return out
        self._next = _NEVER
        for table in (self._active, self._conditions):
            for key, active in list(table.items()):
                out.extend(self._look(table, key, active, now))
        return out

    def condition(self, rule: str, key: str, firing: bool, now: int, *, detail: str = "", count: int = 1) -> Alert | None:
        """Say how a condition stands, as often as one likes; the alert to send, if that is news.

        ``key`` is what it is about (an interface, a receiver), ``detail`` what a person is told of it. Conditions that are events
        (``Condition.lasting`` is false) end by themselves when none came for ``resolve_minutes``: that they are not firing says nothing.
        Raises KeyError for a rule that is not in CONDITIONS.
        """
        known = CONDITIONS[rule]
        self._begin(now)
        identity = alert_id(rule, key, self._sensor)
        active = self._conditions.get(identity)
        if not firing:
            return self._over(self._conditions, identity, now) if active is not None and known.lasting else None
        if active is not None:
            active.touched, active.last, active.restored = now, max(active.last, now), False
            if not known.lasting:
                active.count += count
                self._mark(active)
            return None
        severity = self._policy.condition_severity(rule, known.severity)
        if severity < self._least():
            return None
        if len(self._conditions) >= MAX_CONDITIONS:
            self._let_go += 1
            return None
        alert = of_condition(identity, known, severity, key, detail or key, count, now, self._sensor)
        return self._start(self._conditions, alert, now)

    def link(self, interface: str, last_packet: int, now: int) -> Alert | None:
        """Whether an interface is silent: ``last_packet`` is when its last one came by the clock, or when it was opened."""
        minutes = self._settings.silent_minutes
        silent = minutes > 0 and now - last_packet >= minutes * _MINUTE
        return self.condition("capture/silent-link", interface, silent, now, detail=f"{interface}, nothing for {minutes} minutes or more")

    def updates(self, most: int = UPDATES) -> list[Alert]:
        """Alerts of which more is known than was handed out, each under its last revision: for the state, not for receivers.

        At most so many, those that wait longest first; the next call gives the others.
        """
        out: list[Alert] = []
        while self._changed and len(out) < most:
            active = next(iter(self._changed))
            del self._changed[active]
            if active.dirty:  # it was not handed out since
                active.dirty = False
                out.append(active.now())
        return out

    def told(self, alerts: Iterable[Alert]) -> dict[str, int]:
        """When those of some alerts that fire were last handed out: for the state, so that a restart repeats none too late."""
        found = ((alert.id, self._active.get(alert.id) or self._conditions.get(alert.id)) for alert in alerts)
        return {id: active.sent for id, active in found if active is not None}

    def firing(self) -> dict[str, int]:
        """How many fire, by severity; every severity is there."""
        found = Counter(str(active.severity) for active in (*self._active.values(), *self._conditions.values()))
        found.update(Counter(alert.severity for alert in self._restored))
        return {str(severity): found[str(severity)] for severity in Severity}

    # Inside

    def _mark(self, active: Active) -> None:
        active.dirty = True
        self._changed[active] = None

    def _least(self) -> Severity:
        return _SEVERITIES[self._settings.min_severity]

    def _begin(self, now: int) -> None:
        """Take over what the state kept, at the first time we are told: what was not watched is not quiet time.

        Receivers that believe an alert for half as long again as ``resend_minutes`` (Alertmanager's) must hear of it before that is
        over, however often we are started. Where it is not on record when it was handed out, it may be a whole ``resend_minutes``
        ago: it is repeated when a quarter of that has passed.
        """
        if self._restored:
            for alert in self._restored:
                active = Active(alert, now, restored=True)
                active.sent = min(self._told.get(alert.id, 0), now) or now - self._settings.resend_minutes * _MINUTE * 3 // 4
                (self._conditions if alert.category == CATEGORY else self._active)[alert.id] = active
            self._restored, self._told = [], {}
            self._next = -1
        if now < self._clock:  # it was set back: all that was to happen at a time is looked at again
            self._next = self._next_expiry = -1
        self._clock = now

    def _start(self, table: dict[str, Active], alert: Alert, now: int) -> Alert:
        active = table[alert.id] = Active(alert, now)
        self._next = min(self._next, self._deadline(active))
        return alert

    def _fire(self, key: str, finding: Finding, judged: Judged, now: int) -> Alert | None:
        full = MAX_ACTIVE if judged.severity >= Severity.HIGH else MAX_ACTIVE - _RESERVED
        if len(self._active) >= full:
            self._let_go += 1
            return None
        count = finding.count
        if judged.threshold is not None:
            count = self._pending.reached(key, judged.threshold, finding.count, now)
            if not count:
                return None
        alert = of_finding(key, finding, judged, count, self._sensor)
        self._start(self._active, alert, now)
        self._active[key].meet(finding.id, finding.outcome is Outcome.ACCEPTED, True)
        return alert

    def _again(self, active: Active, finding: Finding, judged: Judged, now: int, new: bool) -> Alert | None:
        accepted = finding.outcome is Outcome.ACCEPTED
        another, newly = active.meet(finding.id, accepted, new)
        active.count += finding.count
        active.findings += another
        active.first, active.last = min(active.first, finding.first_seen), max(active.last, finding.last_seen)
        active.touched = now
        self._mark(active)
        if (judged.tier, judged.network) != (active.alert.tier, active.alert.network):
            active.alert = replace(active.alert, tier=judged.tier, network=judged.network)
        rises = judged.severity > active.severity
        if rises or (judged.severity == active.severity and accepted and not active.accepted):
            active.severity, active.worst = judged.severity, evidence(finding, judged)
            active.alert = replace(active.alert, title=finding.title, remedy=finding.remedy)
        active.accepted = active.accepted or accepted
        if rises:
            return active.hand_out(now)
        if not newly:
            return None
        if active.at_once is None or not active.at_once <= now < active.at_once + AT_ONCE_EVERY:
            active.at_once = now
            return active.hand_out(now)
        active.soon = True
        self._next = min(self._next, active.at_once + AT_ONCE_EVERY)
        return None

    def _over(self, table: dict[str, Active], key: str, now: int) -> Alert:
        return table.pop(key).hand_out(now, State.RESOLVED)

    def _quiet_ends(self, active: Active) -> bool:
        """A condition that lasts is over when that is said; only one taken over, of which nothing is said any more, ends by itself."""
        known = CONDITIONS.get(active.alert.rule)
        return active.restored or known is None or not known.lasting or active.alert.category != CATEGORY

    def _deadline(self, active: Active) -> int:
        """When there is something to do about an alert."""
        at = active.sent + self._settings.resend_minutes * _MINUTE
        if active.soon and active.at_once is not None:
            at = min(at, active.at_once + AT_ONCE_EVERY)
        return min(at, active.touched + self._settings.resolve_minutes * _MINUTE) if self._quiet_ends(active) else at

    def _look(self, table: dict[str, Active], key: str, active: Active, now: int) -> Iterator[Alert]:
        active.sent, active.touched = min(active.sent, now), min(active.touched, now)  # later than now: the clock was set back
        active.at_once = None if active.at_once is None else min(active.at_once, now)
        if now >= self._deadline(active):
            if self._quiet_ends(active) and now >= active.touched + self._settings.resolve_minutes * _MINUTE:
                yield self._over(table, key, now)
                return
            if active.soon:
                active.at_once = now
            yield active.hand_out(now)
        self._next = min(self._next, self._deadline(active))

    def _expirations(self, now: int) -> list[Alert]:
        """Expected cleartext whose date passed, told once; resolved when its entry is gone or has a new date."""
        entries = self._policy.expirations()
        self._next_expiry = min((until for until, _ in entries if until > now), default=_NEVER)
        expired = {_named(entry): entry for until, entry in entries if until <= now}
        out = [
            self.condition(_EXPIRED, name, True, now, detail=f"its owner is {entry.owner}, it expired on {entry.expires}; {name}: {entry.reason}")
            for name, entry in expired.items()
        ]
        gone = [key for key, active in self._conditions.items() if active.alert.rule == _EXPIRED and active.alert.channel not in expired]
        out.extend(self._over(self._conditions, key, now) for key in gone)
        return [alert for alert in out if alert is not None]


_SEVERITIES = {str(severity): severity for severity in Severity}


def _named(entry: Expected) -> str:
    """An expectation by what it covers, so that a new date does not make it another one."""
    ends = f"{entry.rule} from {entry.client or 'anywhere'} to {entry.server or 'anywhere'}"
    return f"{ends} port {entry.port}" if entry.port else ends
