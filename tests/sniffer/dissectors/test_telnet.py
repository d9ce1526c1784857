"""Telnet: dialogues by keystroke and by line, in several tongues, with options between."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.telnet import SPEC, probe
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, logins, storm

OPTIONS = [server(b"\xff\xfd\x18\xff\xfb\x01"), client(b"\xff\xfb\x18\xff\xfd\x01\xff\xfa\x18\x00xterm\xff\xf0")]


def typed(text: str, *, echo: bool) -> list:
    out = []
    for key in text:
        out.append(client(key))
        if echo:
            out.append(server(key))
    return [*out, client(b"\r\0")]


def dialogue(user: str, secret: str, after: str, prompts: tuple[str, str] = ("login: ", "Password: ")) -> list:
    return [*OPTIONS, server("Debian\r\n" + prompts[0]), *typed(user, echo=True), server("\r\n" + prompts[1]), *typed(secret, echo=False), server(after)]


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ("\r\nLast login: Tue\r\nalice@host:~$ ", "accepted"), ("\r\nhost# ", "accepted"), ("\r\nWelcome!\r\n", "accepted"),
        ("\r\nLogin incorrect\r\nhost login: ", "rejected"), ("\r\n% Authentication failed\r\n", "rejected"), ("\r\n", "unknown"),
    ],
)  # fmt: skip
def test_character_mode(after, outcome):
    assert logins(both(SPEC, dialogue("alice", "s3cret-word", after))) == [("login dialogue", "alice", "s3cret-word", outcome)]


@pytest.mark.parametrize(
    "prompts",
    [("Username: ", "Password: "), ("Benutzer: ", "Kennwort: "), ("User Name : ", "Pass word:"), ("Utilisateur : ", "Mot de passe : "), ("Usuario: ", "Contraseña: "), ("host login: ", "alice's password: "), ("\x1b[1mlogin:\x1b[0m ", "\x1b[1mPassword:\x1b[0m ")],
)
def test_prompts(prompts):
    assert logins(both(SPEC, dialogue("alice", "word", "\r\nhost> ", prompts))) == [("login dialogue", "alice", "word", "accepted")]


def test_line_mode():
    script = [*OPTIONS, server("login: "), client("alice\r\n"), server("Password: "), client("s3cret\r\n"), server("\r\n$ ")]
    assert logins(both(SPEC, script)) == [("login dialogue", "alice", "s3cret", "accepted")]


def test_keystrokes_are_edited():
    script = [*OPTIONS, server("login: "), client(b"alixx\x08\x7fce\r\0"), server("Password: "), client(b"wrong\x15bad word\x17good\x1b[A\r\0"), server("\r\n$ ")]
    assert logins(both(SPEC, script)) == [("login dialogue", "alice", "bad good", "accepted")]


def test_a_second_password_is_a_login_too():
    script = [*dialogue("alice", "one", "\r\n$ "), client("su\r\0"), server("su\r\nPassword: "), client("two\r\0"), server("\r\n# ")]
    assert [x[2] for x in logins(both(SPEC, script))] == ["one", "two"]


def test_an_option_in_the_middle_of_a_password():
    script = [*OPTIONS, server("Password: "), client(b"ab\xff\xfb\x01cd\xff\xffe\r\n"), server("\r\n> ")]
    assert [x[2] for x in logins(both(SPEC, script))] == ["abcdÿe"]


def test_a_gap_forgets_the_prompt():
    assert logins(drive(SPEC, [*OPTIONS, server("login: "), client("alice\r\n"), server("Password: "), Gap(Side.CLIENT, 5), client("cret\r\n"), server("\r\n$ ")])) == []


def test_without_prompts_nothing_is_invented():
    assert logins(both(SPEC, [*OPTIONS, client("alice\r\nsecret\r\n")])) == []


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (b"", b"\xff\xfd\x18\xff\xfd\x20", Match.YES), (b"\xff\xfb\x18\xff\xfb\x1f", b"", Match.YES), (b"", b"\xff\xfb\x01\r\nUser", Match.YES), (b"", b"\xff", Match.MORE),
        (b"", b"\xff\xd8\xff\xe0", Match.NO), (b"", b"220 hello", Match.NO), (b"", b"login: ", Match.MORE), (b"", b"\xff\xfb\xf0", Match.NO),
    ],
)  # fmt: skip
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0login: ", b"alice\r\n", b"Password: ", b"\x1b[A\x08\x7f\r\0", b"Login incorrect"])
