"""Alerting: what fires, repeats and resolves, over restarts and at any times; and what the sensor says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sniffer.alert import Alert, State
from sniffer.alerting import CATEGORY, CONDITIONS, Alerting, active, alert_id, desk, pending
from sniffer.channels import Channel
from sniffer.cli import main
from sniffer.config import AlertSettings, Config, Expected, Network, SeverityOverride, Threshold
from sniffer.events import Outcome
from sniffer.findings import Category, Finding, Severity
from sniffer.policy import Policy
from sniffer.ruleset import all_conditions, all_rules
from tests.sniffer.made import CANARY, MINUTE, START, channel, finding

SETTINGS = AlertSettings(min_severity="medium", resend_minutes=240, resolve_minutes=60, silent_minutes=5)


class Desk:
    """An Alerting with its policy, and a state that keeps what was handed out."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config(alerts=SETTINGS)
        self.policy = Policy(self.config)
        self.kept: dict[str, Alert] = {}
        self.out: list[Alert] = []
        self.restart()

    def restart(self) -> None:
        self.alerting = Alerting(self.config.alerts, self.policy, "sensor", tuple(self.kept.values()))

    def reload(self, config: Config) -> None:
        self.config, self.policy = config, Policy(config)
        self.alerting.reload(config.alerts, self.policy)

    def keep(self, alert: Alert | None) -> Alert | None:
        if alert is not None:
            self.kept[alert.id] = alert
            self.out.append(alert)
        return alert

    def see(self, found: Finding, now: int = START, *, new: bool = False, row: Channel | None = None) -> Alert | None:
        return self.keep(self.alerting.observe(found, row, self.policy.judge(found, row, now), now, new=new))

    def condition(self, rule: str, key: str, firing: bool, now: int = START) -> Alert | None:
        return self.keep(self.alerting.condition(rule, key, firing, now))

    def due(self, now: int) -> list[Alert]:
        return [alert for alert in self.alerting.due(now) if self.keep(alert)]


def told(alert: Alert | None) -> tuple[int, State] | None:
    return alert and (alert.revision, alert.state)


FIRST, FIRING, RESOLVED = (1, State.FIRING), State.FIRING, State.RESOLVED


class TestFindings:
    def test_a_new_one_fires_with_all_that_is_known(self):
        work = Desk(Config(alerts=SETTINGS, networks=(Network(name="databases", cidr="10.1.0.0/24", tier="database"),)))
        alert = work.see(finding(count=3, outcome=Outcome.REJECTED))
        assert alert is not None
        assert told(alert) == FIRST
        assert alert.id == alert_id("credential/ftp", channel().id)
        assert (alert.rule, alert.severity, alert.category, alert.title, alert.sensor) == ("credential/ftp", "high", "credential", "Title of credential/ftp", "sensor")
        assert (alert.client, alert.server, alert.port, alert.protocol, alert.transport, alert.channel) == ("10.0.0.5", "10.1.0.9", 21, "ftp", "tcp", channel().id)
        assert (alert.tier, alert.network, alert.count, alert.findings, alert.remedy) == ("database", "databases", 3, 1, "Encrypt it.")
        assert alert.finding["username"] == "alice"
        assert CANARY not in repr(asdict(alert))

    def test_a_repeat_is_counted_and_not_told(self):
        work = Desk()
        work.see(finding())
        assert work.see(finding(count=4, at=START + MINUTE), START + MINUTE) is None
        assert work.see(finding(user="bob"), START + MINUTE) is None
        (kept,) = work.alerting.updates()
        assert (kept.revision, kept.count, kept.findings, kept.last_seen) == (1, 6, 2, START + MINUTE)
        assert work.alerting.updates() == []

    def test_updates_come_in_turn(self):
        work = Desk()
        for n in range(5):
            work.see(finding(client=f"10.0.0.{n}"))
            work.see(finding(client=f"10.0.0.{n}"))
        first = work.alerting.updates(2)
        work.see(finding(client="10.0.0.0"))
        rest = [alert.client for alert in (*first, *work.alerting.updates(2), *work.alerting.updates(2))]
        assert rest == [*(f"10.0.0.{n}" for n in range(5)), "10.0.0.0"]
        assert work.alerting.updates() == []

    def test_what_was_handed_out_is_no_update(self):
        work = Desk()
        work.see(finding(severity=Severity.MEDIUM))
        work.see(finding(severity=Severity.MEDIUM))
        work.see(finding(severity=Severity.HIGH))
        assert work.alerting.updates() == []

    def test_other_rules_and_channels_are_other_alerts(self):
        work = Desk()
        alerts = [work.see(f) for f in (finding(), finding("hash/ftp"), finding(client="10.0.0.6"), finding(port=2121))]
        assert [told(a) for a in alerts] == [FIRST] * 4
        assert len({a.id for a in alerts if a}) == 4

    def test_below_the_least_severity_nothing_is_told(self):
        work = Desk()
        assert work.see(finding(severity=Severity.LOW)) is None
        assert told(work.see(finding(severity=Severity.MEDIUM))) == FIRST

    def test_policy_weighs_it(self):
        work = Desk(Config(alerts=SETTINGS, severities=(SeverityOverride(rule="credential/ftp", severity="critical"), SeverityOverride(rule="hash/*", severity="info"))))
        alert = work.see(finding(severity=Severity.LOW))
        assert alert is not None
        assert (alert.severity, alert.finding["severity"]) == ("critical", "critical")
        assert work.see(finding("hash/ftp")) is None


