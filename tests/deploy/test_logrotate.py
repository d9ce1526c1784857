"""logrotate: the file is understood, and what it does keeps every line (a real rotation of a file that is being written)."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

from sniffer.config import OutputSettings
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import Item
from tests.deploy.tools import DEPLOY, debian, good


def adapted(tmp_path: Path) -> Path:
    """For a folder of ours and for whoever runs the test."""
    me = pwd.getpwuid(os.getuid()).pw_name
    text = (DEPLOY / "logrotate" / "cleartap").read_text()
    assert "su cleartap cleartap" in text
    assert "/var/log/cleartap/" in text
    path = tmp_path / "rotate.conf"
    path.write_text(text.replace("/var/log/cleartap/", f"{tmp_path}/").replace("su cleartap cleartap", f"su {me} {me}"))
    path.chmod(0o644)
    return path


def item(name: str) -> Item:
    return Item(id=name, kind="finding", body={"type": "finding", "schema": 1, "id": name})


def test_is_understood(tmp_path: Path):
    (tmp_path / "findings.jsonl").write_text("{}\n")
    said = good(debian("logrotate", "logrotate"), "-d", adapted(tmp_path), "-s", tmp_path / "status")
    assert "findings.jsonl" in said
    assert "error" not in said


def test_no_line_is_lost_and_the_new_file_is_its_owners_alone(tmp_path: Path):
    tmp_path.chmod(0o700)
    path = tmp_path / "findings.jsonl"
    sink = open_sink(OutputSettings(name="file", type="file", path=str(path)), "sensor")
    rotate = debian("logrotate", "logrotate")
    config = adapted(tmp_path)
    try:
        sink.send([item("first")])
        good(rotate, "-f", config, "-s", tmp_path / "status")
        sink.send([item("second")])
    finally:
        sink.close()
    files = sorted(tmp_path.glob("findings.jsonl*"))
    assert len(files) == 2
    assert [json.loads(file.read_text())["id"] for file in files] == ["second", "first"]
    assert path.stat().st_mode & 0o777 == 0o600
