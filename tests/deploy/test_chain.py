"""What compose.yaml joins, without containers: the watcher's endpoint, a real Prometheus and a real Alertmanager under the shipped files."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sniffer.metrics import Endpoint, Metrics
from tests.deploy.tools import DEPLOY, debian, free_port, read_yaml
from tests.sniffer.outputs.servers import Daemon, Receiver, until

COMPOSE: dict[str, Any] = read_yaml(DEPLOY / "compose" / "compose.yaml")["services"]


@dataclass
class Chain:
    metrics: Metrics
    prometheus: str
    alertmanager: str
    receiver: Receiver

    def query(self, expression: str) -> list[dict[str, Any]]:
        found = ask(f"{self.prometheus}/api/v1/query?query={urllib.request.quote(expression)}")  # type: ignore[attr-defined]
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def messages(self, alert: str) -> list[dict[str, Any]]:
        bodies = [json.loads(request.body) for request in self.receiver.requests]
        return [body for body in bodies if body["groupLabels"].get("alertname") == alert]


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read()
    return json.loads(text) if text.startswith(b"{") or text.startswith(b"[") else text


def answers(url: str) -> bool:
    try:
        ask(url)
    except OSError:
        return False
    return True


def command(service: str, program: str, folder: Path, config: Path, port: int) -> list[str]:
    """The service's own command, its paths put into the test's folder."""
    words = []
    for word in COMPOSE[service]["command"]:
        if word.startswith("--config.file="):
            word = f"--config.file={config}"
        elif word.startswith(("--storage.tsdb.path=", "--storage.path=")):
            word = f"{word.partition('=')[0]}={folder / service}"
        words.append(word)
    return [program, *words, f"--web.listen-address=127.0.0.1:{port}"]


def prometheus_config(folder: Path, watcher: int, own: int, alertmanager: int) -> Path:
    """The shipped file with other ports, and in a hurry."""
    config = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    ports = {"localhost:9476": watcher, "localhost:9090": own, "alertmanager:9093": alertmanager}
    for job in config["scrape_configs"] + config["alerting"]["alertmanagers"]:
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{ports[t]}" for t in job["static_configs"][0]["targets"]]
    config["global"] = {"scrape_interval": "300ms", "scrape_timeout": "300ms", "evaluation_interval": "300ms"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def alertmanager_config(folder: Path, url: str) -> Path:
    """The shipped file with a receiver filled in, and in a hurry."""
    config = read_yaml(DEPLOY / "alertmanager" / "alertmanager.yml")
    next(r for r in config["receivers"] if r["name"] == "inbox")["webhook_configs"] = [{"url": url, "send_resolved": False}]
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "200ms"
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """One for all tests here: Prometheus takes five seconds to its first scrape."""
    tmp_path = tmp_path_factory.mktemp("chain")
    prometheus, alertmanager = debian("prometheus", "prometheus"), debian("prometheus-alertmanager", "prometheus-alertmanager")
    metrics = Metrics(["eth1"], ["alertmanager"])
    metrics.link("eth1", up=True)
    own, other = free_port(), free_port()
    a, p = tmp_path / "a", tmp_path / "p"
    a.mkdir()
    p.mkdir()
    with Receiver() as receiver, Endpoint(metrics, "127.0.0.1:0", "", lambda: None, lambda: None) as endpoint:
        second = command("alertmanager", alertmanager, a, alertmanager_config(a, receiver.url), other)
        first = command("prometheus", prometheus, p, prometheus_config(p, endpoint.address[1], own, other), own)
        with Daemon(second, a, lambda: answers(f"http://127.0.0.1:{other}/-/ready")), Daemon(first, p, lambda: answers(f"http://127.0.0.1:{own}/-/ready")):
            yield Chain(metrics, f"http://127.0.0.1:{own}", f"http://127.0.0.1:{other}", receiver)


def test_the_first_finding_of_a_rule_is_alerted_once(chain: Chain):
    """Before it, nothing fires, though the series have been there from the start."""
    findings = 'cleartap_findings_total{job="cleartap",rule="credential/ftp",severity="critical"}'
    assert until(lambda: [s["value"][1] for s in chain.query(findings)] == ["0"]), "the watcher is not scraped"
    assert until(lambda: chain.query('up{job="alertmanager"} == 1'))
    assert chain.query('ALERTS{alertname=~"Cleartap.+",alertstate="firing"}') == []

    chain.metrics.finding("credential/ftp", "critical", time.time_ns(), True)
    assert until(lambda: chain.messages("CleartapCredentialInClear")), chain.query("ALERTS")
    time.sleep(1)
    (message,) = chain.messages("CleartapCredentialInClear")
    (alert,) = message["alerts"]
    assert alert["status"] == "firing"
    assert (alert["labels"]["rule"], alert["labels"]["severity"]) == ("credential/ftp", "critical")
    assert "credential/ftp" in alert["annotations"]["summary"]
    assert [request.path for request in chain.receiver.requests if b"Absent" in request.body] == []


def test_recordings_and_every_rule_group_are_evaluated(chain: Chain):
    chain.metrics.capture("eth1", 1000, 100_000, 0)
    assert until(lambda: chain.query('count by (job) (cleartap_build_info{job="cleartap"})'))
    chain.metrics.capture("eth1", 5000, 500_000, 10)
    loss = 'instance_interface:cleartap_capture_loss:ratio_rate5m{interface="eth1"} > 0'
    assert until(lambda: chain.query(loss))
    groups = ask(f"{chain.prometheus}/api/v1/rules")["data"]["groups"]
    bad = [(rule["name"], rule.get("lastError")) for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert groups
    assert bad == []
