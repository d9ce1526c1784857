"""The metrics: closed sets at 0 from the start, sums that agree, counters that never go down, and a page that says the same."""

from __future__ import annotations

import ast
import re
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sniffer.channels import Channel
from sniffer.decode.peel import REASONS
from sniffer.dissectors import registry
from sniffer.events import Certificate, Encryption
from sniffer.findings import Severity
from sniffer.metrics import Metrics, catalogue
from sniffer.metrics.inventory import Inventory
from sniffer.metrics.series import MAX_NAMES
from sniffer.ruleset import all_rules
from sniffer.session import Report
from sniffer.summary import Summary
from tests.sniffer.metrics_lab import needs
from tests.test_captures import CASES, session

ROOT = Path(__file__).parents[2]
READABLE = {Encryption.CLEARTEXT, Encryption.DECLINED, Encryption.REFUSED, Encryption.STRIPPED, Encryption.LOGIN_ONLY}


@dataclass
class Stats:
    queued: int = 0
    queued_bytes: int = 0
    sent: int = 0
    failures: int = 0
    lost: int = 0
    last_success: int = 0


def report(stages=None, active=0, **summary) -> Report:
    return Report([], [], Summary(**summary), stages or {}, active)


def channel(number=0, *, server="10.0.0.1", port=80, last=1, clear=1, encrypted=0, tier="client", protocol="http", expires=None) -> Channel:
    verdicts = {Encryption.CLEARTEXT: (clear, "seen"), Encryption.ENCRYPTED: (encrypted, "seen")}
    tls = None
    if expires is not None:
        tls = {"certificate": Certificate(subject='CN="evil\n', issuer="x", not_before="", not_after=expires, key="", self_signed=True)}
    return Channel(f"10.9.{number >> 8}.{number & 255}", server, port, "tcp", protocol, tier, sessions=clear + encrypted, last=last, verdicts=verdicts, tls=tls)


def value(metrics: Metrics, name: str, *labels: str) -> float:
    return metrics.snapshot()[f"cleartap_{name}"][labels]


def total(metrics: Metrics, name: str) -> float:
    return sum(metrics.snapshot()[f"cleartap_{name}"].values())


def test_every_closed_series_is_there_at_0_from_the_start():
    metrics = Metrics(["eth0", "eth1"], ["siem"])
    found = metrics.snapshot()
    for family in catalogue.CATALOGUE:
        if family.name in ("cleartap_cleartext_service", "cleartap_certificate_expiry_timestamp_seconds"):
            assert found[family.name] == {}
            continue
        assert found[family.name], family.name
        assert all(len(labels) == len(family.labels) for labels in found[family.name])
        if family.name.endswith(("build_info", "start_time_seconds", "reload_successful")):
            continue
        assert set(found[family.name].values()) == {0}, family.name
    assert {rule for rule, _ in found["cleartap_findings_total"]} == {*(rule.id for rule in all_rules()), "other"}
    assert set(found["cleartap_capture_dropped_packets_total"]) == {(i, r) for i in ("eth0", "eth1") for r in ("kernel", "shed", "worker")}
    assert set(found["cleartap_channels"]) == {(e, t) for e in map(str, Encryption) for t in catalogue.TIERS}
    assert len(found["cleartap_findings_total"]) < 1000
    assert sum(map(len, found.values())) < 1500


def test_the_severities_rules_really_give_are_there_at_0():
    known = Metrics().snapshot()["cleartap_findings_total"]
    seen = {(finding.rule.id, str(finding.severity)) for case in CASES for finding in session(case).findings}
    assert len(seen) > 20
    assert seen - set(known) == set()
    for rule in all_rules():
        assert (rule.id, str(rule.severity)) in known


def test_severities_of_a_policy_begin_at_0_too():
    rule = next(r.id for r in all_rules() if r.id.startswith("credential/"))
    assert (rule, "info") not in Metrics().snapshot()["cleartap_findings_total"]
    metrics = Metrics(severities=[("credential/*", "info")])
    assert value(metrics, "findings_total", rule, "info") == 0
    metrics.finding(rule, Severity.INFO, 5, True)
    metrics.may_have([("*", "info"), ("*", "nonsense")])
    assert value(metrics, "findings_total", rule, "info") == 1
    assert not any(severity == "nonsense" for _, severity in metrics.snapshot()["cleartap_findings_total"])


