"""Alertmanager: the configuration loads and sends each severity where it says."""

from __future__ import annotations

import re

import pytest

from tests.deploy.test_prometheus import ALERTS
from tests.deploy.tools import DEPLOY, debian, good, read_yaml, run

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"


def test_configuration_loads():
    good(debian("amtool", "prometheus-alertmanager"), "check-config", CONFIG)


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "inbox"), ("high", "inbox"), ("warning", "inbox"), ("medium", "inbox"), ("low", "shown-only"), ("info", "shown-only")])
def test_routes(severity: str, receiver: str):
    said = run(debian("amtool", "prometheus-alertmanager"), "config", "routes", "test", f"--config.file={CONFIG}", f"severity={severity}")
    assert said.stdout.split() == [receiver]


def test_inhibitions_name_alerts_there_are():
    for rule in read_yaml(CONFIG)["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            pattern = re.fullmatch(r'alertname(?:=~|!=|=)"(.+)"', matcher)
            assert pattern is not None, matcher
            assert any(re.fullmatch(pattern[1], name) for name in ALERTS), matcher
