"""The house: imports go one way, heavy libraries stay where they are used, modules and functions stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*ROOT.glob("sniffer/**/*.py"), *ROOT.glob("detectors/**/*.py")])
every = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))

# Who may import whom: a part may import those in its set (and itself).
BASE = {"secret", "errors", "events", "findings", "summary"}
ALLOWED = {
    "summary": set(),
    "alert": set(),
    "transport": {"secret"},
    "config": {"errors"},
    "policy": BASE | {"config", "channels", "alert"},
    "alerting": BASE | {"config", "policy", "alert", "channels", "outputs"},
    "state": BASE | {"channels", "alert", "outputs"},
    "delivery": BASE | {"state", "outputs", "alert", "config"},
    "metrics": BASE | {"channels", "session", "reading", "dissectors", "ruleset", "config"},
    "secret": set(),
    "errors": set(),
    "events": {"secret"},
    "findings": {"secret", "events"},
    "capture": BASE,
    "decode": BASE | {"capture"},
    "dissectors": BASE,
    "channels": BASE | {"dissectors"},
    "posture": BASE | {"channels"},
    "collect": BASE | {"channels"},
    "flows": BASE | {"decode", "dissectors", "channels"},
    "outputs": BASE | {"channels", "collect", "reading", "alert", "config"},  # reading: the type of what is written
    "detectors": BASE,
    "installation": set(),
    "cycles": set(),
    "pipes": set(),
    "memory": set(),
    "boundary": {"errors", "outputs"},
    "reading": BASE | {"cycles", "capture", "decode", "summary", "channels"},  # channels, findings: the types of what was read
    "team": BASE | {"boundary", "cycles", "capture", "decode", "transport", "pipes", "reading", "session", "dissectors", "detectors", "channels", "collect"},
    "session": BASE | {"reading", "summary", "decode", "flows", "dissectors", "detectors", "channels", "collect", "posture"},
    "ruleset": BASE | {"detectors", "dissectors", "posture", "alerting"},
    "scanning": BASE | {"session", "team", "reading", "capture", "decode", "channels", "installation"},
    "watch": None,
    "doctor": None,
    "cli": None,
    "__init__": None,
}
# Imported in one place each: they are large, or under another licence.
CONFINED = {"scapy": {"sniffer/capture/portable.py"}, "pcapy": {"sniffer/capture/bpf.py"}, "pyshark": set(), "dpkt": set(), "hyperscan": {"detectors/_scan.py"}, "prometheus_client": {"sniffer/metrics/exposition.py"}}


def part(path: Path) -> str:
    relative = path.relative_to(ROOT).parts
    return "detectors" if relative[0] == "detectors" else relative[1].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module in ("sniffer", "detectors"))
    return found


@every
def test_imports_go_one_way(path: Path):
    me = part(path)
    allowed = ALLOWED[me]
    if allowed is None:
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "sniffer" and rest:
            assert rest.split(".")[0] in allowed | {me}, f"{path.name} imports {name}"
        if top == "detectors":
            assert "detectors" in allowed | {me}, f"{path.name} imports {name}"


@every
def test_dissectors_do_not_import_each_other(path: Path):
    if part(path) != "dissectors" or path.name == "__init__.py":
        return
    for name in imports(path):
        if name.startswith("sniffer.dissectors."):
            assert name.split(".")[2].startswith("_"), f"{path.name} imports {name}"


@every
def test_heavy_libraries_stay_where_they_are_used(path: Path):
    for name in imports(path):
        top = name.partition(".")[0]
        if top in CONFINED:
            assert str(path.relative_to(ROOT)) in CONFINED[top], f"{path.name} imports {top}"


@every
def test_modules_and_functions_stay_small(path: Path):
    tree = ast.parse(path.read_text())
    tables = "rules" in path.parts or "_names" in path.name
    assert tables or len(path.read_text().splitlines()) <= 500, "split it"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 70, f"{node.name} is too long"


@every
def test_every_module_says_what_it_is(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text())), path


@every
def test_broad_except_only_at_the_boundary(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            assert not broad or path.name == "flow.py", f"{path}:{node.lineno}"
