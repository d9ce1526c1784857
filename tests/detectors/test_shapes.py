"""Tokens that say what they are: every rule of the tables, and what only looks like them."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import zlib
from collections.abc import Callable

import pytest

from detectors import _shapes
from detectors._scan import table
from detectors._shapes import aws_account, github_checksum, rules
from detectors.rules.tokens import PREFIXED, SHAPED, Prefixed
from sniffer.events import Side
from sniffer.findings import Candidate, Category, Severity

Look = Callable[..., list[Candidate]]
_CASES = [(rule, prefix) for rule in PREFIXED for prefix in rule.prefixes]
_NAMES = [f"{rule.subject}:{prefix}" for rule, prefix in _CASES]


def draw(alphabet: str, size: int, seed: object) -> str:
    source = random.Random(f"{alphabet}{size}{seed}")
    return "".join(source.choice(alphabet) for _ in range(size))


def letters(body: str) -> str:
    return "".join(c for c in string.printable if re.fullmatch(f"[{body}]", c))


def make(rule: Prefixed, prefix: str, size: int | None = None) -> str:
    body = draw(letters(rule.body), (size or rule.least) - 1, prefix)
    if rule.subject == "airtable":
        body = body[:14].replace(".", "a") + "." + body[15:].replace(".", "b")
    last = next(c for c in "7a7A" if re.fullmatch(f"[{rule.body}]", c))
    return prefix + body + last


def found(candidates: list[Candidate], subject: str) -> list[Candidate]:
    return [c for c in candidates if c.rule.id == f"token/{subject}"]


@pytest.mark.parametrize(("rule", "prefix"), _CASES, ids=_NAMES)
def test_prefixed(look: Look, rule: Prefixed, prefix: str) -> None:
    token = make(rule, prefix)
    lead = "12345678" if prefix == ":AA" else ""
    for before, after, media in (("k=", "&x=1", "text/plain"), ('{"v":"', '"}', "application/json"), ("<k>", "</k>", "text/xml"),
                                 ("a,", ",b", "text/csv"), ('"v":"x\\n', '\\n"', "text/plain"), ("%22", "%22", "text/plain")):  # fmt: skip
        (hit,) = found(look(before + lead + token + after, media), rule.subject)
        assert hit.secret.reveal() == token
        assert token not in repr(hit)


@pytest.mark.parametrize(("rule", "prefix"), _CASES, ids=_NAMES)
def test_prefixed_look_alikes(look: Look, rule: Prefixed, prefix: str) -> None:
    token = make(rule, prefix)
    assert not found(look(token[:-1][: len(prefix) + rule.least - 2]), rule.subject), "too short"
    assert not found(look(prefix + "x" * rule.least), rule.subject), "filler"
    if rule.least == rule.most:
        assert not found(look(token + "7a"), rule.subject), "too long"
    if prefix[0].isalpha():
        assert not found(look("q" + token), rule.subject), "inside a word"


HEX, ALNUM, WORD, B64 = "0123456789abcdef", string.ascii_letters + string.digits, string.ascii_letters + string.digits + "_-", string.ascii_letters + string.digits + "+/"


def token_jwt(header: object = None) -> str:
    parts = [header or {"alg": "HS256", "typ": "JWT"}, {"sub": "alice", "iss": "https://id.example.org"}]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    return f"{text}.{draw(WORD, 43, 'jwt')}"


SHAPES = [
    ("jwt", token_jwt(), ""),
    ("slack", "xoxd-" + draw(ALNUM, 30, "xo") + "%2B" + draw(ALNUM, 20, "xp") + "%3D", ""),
    ("aws-secret-key", draw(B64, 39, "aws") + "a", '"SecretAccessKey" : "'),
    ("aws-secret-key", draw(B64, 39, "aws2") + "a", "aws_secret_access_key="),
    ("azure-storage-key", draw(B64, 86, "azs") + "==", "AccountName=x;AccountKey="),
    ("azure-client-secret", "8Q~" + draw(WORD, 33, "azc") + "a", "abc"),
    ("azure-sas", draw(B64, 43, "sas") + "%3D", "https://x.blob.core.windows.net/c?sv=2024&sig="),
    ("aws-presigned-url", draw(HEX, 64, "pre"), "https://x/y?X-Amz-Signature="),
    ("sendgrid", f"SG.{draw(WORD, 22, 's')}.{draw(WORD, 42, 't')}a", ""),
    ("twilio", "SK" + draw(HEX, 32, "tw"), ""),
    ("mailgun", "key-" + draw(HEX, 32, "mg"), ""),
    ("mailchimp", draw(HEX, 20, "mc") + "-us12", "0123456789ab"),
    ("openai", "T3BlbkFJ" + draw(ALNUM, 24, "oa"), "sk-" + draw(ALNUM, 20, "ob")),
    ("slack-webhook", "services/T0" + draw(ALNUM, 40, "sw"), "https://hooks.slack.com/"),
    ("teams-webhook", "webhookb2/" + draw(HEX, 80, "te"), "https://x.webhook.office.com/"),
    ("discord-webhook", "123456789987654321/" + draw(WORD, 67, "di") + "a", "https://discord.com/api/webhooks/"),
    ("paypal", f"access_token$production${draw(HEX, 16, 'p')}${draw(HEX, 32, 'q')}", ""),
    ("terraform-cloud", f"{draw(ALNUM, 14, 'tf')}.atlasv1.{draw(ALNUM, 64, 'tg')}", ""),
    ("azure-devops", f"{draw(ALNUM, 76, 'ad')}AZDO{draw(ALNUM, 4, 'ae')}", ""),
    ("cloudflare-origin-ca", f"v1.0-{draw(HEX, 24, 'cf')}-{draw(HEX, 146, 'cg')}", ""),
    ("otp-seed", draw(string.ascii_uppercase + "234567", 32, "otp"), "otpauth://totp/x:alice?issuer=x&secret="),
    ("mws", "amzn.mws." + "-".join(draw(HEX, n, n) for n in (8, 4, 4, 4, 12)), ""),
    ("wireguard", draw(B64, 42, "wg") + "E=", "[Interface]\nPrivateKey = "),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "value", "lead"), SHAPES, ids=[s[0] for s in SHAPES])
def test_shaped(look: Look, subject: str, value: str, lead: str) -> None:
    for after in ("", "&x=1", '"', "<", ",b", "\n"):
        assert [c.secret.reveal() for c in found(look(f"{lead}{value}{after}"), subject)] == [value]


@pytest.mark.parametrize(("subject", "value", "lead"), SHAPES, ids=[s[0] for s in SHAPES])
def test_shaped_look_alikes(look: Look, subject: str, value: str, lead: str) -> None:
    assert not found(look(lead), subject)
    assert not found(look(lead + value[: len(value) // 3]), subject)
    assert not found(look(value.swapcase() if subject != "aws-secret-key" else value), subject) or subject in ("otp-seed",)


def test_every_shape_has_a_sample() -> None:
    assert {s.subject for s in SHAPED} - {s[0] for s in SHAPES} == {"private-key"}


def test_widths_are_what_the_anchors_match() -> None:
    for anchor in table():
        if anchor.shape and anchor.width:
            low, high = re._parser.parse(anchor.pattern).getwidth()  # type: ignore[attr-defined]
            assert anchor.width == low == high, anchor.pattern


def test_rules_are_public_contracts() -> None:
    for subject, rule in rules().items():
        assert rule.id == f"token/{subject}"
        assert rule.category is Category.TOKEN
        assert rule.remedy
        assert rule.title.endswith("sent in the clear")


def test_jwt_needs_an_algorithm(look: Look) -> None:
    (hit,) = look(f"token {token_jwt()}")
    assert hit.facts == {"format": "JWT", "alg": "HS256", "iss": "https://id.example.org"}
    assert not look(token_jwt({"typ": "JWT"}))
    assert not look("eyJhbGciOiJIUzI1NiJ9.eyJh")
    assert not look("eyJ" + "x" * 60 + "." + "y" * 40 + "." + "z" * 20)


def test_aws_account_and_example(look: Look) -> None:
    assert aws_account("ASIAQNZGKIQY56JQ7WML") == "029608264753"
    assert not look("key AKIAIOSFODNN7EXAMPLE here")


def test_github_checksum_raises_a_fact(look: Look) -> None:
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    body = draw(ALNUM, 30, "gh")
    number, tail = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        tail = alphabet[digit] + tail
    assert github_checksum(f"ghp_{body}{tail}")
    (hit,) = look(f"ghp_{body}{tail}")
    assert hit.facts == {"checksum": True}


def pem(kind: str = "RSA PRIVATE KEY", lines: int = 12, head: str = "", end: str = "\n") -> str:
    body = end.join(draw(B64, 64, n) for n in range(lines))
    return f"-----BEGIN {kind}-----{end}{head}{body}{end}-----END {kind}-----"


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
def test_private_keys(look: Look, kind: str) -> None:
    text = pem(kind)
    (hit,) = look(f"# key\n{text}\n", "application/octet-stream", Side.SERVER)
    assert (hit.rule.id, hit.rule.severity, hit.severity, hit.secret.reveal()) == ("token/private-key", Severity.CRITICAL, None, text)
    assert hit.facts == {"format": kind, "encrypted": False, "cut": False}


def test_private_keys_that_are_encrypted_are_high(look: Look) -> None:
    for text in (pem("ENCRYPTED PRIVATE KEY"), pem(head="Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"),
                 pem("OPENSSH PRIVATE KEY", head="b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAABmJjcnlwdA")):  # fmt: skip
        (hit,) = look(text)
        assert (hit.severity, hit.facts["encrypted"]) == (Severity.HIGH, True)


def test_private_key_in_json_and_cut(look: Look) -> None:
    (hit,) = look(json.dumps({"type": "service_account", "private_key": pem("PRIVATE KEY")}), "application/json")
    assert hit.facts["cut"] is False
    (hit,) = look(pem(lines=20)[:900])
    assert hit.facts["cut"] is True


def test_putty(look: Look) -> None:
    body = "\n".join(draw(B64, 64, n) for n in range(14))
    text = f"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 6\n{body}\nPrivate-MAC: {draw(HEX, 64, 0)}\n"
    (hit,) = look(text)
    assert hit.facts["format"] == "PuTTY ssh-rsa"


@pytest.mark.parametrize(
    "text",
    ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nMIIE...\n-----END RSA PRIVATE KEY-----", pem("CERTIFICATE"), pem("PUBLIC KEY"),
     "if (s.startsWith('-----BEGIN PRIVATE KEY-----')) { return parse(s) }", "PuTTY-User-Key-File-3: ssh-rsa\nPublic-Lines: 6\n"],
)  # fmt: skip
def test_no_private_keys(look: Look, text: str) -> None:
    assert not look(text)


def test_a_match_that_takes_too_long_is_none(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def match(self, *args: object, timeout: float) -> None:
            assert 0 < timeout < 1
            raise TimeoutError

    monkeypatch.setattr(_shapes, "_compiled", lambda pattern: Slow())
    assert not look(make(PREFIXED[0], "AKIA"))


def test_binary_content_gives_tokens_only(look: Look) -> None:
    data = b"\x7fELF\0\0\0" + make(PREFIXED[0], "AKIA").encode() + b"\0 4539 1488 0343 6467 \0 alice:x@y://"
    assert [c.rule.id for c in look(data, "application/octet-stream")] == ["token/aws-access-key"]
