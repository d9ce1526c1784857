"""The exporter-toolkit's web configuration: what it takes, what it refuses and how it says so, without quoting a hash."""

from __future__ import annotations

import subprocess

import pytest

from sniffer.errors import UsageError
from sniffer.metrics.access import parse_listen
from sniffer.metrics.passwords import MAX_VERDICTS, MAX_WAITING, MAX_WAITING_EACH, Users, Verdict
from sniffer.metrics.tls import server_context
from sniffer.metrics.webconfig import load
from tests.sniffer.metrics_lab import HASH, PASSWORD, USER, Authority, basic, needs

TLS = "tls_server_config:\n  cert_file: s.crt\n  key_file: s.key\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    where = tmp_path_factory.mktemp("web")
    authority = Authority(where)
    authority.issue("s")
    authority.issue("other")
    return where


def written(where, text):
    file = where / "web.yml"
    file.write_text(text)
    return file


GOOD = [
    "",
    f"basic_auth_users:\n  {USER}: {HASH}\n  no: {HASH}\n  1: {HASH}\n",
    TLS,
    TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n",
    TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n",
    TLS + "  min_version: TLS13\n  max_version: TLS13\n  prefer_server_cipher_suites: false\n",
    TLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP256]\n",
    TLS + "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n",
]


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_what_promtool_takes_is_taken(files, text):
    promtool = needs("promtool")
    file = written(files, text)
    config = load(file)
    if config.tls is not None:
        server_context(config.tls)
    assert HASH not in repr(config)
    checked = subprocess.run([promtool, "check", "web-config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# The text, what is said of it, and whether promtool refuses it too (what it cannot know of, or we do not have, it takes).
BAD = [
    ("tls_server_config:\n  cert_file: s.crt\n", "needs both cert_file and key_file", True),
    ("tls_server_config:\n  cert_file: missing.crt\n  key_file: s.key\n", "missing.crt: No such file", True),
    ("tls_server_config:\n  cert_file: s.crt\n  key_file: other.key\n", "not a certificate and its key", True),
    (TLS + "  min_version: TLS9\n", "min_version has to be one of TLS10, TLS11, TLS12, TLS13", True),
    (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above max_version", False),
    (TLS + "  cipher_suites: [TLS_MADE_UP]\n", "'TLS_MADE_UP' is not one of TLS_RSA", True),
    (TLS + "  cipher_suites: TLS_MADE_UP\n", "cipher_suites has to be a list", True),
    (TLS + "  curve_preferences: [CurveP256, X25519]\n", "no more than one here", False),
    (TLS + "  client_ca_file: ca.crt\n", "needs client_auth_type", True),
    (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", "needs client_ca_file", False),
    (TLS + "  client_auth_type: RequireAnyClientCert\n", "client_auth_type has to be one of", False),
    (TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: s.key\n", "not a file of certificates", False),
    (TLS + "  client_allowed_sans: [a]\n", "needs client_auth_type RequireAndVerifyClientCert", True),
    (TLS + "  cert: x\n", "cert is not supported: use cert_file", True),
    (TLS + "  cert_fil: x\n", "'tls_server_config.cert_fil' is not a known key", True),
    ("rate_limit:\n  interval: 1s\n", "rate_limit is not supported", True),
    ("made_up: 1\n", "'made_up' is not a known key", True),
    ("- a list\n", "has to be a mapping", True),
    ("http_server_config:\n  headers:\n    X-Frame-Options: whatever\n", "has to be one of deny, sameorigin", True),
    ("http_server_config:\n  headers:\n    Set-Cookie: a\n", "is not a known key", True),
    ('http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nX: y"\n', "characters no header can hold", False),
    ("http_server_config:\n  http2: maybe\n", "has to be one of true, false", True),
    (f"basic_auth_users:\n  a: {HASH[:-1]}\n", "'a': not a bcrypt hash", False),
    (f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n", "a key stands there twice", True),
    (f"basic_auth_users: [{HASH}]\n", "has to be a mapping", True),
    (f"basic_auth_users:\n  a: {HASH}\n b\n", "line 3: not valid YAML", True),
    (f"a: &a {HASH}\nb: *c\n", "not valid YAML", True),
    ("a: [" + "[" * 1500, "not valid YAML", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said", "promtool_too"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said_in_one_line(files, text, said, promtool_too):
    file = written(files, text)
    with pytest.raises(UsageError) as caught:
        server_context(load(file).tls)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert HASH[10:-1] not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    promtool = needs("promtool")
    checked = subprocess.run([promtool, "check", "web-config", file], capture_output=True, check=False)
    assert (checked.returncode != 0) is promtool_too


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load(tmp_path / "binary.yml")


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:9476", "127.0.0.1", 9476, True), ("localhost:1", "127.0.0.1", 1, True), ("[::1]:9476", "::1", 9476, True),
        (":9476", "", 9476, False), ("0.0.0.0:9476", "0.0.0.0", 9476, False), ("10.0.0.1:0", "10.0.0.1", 0, False), ("[::]:1", "::", 1, False),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
    ],
)  # fmt: skip
def test_listen(text, host, port, loopback):
    listen = parse_listen(text)
    assert (listen.host, listen.port, listen.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "9476", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "sensor.example:1", "127.0.0.1:-1", "127.0.0.1:١", "1:2:3"])
def test_listen_refused(text):
    with pytest.raises(UsageError, match="give an address and a port"):
        parse_listen(text)


def header(user=USER, password=PASSWORD) -> str:
    return basic(user, password)["Authorization"]


def test_verdicts_are_computed_once_and_kept_under_a_keyed_hash(monkeypatch):
    import bcrypt

    computed = []
    real = bcrypt.checkpw
    monkeypatch.setattr("bcrypt.checkpw", lambda *a: computed.append(1) or real(*a))
    waited = []
    users = Users({USER: HASH.encode()}, waited.append)
    assert [users.check(header(), "127.0.0.1") for _ in range(3)] == [Verdict.RIGHT] * 3
    assert (len(computed), waited) == (1, [])
    assert [users.check(header(password="wrong"), "127.0.0.1") for _ in range(3)] == [Verdict.WRONG] * 3
    assert len(computed) == 2
    assert waited == [1.0] * 3
    kept = [digest for verdicts in users._verdicts.values() for digest in verdicts]
    assert len(kept) == 2
    assert not any(PASSWORD.encode() in digest for digest in kept)
    assert Users({USER: HASH.encode()}, waited.append)._key != users._key
    for number in range(MAX_VERDICTS + 5):
        users._keep(b"%d" % number, False)
    assert len(users._verdicts[False]) == MAX_VERDICTS
    assert users.check(header(), "127.0.0.1") is Verdict.RIGHT
    assert len(computed) == 2  # no guess pushed the right one out


@pytest.mark.parametrize(
    "given",
    [None, "", "Basic", "Basic !!!", "Bearer abc", "Basic " + "A" * 5000, header("nobody"), header(USER + "x"), header(USER, ""), header(USER, PASSWORD + "x"), header(USER, "\0"), header("", ""), "Basic bm9jb2xvbg=="],
)
def test_wrong_credentials(given):
    assert Users({USER: HASH.encode()}, lambda _: None).check(given, "127.0.0.1") is Verdict.WRONG


def test_long_passwords_are_compared_as_bcrypt_does():
    import bcrypt

    long = "p" * 100
    users = Users({USER: bcrypt.hashpw(long[:72].encode(), bcrypt.gensalt(4)), "broken": b"$2b$10$" + b"!" * 53}, lambda _: None)
    assert users.check(header(password=long), "127.0.0.1") is Verdict.RIGHT
    assert users.check(header("broken", "x"), "127.0.0.1") is Verdict.WRONG


def test_a_name_and_a_password_are_told_apart():
    users = Users({USER: HASH.encode()}, lambda _: None)
    assert users.check(header(), "127.0.0.1") is Verdict.RIGHT
    assert users.check(header(USER + PASSWORD[0], PASSWORD[1:]), "127.0.0.1") is Verdict.WRONG
    assert users.check(header(USER[:-1], USER[-1] + PASSWORD), "127.0.0.1") is Verdict.WRONG


def test_tries_at_once_are_bounded_and_a_known_right_one_passes():
    users: Users
    seen = []

    def wait(_):  # while one wrong try waits for its answer, others come
        number = len(seen)
        seen.append(number)
        if number < MAX_WAITING:
            seen_verdicts.append(users.check(header(password=f"wrong{number}"), f"127.0.0.{number // MAX_WAITING_EACH}"))
        assert users.check(header(), "127.0.0.9") is Verdict.RIGHT

    seen_verdicts: list[Verdict] = []
    users = Users({USER: HASH.encode()}, wait)
    users._one = _Reentrant()  # type: ignore[assignment]
    assert users.check(header(), "127.0.0.1") is Verdict.RIGHT
    assert users.check(header(password="wrong"), "127.0.0.0") is Verdict.WRONG
    assert seen_verdicts.count(Verdict.BUSY) == 1
    assert len(seen) <= MAX_WAITING
    assert not users._waiting


class _Reentrant:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
