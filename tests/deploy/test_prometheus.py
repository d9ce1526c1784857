"""Prometheus: the rules load, each alert fires when it should and not otherwise, and asks only for metrics there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY, DOCS, RECORDED, debian, good, read_yaml, unknown

HERE = DEPLOY / "prometheus"
CASES = sorted((HERE / "tests").glob("*.yml"))
RULES = [rule for group in read_yaml(HERE / "rules.yml")["groups"] for rule in group["rules"]]
RECORDINGS = [rule for group in read_yaml(HERE / "recording.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES}
every = pytest.mark.parametrize("name", sorted(ALERTS))


def promtool() -> str:
    return debian("promtool", "prometheus")


def test_rules_and_configuration_load():
    good(promtool(), "check", "rules", HERE / "rules.yml", HERE / "recording.yml")
    good(promtool(), "check", "config", HERE / "prometheus.yml")


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.name)
def test_cases_hold(path: Path):
    good(promtool(), "test", "rules", path.name, cwd=path.parent)


@every
def test_an_alert_says_what_it_is_and_what_to_do(name: str):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert path == "docs/operations.md"
    assert anchor == name.lower()
    assert re.search(rf"^### {name}$", (DOCS / "operations.md").read_text(), re.MULTILINE), "has no paragraph in the runbook"


def test_the_runbook_has_no_alert_that_is_gone():
    assert set(re.findall(r"^### (Cleartap\w+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)) == set(ALERTS)


@every
def test_an_alert_has_a_case_for_and_one_against(name: str):
    cases = [check for path in CASES for test in read_yaml(path)["tests"] for check in test.get("promql_expr_test", ()) if f'alertname="{name}"' in check["expr"]]
    assert any(check["exp_samples"] for check in cases)
    assert any(not check["exp_samples"] for check in cases)


@pytest.mark.parametrize("rule", RULES + RECORDINGS, ids=lambda r: r.get("alert") or r["record"])
def test_only_metrics_there_are(rule: dict[str, str]):
    assert unknown(rule["expr"]) == []
    recorded = {r["record"] for r in RECORDINGS}
    assert set(RECORDED.findall(rule["expr"])) <= recorded


@pytest.mark.parametrize("rule", RECORDINGS, ids=lambda r: r["record"])
def test_recordings_are_named_level_metric_operation(rule: dict[str, str]):
    assert re.fullmatch(r"[a-z_]+:cleartap_[a-z0-9_]+:[a-z_]+[0-9a-z]*", rule["record"])


def test_alerts_name_rules_there_are():
    """The rule ids in the expressions match rules the detectors have, and every rule but mail addresses and weak TLS is alerted on."""
    from sniffer.ruleset import all_rules

    ids = {rule.id for rule in all_rules()}
    matched: set[str] = set()
    for alert in RULES:
        for expression, excluded in re.findall(r'\{rule=~?"([^"]+)"(?:,rule!="([^"]+)")?\}', alert["expr"]):
            hits = {i for i in ids if re.fullmatch(expression, i)} - {excluded}
            assert hits, f"{alert['alert']}: {expression} matches no rule"
            assert not excluded or excluded in ids
            matched |= hits
    left = {i for i in ids - matched if not i.startswith("channel/")}
    assert left == {"pii/email"}