def test_the_undecoded_reasons_are_the_decoders_own():
    said = set(REASONS.values())
    for path in (ROOT / "sniffer/decode").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in ("drop", "room", "require"):
                continue
            last = node.args[-1] if node.args else None
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                said.add(last.value)
            elif isinstance(last, ast.JoinedStr):
                said.add(last.values[0].value.strip())
    said.add("truncated header")
    assert said | {"other"} == set(catalogue.UNDECODED)
    metrics = Metrics()
    metrics.observe(report(undecoded=Counter({"unsupported link type 147": 2, "arp": 3, "made up": 4})), "eth0")
    assert value(metrics, "undecoded_frames_total", "unsupported link type") == 2
    assert value(metrics, "undecoded_frames_total", "arp") == 3
    assert value(metrics, "undecoded_frames_total", "other") == 4


def test_a_report_is_counted():
    metrics = Metrics(["eth0"])
    stages = {"decode": 0.5, "flows, dissectors, detectors": 0.25, "something new": 1.0}
    summary = {"frames": 9, "flows": 3, "attempts": 1, "truncated": 2, "gaps": 4, "gap_bytes": 40, "one_sided": 1, "evicted": 5, "omitted": 6, "last": 3_000_000_000}
    counters = {"anomalies": Counter({"http: bad": 2, "strange: bad": 1}), "bugs": Counter({"http: KeyError at x": 3})}
    metrics.observe(report(stages, 7, **summary, **counters), "eth0", worker=0)
    metrics.observe(report({}, 5, last=2_000_000_000), "eth0", worker=1)
    found = metrics.snapshot()
    expected = {
        "flows_total": 3, "connection_attempts_total": 1, "capture_truncated_packets_total": 2, "flow_gaps_total": 4, "flow_gap_bytes_total": 40,
        "flows_one_sided_total": 1, "flows_evicted_total": 5, "omitted_total": 6, "bugs_total": 3, "flows_active": 12,
    }  # fmt: skip
    for name, number in expected.items():
        assert found[f"cleartap_{name}"] == {(): number}, name
    assert {s: n for (s,), n in found["cleartap_stage_seconds_total"].items() if n} == {"decode": 0.5, "flows": 0.25, "other": 1.0}
    assert {p: n for (p,), n in found["cleartap_anomalies_total"].items() if n} == {"http": 2, "other": 1}
    assert found["cleartap_capture_last_packet_timestamp_seconds"][("eth0",)] == 3
    assert found["cleartap_capture_packets_total"][("eth0",)] == 0  # counted by capture() alone
    metrics.ended("eth0", worker=0)
    assert value(metrics, "flows_active") == 5
    metrics.ended("eth0", worker=1)
    metrics.ended("eth0", worker=7)
    assert value(metrics, "flows_active") == 0


def test_capture_counters_of_workers_that_begin_again():
    metrics = Metrics(["eth0"])
    metrics.capture("eth0", 100, 1000, 1, worker=0)
    metrics.capture("eth0", 50, 500, 0, worker=1)
    metrics.capture("eth0", 150, 1500, 3, worker=0)
    assert value(metrics, "capture_packets_total", "eth0") == 200
    metrics.capture("eth0", 10, 100, 0, worker=0)  # smaller: opened again
    assert value(metrics, "capture_packets_total", "eth0") == 210
    metrics.capture("eth0", 60, 600, 0, worker=2)
    metrics.capture("eth0", 5, 650, 1, worker=2)  # one count alone is smaller: all are from 0
    metrics.lost("eth0", "worker", 4)
    found = metrics.snapshot()
    assert found["cleartap_capture_packets_total"][("eth0",)] == 210 + 65
    assert found["cleartap_capture_bytes_total"][("eth0",)] == 2100 + 1250
    assert {r: n for (_, r), n in found["cleartap_capture_dropped_packets_total"].items()} == {"kernel": 4, "shed": 0, "worker": 4}


def test_a_counter_never_goes_down_whatever_it_is_told():
    metrics = Metrics(["eth0"])
    metrics.observe(report({"decode": 1}, flows=5, one_sided=5), "eth0")
    metrics.observe(report({"decode": -1}, flows=-3, one_sided=-5), "eth0")
    metrics.unwatched(2)
    metrics.unwatched(3)
    metrics.unwatched(-2)
    found = metrics.snapshot()
    assert [found[f"cleartap_{name}_total"][()] for name in ("flows", "flows_one_sided", "unwatched_seconds")] == [5, 5, 3]
    assert found["cleartap_stage_seconds_total"][("decode",)] == 1


