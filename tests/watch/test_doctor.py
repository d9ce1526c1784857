"""``cleartap doctor``: each line true, and what to do where something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.lab import PORT, ROOT, Wire, inside
from tests.sniffer.outputs.servers import Receiver, free_port
from tests.watch.running import require


def doctor(folder, *arguments: str, config: str = "", env: dict[str, str] | None = None) -> tuple[int, dict[str, tuple[str, str, str]]]:
    path = folder / "cleartap.toml"
    path.write_text(config)
    command = [sys.executable, "-m", "sniffer.cli", "doctor", "--format", "jsonl", "--config", str(path), "--state", str(folder / "state" / "s.sqlite"), *arguments]
    environment = {**os.environ, "CLEARTAP_KEY_FILE": str(folder / "key"), "CLEARTAP_METRICS_LISTEN": f"127.0.0.1:{free_port()}", **(env or {})}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {row["name"]: (row["status"], row["detail"], row["remedy"]) for row in rows}


def test_what_is_wrong_is_told_with_a_remedy(folder):
    port = free_port()
    config = f"""
[[output]]
name = "down"
type = "webhook"
url = "http://127.0.0.1:{port}/"
[[expected]]
rule = "credential/ftp"
owner = "somebody"
server = "0.0.0.0/0"
reason = "old printer"
expires = 2020-01-01
[[expected]]
rule = "credential/nosuchthing"
owner = "somebody"
server = "0.0.0.0/0"
reason = "mistyped"
expires = 2999-01-01
"""
    code, found = doctor(folder, "-i", "nosuch0", config=config)
    assert code == 1
    assert found["interface nosuch0"][0] == "fail"
    assert found["output down"][0] == "fail"
    assert found["policy"][0] == "warn"
    assert all(remedy for status, _, remedy in found.values() if status == "fail")


def test_all_is_well(folder):
    require()
    with Wire() as wire, inside(wire.watch), Receiver() as receiver:
        config = f'[[output]]\nname = "up"\ntype = "webhook"\nurl = "http://127.0.0.1:{receiver.port}/"\n'
        code, found = doctor(folder, "-i", PORT, config=config)
        assert code == 0, found
        assert found["permissions"][0] == found["kernel"][0] == found[f"interface {PORT}"][0] == found["output up"][0] == "ok"
        assert found[f"interface {PORT} offloads"][0] == "ok"
        assert all(b"alert" not in request.body for request in receiver.requests)
        wire.exec(wire.watch, "ethtool", "-K", PORT, "gro", "on")
        wire.exec(wire.watch, "ip", "link", "set", PORT, "down")
        code, found = doctor(folder, "-i", PORT, config=config)
        assert code == 1
        assert found[f"interface {PORT}"][:2] == ("fail", f"{PORT}: the interface is down")
        assert found[f"interface {PORT} offloads"][0] == "warn"


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_that_others_can_read(folder, mode):
    key = folder / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(mode)
    code, found = doctor(folder)
    assert code == 1
    assert found["fingerprint key"][0] == "fail"
    key.chmod(0o600)
    assert doctor(folder)[1]["fingerprint key"][0] == "ok"


def test_a_mistaken_configuration_is_2(folder):
    path = folder / "c.toml"
    path.write_text("capture = 3\n")
    done = subprocess.run([sys.executable, "-m", "sniffer.cli", "doctor", "--config", str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "capture" in done.stderr
