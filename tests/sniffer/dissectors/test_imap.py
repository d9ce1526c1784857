from __future__ import annotations

import random
import time
from base64 import b64encode

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors._mail import MAX_LINE, MAX_MAIL
from sniffer.dissectors.imap import SPEC
from sniffer.errors import Malformed
from sniffer.events import Anomaly, ChallengeResponse, Content, Done, Event, Greeting, Login, Side, Upgrade
from tests.drive import Gap, Say, client, drive, server

Script = list[Say | Gap]

BANNER = server("* OK IMAP4rev1 Dovecot ready.\r\n")
PLAIN = b64encode(b"\0alice\0s3cret").decode()


def run(script: Script) -> list[Event]:
    """The events of a script, the same for any cutting of it."""
    whole = drive(SPEC, script)
    rng = random.Random(5)
    for cut in (1, 2, [rng.randint(1, 30) for _ in range(500)]):
        assert drive(SPEC, script, cut=cut) == whole
    return whole


def logins(events: list[Event]) -> list[tuple[str, str | None, str, str]]:
    return [(e.mechanism, e.username, e.secret.reveal(), str(e.outcome)) for e in events if isinstance(e, Login)]


def mails(events: list[Event]) -> list[bytes]:
    return [e.data for e in events if isinstance(e, Content)]


def upgrades(events: list[Event]) -> list[str]:
    return [e.status for e in events if isinstance(e, Upgrade)]


@pytest.mark.parametrize(("reply", "outcome"), [("a1 OK [CAPABILITY IMAP4rev1] in", "accepted"), ("a1 NO [AUTHENTICATIONFAILED] no", "rejected"), ("a1 BAD what", "rejected"), ("a1 NO [UNAVAILABLE] x", "unknown"), ("* BYE", "unknown")])
@pytest.mark.parametrize(
    ("turns", "password"),
    [
        ([client("a1 LOGIN alice s3cret\r\n")], "s3cret"),
        ([client('a1 login "alice" "s3 cr\\"et\\\\"\r\n')], 's3 cr"et\\'),
        ([client("a1 LOGIN {5}\r\n"), server("+ go\r\n"), client("alice {9}\r\n"), server("+\r\n"), client("s3\r\ncr et\r\n")], "s3\r\ncr et"),
        ([client('a1 LOGIN {5+}\r\nalice "s3cret"\r\n')], "s3cret"),
        ([client("a1 LOGIN alice {6+}\r\ns3cret\r\n")], "s3cret"),
        ([client("a1 LOGIN alice s3{cret}\r\n")], "s3{cret}"),
        ([client("a1 LOGIN alice s3cret\n")], "s3cret"),
    ],
)
def test_login(turns: Script, password: str, reply: str, outcome: str):
    assert logins(run([BANNER, *turns, server(f"{reply}\r\n")])) == [("LOGIN", "alice", password, outcome)]


def test_the_span_is_the_password():
    for line in ("a1 LOGIN alice s3cret\r\n", 'a1 LOGIN "alice" "s3cret"\r\n', "a1 LOGIN {5+}\r\nalice {6+}\r\ns3cret\r\n"):
        (login,) = run([client(line)])
        assert line[login.span.start : login.span.end] == "s3cret"


@pytest.mark.parametrize("line", ['a1 LOGIN alice ""', "a1 LOGIN alice", "a1 LOGIN", "a1 LOGIN alice {0+}\r\n", 'a1 LOGIN alice "open', "a1 LOGIN alice a\0b"])
def test_logins_without_a_password(line: str):
    assert logins(run([BANNER, client(f"{line}\r\n"), server("a1 NO\r\n"), client("a2 LOGIN bob x\r\n"), server("a2 OK\r\n")])) == [("LOGIN", "bob", "x", "accepted")]


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("a1 LOGIN alice a b", "a b"), ('a1 LOGIN "alice" "a"b"', 'a"b'), ('a1 LOGIN alice "a"b c" ', 'a"b c'), ("a1  LOGIN alice s3cret", "s3cret"), ("a1 LOGIN alice s3cret\r", "s3cret"),
    ],
)  # fmt: skip
def test_arguments_against_the_syntax_hold_a_password_too(line: str, password: str):
    script: Script = [BANNER, client(f"{line}\r\n"), server("a1 BAD syntax\r\n")]
    events = run(script)
    assert logins(events) == [("LOGIN", "alice", password, "rejected")]
    (login,) = [e for e in events if isinstance(e, Login)]
    assert line[login.span.start : login.span.end] == password