def test_names_that_nobody_configured_are_bounded():
    metrics = Metrics()
    for number in range(MAX_NAMES + 50):
        metrics.capture(f"if{number}", 1, 1, 0)
        metrics.observe(report(active=1), f"if{number}")
    assert len(metrics.snapshot()["cleartap_capture_packets_total"]) <= MAX_NAMES + 1
    assert len(metrics.snapshot()["cleartap_capture_up"]) <= MAX_NAMES + 1


def test_findings_alerts_sinks_and_the_rest():
    metrics = Metrics(sinks=["siem"])
    rule = all_rules()[0].id
    metrics.finding(rule, Severity.HIGH, 2_000_000_000, True)
    metrics.finding(rule, "high", 5_000_000_000, False)
    metrics.finding(rule, "high", 4_000_000_000, False)
    metrics.finding("made/up", "high", 0, True)
    metrics.suppressed(rule)
    metrics.alerts({"high": 2}, 5)
    metrics.sinks({"siem": Stats(3, 300, 10, 2, 1, 7_000_000_000)})
    metrics.workers(2, 1)
    metrics.pending(4)
    metrics.state(4096, {"full": 2, "strange": 1})
    metrics.unwatched(12.5)
    metrics.shed("content", 10)
    metrics.shed("strange", 1)
    metrics.link("eth0", up=True)
    metrics.stage("record", 0.5)
    found = {name.removeprefix("cleartap_"): {labels: n for labels, n in values.items() if n} for name, values in metrics.snapshot().items()}
    assert found["findings_total"] == {(rule, "high"): 1, ("other", "high"): 1}
    assert found["finding_last_seen_timestamp_seconds"] == {(rule,): 5}
    assert found["findings_suppressed_total"] == {(rule,): 1}
    assert found["alerts"] == {("high",): 2}
    assert found["alerts_omitted_total"] == {(): 5}
    assert found["sink_queue_length"] == {("siem",): 3}
    assert found["sink_queue_bytes"] == {("siem",): 300}
    assert (found["sink_sent_total"], found["sink_failures_total"], found["sink_lost_total"]) == ({("siem",): 10}, {("siem",): 2}, {("siem",): 1})
    assert found["sink_last_success_timestamp_seconds"] == {("siem",): 7}
    assert (found["workers"], found["worker_restarts_total"], found["reports_pending"]) == ({(): 2}, {(): 1}, {(): 4})
    assert found["state_errors_total"] == {("full",): 2, ("other",): 1}
    assert found["unwatched_seconds_total"] == {(): 12.5}
    assert found["shed_bytes_total"] == {("content",): 10, ("other",): 1}
    assert found["capture_up"] == {("eth0",): 1}
    assert found["stage_seconds_total"] == {("record",): 0.5}
    metrics.alerts({})
    assert total(metrics, "alerts") == 0


def test_a_channel_that_changes_moves_between_buckets():
    metrics = Metrics()
    metrics.channels([channel(clear=2)])
    assert value(metrics, "channels", "cleartext", "client") == 1
    metrics.channels([channel(clear=2, encrypted=1)])
    assert value(metrics, "channels", "cleartext", "client") == 0
    assert value(metrics, "channels", "mixed", "client") == 1
    assert metrics.snapshot()["cleartap_cleartext_service"] == {("10.0.0.1", "80", "http"): 2}
    metrics.channels([channel(clear=0, encrypted=3)])
    assert value(metrics, "channels", "encrypted", "client") == 1
    assert metrics.snapshot()["cleartap_cleartext_service"] == {}
    metrics.forget([channel().id, "c000000000000abc"])
    assert total(metrics, "channels") == 0


