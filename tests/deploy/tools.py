"""What the tests of deploy/ share: where things are, the programs that check them, the metrics there are."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sniffer.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
DOCS = ROOT / "docs"
SELECTOR = re.compile(r"(?<![:\w])(cleartap_\w+)(?!:)\b(?:\s*\{([^}]*)\})?")
RECORDED = re.compile(r"\b[a-z_]+:cleartap_\w+:\w+\b")
METRICS = {family.name: frozenset(family.labels) for family in CATALOGUE}
# What Prometheus adds to every series of ours.
TARGET_LABELS = frozenset({"job", "instance"})


def need(program: str, *, source: str) -> str:
    """The path of a program, or a skip that says where it comes from (a failure where everything has to be there)."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        lacking(f"{program} is not installed ({source})")
    return found


def lacking(reason: str) -> None:
    """Skip; fail under CLEARTAP_REQUIRE_LIVE=1."""
    if os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def debian(program: str, package: str) -> str:
    return need(program, source=f"Debian: {package}")


def pypi(program: str, package: str) -> str:
    return need(program, source=f"PyPI: {package}, in the extra deploy-test")


def run(*command: str | Path, timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False, **options)


def good(*command: str | Path, **options: Any) -> str:
    """Run what must succeed; gives what it said."""
    done = run(*command, **options)
    assert done.returncode == 0, f"{command[0]} says:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of ours in an expression, with the labels it is asked for by."""
    for name, matchers in SELECTOR.findall(expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def unknown(expression: str) -> list[str]:
    """What an expression asks for that no metric of ours has."""
    problems = []
    for name, labels in selectors(expression):
        if name not in METRICS:
            problems.append(f"{name} is no metric")
        elif more := labels - METRICS[name] - TARGET_LABELS:
            problems.append(f"{name} has no label {', '.join(sorted(more))}")
    return problems


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
