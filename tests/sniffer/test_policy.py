"""Policy: which entry matches what, in which order, and what time changes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sniffer import policy as module
from sniffer.config import Config, Expected, Network, SeverityOverride, Threshold
from sniffer.findings import Severity
from sniffer.policy import Policy, valid_until
from tests.sniffer.made import MINUTE, START, channel, finding

DAY = 24 * 60 * MINUTE


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def expected(**set_: object) -> Expected:
    return Expected(**{"rule": "credential/ftp", "server": "10.1.0.9", "owner": "printing", "reason": "old", "expires": date(2027, 3, 31), **set_})  # type: ignore[arg-type]


class TestNetworks:
    NETWORKS = (
        Network(name="all", cidr="0.0.0.0/0", tier="infrastructure"),
        Network(name="offices", cidr="10.0.0.0/8", tier="client"),
        Network(name="databases", cidr="10.1.0.0/24", tier="database"),
        Network(name="one", cidr="10.1.0.77", tier="mail"),
        Network(name="unsaid", cidr="10.2.0.0/16"),
        Network(name="six", cidr="2001:db8::/32", tier="directory"),
    )

    @pytest.mark.parametrize(
        ("server", "there"),
        [
            ("10.1.0.9", ("database", "databases")),
            ("10.1.0.77", ("mail", "one")),
            ("10.1.1.9", ("client", "offices")),
            ("192.0.2.1", ("infrastructure", "all")),
            ("10.2.3.4", ("", "unsaid")),
            ("2001:db8::5", ("directory", "six")),
            ("2001:db9::5", ("", "")),
            ("00:11:22:33:44:55", ("", "")),
            ("", ("", "")),
        ],
    )
    def test_the_longest_prefix_wins_in_any_order(self, server: str, there: tuple[str, str]):
        assert Policy(Config(networks=self.NETWORKS)).tier(server) == there
        assert Policy(Config(networks=self.NETWORKS[::-1])).tier(server) == there

    def test_where_no_network_says_it_the_protocol_does(self):
        judged = Policy(Config(networks=self.NETWORKS)).judge(finding(server="10.2.0.1"), channel(server="10.2.0.1", tier="messaging"), START)
        assert (judged.tier, judged.network) == ("messaging", "unsaid")
        assert Policy(Config()).judge(finding(), None, START)[1:] == ("unknown", "", None, None, None)

    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8),
        st.integers(0, 2**32 - 1),
    )
    def test_agrees_with_a_plain_search(self, ranges: list[tuple[int, int]], server: int):
        nets = [ip_network((number >> (32 - length) << (32 - length), length)) for number, length in ranges]
        networks = tuple(Network(name=str(n), cidr=str(n), tier="mail") for n in nets)
        address = ip_address(server)
        best = max((n for n in nets if address in n), key=lambda n: n.prefixlen, default=None)
        assert Policy(Config(networks=networks)).tier(str(address))[1] == ("" if best is None else str(best))


class TestSeverities:
    def test_the_first_that_matches_decides(self):
        policy = Policy(Config(severities=(SeverityOverride(rule="pii/*", severity="info"), SeverityOverride(rule="credential/*", severity="low"), SeverityOverride(rule="credential/ftp", severity="critical"))))
        assert policy.judge(finding(), None, START).severity is Severity.LOW
        assert policy.judge(finding("hash/ftp"), None, START).severity is Severity.HIGH

    @pytest.mark.parametrize(
        ("entry", "matches"),
        [
            ({"rule": "credential/ftp"}, True),
            ({"rule": "credential/f?p"}, True),
            ({"rule": "credential"}, False),
            ({"rule": "*ftp"}, True),
            ({"protocol": "ftp"}, True),
            ({"protocol": "f*"}, True),
            ({"protocol": "sftp"}, False),
            ({"server": "10.1.0.9"}, True),
            ({"server": "10.1.0.0/24"}, True),
            ({"server": "10.0.0.0/24"}, False),
            ({"server": "::/0"}, False),
            ({"client": "10.0.0.0/24"}, True),
            ({"client": "10.1.0.9"}, False),
            ({"port": 21}, True),
            ({"port": 22}, False),
            ({"rule": "credential/*", "protocol": "ftp", "server": "10.1.0.9", "client": "10.0.0.5", "port": 21}, True),
            ({"rule": "credential/*", "protocol": "ftp", "server": "10.1.0.9", "client": "10.0.0.6", "port": 21}, False),
        ],
    )
    def test_all_that_is_set_must_match(self, entry: dict[str, object], matches: bool):
        policy = Policy(Config(severities=(SeverityOverride(severity="info", **entry),)))  # type: ignore[arg-type]
        assert (policy.judge(finding(), None, START).severity is Severity.INFO) is matches

    def test_an_address_that_is_none_is_in_no_range(self):
        policy = Policy(Config(severities=(SeverityOverride(client="0.0.0.0/0", severity="info"), SeverityOverride(server="::/0", severity="info"))))
        assert policy.judge(finding(client="00:11:22:33:44:55", server="x"), None, START).severity is Severity.HIGH

    def test_conditions_only_by_the_rule(self):
        policy = Policy(Config(severities=(SeverityOverride(rule="capture/*", port=1, severity="info"), SeverityOverride(rule="capture/d*", severity="critical"))))
        assert policy.condition_severity("capture/dropping", Severity.MEDIUM) is Severity.CRITICAL
        assert policy.condition_severity("state/full", Severity.MEDIUM) is Severity.MEDIUM


class TestExpected:
    def test_suppresses_until_the_end_of_its_day(self):
        entry = expected()
        policy = Policy(Config(expected=(entry,)))
        end = nanoseconds(datetime(2027, 4, 1, tzinfo=UTC))
        assert valid_until(entry) == end
        for now, there in ((START, (entry, None)), (end - 1, (entry, None)), (end, (None, entry)), (end + DAY, (None, entry)), (end - 1, (entry, None))):
            judged = policy.judge(finding(), None, now)
            assert (judged.suppressed_by, judged.expired) == there

    def test_one_that_is_valid_counts_before_one_that_expired(self):
        old, new = expected(expires=date(2026, 1, 1)), expected(rule="*")
        judged = Policy(Config(expected=(old, new))).judge(finding(), None, START)
        assert (judged.suppressed_by, judged.expired) == (new, None)

    def test_matches_by_ends(self):
        policy = Policy(Config(expected=(expected(client="10.0.0.0/24", port=21),)))
        assert policy.judge(finding(), None, START).suppressed_by
        assert not policy.judge(finding(client="10.0.1.5"), None, START).suppressed_by
        assert not policy.judge(finding(port=2121), None, START).suppressed_by
        assert not policy.judge(finding(server="10.1.0.10"), None, START).suppressed_by
        assert not policy.judge(finding("credential/http"), None, START).suppressed_by

    def test_the_last_day_there_is(self):
        assert valid_until(expected(expires=date.max)) > START
        assert Policy(Config(expected=(expected(expires=date.max),))).judge(finding(), None, START).suppressed_by

    def test_expirations_are_told(self):
        assert Policy(Config(expected=(expected(),))).expirations() == [(valid_until(expected()), expected())]


class TestThresholds:
    def test_the_first_that_matches(self):
        policy = Policy(Config(thresholds=(Threshold(rule="pii/*", count=5, minutes=1), Threshold(rule="*", count=9, minutes=1))))
        assert policy.judge(finding("pii/email"), None, START).threshold == Threshold(rule="pii/*", count=5, minutes=1)
        assert policy.judge(finding(), None, START).threshold == Threshold(rule="*", count=9, minutes=1)
        assert Policy(Config()).judge(finding(), None, START).threshold is None


def test_patterns_that_match_no_rule_are_found():
    config = Config(severities=(SeverityOverride(rule="credental/*", severity="low"), SeverityOverride(port=1, severity="low")), expected=(expected(),), thresholds=(Threshold(rule="pii/*", count=2, minutes=1),))
    assert Policy(config).idle(["credential/ftp", "pii/email"]) == ["credental/*"]


GLOBS = st.sampled_from(["", "*", "credential/*", "credential/ftp", "*/ftp", "pii/*"])
RANGES = st.sampled_from(["", "10.0.0.0/8", "10.0.0.1", "10.0.0.2", "10.0.0.0/31", "::/0"])
PORTS = st.sampled_from([0, 21, 80])
OVERRIDES = st.lists(st.builds(SeverityOverride, severity=st.sampled_from(["info", "critical"]), rule=GLOBS, server=RANGES, client=RANGES, port=PORTS, protocol=st.sampled_from(["", "f*", "http"])), max_size=5)


def plainly(entry: SeverityOverride, rule: str, protocol: str, client: str, server: str, port: int) -> bool:
    return (
        fnmatchcase(rule, entry.rule or "*")
        and fnmatchcase(protocol, entry.protocol or "*")
        and (not entry.server or ip_address(server) in ip_network(entry.server))
        and (not entry.client or ip_address(client) in ip_network(entry.client))
        and entry.port in (0, port)
    )


@given(OVERRIDES, st.lists(st.tuples(st.sampled_from(["credential/ftp", "pii/email"]), st.sampled_from(["ftp", "http"]), st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from(["10.0.0.1", "::1"]), st.sampled_from([21, 80])), max_size=10))
def test_cached_and_compiled_agrees_with_plain_matching(overrides: list[SeverityOverride], ends: list[tuple[str, str, str, str, int]]):
    policy = Policy(Config(severities=tuple(overrides)))
    for name, protocol, client, server, port in ends * 2:
        judged = policy.judge(finding(name, protocol=protocol, client=client, server=server, port=port), None, START)
        first = next((o for o in overrides if plainly(o, name, protocol, client, server, port)), None)
        assert str(judged.severity) == (first.severity if first else "high")


def test_what_it_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_VERDICTS", 10)
    policy = Policy(Config(severities=(SeverityOverride(client="10.0.0.0/28", severity="low"),)))
    for _ in range(2):
        for n in range(40):
            judged = policy.judge(finding(client=f"10.0.0.{n}"), None, START)
            assert judged.severity is (Severity.LOW if n < 16 else Severity.HIGH)
            assert len(policy._verdicts) <= 10


def test_a_repeat_costs_no_search(monkeypatch: pytest.MonkeyPatch):
    looked = []
    look = Policy._look
    monkeypatch.setattr(Policy, "_look", lambda self, ends: looked.append(ends) or look(self, ends))
    policy = Policy(Config(expected=tuple(expected(server=f"10.9.0.{n}") for n in range(250))))
    for _ in range(50):
        policy.judge(finding(), None, START)
        policy.judge(finding(user="bob"), channel(), START + DAY)
    assert len(looked) == 1