class TestRepeats:
    def test_by_interval_with_higher_revisions(self):
        work = Desk()
        work.see(finding())
        seen = []
        for minute in range(1, 1000):
            now = START + minute * MINUTE
            work.see(finding(), now)
            seen.extend((minute, told(alert)) for alert in work.due(now))
        assert seen == [(240, (2, FIRING)), (480, (3, FIRING)), (720, (4, FIRING)), (960, (5, FIRING))]
        assert work.out[-1].count == 961

    def test_at_once_when_the_severity_rises(self):
        work = Desk()
        work.see(finding(severity=Severity.MEDIUM))
        alert = work.see(finding(user="root", severity=Severity.CRITICAL), START + 1)
        assert alert is not None
        assert (told(alert), alert.severity, alert.finding["username"]) == ((2, FIRING), "critical", "root")
        assert work.see(finding(severity=Severity.MEDIUM), START + 2) is None
        assert work.alerting.updates()[0].severity == "critical"

    def test_at_once_when_a_credential_is_accepted(self):
        work = Desk()
        work.see(finding(outcome=Outcome.REJECTED))
        assert work.see(finding(outcome=Outcome.REJECTED), START + 1) is None
        alert = work.see(finding(outcome=Outcome.ACCEPTED), START + 2)
        assert alert is not None
        assert (told(alert), alert.finding["outcome"]) == ((2, FIRING), "accepted")
        assert work.see(finding(outcome=Outcome.ACCEPTED), START + 3) is None, "the same again"

    def test_many_accepted_ones_at_most_once_a_minute(self):
        work = Desk()
        work.see(finding(user="u0", outcome=Outcome.ACCEPTED))
        out = []
        for second in range(1, 601):
            now = START + second * MINUTE // 60
            out += [work.see(finding(user=f"u{second}", outcome=Outcome.ACCEPTED), now, new=True), *work.due(now)]
        told_ = [alert for alert in out if alert]
        assert [alert.revision for alert in told_] == list(range(2, 12))
        assert told_[-1].count == 542
        assert told(work.due(START + 11 * MINUTE)[0]) == (12, FIRING)
        assert not work.due(START + 20 * MINUTE)

    def test_what_it_remembers_of_findings_is_bounded(self):
        work = Desk()
        for n in range(1000):
            work.see(finding(user=f"u{n}"), new=True)
        (one,) = work.alerting._active.values()
        assert len(one.known) == active.MAX_KNOWN
        assert work.alerting.updates()[0].findings == 1000, "past it, the state's word counts"


