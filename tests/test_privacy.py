"""A tool that finds passwords must not become where they lie: planted secrets are looked for in everything it says."""

from __future__ import annotations

import base64
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console

from sniffer.events import ChallengeResponse, Login, Side, Span, Token
from sniffer.outputs import console, csv, jsonl
from sniffer.secret import Secret
from tests.streams import PCAPS
from tests.test_captures import CASES, session, truth

CANARY = "Canary-4f9c-Password!"


def forms(secret: str) -> list[str]:
    """A secret as it might slip out."""
    raw = secret.encode()
    return [
        secret,
        quote(secret, safe=""),
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        secret.encode("utf-16-le").hex(),
        secret.encode("utf-16-le").decode("latin-1"),
        json.dumps(secret)[1:-1],
    ]


def shown(text: str, secret: str) -> bool:
    return any(form in text for form in forms(secret) if len(form) >= 5)


SPAN = Span(Side.CLIENT, 0, 1)


@pytest.mark.parametrize("kind", ["password", "community", "hash", "token", "key", "card", "iban", "ssn", "email", "cvv"])
def test_secret_never_shows_itself(kind):
    secret = Secret(CANARY, kind)
    holder = {"secret": secret}
    events = [Login(span=SPAN, mechanism="x", secret=secret), Token(span=SPAN, mechanism="x", secret=secret), ChallengeResponse(span=SPAN, mechanism="x", response=secret)]
    said = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", "{}".format(secret), repr(holder), repr(events), json.dumps(holder, default=str)]
    said.append(pickle.dumps(secret).decode("latin-1"))
    assert not any(shown(text, CANARY) for text in said)
    assert secret.reveal() == CANARY


def test_secret_cannot_be_changed_or_measured():
    secret = Secret("abc")
    with pytest.raises(AttributeError):
        secret.kind = "other"
    with pytest.raises(TypeError):
        len(secret)


def test_fingerprints_tell_the_same_secret_under_one_key_only():
    one, two = Secret("same"), Secret("same")
    assert one.fingerprint(b"k" * 32) == two.fingerprint(b"k" * 32) != one.fingerprint(b"j" * 32)
    assert Secret("4111 1111 1111 1111", "card").fingerprint(b"k") == Secret("4111111111111111", "card").fingerprint(b"k")
    assert Secret("123", "cvv").fingerprint(b"k") is None
    assert Secret("").fingerprint(b"k") is None


@pytest.mark.parametrize(
    ("kind", "value", "mask"),
    [
        ("password", "hunter2", "•••• (1–7 chars)"),
        ("password", "x" * 9, "•••• (8–11 chars)"),
        ("password", "x" * 40, "•••• (16+ chars)"),
        ("card", "4111-1111-1111-1234", "411111••••••1234"),
        ("iban", "GB82WEST12345698765432", "GB82…5432"),
        ("email", "alice@example.org", "a•••@e•••.org"),
        ("ssn", "123-45-6789", "•••-••-6789"),
    ],
)
def test_masks(kind, value, mask):
    assert Secret(value, kind).mask == mask


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_no_output_holds_a_recorded_secret(path: Path):
    read = session(path)
    outputs = [io.StringIO() for _ in range(4)]
    jsonl.write(read, outputs[0])
    csv.write_findings(read, outputs[1])
    csv.write_channels(read, outputs[2])
    console.write(read, Console(file=outputs[3], width=200), everything=True)
    text = "".join(o.getvalue() for o in outputs)
    secrets = [login["secret"] for login in truth(path)["logins"] if login.get("secret")]
    secrets += [f.secret.reveal() for f in read.findings if len(f.secret.reveal()) >= 6] + [f.crack.line.reveal() for f in read.findings if f.crack]
    for secret in secrets:
        if secret == "guest":
            continue
        assert not shown(text, secret), f"{path.name}: an output holds a secret"


def test_reveal_is_the_only_door():
    path = PCAPS / "ftp" / "accepted.pcap"
    secret = truth(path)["logins"][0]["secret"]
    plain, revealed = io.StringIO(), io.StringIO()
    read = session(path)
    jsonl.write(read, plain)
    jsonl.write(read, revealed, reveal=True)
    assert secret not in plain.getvalue()
    assert secret in revealed.getvalue()


def test_files_written_are_for_the_owner_alone(tmp_path: Path):
    out = tmp_path / "findings.jsonl"
    environment = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(PCAPS.parent)}
    command = [sys.executable, "-m", "sniffer.cli", "scan", "--format", "jsonl", "-o", str(out), "--fail-on", "never", str(PCAPS / "ftp" / "accepted.pcap")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    key = tmp_path / "state" / "cleartap" / "fingerprint.key"
    assert key.stat().st_mode & 0o777 == 0o600
