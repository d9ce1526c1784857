"""Compose: the file is valid, what it mounts is there, nothing is open to other machines, the watcher takes its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sniffer.config import load
from tests.deploy.tools import DEPLOY, good, pypi, read_yaml

HERE = DEPLOY / "compose"
COMPOSE: dict[str, Any] = read_yaml(HERE / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
every = pytest.mark.parametrize("name", sorted(SERVICES))


def test_schema():
    good(pypi("check-jsonschema", "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", HERE / "compose.yaml")


@every
def test_service_is_confined(name: str):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= ({"NET_RAW"} if name in ("cleartap", "replay") else set())
    assert "privileged" not in service
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "open to other machines"
    if "build" not in service:
        assert ":" in service["image"].rpartition("/")[2], "the version is not said"
        assert not service["image"].endswith(":latest")


@every
def test_what_is_mounted_is_there(name: str):
    for mount in SERVICES[name].get("volumes", ()):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (HERE / source).exists(), source
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_images_are_built_from_what_is_there():
    for service in SERVICES.values():
        if "build" in service:
            context = HERE / service["build"]["context"]
            assert (context / service["build"].get("dockerfile", "Dockerfile")).is_file()


def test_names_and_ports_fit_together():
    """Who is reached under which name: Prometheus is in the watcher's namespace, Grafana and Alertmanager are not."""
    assert SERVICES["prometheus"]["network_mode"] == SERVICES["replay"]["network_mode"] == "service:cleartap"
    prometheus = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in prometheus["scrape_configs"]}
    config = load(str(HERE / "cleartap.toml"), {}, {})
    assert config.metrics.listen.rpartition(":")[0] == "127.0.0.1"
    assert targets["cleartap"] == [f"localhost:{config.metrics.listen.rpartition(':')[2]}"]
    assert config.metrics.listen.rpartition(":")[2] in (DEPLOY / "container" / "Dockerfile").read_text()
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    source = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"][0]
    assert source["url"] == "http://cleartap:9090"
    mounted = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in prometheus["rule_files"]} <= mounted


# deploy/cleartap.toml, the example, has its own test.
@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*/**/*.toml")), ids=lambda p: str(p.relative_to(DEPLOY)))
def test_settings_are_taken(path: Path, tmp_path: Path):
    """Files the settings name are looked for when they are read: here they are made, where the settings are in a folder of their own."""
    text = path.read_text().replace("/etc/cleartap-web/", f"{tmp_path}/")
    (tmp_path / "web-config.yaml").write_text("basic_auth_users: {}\n")
    copied = tmp_path / "cleartap.toml"
    copied.write_text(text)
    assert load(str(copied), {}, {}).capture.interfaces


def test_the_demonstration_watches_what_is_replayed():
    config = load(str(HERE / "cleartap.toml"), {}, {})
    replay = (HERE / "replay" / "Dockerfile").read_text()
    assert f"--intf1={config.capture.interfaces[0]}" in replay
    assert "/demo.pcap" in replay