class TestResolution:
    def test_when_quiet(self):
        work = Desk()
        work.see(finding())
        work.see(finding(), START + 10 * MINUTE)
        assert work.due(START + 69 * MINUTE) == []
        (alert,) = work.due(START + 70 * MINUTE)
        assert told(alert) == (2, RESOLVED)
        assert alert.count == 2
        assert work.due(START + 500 * MINUTE) == []
        again = work.see(finding(at=START + 501 * MINUTE), START + 501 * MINUTE)
        assert again is not None
        assert (told(again), again.id) == (FIRST, alert.id)

    def test_times_of_packets_do_not_matter(self):
        """A capture from last year, replayed: it is quiet when nothing comes, not when its packets are old."""
        work = Desk()
        work.see(finding(at=1))
        assert work.due(START + 59 * MINUTE) == []
        assert [told(a) for a in work.due(START + 60 * MINUTE)] == [(2, RESOLVED)]

    def test_a_clock_that_is_set_back_stalls_nothing(self):
        work = Desk()
        work.see(finding())
        back = START - 1_000_000 * MINUTE
        assert work.due(back) == []
        assert work.due(back + 59 * MINUTE) == []
        assert [told(a) for a in work.due(back + 60 * MINUTE)] == [(2, RESOLVED)]


class TestRestart:
    def test_nothing_is_sent_twice(self):
        work = Desk()
        work.see(finding(outcome=Outcome.ACCEPTED))
        work.condition("capture/silent-link", "eth1", True)
        work.restart()
        assert work.due(START + MINUTE) == []
        assert work.see(finding(outcome=Outcome.ACCEPTED), START + MINUTE) is None
        assert work.condition("capture/silent-link", "eth1", True, START + MINUTE) is None
        assert told(work.condition("capture/silent-link", "eth1", False, START + MINUTE)) == (2, RESOLVED)

    def test_it_is_repeated_before_a_receiver_takes_it_for_over(self):
        """Alertmanager believes it for one and a half times ``resend_minutes``."""
        work = Desk()
        work.condition("capture/silent-link", "eth1", True)
        work.restart()
        late = START + 239 * MINUTE
        assert work.condition("capture/silent-link", "eth1", True, late) is None
        assert work.due(late + 59 * MINUTE) == []
        assert [told(a) for a in work.due(late + 60 * MINUTE)] == [(2, FIRING)]

    def test_restarts_each_shorter_than_the_wait_for_a_repeat_put_it_off_no_longer(self):
        """Each start waited a quarter of ``resend_minutes`` anew: Alertmanager took what fired for over."""
        work = Desk()
        alert = work.condition("capture/silent-link", "eth1", True)
        tells, told_at = [0], work.alerting.told([alert])
        assert told_at == {alert.id: START}
        for minute in range(30, 30 * 40, 30):
            now = START + minute * MINUTE
            work.alerting = Alerting(SETTINGS, work.policy, "sensor", tuple(work.kept.values()), told_at)
            work.condition("capture/silent-link", "eth1", True, now)
            tells += [minute for _ in work.due(now)]
            told_at = work.alerting.told(work.kept.values())
        assert tells == list(range(0, 30 * 40, 240))

    def test_when_it_was_told_by_a_clock_that_was_ahead_is_taken_for_now(self):
        work = Desk()
        alert = work.condition("capture/silent-link", "eth1", True)
        work.alerting = Alerting(SETTINGS, work.policy, "sensor", (alert,), {alert.id: START + 10**6 * MINUTE})
        tells = []
        for minute in range(0, 300, 30):
            work.condition("capture/silent-link", "eth1", True, START + minute * MINUTE)
            tells += [minute for _ in work.due(START + minute * MINUTE)]
        assert tells == [240]

    def test_counts_and_revisions_go_on(self):
        work = Desk()
        work.see(finding())
        work.see(finding(severity=Severity.CRITICAL), START)
        work.restart()
        alert = work.see(finding(outcome=Outcome.ACCEPTED, severity=Severity.CRITICAL), START + MINUTE)
        assert alert is not None
        assert (alert.revision, alert.count) == (3, 3)

    def test_what_the_state_says_is_new_is_new(self):
        work = Desk()
        work.see(finding(outcome=Outcome.ACCEPTED))
        work.restart()
        assert work.see(finding(user="bob", outcome=Outcome.ACCEPTED), START + 1, new=False) is None
        assert told(work.see(finding(user="carol", outcome=Outcome.ACCEPTED), START + 2, new=True)) == (2, FIRING)

    def test_time_that_was_not_watched_is_not_quiet(self):
        work = Desk()
        work.see(finding())
        work.restart()
        later = START + 10_000 * MINUTE
        assert work.due(later) == []
        assert work.due(later + 59 * MINUTE) == []
        assert [told(a) for a in work.due(later + 60 * MINUTE)] == [(2, RESOLVED)]

    def test_resolved_ones_stay_resolved(self):
        work = Desk()
        work.see(finding())
        work.due(START + 60 * MINUTE)
        work.restart()
        assert work.due(START + 1000 * MINUTE) == []
        assert told(work.see(finding(), START + 1000 * MINUTE)) == FIRST

    def test_what_fires_is_counted_before_and_after(self):
        work = Desk()
        work.see(finding())
        work.condition("state/full", "", True)
        assert work.alerting.firing() == {"info": 0, "low": 0, "medium": 0, "high": 2, "critical": 0}
        work.restart()
        assert work.alerting.firing()["high"] == 2
        work.due(START)
        assert work.alerting.firing()["high"] == 2


