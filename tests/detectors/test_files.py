"""Passwords and stored hashes in transferred files."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from detectors._files import cisco
from detectors.rules.files import CISCO_KEY, HASHES
from sniffer.findings import Candidate

Look = Callable[..., list[Candidate]]


def type7(text: str, offset: int = 8) -> str:
    return f"{offset:02d}" + bytes(c ^ CISCO_KEY[(offset + n) % len(CISCO_KEY)] for n, c in enumerate(text.encode())).hex().upper()


@pytest.mark.parametrize(
    ("text", "mechanism", "user", "value"),
    [
        (f"hostname r1\nline vty 0 4\n password 7 {type7('hunter2')}\n login\n", "Cisco type 7", None, "hunter2"),
        (f"username alice privilege 15 password 7 {type7('s3cret')}\n", "Cisco type 7", "alice", "s3cret"),
        (f" key 7 {type7('radius-key', 2)}\r\n", "Cisco type 7", None, "radius-key"),
        ("hostname r1\nenable password Zz9\n", "enable password", None, "Zz9"),
        ("username bob password 0 Qw1\n", "username password", "bob", "Qw1"),
        ("snmp-server community r3ad RO\n", "snmp-server community", None, "r3ad"),
        ("machine files.example.org\n  login alice\n  password hunter2\n", ".netrc", "alice", "hunter2"),
        ("machine h login alice password hunter2\n", ".netrc", "alice", "hunter2"),
        ("define('DB_USER', 'wp');\ndefine( 'DB_PASSWORD', 'hunter2' );\n", "define", None, "hunter2"),
        ("A=1\nMYSQL_ROOT_PASSWORD=hunter2\nB=2\n", "environment", None, "hunter2"),
        ("export PGPASSWORD='hunter2'\n", "environment", None, "hunter2"),
    ],
)  # fmt: skip
def test_lines(look: Look, text: str, mechanism: str, user: str | None, value: str) -> None:
    found = [c for c in look(text) if c.rule.id == "credential/http"]
    assert [(c.mechanism, c.username, c.secret.reveal()) for c in found] == [(mechanism, user, value)]


@pytest.mark.parametrize(
    "text",
    ["enable password protection\n", "how to enable password on a router\n", "enable password 7 zz\n", "password 7 times a day\n", "password 7 9912\n", "password 7 0822",
     "MYSQL_PASSWORD=\n", "MYSQL_PASSWORD=$1\n", "MYSQL_PASSWORD=${X}\n", "DB_PASSWORD=password\n", "login then password\n",
     "snmp-server community <string> RO\n", "machine {h} login {u} password \"{p}\"\n", "machine h login USER password PASSWORD\n", "define('DB_PASSWORD', '');\n", "see login name password for it\n", "username X password is wrong\n"],
)  # fmt: skip
def test_no_lines(look: Look, text: str) -> None:
    assert not look(text)


def test_type7_is_only_ascii_and_in_range() -> None:
    assert cisco(type7("hunter2", 15)) == "hunter2"
    assert [cisco(t) for t in ("", "08", "0", "99AA", "zz11", "08XX", "08FF00")] == [None] * 7


def sample(form: str) -> str:
    draw = random.Random(form)

    def text(size: int) -> str:
        return "".join(draw.choices(string.ascii_letters + string.digits, k=size))

    return {
        "md5crypt": f"$1${text(8)}${text(22)}", "apr1": f"$apr1${text(8)}${text(22)}", "bcrypt": f"$2b$12${text(53)}", "sha256crypt": f"$5$rounds=5000${text(16)}${text(43)}",
        "sha512crypt": f"$6${text(16)}${text(86)}", "yescrypt": f"$y$j9T${text(22)}${text(43)}", "phpass": f"$P${text(31)}",
        "argon2": f"$argon2id$v=19$m=65536,t=3,p=4${text(22)}${text(43)}", "cisco-type8": f"$8${text(14)}${text(43)}", "cisco-type9": f"$9${text(14)}${text(43)}",
        "django-pbkdf2": f"pbkdf2_sha256$600000${text(22)}${text(43)}=", "ldap-ssha": f"{{SSHA}}{text(38)}==",
    }[form]  # fmt: skip


@pytest.mark.parametrize("form", HASHES, ids=[h.format for h in HASHES])
def test_hashes(look: Look, form: object) -> None:
    name, mode = form.format, form.hashcat  # type: ignore[attr-defined]
    value = sample(name)
    for text, user in ((f"root:x:0\nalice:{value}:19000:0:99999:7:::\n", "alice"), (f'{{"h":"{value}"}}', None), (f"a,{value},b", None)):
        (found,) = [c for c in look(text) if c.rule.id == "hash/stored-password"]
        assert (found.mechanism, found.username, found.secret.reveal()) == (name, user, value)
        assert found.crack is not None
        assert (found.crack.format, found.crack.hashcat, found.crack.line.reveal()) == (name, mode, value)


@pytest.mark.parametrize("form", HASHES, ids=[h.format for h in HASHES])
def test_no_hashes(look: Look, form: object) -> None:
    value = sample(form.format)  # type: ignore[attr-defined]
    cut = value[:-40] if form.format in ("argon2", "ldap-ssha") else value[:-12]  # type: ignore[attr-defined]
    for text in (cut, value.replace("$", "_").replace("{", "("), cut[: len(cut) // 2] + "x" * 200):
        assert not [c for c in look(text) if c.rule.id == "hash/stored-password"]
