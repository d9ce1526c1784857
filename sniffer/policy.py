"""Policy: what a finding weighs here, which network its server is in, and whether somebody answers for the cleartext.

Judged for each finding, thousands a second: patterns are compiled once, and what was found for a rule, its ends and its
protocol is kept. Only whether an entry has expired is asked anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase, translate
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from sniffer.config import Expected, Network, SeverityOverride, Threshold
from sniffer.findings import Severity

if TYPE_CHECKING:
    from sniffer.channels import Channel
    from sniffer.config import Config
    from sniffer.findings import Finding

# Verdicts kept, about 400 bytes each. Past it all are forgotten, which costs time and nothing else.
MAX_VERDICTS = 50_000
_DAY = timedelta(days=1)


class Judged(NamedTuple):
    """What policy says of one finding. ``network`` is "" where none is named."""

    severity: Severity
    tier: str
    network: str
    suppressed_by: Expected | None
    expired: Expected | None  # would have suppressed it, had its date not passed
    threshold: Threshold | None = None


class Ends(NamedTuple):
    """What rules of the policy are matched against."""

    rule: str
    protocol: str
    server: str
    port: int
    client: str


def valid_until(entry: Expected) -> int:
    """The end of the day an entry expires, UTC, in nanoseconds since the epoch: from then on it no longer counts."""
    try:
        end = datetime.combine(entry.expires + _DAY, time(), UTC)
    except OverflowError:  # the last day there is
        end = datetime.max.replace(tzinfo=UTC)
    return int(end.timestamp()) * 1_000_000_000


class _Range:
    """The addresses of a CIDR, compared as numbers. Empty text: all."""

    __slots__ = ("_prefix", "_shift", "_version")

    def __init__(self, cidr: str) -> None:
        network = ip_network(cidr)
        self._version = network.version
        self._shift = network.max_prefixlen - network.prefixlen
        self._prefix = int(network.network_address) >> self._shift

    def holds(self, version: int, number: int) -> bool:
        return version == self._version and number >> self._shift == self._prefix


def _number(address: str) -> tuple[int, int]:
    """An address as version and number; (0, 0), which no range holds, where it is none (a MAC address)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return 0, 0
    return parsed.version, int(parsed)