class TestExpected:
    ENTRY = Expected(rule="credential/ftp", server="10.1.0.9", owner="printing", reason="old scanners", expires=date(2027, 3, 31))

    def desk(self, **change: object) -> Desk:
        return Desk(Config(alerts=SETTINGS, expected=(replace(self.ENTRY, **change),)))  # type: ignore[arg-type]

    def test_never_fires(self):
        work = self.desk()
        assert work.see(finding()) is None
        assert work.due(START) == []
        assert work.alerting.updates() == []

    def test_expired_it_fires_and_the_owner_is_named_once(self):
        work = self.desk(expires=date(2026, 12, 31))
        assert told(work.see(finding())) == FIRST
        (alert,) = work.due(START)
        assert (told(alert), alert.rule, alert.category) == (FIRST, "policy/expected-expired", CATEGORY)
        assert "owner is printing" in alert.title
        assert "expired on 2026-12-31" in alert.title
        assert work.due(START + MINUTE) == []
        work.restart()
        assert work.due(START + 2 * MINUTE) == []

    def test_it_is_told_when_the_day_is_over_while_running(self):
        work = self.desk(expires=date(2027, 1, 20))
        end = work.policy.expirations()[0][0]
        assert work.due(START) == []
        assert work.due(end - 1) == []
        assert [told(a) for a in work.due(end)] == [FIRST]

    @pytest.mark.parametrize("restart", [True, False])
    def test_a_new_date_or_no_entry_resolves_it(self, restart: bool):
        for config in (Config(alerts=SETTINGS, expected=(self.ENTRY,)), Config(alerts=SETTINGS)):
            work = self.desk(expires=date(2026, 12, 31))
            work.due(START)
            work.reload(config)
            if restart:
                work.restart()
            assert [told(a) for a in work.due(START + MINUTE)] == [(2, RESOLVED)]

    def test_what_is_suppressed_from_now_on_resolves_when_quiet(self):
        work = Desk()
        work.see(finding())
        work.reload(Config(alerts=SETTINGS, expected=(self.ENTRY,)))
        for minute in range(60):
            assert work.see(finding(), START + minute * MINUTE) is None
            assert work.due(START + minute * MINUTE) == []
        assert [told(a) for a in work.due(START + 60 * MINUTE)] == [(2, RESOLVED)]


