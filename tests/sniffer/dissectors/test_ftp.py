"""FTP: logins and their answers, TLS asked, granted, refused."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.ftp import SPEC, probe
from sniffer.events import ChallengeResponse, Encryption, Login, Posture
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, hashes, logins, secret_of, statements, storm, upgrades

READY = server("220 ready\r\n")


@pytest.mark.parametrize(("answer", "outcome"), [("230 in", "accepted"), ("202 superfluous", "accepted"), ("530 no", "rejected"), ("421 too many", "rejected"), ("332 account", "unknown")])
def test_a_password_is_told_with_its_answer(answer, outcome):
    script = [READY, client("USER alice\r\n"), server("331 go on\r\n"), client("PASS hunter2\r\n"), server(f"{answer}\r\n")]
    events = both(SPEC, script)
    assert logins(events) == [("PASS", "alice", "hunter2", outcome)]
    login = next(e for e in events if isinstance(e, Login))
    assert secret_of(script, login) == b"hunter2"


def test_several_tries_are_several_logins():
    script = [READY, client("USER a\r\n"), server("331 x\r\n"), client("PASS one\r\n"), server("530-no\r\n530 no\r\n"), client("user a\r\n"), server("331 x\r\n"), client("pass two words\r\n"), server("230-hello\r\n 230 not yet\r\n230 in\r\n")]
    assert logins(both(SPEC, script)) == [("PASS", "a", "one", "rejected"), ("PASS", "a", "two words", "accepted")]


def test_pipelined_commands_are_paired_in_order():
    script = [READY, client("USER a\r\nPASS p\r\nSYST\r\n"), server("331 x\r\n530 no\r\n215 UNIX\r\n")]
    assert logins(both(SPEC, script)) == [("PASS", "a", "p", "rejected")]


def test_one_side_alone():
    assert logins(both(SPEC, [client("USER a\r\nPASS p\r\n")])) == [("PASS", "a", "p", "unknown")]


def test_auth_tls():
    asked, granted = client("AUTH TLS\r\n"), server("234 go\r\n")
    assert upgrades(both(SPEC, [READY, asked, granted])) == [("tls", "asked", None), ("tls", "granted", (10, 19))]
    assert upgrades(both(SPEC, [READY, asked, server("530 no\r\n"), client("USER a\r\n")])) == [("tls", "asked", None), ("tls", "refused", None)]
    assert upgrades(both(SPEC, [READY, client("FEAT\r\n"), server("211-Features\r\n AUTH TLS\r\n UTF8\r\n211 End\r\n")])) == [("tls", "offered", None)]


def test_a_gap_parts_user_and_password():
    assert logins(drive(SPEC, [READY, client("USER a\r\n"), Gap(Side.CLIENT, 30), client("PASS p\r\n"), server("230 in\r\n")])) == [("PASS", None, "p", "accepted")]
    assert logins(drive(SPEC, [READY, client("USER a\r\nPASS p\r\n"), Gap(Side.SERVER, 30), server("230 in\r\n")])) == [("PASS", "a", "p", "unknown")]


def test_an_empty_password_is_none():
    assert logins(both(SPEC, [READY, client("USER a\r\nPASS \r\n"), server("331 x\r\n230 in\r\n")])) == []


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (b"", b"220 FTP server ready\r\n", Match.YES), (b"", b"220 hello\r\n", Match.MORE), (b"USER a\r\n", b"220 hello\r\n", Match.YES),
        (b"EHLO x\r\n", b"220 hello\r\n", Match.NO), (b"", b"220 mx ESMTP\r\n", Match.NO), (b"USER a\r\nPASS b\r\n", b"", Match.YES),
        (b"USER a\r\n", b"+OK\r\n", Match.NO), (b"GET / HTTP/1.1\r\n", b"", Match.NO), (b"\x16\x03\x01", b"", Match.NO), (b"", b"", Match.MORE),
    ],
)  # fmt: skip
def test_probe(c, s, said):
    assert probe(c, s) is said


def script(*lines: str) -> list:
    """``> `` is the client's, everything else the server's."""
    return [client(x[2:] + "\r\n") if x.startswith("> ") else server(x + "\r\n") for x in lines]


def test_spaces_belong_to_the_password():
    assert logins(both(SPEC, script("220 FTP", "> USER alice", "331 go on", "> PASS  two words ", "230 in"))) == [("PASS", "alice", " two words ", "accepted")]


def test_user_and_password_before_a_greeting_of_many_lines():
    said = [client("USER alice\r\nPASS one\r\n"), server("220-Welcome\r\n to the FTP\r\n220 ready\r\n331 go on\r\n530 no\r\n")]
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "rejected")]


def test_lines_that_are_no_command_have_their_own_answers():
    said = script("220 FTP", "> ???", "> USER alice", "> PASS one", "> CWD x", "500 what", "331 go on", "230 in", "550 no")
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "accepted")]


@pytest.mark.parametrize("answer", ["232 in by its certificate", "200 in", "230-Hello\r\n530 files\r\n230 in"])
def test_other_ways_to_say_yes(answer):
    assert logins(both(SPEC, script("220 FTP", "> USER alice", "331 go on", "> PASS one", answer))) == [("PASS", "alice", "one", "accepted")]


def test_an_account_is_asked_for():
    said = script("220 FTP", "> USER alice", "331 go on", "> PASS one", "332 account", "> ACCT sales", "230 in")
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "accepted"), ("ACCT", "alice", "sales", "accepted")]
    said = script("220 FTP", "> USER alice", "331 go on", "> PASS one", "230 in", "> STOR x", "532 account", "> ACCT sales", "530 no")
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "accepted"), ("ACCT", "alice", "sales", "rejected")]


def test_rein_forgets_the_user():
    said = script("220 FTP", "> USER alice", "331 go on", "> PASS one", "230 in", "> REIN", "220 again", "> PASS two", "503 user first")
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "accepted"), ("PASS", None, "two", "rejected")]


def test_storm():
    storm(SPEC, [b"220-hello\r\n220 ready\r\n", b"USER alice\r\n", b"PASS x\r\n", b"230 ok\r\n", b"AUTH TLS\r\n", b"234 ok\r\n"])


@pytest.mark.parametrize(("command", "match"), [("AUTH LOGIN", Match.NO), ("AUTH PLAIN AGEAYg==", Match.NO), ("AUTH TLS", Match.YES), ("auth ssl", Match.YES), ("AUTH GSSAPI", Match.YES)])
def test_a_sasl_mechanism_is_mails(command, match):
    assert probe(f"{command}\r\n".encode(), b"220 mx.example.org ready\r\n") is match


@pytest.mark.parametrize("challenge", ["331 Response to otp-md5 98 ke1234 ext required for skey.", "331 Password [ otp-md5 98 ke1234 ext ] required for alice.", "331 s/key 98 ke1234"])
def test_a_one_time_password_is_no_reusable_one(challenge):
    for answer in ("OUST COAT FOAL MUG BEAK TOTE", "9E87 6134 D904 99DD", "hex:9e876134d90499dd"):
        events = both(SPEC, script("220 FTP", "> USER alice", challenge, f"> PASS {answer}", "230 in"))
        assert not logins(events)
        assert [(h[0], h[1], h[2]) for h in hashes(events)] == [("S/KEY" if "s/key" in challenge else "OTP", "alice", answer)]
        assert [str(e.outcome) for e in events if isinstance(e, ChallengeResponse)] == ["accepted"]
    events = both(SPEC, script("220 FTP", "> USER alice", challenge, "> PASS hunter2", "230 in"))
    assert logins(events) == [("PASS", "alice", "hunter2", "accepted")]


def test_passwords_set_by_site_commands():
    said = script("220 FTP", "> USER alice", "331 x", "> PASS one", "230 in", "> SITE PSWD one two", "200 ok", "> SITE CPWD three", "200 ok", "> SITE CHPASS bob four", "200 ok", "> SITE CHMOD 644 x", "200 ok", "> SITE HELP", "214 x")
    assert statements(both(SPEC, said)) == [("SITE PSWD", "alice", "one"), ("SITE PSWD", "alice", "two"), ("SITE CPWD", "alice", "three"), ("SITE CHPASS", "bob", "four")]


def test_text_of_a_reply_that_begins_with_its_digits_does_not_end_it():
    said = script("220-Welcome", "2200 users today", "220 ready", "> USER alice", "331 go on", "> PASS one", "530-No", "5301 tries", "530 no")
    assert logins(both(SPEC, said)) == [("PASS", "alice", "one", "rejected")]


def test_a_line_too_long_does_not_end_the_reading():
    said = script("220 FTP", "> CWD " + "x" * 20000, "500 too long", "> USER alice", "331 go on", "> PASS one", "230-" + "y" * 20000, "230 in", "> USER bob", "331 x", "> PASS two", "530 no")
    for cut in (None, 1000, 4096):
        assert logins(drive(SPEC, said, cut=cut)) == [("PASS", "alice", "one", "accepted"), ("PASS", "bob", "two", "rejected")]


def test_tls_granted_by_another_code_or_an_answer_not_captured():
    hello = client(b"\x16\x03\x01\x00\x05hello")
    assert upgrades(both(SPEC, [READY, client("AUTH TLS\r\n"), server("334 go\r\n"), hello])) == [("tls", "asked", None), ("tls", "granted", (10, 19))]
    assert upgrades(both(SPEC, [client("AUTH SSL\r\n"), hello])) == [("tls", "asked", None), ("tls", "granted", (10, 0))]
    assert upgrades(both(SPEC, [READY, server("234 go\r\n")])) == [("tls", "granted", (0, 19))]


def test_other_security_mechanisms():
    refused = script("220 FTP", "> AUTH GSSAPI", "504 unknown", "> AUTH KERBEROS_V4", "504 unknown", "> USER alice", "331 x", "> PASS one", "230 in")
    events = both(SPEC, refused)
    assert logins(events) == [("PASS", "alice", "one", "accepted")]
    assert upgrades(events) == [("gss", "refused", None)] * 2
    taken = script("220 FTP", "> AUTH GSSAPI", "334 go on", "> ADAT YII=", "235 done", "> ENC FwMB", "632 FwMB", "> ENC FwMC", "632 FwMC")
    events = both(SPEC, taken)
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
    assert upgrades(events) == []


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (b"", b"530 Sorry, the maximum number of clients is connected.\r\n", Match.MORE), (b"", b"331 Password required\r\n", Match.MORE), (b"PASS one\r\n", b"331 Password required\r\n", Match.YES),
        (b"USER a\r\nPASS b\r\n", b"of the day\r\n220 ready\r\n", Match.YES), (b"USER a b c d\r\n", b":irc 001\r\n", Match.NO), (b"MODE READER\r\n", b"200 news\r\n", Match.NO), (b"MODE S\r\n", b"200 ok\r\n", Match.YES),
    ],
)  # fmt: skip
def test_captures_that_begin_in_the_middle(c, s, said):
    assert probe(c, s) is said