class _Pattern:
    """One entry's conditions, compiled. What is not set is not asked."""

    __slots__ = ("_client", "_port", "_protocol", "_server")

    def __init__(self, server: str, client: str, port: int, protocol: str = "") -> None:
        self._server = _Range(server) if server else None
        self._client = _Range(client) if client else None
        self._port = port
        self._protocol = re.compile(translate(protocol)) if protocol else None

    def matches(self, ends: Ends, server: tuple[int, int], client: tuple[int, int]) -> bool:
        """Whether all that is set holds; the rule's name has been looked at before."""
        return (
            (not self._port or self._port == ends.port)
            and (self._protocol is None or self._protocol.match(ends.protocol) is not None)
            and (self._server is None or self._server.holds(*server))
            and (self._client is None or self._client.holds(*client))
        )


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What does not change with time."""

    severity: Severity | None
    network: str
    tier: str
    expected: tuple[tuple[int, Expected], ...]  # with the time they end
    threshold: Threshold | None


_Overrides = tuple[tuple[_Pattern, SeverityOverride], ...]
_Expectations = tuple[tuple[_Pattern, int, Expected], ...]


class Policy:
    """What a configuration says of findings. Holds no findings."""

    def __init__(self, config: Config) -> None:
        self._overrides = tuple((_Pattern(o.server, o.client, o.port, o.protocol), o) for o in config.severities)
        self._expected = tuple((_Pattern(e.server, e.client, e.port), valid_until(e), e) for e in config.expected)
        self._thresholds = config.thresholds
        self._networks = _by_length(config.networks)
        self._rules: dict[str, tuple[_Overrides, _Expectations, Threshold | None]] = {}
        self._verdicts: dict[Ends, _Verdict] = {}

    def judge(self, finding: Finding, channel: Channel | None, now: int) -> Judged:
        """Severity, place and excuse of a finding; ``now`` in nanoseconds since the epoch decides what has expired."""
        ends = Ends(finding.rule.id, finding.protocol, finding.server[0], finding.server[1], finding.client[0])
        verdict = self._verdicts.get(ends)
        if verdict is None:
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[ends] = self._look(ends)
        valid = next((entry for until, entry in verdict.expected if now < until), None)
        return Judged(
            severity=finding.severity if verdict.severity is None else verdict.severity,
            tier=verdict.tier or (channel.tier if channel is not None else "unknown"),
            network=verdict.network,
            suppressed_by=valid,
            expired=verdict.expected[0][1] if verdict.expected and valid is None else None,
            threshold=verdict.threshold,
        )

    def tier(self, server: str) -> tuple[str, str]:
        """The tier and the name of the network a server is in, the longest prefix first; "" for each that is not known."""
        network = self._network(_number(server))
        return (network.tier, network.name) if network else ("", "")

    def condition_severity(self, rule: str, usual: Severity) -> Severity:
        """The severity of a condition of the sensor itself: entries that ask for an end or a protocol do not match it."""
        for _, override in self._of_rule(rule)[0]:
            if not (override.server or override.client or override.port or override.protocol):
                return Severity[override.severity.upper()]
        return usual

    def expirations(self) -> list[tuple[int, Expected]]:
        """All expected cleartext with the time (ns) from which on it counts no longer, in the order of the file."""
        return [(until, entry) for _, until, entry in self._expected]

    def idle(self, rules: Iterable[str]) -> list[str]:
        """Patterns that match none of these rules: mistyped, most of the time."""
        known = list(rules)
        patterns = [e.rule for _, _, e in self._expected] + [o.rule for _, o in self._overrides] + [t.rule for t in self._thresholds]
        return sorted({p for p in patterns if p and not any(fnmatchcase(rule, p) for rule in known)})

    def _of_rule(self, rule: str) -> tuple[_Overrides, _Expectations, Threshold | None]:
        """The entries whose glob takes a rule. Rules are a closed set, so these are few."""
        found = self._rules.get(rule)
        if found is None:
            found = self._rules[rule] = (
                tuple(o for o in self._overrides if fnmatchcase(rule, o[1].rule or "*")),
                tuple(e for e in self._expected if fnmatchcase(rule, e[2].rule)),
                next((t for t in self._thresholds if fnmatchcase(rule, t.rule)), None),
            )
        return found

    def _look(self, ends: Ends) -> _Verdict:
        overrides, expected, threshold = self._of_rule(ends.rule)
        server, client = _number(ends.server), _number(ends.client)
        override = next((o for pattern, o in overrides if pattern.matches(ends, server, client)), None)
        network = self._network(server)
        return _Verdict(
            severity=Severity[override.severity.upper()] if override else None,
            network=network.name if network else "",
            tier=network.tier if network else "",
            expected=tuple((until, entry) for pattern, until, entry in expected if pattern.matches(ends, server, client)),
            threshold=threshold,
        )

    def _network(self, server: tuple[int, int]) -> Network | None:
        version, number = server
        for shift, networks in self._networks.get(version, ()):
            found = networks.get(number >> shift)
            if found is not None:
                return found
        return None


def _by_length(networks: Sequence[Network]) -> dict[int, list[tuple[int, dict[int, Network]]]]:
    """Networks by version, then by how many bits follow the prefix, fewest (the longest prefix) first."""
    tables: dict[int, dict[int, dict[int, Network]]] = {}
    for network in networks:
        parsed = ip_network(network.cidr)
        shift = parsed.max_prefixlen - parsed.prefixlen
        table = tables.setdefault(parsed.version, {}).setdefault(shift, {})
        table.setdefault(int(parsed.network_address) >> shift, network)
    return {version: sorted(by_shift.items()) for version, by_shift in tables.items()}