@pytest.mark.parametrize("answer", ["[PRIVACYREQUIRED] no", "Login only available under a layer of encryption", "use STARTTLS first", "[UNAVAILABLE] later"])
def test_a_refusal_that_asks_for_encryption_does_not_judge_the_password(answer: str):
    assert logins(run([BANNER, client("a1 LOGIN alice s3cret\r\n"), server(f"* BAD [ALERT] it was exposed\r\na1 NO {answer}\r\n")])) == [("LOGIN", "alice", "s3cret", "unknown")]


@pytest.mark.parametrize("before", [[], [server("+ \r\n")], [client("a1 NOOP\r\n"), Gap(Side.CLIENT, 30)], [client("a1 AUTHENTICATE PLAIN\r\n"), Gap(Side.SERVER, 4)]])
def test_a_response_whose_command_was_not_captured(before: Script):
    assert logins(run([*before, client(f"{PLAIN}\r\n"), server("a1 OK in\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_a_backslash_that_escapes_nothing_is_meant():
    assert logins(run([BANNER, client('a1 LOGIN "EXAMPLE\\alice" "s\\3cret"\r\n'), server("a1 OK\r\n")])) == [("LOGIN", "EXAMPLE\\alice", "s\\3cret", "accepted")]


def test_joined_at_a_prompt():
    user, password = b64encode(b"alice").decode(), b64encode(b"s3cret").decode()
    last = [server("+ UGFzc3dvcmQ6\r\n"), client(password + "\r\n"), server("a1 NO no\r\n"), client("a2 LOGIN bob x\r\n"), server("a2 OK\r\n")]
    for first, name in (([], None), ([server("+ VXNlcm5hbWU6\r\n"), client(user + "\r\n")], "alice")):
        assert logins(run([*first, *last])) == [("AUTH LOGIN", name, "s3cret", "rejected"), ("LOGIN", "bob", "x", "accepted")]


def test_a_quoted_mechanism():
    assert logins(run([BANNER, client(f'a1 AUTHENTICATE "PLAIN" {PLAIN}\r\n'), server("a1 OK\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_answers_find_their_tags():
    events = run([BANNER, client("a NOOP\r\nb LOGIN alice one\r\nc LOGIN alice two\r\n"), server("c OK\r\n* 3 EXISTS\r\na OK\r\nb NO\r\n")])
    assert logins(events) == [("LOGIN", "alice", "two", "accepted"), ("LOGIN", "alice", "one", "rejected")]


def test_a_refused_literal_does_not_come():
    events = run([BANNER, client("a LOGIN alice {9999}\r\n"), server("a BAD too long\r\n"), client("b LOGIN alice s3cret\r\n"), server("b OK\r\n")])
    assert logins(events) == [("LOGIN", "alice", "s3cret", "accepted")]


@pytest.mark.parametrize(
    "turns",
    [
        [client(f"a AUTHENTICATE PLAIN {PLAIN}\r\n")],
        [client("a AUTHENTICATE PLAIN\r\n"), server("+\r\n"), client(f"{PLAIN}\r\n")],
        [client("a authenticate plain\r\n"), server("+ \r\n"), client(f"{PLAIN}\r\n")],
        [client("a AUTHENTICATE PLAIN\r\n"), client(f"{PLAIN}\r\n")],
    ],
)
def test_authenticate_plain(turns: Script):
    assert logins(run([BANNER, *turns, server("a NO\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "rejected")]


def test_authenticate_login_and_cram_md5():
    user, password = b64encode(b"alice").decode(), b64encode(b"s3cret").decode()
    events = run([BANNER, client("a AUTHENTICATE LOGIN\r\n"), server("+ VXNlcm5hbWU6\r\n"), client(f"{user}\r\n"), server("+ UGFzc3dvcmQ6\r\n"), client(f"{password}\r\n"), server("a OK\r\n")])
    assert logins(events) == [("AUTH LOGIN", "alice", "s3cret", "accepted")]
    challenge, answer = b64encode(b"<1@mx>").decode(), b64encode(b"alice " + b"0f" * 16).decode()
    (found,) = [e for e in run([BANNER, client("a AUTHENTICATE CRAM-MD5\r\n"), server(f"+ {challenge}\r\n"), client(f"{answer}\r\n"), server("a OK\r\n")]) if isinstance(e, ChallengeResponse)]
    assert found.crack is not None
    assert found.crack.line.reveal() == f"$cram_md5${challenge}${answer}"


def test_authenticate_cancelled():
    events = run([BANNER, client("a AUTHENTICATE LOGIN\r\n"), server("+ VXNlcm5hbWU6\r\n"), client("*\r\n"), server("a BAD\r\n"), client("b LOGIN alice s3cret\r\n"), server("b OK\r\n")])
    assert logins(events) == [("LOGIN", "alice", "s3cret", "accepted")]


def test_the_client_alone():
    assert logins(run([client(f"a1 CAPABILITY\r\na2 AUTHENTICATE PLAIN\r\n{PLAIN}\r\na3 SELECT x\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "unknown")]
    assert logins(run([client("a1 LOGIN {5}\r\nalice {6}\r\ns3cret\r\na3 SELECT x\r\n")])) == [("LOGIN", "alice", "s3cret", "unknown")]


@pytest.mark.parametrize(
    "turns",
    [
        [server("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")],
        [BANNER, client("a CAPABILITY\r\n"), server("* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\na OK\r\n")],
        [BANNER, client("a NOOP\r\n"), server("a OK [CAPABILITY starttls IMAP4rev1] x\r\n")],
        [server("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n* CAPABILITY STARTTLS\r\n")],
    ],
)
def test_starttls_offered_is_said_once(turns: Script):
    assert upgrades(run(turns)) == ["offered"]


def test_starttls():
    script: Script = [BANNER, client("a STARTTLS\r\n"), server("a OK go\r\n"), client(b"\x16\x03\x01\0\x05hello")]
    events = run(script)
    assert upgrades(events) == ["asked", "granted"]
    assert events[-1].resume == (12, len(BANNER.data) + 9)
    assert upgrades(run([BANNER, client("a STARTTLS\r\n"), server("a NO no\r\n"), client("b LOGIN a b\r\n")])) == ["asked", "refused"]
    assert upgrades(run([client("a STARTTLS\r\n"), client(b"\x16\x03\x01\0\x05hello")])) == ["asked", "granted"]
    assert upgrades(run([BANNER, server("a OK go\r\n\x16\x03\x03\0\0")])) == ["granted"]


def test_greeting():
    assert [(e.product, e.version) for e in run([server("* OK mx Cyrus IMAP4 v2.3.16 server ready\r\n")]) if isinstance(e, Greeting)] == [("Cyrus", "2.3.16")]


MAIL = "Subject: hi\r\n\r\na1 LOGIN x y\r\n* OK [CAPABILITY STARTTLS]\r\n"


def test_fetched_mails():
    script: Script = [
        BANNER, client("a UID FETCH 1:2 (FLAGS BODY.PEEK[])\r\n"),
        server(f"* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[] {{{len(MAIL)}}}\r\n{MAIL} UID 1)\r\n* 2 FETCH (RFC822 {{{len(MAIL)}}}\r\n{MAIL})\r\na OK done\r\n"),
        client("b LOGIN alice s3cret\r\n"), server("b OK\r\n"),
    ]  # fmt: skip
    events = run(script)
    assert mails(events) == [MAIL.encode()] * 2
    assert upgrades(events) == []
    assert len(logins(events)) == 1


def test_fetched_parts_are_decoded_by_their_look():
    part = b64encode(b"the quick brown fox jumps over the lazy dog").decode()
    events = run([BANNER, server(f"* 1 FETCH (BODY[1] {{{len(part)}}}\r\n{part} BODY[1.MIME] {{5}}\r\nhello)\r\n")])
    assert mails(events) == [b"the quick brown fox jumps over the lazy dog"]


def test_a_part_fetched_as_a_quoted_string():
    script = [BANNER, client("a1 FETCH 1 (BODY[TEXT] BODY[1.2])\r\n"), server('* 1 FETCH (BODY[TEXT] "the code is 1234" BODY[1.2] "" BODY[2] {2}\r\nhi BODY[3]<0> "more")\r\n* LIST () "/" "x [1] "\r\na1 OK\r\n')]
    assert mails(run(script)) == [b"the code is 1234", b"hi", b"more"]


def test_other_literals_of_the_server_are_skipped():
    assert run([BANNER, server('* LIST () "/" {17}\r\n* OK [CAPABILITY\r\n\r\n* 1 EXISTS\r\n')]) == run([BANNER])


@pytest.mark.parametrize("mailbox", ["INBOX", '"Sent Items"', "{4+}\r\nSent", "{4}\r\nSent"])
def test_appended_mails(mailbox: str):
    events = run([BANNER, client(f"a APPEND {mailbox} (\\Seen) {{{len(MAIL)}+}}\r\n{MAIL}\r\nb LOGIN alice s3cret\r\n"), server("a OK\r\nb OK\r\n")])
    assert mails(events) == [MAIL.encode()]
    assert logins(events) == [("LOGIN", "alice", "s3cret", "accepted")]


def test_a_literal_in_a_search_is_no_command():
    events = run([BANNER, client("a SEARCH SUBJECT {19+}\r\nb LOGIN mallory x\r\n SINCE x\r\nc LOGIN alice s3cret\r\n"), server("c OK\r\n")])
    assert logins(events) == [("LOGIN", "alice", "s3cret", "accepted")]


def test_idle_and_compress():
    events = run([BANNER, client("a IDLE\r\n"), server("+ idling\r\n* 1 EXISTS\r\n"), client("DONE\r\n"), server("a OK\r\n"), client("b LOGIN alice s3cret\r\n"), server("b OK\r\n"), client("c COMPRESS DEFLATE\r\n"), server("c OK\r\n"), client(b"\0\xff\n" * 20)])
    assert len(logins(events)) == 1
    assert [type(e) for e in events[-2:]] == [Anomaly, Done]
    assert not [e for e in run([BANNER, client("c COMPRESS DEFLATE\r\n"), server("c NO\r\n"), client("d NOOP\r\n")]) if isinstance(e, Done)]


LONG: Script = [
    BANNER, client("a LOGIN {5}\r\n"), server("+\r\n"), client("alice {6}\r\n"), server("+\r\n"), client("s3cret\r\n"), server("a NO\r\n"),
    client("b AUTHENTICATE LOGIN\r\n"), server("+ VXNlcm5hbWU6\r\n"), client("YWxpY2U=\r\n"), server("+ UGFzc3dvcmQ6\r\n"), client("czNjcmV0\r\n"),
    server("b OK\r\n"), client("c APPEND x {12}\r\n"), server("+\r\n"), client("Subject: hi\n\r\n"), server("c OK\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(LONG)))
def test_a_gap_invents_nothing(at: int):
    step = LONG[at]
    assert isinstance(step, Say)
    events = run([*LONG[:at], Gap(step.side, len(step.data)), *LONG[at + 1 :]])
    assert {login[1:3] for login in logins(events)} <= {("alice", "s3cret"), (None, "s3cret")}


def test_a_gap_in_a_fetched_mail():
    events = run([BANNER, server("* 1 FETCH (BODY[] {40}\r\nSubject: hi\r\n\r\n"), Gap(Side.SERVER, 10), server("0123456789\r\n\r\n)\r\n* OK [CAPABILITY STARTTLS] x\r\n")])
    assert len(mails(events)) == 2
    assert upgrades(events) == ["offered"]


def test_long_lines_and_mails():
    events = drive(SPEC, [BANNER, server("* SEARCH" + " 123" * MAX_LINE + "\r\n* OK [CAPABILITY STARTTLS]\r\n")], cut=1000)
    assert upgrades(events) == ["offered"]
    mail = "a: b\r\n\r\n" + "x" * (2 * MAX_MAIL)
    script: Script = [BANNER, server("* 1 FETCH (X " + "y" * MAX_LINE + f" BODY[] {{{len(mail)}}}\r\n{mail})\r\n* OK [CAPABILITY STARTTLS]\r\n")]
    events = drive(SPEC, script)
    assert [len(m) for m in mails(events)] == [MAX_MAIL]
    assert upgrades(events) == ["offered"]
    assert drive(SPEC, script, cut=5000) == events


def test_hostile_input_costs_little():
    for line in ("a NOOP\r\n", "a LOGIN a b\r\n", 'a LOGIN "' + "\\" * 300 + "\r\n", "a LOGIN" + " {1+}\r\nx" * 10, f"a AUTHENTICATE PLAIN {PLAIN}\r\n", "{99}\r\n"):
        start = time.perf_counter()
        drive(SPEC, [client(line * 3000)])
        assert time.perf_counter() - start < 2
    with pytest.raises(Malformed):
        drive(SPEC, [server("what\r\n" * 20)])


@pytest.mark.parametrize(
    ("sent", "said", "match"),
    [
        (b"", b"* OK ready\r\n", Match.YES),
        (b"", b"* PREAUTH ready\r\n", Match.YES),
        (b"", b"* OK", Match.MORE),
        (b"", b"* 12 FETCH (FLAGS", Match.YES),
        (b"", b"* 12 EXISTS\r\n", Match.YES),
        (b"", b"* 12 apples\r\n", Match.NO),
        (b"", b"* item of a list\r\n", Match.NO),
        (b"", b"+OK POP3\r\n", Match.NO),
        (b"a001 LOGIN alice x\r\n", b"", Match.YES),
        (b"1 capability\r\n", b"", Match.YES),
        (b". LOGIN alice x\r\n", b"", Match.YES),
        (b"a1 UID FETCH 1 (FLAGS)\r\n", b"", Match.YES),
        (b"a1 LOGIN", b"", Match.MORE),
        (b"NICK LOGIN a b\r\n", b"", Match.MORE),
        (b"qzvb CAPABILITY\r\n", b"", Match.YES),
        (b'qzvb LOGIN "alice" "s3cret"\r\n', b"", Match.YES),
        (b"qzvb AUTHENTICATE PLAIN\r\n", b"", Match.YES),
        (b"qzvb AUTHENTICATE PLAIN\r\n", b"+OK\r\n", Match.NO),
        (b"qzvb CAPABILITIES\r\n", b"", Match.NO),
        (b"NICK LOGIN a b\r\n", b"NICK OK in\r\n", Match.YES),
        (b"NICK LOGIN a b\r\n", b"nope\r\n", Match.NO),
        (b"a.b-c_1 LOGIN a b\r\n", b"a.b-c_1 NO\r\n", Match.YES),
        (b"a1 LOGIN alice x\r\n", b"a1 OK\r\n", Match.YES),
        (b"a2 LOGIN alice x\r\n", b"a1 OK done\r\n", Match.YES),
        (b"AGEAYg==\r\n", b"a1 OK in\r\n", Match.MORE),
        (b"AGEAYg==\r\na2 SELECT INBOX\r\n", b"a1 OK in\r\na2 OK\r\n", Match.YES),
        (b"", b"+ go on\r\n", Match.MORE),
        (b"GET / HTTP/1.1\r\n", b"", Match.NO),
        (b"USER alice\r\n", b"", Match.NO),
        (b"\x16\x03\x01", b"", Match.NO),
    ],
)
def test_probe(sent: bytes, said: bytes, match: Match):
    assert SPEC.probe(sent, said) is match
    before = Match.MORE
    for n in range(max(len(sent), len(said)) + 1):
        now = SPEC.probe(sent[:n], said[:n])
        assert before is Match.MORE or now is before
        before = now
