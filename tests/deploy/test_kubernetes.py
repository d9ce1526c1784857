"""Kubernetes: the manifests are valid, the overlay builds, the sensor may capture and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sniffer.config import load
from tests.deploy.tools import DEPLOY, good, need, pypi, read_yaml

HERE = DEPLOY / "kubernetes"
BASE = HERE / "base"
KUSTOMIZATIONS = sorted(path.parent for path in HERE.glob("**/kustomization.yaml"))
every = pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda p: p.name)
DAEMONSET: dict[str, Any] = read_yaml(BASE / "daemonset.yaml")
POD: dict[str, Any] = DAEMONSET["spec"]["template"]["spec"]
SENSOR: dict[str, Any] = POD["containers"][0]


def built(folder: Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder. No Debian package has it, so without it this is skipped everywhere."""
    import shutil

    if not shutil.which("kubectl") and not shutil.which("kustomize"):
        pytest.skip("neither kubectl nor kustomize is installed (not packaged in Debian)")
    command = ("kubectl", "kustomize") if shutil.which("kubectl") else ("kustomize", "build")
    return [d for d in yaml.safe_load_all(good(need(command[0], source="kubernetes.io"), command[1], folder)) if d]


def validate(documents: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    # The Prometheus Operator's own kinds are not in Kubernetes' schema.
    path.write_text(yaml.safe_dump_all(d for d in documents if not d["apiVersion"].startswith(("monitoring.coreos.com/", "kustomize."))))
    good(pypi("kubernetes-validate", "kubernetes-validate"), "--strict", path)


def test_manifests_are_valid(tmp_path: Path):
    validate([read_yaml(BASE / name) for name in read_yaml(BASE / "kustomization.yaml")["resources"]], tmp_path)


@every
def test_kustomization_builds(folder: Path, tmp_path: Path):
    documents = built(folder)
    validate(documents, tmp_path)
    kinds = [document["kind"] for document in documents]
    assert kinds.count("DaemonSet") == 1
    assert "ClusterRole" not in kinds
    assert {document["metadata"].get("namespace", "cleartap") for document in documents} == {"cleartap"}
    pod = next(d for d in documents if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    config = next(d for d in documents if d["kind"] == "ConfigMap")
    assert config["metadata"]["name"] in [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]


@every
def test_what_a_kustomization_names_is_there(folder: Path):
    kustomization = read_yaml(folder / "kustomization.yaml")
    names = [*kustomization["resources"], *(p["path"] for p in kustomization.get("patches", ())), *(f for g in kustomization["configMapGenerator"] for f in g["files"])]
    for name in names:
        assert (folder / name).exists(), name


def test_sensor_may_capture_and_nothing_else():
    context = SENSOR["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]}
    assert context["readOnlyRootFilesystem"] is True
    assert POD["hostNetwork"] is True
    assert "hostPID" not in POD
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert POD["automountServiceAccountToken"] is False
    for container in POD["initContainers"]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    for container in (SENSOR, *POD["initContainers"]):
        assert "memory" in container["resources"]["limits"]
        assert "memory" in container["resources"]["requests"]


def test_probes_ask_where_the_endpoint_listens():
    config = load(str(BASE / "cleartap.toml"), {}, {})
    host, _, port = config.metrics.listen.rpartition(":")
    assert host == "127.0.0.1"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert SENSOR[probe]["httpGet"]["host"] == host
        assert str(SENSOR[probe]["httpGet"]["port"]) == port


def test_no_probe_ends_a_pod_for_one_link_that_is_down():
    """It is not ready then, and goes on with the others."""
    assert {probe: SENSOR[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": "/-/healthy", "livenessProbe": "/-/healthy", "readinessProbe": "/-/ready",
    }  # fmt: skip


def test_probes_need_no_password():
    """The endpoint asks everybody for one as soon as it has users, and a probe has no safe place for it."""
    pod = next(d for d in built(HERE / "overlays" / "metrics") if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert "httpGet" not in pod["containers"][0][probe]
        assert pod["containers"][0][probe]["tcpSocket"] == {"host": "127.0.0.1", "port": 9476}