class TestThresholds:
    def desk(self) -> Desk:
        return Desk(Config(alerts=SETTINGS, thresholds=(Threshold(rule="pii/*", count=10, minutes=16),)))

    def test_fires_when_there_were_enough_in_time(self):
        work = self.desk()
        found = [work.see(finding("pii/email", count=3), START + n * MINUTE) for n in range(5)]
        assert [told(f) for f in found] == [None, None, None, FIRST, None]
        assert found[3] is not None
        assert found[3].count == 12

    def test_too_slow_never_does(self):
        work = self.desk()
        assert not any(work.see(finding("pii/email"), START + n * 2 * MINUTE) for n in range(200))

    def test_at_once_where_one_report_holds_enough(self):
        assert told(self.desk().see(finding("pii/email", count=10))) == FIRST

    def test_channels_are_counted_apart_and_other_rules_not_at_all(self):
        work = self.desk()
        assert work.see(finding("pii/email", count=9)) is None
        assert work.see(finding("pii/email", client="10.0.0.6", count=9)) is None
        assert told(work.see(finding())) == FIRST

    def test_what_is_counted_is_bounded(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(pending, "MAX_PENDING", 5)
        work = self.desk()
        for n in range(20):
            work.see(finding("pii/email", client=f"10.0.0.{n}"), START + n)
        assert len(work.alerting._pending) == 5
        assert work.alerting.let_go == 15
        counts = pending.Pending()
        for n in range(10_000):
            counts.reached("k", Threshold(rule="*", count=10**6, minutes=1), 1, START + n * MINUTE // 600)
        assert len(counts._seen["k"]) <= 18


class TestBounds:
    def test_alerts_are_bounded_and_counted_with_room_left_for_the_worst(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(desk, "MAX_ACTIVE", 10)
        monkeypatch.setattr(desk, "_RESERVED", 2)
        work = Desk()
        lesser = [work.see(finding(client=f"10.0.0.{n}", severity=Severity.MEDIUM)) for n in range(20)]
        assert sum(a is not None for a in lesser) == 8
        worst = [work.see(finding(client=f"10.0.1.{n}", severity=Severity.CRITICAL)) for n in range(5)]
        assert sum(a is not None for a in worst) == 2
        assert work.alerting.let_go == 15
        work.due(START + 60 * MINUTE)
        assert told(work.see(finding(client="10.0.0.19", severity=Severity.MEDIUM), START + 60 * MINUTE)) == FIRST

    def test_conditions_too(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(desk, "MAX_CONDITIONS", 3)
        work = Desk()
        assert sum(work.condition("sink/undelivered", f"s{n}", True) is not None for n in range(5)) == 3
        assert work.alerting.let_go == 2


class TestConditions:
    def test_fires_once_and_is_over_when_that_is_said(self):
        work = Desk()
        alert = work.condition("sink/undelivered", "siem", True)
        assert alert is not None
        assert (told(alert), alert.category, alert.severity, alert.title) == (FIRST, CATEGORY, "high", "A receiver does not take what is sent to it: siem")
        assert (alert.channel, alert.client, alert.port, alert.finding, alert.findings) == ("siem", "", 0, {}, 0)
        assert work.condition("sink/undelivered", "siem", True, START + MINUTE) is None
        assert work.due(START + 100 * MINUTE) == [], "one that lasts is not over because nobody speaks of it"
        assert [told(a) for a in work.due(START + 240 * MINUTE)] == [(2, FIRING)]
        assert told(work.condition("sink/undelivered", "siem", False, START + 241 * MINUTE)) == (3, RESOLVED)
        assert work.condition("sink/undelivered", "siem", False, START + 242 * MINUTE) is None

    def test_events_end_by_themselves(self):
        work = Desk()
        work.condition("capture/dropping", "eth1", True)
        assert work.condition("capture/dropping", "eth1", False, START + MINUTE) is None
        assert work.condition("capture/dropping", "eth1", True, START + 2 * MINUTE) is None
        assert work.due(START + 61 * MINUTE) == []
        (over,) = work.due(START + 62 * MINUTE)
        assert (told(over), over.count) == ((2, RESOLVED), 2)

    def test_one_taken_over_that_nobody_speaks_of_any_more_ends(self):
        work = Desk()
        work.condition("capture/silent-link", "eth9", True)
        work.restart()
        work.due(START + MINUTE)
        assert [told(a) for a in work.due(START + 61 * MINUTE)] == [(2, RESOLVED)]

    def test_two_sensors_are_two_alerts(self):
        one = Alerting(SETTINGS, Policy(Config()), "one").condition("state/full", "", True, START)
        two = Alerting(SETTINGS, Policy(Config()), "two").condition("state/full", "", True, START)
        assert one is not None
        assert two is not None
        assert one.id != two.id

    def test_a_silent_link(self):
        work = Desk()
        minutes = [(n, told(work.keep(work.alerting.link("eth1", START, START + n * MINUTE)))) for n in range(8)]
        assert [m for m in minutes if m[1]] == [(5, FIRST)]
        assert told(work.alerting.link("eth1", START + 8 * MINUTE, START + 8 * MINUTE)) == (2, RESOLVED)
        quiet = Desk(Config(alerts=replace(SETTINGS, silent_minutes=0)))
        assert quiet.alerting.link("eth1", 0, START) is None

    def test_policy_and_the_least_severity_hold_for_them(self):
        work = Desk(Config(alerts=SETTINGS, severities=(SeverityOverride(rule="capture/*", severity="info"), SeverityOverride(rule="state/full", severity="critical"))))
        assert work.condition("capture/dropping", "eth1", True) is None
        alert = work.condition("state/full", "", True)
        assert alert is not None
        assert alert.severity == "critical"

    def test_unknown_ones_are_our_mistake(self):
        with pytest.raises(KeyError):
            Desk().condition("capture/nonsense", "", True)

    def test_the_table(self):
        assert {"capture/silent-link", "capture/dropping", "capture/shedding", "capture/worker-restarted", "capture/unwatched", "state/full", "sink/undelivered", "policy/expected-expired"} == set(CONDITIONS)
        assert [c.id for c in all_conditions()] == sorted(CONDITIONS)
        assert not {rule.id for rule in all_rules()} & set(CONDITIONS)
        assert CATEGORY not in {str(c) for c in Category}
        for condition in CONDITIONS.values():
            assert condition.title
            assert condition.remedy.endswith(".")
            assert condition.severity >= Severity.MEDIUM, "told unless that is turned off"


    def test_people_find_them_beside_the_rules(self, capsys: pytest.CaptureFixture[str]):
        assert main(["rules", "--format", "jsonl"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {row["id"] for row in rows if row["category"] == CATEGORY} == set(CONDITIONS)


# Any sequence of findings, conditions, restarts, time steps and clocks set back.

STEPS = st.one_of(
    st.tuples(st.just("see"), st.integers(0, 3), st.sampled_from(["alice", "bob"]), st.sampled_from(list(Severity)), st.sampled_from([None, *Outcome]), st.booleans()),
    st.tuples(st.just("condition"), st.sampled_from(["capture/dropping", "sink/undelivered"]), st.sampled_from(["a", "b"]), st.booleans()),
    st.tuples(st.just("link"), st.integers(0, 10)),
    st.tuples(st.just("due")),
    st.tuples(st.just("step"), st.sampled_from([0, 1, 3, 29, 61, 239, 1000, 100_000, -5, -100_000])),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("reload"), st.integers(0, 1)),
)  # fmt: skip
# Of the four channels, the first is expected for ever and the second until some day within the time steps.
EXPECTED = (
    Expected(rule="*", client="10.0.0.0", owner="o", reason="r", expires=date(2999, 1, 1)),
    Expected(rule="*", client="10.0.0.1", owner="o", reason="r", expires=date(2027, 2, 1)),
)
CONFIGS = (
    Config(alerts=replace(SETTINGS, min_severity="medium"), expected=EXPECTED),
    Config(alerts=replace(SETTINGS, min_severity="high", resend_minutes=30, resolve_minutes=90), expected=EXPECTED[:1]),
)


class Watched:
    """A desk whose every word is checked against what was said before."""

    def __init__(self) -> None:
        self.desk = Desk(CONFIGS[0])
        self.fires: dict[str, int] = {}  # revision of what fires
        self.checked = 0
        self.now = START

    def check(self) -> None:
        for alert in self.desk.out[self.checked :]:
            before = self.fires.get(alert.id)
            if alert.revision == 1:
                assert before is None, "fired twice without a resolution between"
                assert alert.state is State.FIRING
            else:
                assert before is not None, "repeated or resolved without firing"
                assert alert.revision == before + 1
            if alert.state is State.RESOLVED:
                del self.fires[alert.id]
            else:
                self.fires[alert.id] = alert.revision
            assert CANARY not in repr(alert)
            assert alert.client != "10.0.0.0", "expected"
        self.checked = len(self.desk.out)
        assert sum(self.desk.alerting.firing().values()) == len(self.fires)

    def see(self, client: int, user: str, severity: Severity, outcome: Outcome | None, new: bool) -> None:
        found = finding(client=f"10.0.0.{client}", user=user, severity=severity, outcome=outcome, at=self.now)
        key = alert_id(found.rule.id, found.channel)
        fired = key in self.fires
        judged = self.desk.policy.judge(found, None, self.now)
        alert = self.desk.see(found, self.now, new=new)
        least = Severity[self.desk.config.alerts.min_severity.upper()]
        if judged.suppressed_by or severity < least:
            assert alert is None
        elif not fired:
            assert told(alert) == FIRST, "what is neither suppressed nor below the least severity fires"
        elif alert is not None:
            assert alert.revision > 1

    def step(self, step: tuple) -> None:
        what, *words = step
        if what == "see":
            self.see(*words)
        elif what == "condition":
            self.desk.condition(*words, self.now)
        elif what == "link":
            self.desk.keep(self.desk.alerting.link("eth1", self.now - words[0] * MINUTE, self.now))
        elif what == "due":
            self.desk.due(self.now)
        elif what == "step":
            self.now += words[0] * MINUTE
        elif what == "restart":
            if words[0]:  # the state also kept what was not told
                self.desk.kept.update({alert.id: alert for alert in self.desk.alerting.updates()})
            self.desk.restart()
        else:
            self.desk.reload(CONFIGS[words[0]])
        self.check()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_every_alert_fires_once_repeats_in_order_and_resolves_once(steps: list[tuple]):
    watched = Watched()
    for step in steps:
        watched.step(step)
    # In the end everything that a finding or an event made fire resolves: nothing fires for ever because it was forgotten.
    for _ in range(4):
        watched.now += 100 * MINUTE
        watched.step(("due",))
    lasting = {alert_id(rule, key, "sensor") for rule in CONDITIONS for key in ("a", "b", "eth1")}
    lasting |= {a.id for a in watched.desk.out if a.rule == "policy/expected-expired"}
    assert set(watched.fires) <= lasting


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_a_restart_says_nothing_by_itself(steps: list[tuple]):
    watched = Watched()
    for step in steps:
        watched.step(step)
    watched.step(("due",))
    watched.desk.restart()
    assert watched.desk.due(watched.now) == []
