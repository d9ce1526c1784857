"""Telnet: dialogues by keystroke and by line, in several tongues, with options between."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.telnet import SPEC, probe
from sniffer.events import ChallengeResponse, Encryption, Posture
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, hashes, logins, storm, upgrades

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


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ("\r\nLast login: Tue\r\n3 failed login attempts\r\nhost$ ", "accepted"),
        ("\r\n### Unauthorized access is prohibited ###\r\nhost> ", "accepted"),
        ("\r\n#### Login incorrect ####\r\n", "rejected"),
        ("\r\nWelcome to the switch\r\n\r\nlogin: ", "rejected"),
        ("\r\nPassword: ", "rejected"),
        ("\r\nYour password has expired.\r\nNew password: ", "unknown"),
        ("\r\n% Bad secrets\r\n\r\nRouter>", "rejected"),
        ("\r\nSorry, try again.\r\n$ ", "rejected"),
        ("\r\nuser@host% ", "accepted"),
    ],
)  # fmt: skip
def test_the_answer_is_judged_as_a_whole(after, outcome):
    assert logins(both(SPEC, dialogue("alice", "s3cret-word", after))) == [("login dialogue", "alice", "s3cret-word", outcome)]


def test_the_answer_is_told_when_the_user_goes_on():
    said = [*dialogue("alice", "one", "\r\nLogin incorrect\r\nlogin: "), *typed("bob", echo=True), server("\r\nPassword: "), *typed("two", echo=False), server("\r\n$ "), client("ls\r\0")]
    assert [x[1:] for x in logins(both(SPEC, said))] == [("alice", "one", "rejected"), ("bob", "two", "accepted")]


def test_text_that_speaks_of_passwords_is_no_prompt():
    banner = [server("Never tell your password"), server(" to anybody.\r\nlast login: today by user"), server(" bob\r\n$ "), *typed("ls -l", echo=True), server("\r\n$ ")]
    assert not logins(both(SPEC, [*OPTIONS, *banner]))


def test_a_host_named_for_a_user_is_no_prompt():
    said = [*OPTIONS, server("Password: "), *typed("one", echo=False), server("\r\nlab-user>"), *typed("enable", echo=True), server("\r\nPassword: "), *typed("two", echo=False), server("\r\nlab-user#")]
    assert logins(both(SPEC, said)) == [("login dialogue", None, "one", "accepted"), ("login dialogue", None, "two", "accepted")]


@pytest.mark.parametrize(
    "prompts",
    [("Username:\r\n", "Password:\r\n"), ("Login [admin]: ", "Password [hidden]: "), ("Login ID: ", "Passcode: "), ("login as: ", "alice@host's password: "), ("用户名：", "密码："), ("login:\x07 ", "Password:\x07")],
)
def test_more_prompts(prompts):
    assert logins(both(SPEC, dialogue("alice", "word", "\r\nhost> ", prompts))) == [("login dialogue", "alice", "word", "accepted")]


def test_a_name_rubbed_out_and_typed_anew():
    keys = [client("x"), server("x"), client(b"\x7f"), server(b"\b \b"), *typed("alice", echo=True)]
    said = [*OPTIONS, server("login: "), *keys, server("\r\nPassword: "), client(b"wrong\xff\xf8goof\xff\xf7d\r\0"), server("\r\n$ ")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "good", "accepted")]


def test_a_bell_while_the_password_is_typed():
    said = [*OPTIONS, server("Password: "), client("go"), server(b"\x07\0"), client("od\r\0"), server("\r\n$ ")]
    assert logins(both(SPEC, said)) == [("login dialogue", None, "good", "accepted")]


def test_the_user_of_the_environment():
    said = [*OPTIONS, client(b"\xff\xfa\x27\x00\x03USER\x01alice\xff\xf0"), server("Password: "), client("word\r\n"), server("\r\n$ ")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "word", "accepted")]


def _tnap(side: int, code: int, message: bytes = b"") -> bytes:
    data = b"\xff\xfa\x25" + bytes((side, 15, 0, code)) + len(message).to_bytes(4, "little") + (2).to_bytes(4, "little") + message
    return data + b"\xff\xf0"


@pytest.mark.parametrize(("code", "outcome"), [(3, "accepted"), (4, "rejected")])
def test_ntlm_in_the_authentication_option(code, outcome):
    nt = bytes(range(16)) + b"blob" * 8
    challenge = b"NTLMSSP\0" + (2).to_bytes(4, "little") + bytes(8) + (1).to_bytes(4, "little") + b"12345678" + bytes(16)
    fields, data, at = [], b"", 64
    for value in (b"", nt, b"", "bob".encode("utf-16-le"), b"", b""):
        fields.append(len(value).to_bytes(2, "little") * 2 + at.to_bytes(4, "little"))
        data, at = data + value, at + len(value)
    response = b"NTLMSSP\0" + (3).to_bytes(4, "little") + b"".join(fields) + (1).to_bytes(4, "little") + data
    said = [*OPTIONS, client(_tnap(0, 0, b"NTLMSSP\0" + bytes(24))), server(_tnap(2, 1, challenge)), client(_tnap(0, 2, response)), server(_tnap(2, code))]
    events = both(SPEC, said)
    assert hashes(events) == [("NTLMv2", "bob", nt.hex(), f"bob:::{b'12345678'.hex()}:{nt[:16].hex()}:{nt[16:].hex()}")]
    assert [str(e.outcome) for e in events if isinstance(e, ChallengeResponse)] == [outcome]


def test_a_dialogue_without_options_is_telnet():
    assert probe(b"", b"Router\r\nUsername: admin\r\nPassword: ") is Match.YES
    assert probe(b"admin\r\n", b"\r\nhost login: admin\r\nPassword: ") is Match.YES
    assert probe(b"", b"220 login: x\r\nPassword: ") is Match.NO


def test_storm():
    storm(SPEC, [b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0login: ", b"alice\r\n", b"Password: ", b"\x1b[A\x08\x7f\r\0", b"Login incorrect"])


def test_a_command_that_begins_like_a_prompt_is_no_password():
    """Typed with echo, ``ping`` stands there as "pin" for a moment, ``passwd bob`` as "passwd"."""
    for command in ("ping 192.0.2.1", "passwd bob", "pin", "cat password: x"):
        said = [*dialogue("alice", "one", "\r\nrouter# "), *typed(command, echo=True), server("\r\nok\r\nrouter# ")]
        assert [x[2] for x in logins(both(SPEC, said))] == ["one"]


@pytest.mark.parametrize(
    ("command", "prompt", "user"),
    [
        ("su", "Password: ", "root"), ("su - bob", "Password: ", "bob"), ("su -l bob", "Password: ", "bob"), ("sudo id", "[sudo] password for alice: ", "alice"),
        ("ssh bob@inner", "bob@inner's password: ", "bob"), ("enable", "Password: ", None), ("kinit", "Password for carol@EXAMPLE.ORG: ", "carol"), ("mysql -p", "Enter password: ", "alice"),
        ("ftp inner", "root's Password: ", "root"),
    ],
)  # fmt: skip
def test_whose_password_is_asked_for_inside_a_session(command, prompt, user):
    said = [*dialogue("alice", "one", "\r\n$ "), *typed(command, echo=True), server("\r\n" + prompt), *typed("two", echo=False), server("\r\n# ")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "one", "accepted"), ("login dialogue", user, "two", "accepted")]


@pytest.mark.parametrize(
    "prompts",
    [
        ("login: ", "alice's Password:"), ("Username> ", "Password> "), ("User Name......: ", "Password.......: "), ("Login name: ", "Pass: "), ("uživatel: ", "heslo: "), ("käyttäjätunnus: ", "salasana: "),
        ("felhasználó: ", "jelszó: "), ("użytkownik: ", "Hasło: "), ("kullanıcı adı: ", "şifre: "), ("ユーザー名：", "パスワード："), ("사용자 이름: ", "비밀번호: "), ("логин: ", "пароль: "),
        ("Enter your handle: ", "Password: "), ("By what name do you wish to be known? ", "Password: "), ("login: ", "Slaptažodis: "), ("login: ", "Sandi: "),
    ],
)  # fmt: skip
def test_prompts_of_other_systems_and_tongues(prompts):
    assert logins(both(SPEC, dialogue("alice", "word", "\r\nhost> ", prompts))) == [("login dialogue", "alice", "word", "accepted")]


@pytest.mark.parametrize("charset", ["gbk", "cp1251", "koi8-r", "shift_jis"])
def test_prompts_in_charsets_of_their_time(charset):
    user, secret = {"gbk": ("用户名：", "密码："), "shift_jis": ("ユーザー名：", "パスワード：")}.get(charset, ("логин: ", "пароль: "))
    said = [*OPTIONS, server(user.encode(charset)), client("alice\r\n"), server(secret.encode(charset)), client("word\r\n"), server("\r\n> ")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "word", "accepted")]


def test_an_unknown_tongue_in_which_the_server_turns_echo_off():
    said = [*OPTIONS, server("login: "), client("alice\r\n"), server(b"\xff\xfb\x01Sandi: "), client("word\r\n"), server(b"\xff\xfc\x01\r\nhost> "), client("ls\r\n")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "word", "accepted")]


def test_a_login_without_a_password_makes_none_of_what_follows():
    for said in ([*typed("guest", echo=True), server("\r\nguest:~> "), *typed("ls", echo=True)], [client("guest\r\n"), server("guest\r\nChoice: "), client("3\r\n")]):
        assert not logins(both(SPEC, [*OPTIONS, server("login: "), *said, server("\r\nx> ")]))


def test_both_lines_sent_at_once():
    said = [*OPTIONS, server("login: "), client("alice\r\nword\r\n"), server("alice\r\nPassword: \r\nLogin incorrect\r\nlogin: ")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "word", "rejected")]
    said = [*OPTIONS, server("login: "), client("guest\r\nls\r\n"), server("guest\r\n$ ls\r\n$ ")]
    assert not logins(both(SPEC, said))


def test_a_form_with_both_fields():
    drawn = server(b"\x1b[2J\x1b[10;20HUserName:[              ]\x1b[12;20HPassWord:[              ]\x1b[10;30H")
    for end in ("\r", "\t"):
        said = [*OPTIONS, drawn, *typed("alice", echo=True)[:-1], client(end), server(b"\x1b[12;30H"), client("w"), server("*"), client("ord\r"), server(b"\x1b[2JMain Menu\r\n"), client("3")]
        assert logins(both(SPEC, said)) == [("login dialogue", "alice", "word", "accepted")]


def test_whoever_goes_on_after_a_menu_is_in():
    said = [*dialogue("alice", "one", "\r\n1. Status\r\n2. Logout\r\nChoice: "), client("1\r")]
    assert logins(both(SPEC, said)) == [("login dialogue", "alice", "one", "accepted")]


@pytest.mark.parametrize("option", [b"\xff\xfa\x24\x00\x00USER\x01alice\xff\xf0", b"\xff\xfa\x24\x00\x01USER\x00alice\xff\xf0"])
def test_the_user_of_the_old_environment_option(option):
    assert logins(both(SPEC, [*OPTIONS, client(option), server("Password: "), client("word\r\n"), server("\r\n$ ")])) == [("login dialogue", "alice", "word", "accepted")]


def test_tls_inside_telnet_is_handed_on():
    asked, follows = client(b"\xff\xfb\x2e"), b"\xff\xfa\x2e\x01\xff\xf0"
    said = [server(b"\xff\xfd\x2e"), asked, client(follows), server(follows), client(b"\x16\x03\x01")]
    assert upgrades(both(SPEC, said)) == [("tls", "asked", None), ("tls", "granted", (9, 9))]


def test_the_encrypt_option_hides_the_rest():
    start = b"\xff\xfa\x26\x03\x00\xff\xf0"
    said = [*OPTIONS, client(start), server(start), server("Password: "), client("x\r\n")]
    events = both(SPEC, said)
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
    assert not logins(events)


@pytest.mark.parametrize("banner", ["* * * Authorized users only * * *\r\nlogin: ", "<<< Welcome >>>\r\nlogin: "])
def test_banners_of_stars_and_brackets_are_no_other_protocol(banner):
    assert probe(b"", banner.encode()) is Match.MORE


def test_commands_before_the_first_option():
    assert probe(b"", b"\xff\xf1\xff\xfd\x18\xff\xfb\x01") is Match.YES