def test_services_are_a_bounded_list_and_the_rest_is_counted():
    metrics = Metrics(top=3)
    metrics.channels([channel(i, server=f"10.0.0.{i}", clear=i + 1, last=i) for i in range(10)])
    found = metrics.snapshot()
    assert found["cleartap_cleartext_service"] == {(f"10.0.0.{i}", "80", "http"): i + 1 for i in (7, 8, 9)}
    assert found["cleartap_cleartext_services_omitted"] == {(): 7}
    assert found["cleartap_cleartext_service_sessions_omitted"] == {(): sum(range(1, 8))}
    metrics.channels([channel(0, server="10.0.0.0", clear=1, last=99)])  # heard again: moves to the top
    assert ("10.0.0.0", "80", "http") in metrics.snapshot()["cleartap_cleartext_service"]
    metrics.channels([channel(7, server="10.0.0.7", clear=8, encrypted=4, last=100)])  # only its encrypted side was heard
    assert ("10.0.0.7", "80", "http") not in metrics.snapshot()["cleartap_cleartext_service"]


def test_certificates_soonest_first_and_a_renewal_replaces():
    metrics = Metrics(top=2)
    dates = ["2031-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z", "nonsense", "9999-99-99"]
    metrics.channels([channel(i, server=f"10.0.0.{i}", port=443, clear=0, encrypted=1, expires=when, last=1) for i, when in enumerate(dates)])
    seconds = [datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp() for when in dates[:3]]
    found = metrics.snapshot()
    assert found["cleartap_certificate_expiry_timestamp_seconds"] == {("10.0.0.1", "443"): seconds[1], ("10.0.0.2", "443"): seconds[2]}
    assert found["cleartap_certificates_omitted"] == {(): 1}
    metrics.channels([channel(50, server="10.0.0.1", port=443, expires="2035-01-01T00:00:00Z", last=9)])
    metrics.channels([channel(1, server="10.0.0.1", port=443, expires=dates[1], last=2)])  # a client that last saw the old one
    found = metrics.snapshot()
    assert found["cleartap_certificate_expiry_timestamp_seconds"] == {("10.0.0.2", "443"): seconds[2], ("10.0.0.0", "443"): seconds[0]}
    assert found["cleartap_certificates_omitted"] == {(): 1}


def test_a_certificate_stays_while_one_channel_of_the_server_is_known():
    metrics = Metrics()
    rows = [channel(i, expires="2030-01-01T00:00:00Z", last=i) for i in range(2)]
    listed = "cleartap_certificate_expiry_timestamp_seconds"
    for _ in range(2):  # known, forgotten and known again
        metrics.channels(rows)
        metrics.channels([channel(0, last=5), *rows])  # told again; once without it
        metrics.forget([rows[0].id])
        assert len(metrics.snapshot()[listed]) == 1
        metrics.forget([rows[1].id, rows[1].id])
        assert metrics.snapshot()[listed] == {}
        assert metrics.snapshot()["cleartap_certificates_omitted"] == {(): 0}


def test_the_inventory_is_bounded():
    inventory = Inventory(limit=5)
    inventory.put([channel(i, server=f"10.0.0.{i}", expires="2030-01-01T00:00:00Z") for i in range(20)])
    assert (sum(inventory.buckets.values()), inventory.forgotten) == (5, 15)
    assert set(inventory.services(100)[0]) == {(f"10.0.0.{i}", 80, "http") for i in range(15, 20)}
    assert len(inventory.certificates(100)[0]) == 5


