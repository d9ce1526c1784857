"""systemd: the unit has no key systemd does not know, and exposes little (systemd-analyze verify, security)."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY, debian, good, run

HERE = DEPLOY / "systemd"
UNIT = HERE / "cleartap.service"
# Of ten; what is left is what the service is: AF_PACKET, the host's network, one capability.
EXPOSURE = 20


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there, as verify looks for it."""
    program = tmp_path / "cleartap"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    changed = UNIT.read_text().replace("/opt/cleartap/bin/cleartap", str(program))
    assert str(program) in changed
    path = tmp_path / UNIT.name
    path.write_text(changed)
    return path


def test_unit_is_understood(unit: Path):
    done = run(debian("systemd-analyze", "systemd"), "verify", "--man=no", unit, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    # Unknown keys are only a warning: anything said is a failure.
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_that_is_not_understood_is_told(unit: Path):
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    done = run(debian("systemd-analyze", "systemd"), "verify", "--man=no", unit)
    assert "ProtectHouse" in done.stderr


def test_unit_exposes_little(unit: Path):
    done = run(debian("systemd-analyze", "systemd"), "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= EXPOSURE / 10


def test_backoff_for_newer_versions(unit: Path):
    """RestartSteps= came with systemd 254: checked where there is one, and told apart from the unit where there is not."""
    version = re.match(r"systemd (\d+)", run(debian("systemd-analyze", "systemd"), "--version").stdout)
    assert version is not None
    drop_in = HERE / "cleartap.service.d" / "10-backoff.conf"
    keys = set(_section(drop_in, "Service"))
    assert keys == {"restartsteps", "restartmaxdelaysec"}
    if int(version[1]) >= 254:
        unit.write_text(unit.read_text() + "\n".join(drop_in.read_text().splitlines()))
        assert run("systemd-analyze", "verify", "--man=no", unit).stderr == ""
    assert not keys & set(_section(UNIT, "Service"))


def test_only_net_raw_and_no_core():
    service = _section(UNIT, "Service")
    assert service["capabilityboundingset"] == service["ambientcapabilities"] == "CAP_NET_RAW"
    assert service["limitcore"] == "0"
    assert service["nonewprivileges"] == "yes"
    assert service["user"] == "cleartap"
    assert "-HUP" in service["execreload"]


def test_a_worker_killed_for_its_memory_does_not_end_the_watch():
    assert "OOMPolicy=continue" in UNIT.read_text().splitlines()


def test_account_is_made():
    """systemd-sysusers(8) in a dry run knows the file and the name the unit wants."""
    said = good(debian("systemd-sysusers", "systemd"), "--dry-run", HERE / "sysusers.d" / "cleartap.conf")
    assert "cleartap" in (HERE / "sysusers.d" / "cleartap.conf").read_text()
    assert "rror" not in said


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(path.read_text())
    return dict(parser[name])
