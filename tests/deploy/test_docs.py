"""The pages for operators: what they name is there."""

from __future__ import annotations

import re

import pytest

from tests.deploy.tools import DOCS, ROOT, unknown

PAGES = [DOCS / "operations.md", DOCS / "mirroring.md"]
every = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


@every
def test_metrics_named_are_measured(page):
    assert unknown(page.read_text()) == []


@every
def test_links_and_files_are_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for name in re.findall(r"\bdeploy/[\w./-]*\w", text):
        assert (ROOT / name).exists(), name


def test_alerts_named_are_rules():
    from tests.deploy.test_prometheus import ALERTS

    for page in PAGES:
        for name in re.findall(r"\bCleartap[A-Z]\w+", page.read_text()):
            assert name in ALERTS, name