# What can come, in any order: each makes a call on the metrics.
counts = st.integers(0, 1 << 40)
few = st.integers(0, 3)
calls = st.one_of(
    st.tuples(st.just("observe"), st.builds(
        report, st.dictionaries(st.sampled_from(["decode", "flows, dissectors, detectors", "x"]), st.floats(0, 100), max_size=3), few,
        flows=counts, attempts=counts, gaps=counts, gap_bytes=counts, one_sided=counts, evicted=counts, truncated=counts, last=counts,
        undecoded=st.dictionaries(st.sampled_from(["arp", "lldp", "unsupported link type 9", "?"]), counts, max_size=3).map(Counter),
        anomalies=st.dictionaries(st.sampled_from(["http: a", "http: b", "q: c"]), counts, max_size=3).map(Counter),
    ), st.sampled_from(["eth0", "eth1", "other0"])),
    st.tuples(st.just("capture"), st.sampled_from(["eth0", "eth1"]), counts, counts, counts),
    st.tuples(st.just("finding"), st.sampled_from([all_rules()[0].id, all_rules()[-1].id, "made/up"]), st.sampled_from([*Severity, "high", "strange"]), counts, st.booleans()),
    st.tuples(st.just("channels"), st.lists(st.builds(
        channel, few, server=st.sampled_from(["10.0.0.1", "10.0.0.2"]), port=st.sampled_from([80, 81]), last=few, clear=few, encrypted=few,
        tier=st.sampled_from(["client", "database", "made up"]), expires=st.sampled_from([None, "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "x"]),
    ), max_size=4)),
    st.tuples(st.just("forget"), st.lists(st.builds(lambda n, p: channel(n, port=p).id, few, st.sampled_from([80, 81])), max_size=2)),
    st.tuples(st.just("sinks"), st.dictionaries(st.sampled_from(["a", "b"]), st.builds(Stats, counts, counts, counts, counts, counts, counts))),
    st.tuples(st.just("workers"), few, few),
    st.tuples(st.just("state"), counts, st.dictionaries(st.sampled_from(["full", "x", "y"]), counts)),
    st.tuples(st.just("shed"), st.sampled_from(["content", "flows", "x"]), counts),
    st.tuples(st.just("unwatched"), st.floats(0, 1e6)),
    st.tuples(st.just("alerts"), st.dictionaries(st.sampled_from(["high", "low", "strange"]), few)),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(calls, max_size=25))
def test_sums_agree_and_counters_never_go_down(sequence):
    metrics = Metrics(["eth0"], ["a"], top=1)
    before = metrics.snapshot()
    sums: Counter[str] = Counter()
    rows: dict[str, Channel] = {}
    for name, *arguments in sequence:
        getattr(metrics, name)(*arguments)
        _model(sums, rows, name, arguments)
        now = metrics.snapshot()
        for metric, series in before.items():
            if metric.endswith("_total"):
                assert all(now[metric][labels] >= old for labels, old in series.items()), metric
        before = now
    for metric, expected in sums.items():
        assert sum(before[metric].values()) == expected, metric
    _agrees(before, rows)


def _model(sums: Counter[str], rows: dict[str, Channel], name: str, arguments) -> None:
    """The same told simply."""
    if name == "observe":
        summary = arguments[0].summary
        sums["cleartap_undecoded_frames_total"] += summary.undecoded.total()
        sums["cleartap_anomalies_total"] += summary.anomalies.total()
        sums["cleartap_flows_total"] += summary.flows
    elif name == "finding":
        sums["cleartap_findings_total"] += arguments[3]
    elif name == "shed":
        sums["cleartap_shed_bytes_total"] += arguments[1]
    elif name == "channels":
        rows.update((row.id, row) for row in sorted(arguments[0], key=lambda row: row.last))
    elif name == "forget":
        for gone in arguments[0]:
            rows.pop(gone, None)


def _agrees(found, rows: dict[str, Channel]) -> None:
    buckets = Counter((str(row.encryption), row.tier if row.tier in catalogue.TIERS else "other") for row in rows.values())
    assert {labels: n for labels, n in found["cleartap_channels"].items() if n} == buckets
    clear = Counter()
    for row in rows.values():
        clear[(row.server, str(row.port), row.protocol)] += sum(n for v, (n, _) in row.verdicts.items() if v in READABLE)
    clear = +clear
    listed = found["cleartap_cleartext_service"]
    assert listed.items() <= clear.items()
    assert len(listed) + found["cleartap_cleartext_services_omitted"][()] == len(clear)
    assert sum(listed.values()) + found["cleartap_cleartext_service_sessions_omitted"][()] == clear.total()


def test_nothing_changes_while_a_scrape_copies(monkeypatch):
    metrics = Metrics(["eth0"])
    copy = metrics._series.copy
    feeders = []

    def copying():
        found = copy()
        feeders.append(threading.Thread(target=metrics.channels, args=([channel()],)))
        feeders[0].start()
        feeders[0].join(0.1)
        assert feeders[0].is_alive()  # it waits
        return found

    monkeypatch.setattr(metrics._series, "copy", copying)
    assert metrics.snapshot()["cleartap_cleartext_service"] == {}
    feeders[0].join()
    monkeypatch.undo()
    assert len(metrics.snapshot()["cleartap_cleartext_service"]) == 1


def test_a_scrape_is_one_moment():
    """Two counters that are always raised together are equal in every scrape."""
    metrics = Metrics(["eth0"])
    stop = threading.Event()

    def feed():
        while not stop.is_set():
            metrics.observe(report(flows=1, gaps=1), "eth0")

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        for _ in range(8):
            found = {f.name: f.samples for f in parse_text(metrics.render().decode())}
            assert found["cleartap_flows"][0].value == found["cleartap_flow_gaps"][0].value
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(("openmetrics", "parse"), [(False, parse_text), (True, parse_openmetrics)])
def test_both_formats_say_the_same_as_the_numbers(openmetrics, parse):
    metrics = Metrics(["eth0", 'strange"\\\nname\x1b[31m\u202e'], ["siem"])
    metrics.channels([channel(expires="2030-01-01T00:00:00Z")])
    metrics.capture("eth0", 5, 10**12 + 1, 0)
    text = metrics.render(openmetrics=openmetrics).decode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "evil" not in text  # a certificate's subject
    samples = {(s.name, *s.labels.values()): s.value for f in parse(text) for s in f.samples}
    assert samples[("cleartap_capture_bytes_total", "eth0")] == 10**12 + 1
    assert samples[("cleartap_cleartext_service", *sorted_labels(protocol="http", server="10.0.0.1", port="80"))] == 1
    assert len(samples) == sum(map(len, metrics.snapshot().values()))
    assert "10.9.0.0" not in text  # the client


def sorted_labels(**labels: str) -> list[str]:
    """Label values in the order they are written."""
    return [labels[name] for name in sorted(labels)]


def page() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """The table of docs/metrics.md: type, labels and example by name."""
    found = {}
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        if line.startswith("| `cleartap_"):
            name, kind, labels, meaning, example = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            assert meaning
            found[name.strip("`")] = (kind, tuple(re.findall(r"`(\w+)`", labels)), example.strip("`").replace("\\|", "|"))
    return found


def test_the_page_and_the_registry_say_the_same():
    documented = page()
    assert {name: entry[:2] for name, entry in documented.items()} == {f.name: (f.kind, f.labels) for f in catalogue.CATALOGUE}
    for name, (_, _, example) in documented.items():
        assert name in example
    collected = {metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "") for metric in Metrics().exposition.collect()}
    assert collected == set(documented)


def test_the_page_names_the_values_of_closed_labels():
    text = (ROOT / "docs/metrics.md").read_text()
    for name in (*catalogue.ENCRYPTIONS, *catalogue.TIERS, *catalogue.SEVERITIES, *catalogue.DROPPED, *catalogue.SHED, *catalogue.REFUSED):
        assert f"`{name}`" in text, name
    assert {spec.tier for spec in registry().values()} <= set(catalogue.TIERS)


def test_the_pages_bounds_of_series_hold():
    metrics = Metrics(["eth0"], ["siem"])
    few_series = sum(map(len, metrics.snapshot().values()))
    metrics.channels([channel(i, server=f"10.{i}.0.1", expires="2030-01-01T00:00:00Z") for i in range(250)])
    text = (ROOT / "docs/metrics.md").read_text()
    assert few_series < int(re.search(r"fewer than ([\d,]+) series", text)[1].replace(",", ""))
    assert sum(map(len, metrics.snapshot().values())) == few_series + 2 * int(re.search(r"`metrics.top` \((\d+)\)", text)[1])


def test_promtool_accepts_the_metrics_and_the_examples(tmp_path):
    promtool = needs("promtool")
    metrics = Metrics(["eth0"], ["siem"])
    metrics.channels([channel(expires="2030-01-01T00:00:00Z")])
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics.render(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    rules = "\n".join(f"  - record: example:{i}\n    expr: {example!r}" for i, (_, _, example) in enumerate(page().values()))
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n- name: examples\n  rules:\n{rules}\n")
    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_scrape_holds_the_watcher_for_about_a_millisecond():
    """The copy under the lock, with both lists full; generous, since other programs share the machine."""
    metrics = Metrics(["eth0"], ["siem"])
    metrics.channels([channel(i, server=f"10.{i >> 8}.{i & 255}.1", expires="2030-01-01T00:00:00Z") for i in range(2000)])
    took = []
    for _ in range(20):
        start = time.perf_counter()
        metrics.snapshot()
        took.append(time.perf_counter() - start)
    assert min(took) < 0.002


