"""Our recorded captures against the truth beside them: every login, its outcome, every verdict, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sniffer.capture import open_capture
from sniffer.findings import Category
from sniffer.session import Session
from tests.streams import PCAPS

CASES = sorted(p for p in PCAPS.glob("*/*.pcap*") if p.with_suffix(".json").exists())
every = pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")


def session(path: Path) -> Session:
    read = Session(b"k" * 32, strict=True)
    read.run([open_capture(str(path))])
    return read


def truth(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


@every
def test_finds_just_the_logins_there_are(path: Path):
    """Secrets are compared here and never shown: on failure pytest prints counts of kinds, users and outcomes."""
    wanted = truth(path)
    found = [f for f in session(path).findings if f.rule.category in (Category.CREDENTIAL, Category.HASH, Category.TOKEN, Category.PII)]
    expected = Counter((login["username"], login["mechanism"], login["outcome"]) for login in wanted["logins"])
    optional = {(o.get("username"), o["mechanism"]) for o in wanted.get("optional", [])}
    got = Counter((f.username, f.mechanism, str(f.outcome) if f.outcome else "unknown") for f in found if (f.username, f.mechanism) not in optional)
    assert got == expected
    for login in wanted["logins"]:
        match = [f for f in found if (f.username, f.mechanism) == (login["username"], login["mechanism"])]
        if login.get("secret"):
            right = any(login["secret"] in (f.secret.reveal(), f.crack.line.reveal() if f.crack else "") for f in match)
            assert right, f"the secret of {login['username']} was not read as it was typed"
        if login.get("hashcat"):
            assert any(f.crack is not None and f.crack.hashcat == login["hashcat"] for f in match)


@every
def test_gives_the_verdict_on_every_channel(path: Path):
    rows = session(path).channels
    for wanted in truth(path)["channels"]:
        mine = [r for r in rows if r.port == wanted["port"]]
        assert mine, f"no channel to port {wanted['port']}"
        for row in mine:
            assert (row.protocol, str(row.encryption)) == (wanted["protocol"], wanted["encryption"]), row.why
            for name, value in wanted.get("tls", {}).items():
                assert (row.tls or {}).get(name) == value


@every
def test_nothing_went_wrong(path: Path):
    summary = session(path).summary
    assert not summary.problems
    assert not summary.gaps
    assert not summary.bugs
    assert not sum(summary.undecoded.values())
