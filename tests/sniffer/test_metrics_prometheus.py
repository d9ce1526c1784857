"""A real Prometheus scrapes the endpoint over TLS with a password: the first finding alerts, and every metric can be asked for."""

from __future__ import annotations

import json
import re
import time

import pytest

from sniffer.metrics import Endpoint, Metrics, catalogue
from sniffer.ruleset import all_rules
from tests.sniffer.metrics_lab import HASH, PASSWORD, USER, Authority, get, prometheus, until
from tests.sniffer.test_metrics import ROOT, Stats, channel, page, report

RULE = "credential/http"
CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 250ms}}
rule_files: [{where}/rules.yml]
scrape_configs:
  - job_name: cleartap
    scheme: https
    tls_config: {{ca_file: {where}/ca.crt}}
    basic_auth: {{username: {user}, password_file: {where}/password}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def documented_rule() -> str:
    """The rule that docs/metrics.md shows."""
    blocks = re.findall(r"```yaml\n(groups:.*?)```", (ROOT / "docs/metrics.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Metrics, their endpoint and a Prometheus that has scraped it twice."""
    where = tmp_path_factory.mktemp("prometheus")
    Authority(where).issue("s")
    (where / "web.yml").write_text(f"tls_server_config:\n  cert_file: s.crt\n  key_file: s.key\nbasic_auth_users:\n  {USER}: {HASH}\n")
    (where / "password").write_text(PASSWORD)
    (where / "rules.yml").write_text(documented_rule())
    metrics = Metrics(["eth0"], ["siem"])
    with Endpoint(metrics, "127.0.0.1:0", str(where / "web.yml"), lambda: None, lambda: None) as server:
        config = CONFIG.format(where=where, user=USER, port=server.address[1])
        with prometheus(where, config) as found:
            until(lambda: (found.number("count_over_time(up[1m])") or 0) >= 2, "two scrapes")
            assert found.number("up") == 1, json.loads(get(f"{found.url}/api/v1/targets")[2])
            yield metrics, found


def test_the_first_finding_of_a_rule_alerts(watched):
    metrics, server = watched
    assert RULE in {rule.id for rule in all_rules()}
    assert server.number(f'cleartap_findings_total{{rule="{RULE}",severity="critical"}}') == 0
    assert not server.firing()
    metrics.finding(RULE, "critical", time.time_ns(), True)
    until(lambda: [a for a in server.firing() if a["labels"]["rule"] == RULE], "the alert")
    (alert,) = server.firing()
    assert alert["labels"]["alertname"] == "CleartextCredential"
    assert alert["annotations"]["summary"] == f"{RULE} was seen on the network"


def test_every_metric_can_be_asked_for(watched):
    metrics, server = watched
    now = time.time_ns()
    metrics.observe(report({"decode": 1.5}, 7, flows=3, last=now), "eth0")
    metrics.capture("eth0", 1000, 500_000, 3)
    metrics.channels([channel(expires="2030-01-01T00:00:00Z")])
    metrics.sinks({"siem": Stats(1, 10, 100, 2, 0, now)})
    metrics.finding("pii/made-up", "low", now, True)
    until(lambda: server.number('cleartap_capture_packets_total{interface="eth0"}') == 1000, "the scrape")
    for family in catalogue.CATALOGUE:
        found = server.query(family.name)
        assert found, family.name
        assert all(set(family.labels) <= set(series["metric"]) for series in found), family.name
    assert server.number('cleartap_cleartext_service{server="10.0.0.1",port="80",protocol="http"}') == 1
    assert server.number("cleartap_flows_active") == 7
    assert server.number('cleartap_findings_total{rule="other",severity="low"}') == 1
    assert server.number("scrape_samples_scraped") == sum(map(len, metrics.snapshot().values()))


def test_every_example_of_the_page_can_be_asked(watched):
    _, server = watched
    for name, (_, _, example) in page().items():
        assert isinstance(server.query(example), list), name
