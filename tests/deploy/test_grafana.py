"""Grafana: the dashboard's shape, its expressions, and the habits Grafana's dashboard-linter asks for.

The whole schema was checked with check-jsonschema against what ts-json-schema-generator makes of ``types.gen.d.ts`` (raw/dashboard) in npm's
@grafana/schema 13.2.3; that takes 30 packages and is done by hand when the dashboard's shape changes. What it caught is kept here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import DEPLOY, METRICS, debian, good, read_yaml, selectors, unknown

HERE = DEPLOY / "grafana"
DASHBOARD: dict[str, Any] = json.loads((HERE / "dashboards" / "cleartap.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
every = pytest.mark.parametrize("panel", PANELS, ids=lambda p: p["title"])
PANEL_KEYS = {"id", "type", "title", "description", "datasource", "gridPos", "fieldConfig", "targets", "options", "transformations"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


def plain(expression: str) -> str:
    """With Grafana's variables replaced by what they might be."""
    for variable, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$job", ".+"), ("$instance", ".+")):
        expression = expression.replace(variable, value)
    return expression


def test_every_expression_is_promql(tmp_path: Path):
    rules = [{"record": f"panel:{number}", "expr": plain(expression)} for number, expression in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    good(debian("promtool", "prometheus"), "check", "rules", path)


def test_dashboard_itself():
    assert DASHBOARD["editable"] is False
    assert "id" not in DASHBOARD, "an id belongs to one installation"
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    for variable in DASHBOARD["templating"]["list"][1:]:
        assert variable["datasource"] == DATASOURCE
        assert variable["multi"]
        assert variable["allValue"] == ".+"
        assert unknown(variable["query"]["query"]) == []


def test_panels_do_not_overlap():
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert set(grid) == {"h", "w", "x", "y"}
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@every
def test_a_panel_says_what_it_shows(panel: dict[str, Any]):
    assert set(panel) <= PANEL_KEYS
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == DATASOURCE
    assert panel["fieldConfig"]["defaults"]["unit"]


@every
def test_a_panel_asks_well(panel: dict[str, Any]):
    for target in panel["targets"]:
        expression = target["expr"]
        assert target["datasource"] == DATASOURCE
        assert unknown(expression) == []
        for name, labels in selectors(expression):
            assert {"job", "instance"} <= labels, f"{name} is not limited to the chosen job and sensor"
            if name.endswith("_total"):
                assert any(f"{function}({name}{{" in expression for function in ("rate", "increase")), f"{name} is a counter"
        if panel["type"] == "timeseries":
            assert "$__range" not in expression
            assert ("rate(" in expression or "increase(" in expression) == ("$__rate_interval" in expression)


def test_the_dashboard_shows_what_is_measured():
    """Every metric is on it, but for those named here with the reason."""
    shown = {name for expression in expressions() for name, _ in selectors(expression)}
    shown |= {name for variable in DASHBOARD["templating"]["list"][1:] for name, _ in selectors(variable["query"]["query"])}
    left = {
        "cleartap_start_time_seconds",  # in every exporter; for ad hoc questions
        "cleartap_alerts_omitted_total",  # needs 20,000 alerts that fire at one time, which the dashboard shows
        "cleartap_channels_forgotten_total",  # a bound of these metrics alone; the state keeps the channels
        "cleartap_cleartext_service_sessions_omitted",  # goes with cleartap_cleartext_services_omitted
        "cleartap_endpoint_refused_total", "cleartap_endpoint_config_last_reload_successful",  # of the endpoint itself
    }  # fmt: skip
    assert set(METRICS) - shown == left


def test_provisioning_points_where_compose_puts_things():
    source = read_yaml(HERE / "provisioning" / "datasources" / "prometheus.yaml")["datasources"][0]
    assert (source["type"], source["editable"]) == ("prometheus", False)
    provider = read_yaml(HERE / "provisioning" / "dashboards" / "cleartap.yaml")["providers"][0]
    assert provider["allowUiUpdates"] is False
    mounts = read_yaml(DEPLOY / "compose" / "compose.yaml")["services"]["grafana"]["volumes"]
    assert any(mount == f"../grafana/dashboards:{provider['options']['path']}:ro" for mount in mounts)
