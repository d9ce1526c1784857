from __future__ import annotations

import random
import time
from base64 import b64encode

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors._mail import MAX_MAIL
from sniffer.dissectors.smtp import SPEC
from sniffer.errors import Malformed
from sniffer.events import (
    ChallengeResponse,
    Content,
    Encryption,
    Event,
    Greeting,
    Login,
    Outcome,
    Posture,
    Side,
    Upgrade,
)
from tests.drive import Gap, Say, client, drive, server

Script = list[Say | Gap]

PLAIN = b64encode(b"\0alice\0s3cret").decode()
USER, PASSWORD = b64encode(b"alice").decode(), b64encode(b"s3cret").decode()
BANNER = server("220 mx.example.org ESMTP Exim 4.94.2 ready\r\n")
HELLO = [BANNER, client("EHLO host\r\n"), server("250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n")]


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


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("235 2.7.0 ok", "accepted"), ("235", "accepted"), ("535-5.7.8 no\r\n535 5.7.8 no", "rejected"), ("421 bye", "unknown"),
     ("530 Access denied", "rejected"), ("550 no permission", "rejected"),
     *((r, "unknown") for r in ("454 4.7.0 later", "504 unknown", "534 5.7.9 too weak", "538 5.7.11 encryption required", "530 5.7.0 Must issue a STARTTLS command first"))],
)  # fmt: skip
@pytest.mark.parametrize(
    "turns",
    [
        [client(f"AUTH PLAIN {PLAIN}\r\n")],
        [client("auth plain\r\n"), server("334 \r\n"), client(f"{PLAIN}\r\n")],
        [client("AUTH PLAIN\n"), server("334\n"), client(f"{PLAIN}\n")],
        [client("AUTH LOGIN\r\n"), server("334 VXNlcm5hbWU6\r\n"), client(f"{USER}\r\n"), server("334 UGFzc3dvcmQ6\r\n"), client(f"{PASSWORD}\r\n")],
        [client(f"AUTH LOGIN {USER}\r\n"), server("334 UGFzc3dvcmQ6\r\n"), client(f"{PASSWORD}\r\n")],
    ],
)
def test_logins_and_outcomes(turns: Script, reply: str, outcome: str):
    mechanism = "AUTH LOGIN" if b"LOGIN" in turns[0].data else "AUTH PLAIN"
    assert logins(run([*HELLO, *turns, server(f"{reply}\r\n")])) == [(mechanism, "alice", "s3cret", outcome)]


@pytest.mark.parametrize("line", [f"  AUTH PLAIN {PLAIN}", f"AUTH\tPLAIN {PLAIN}", f"AUTH  PLAIN   {PLAIN} "])
def test_blanks_are_taken_as_servers_take_them(line: str):
    assert logins(run([*HELLO, client(f"{line}\r\n"), server("235 in\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


@pytest.mark.parametrize("before", [[], [server("334 \r\n")], [*HELLO, Gap(Side.CLIENT, 12)], [*HELLO, client("AUTH PLAIN\r\n"), Gap(Side.SERVER, 6)]])
def test_a_response_whose_command_was_not_captured(before: Script):
    assert logins(run([*before, client(f"{PLAIN}\r\n"), server("235 in\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_the_span_is_the_response():
    script = [*HELLO, client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")]
    (login,) = [e for e in run(script) if isinstance(e, Login)]
    sent = b"".join(s.data for s in script if isinstance(s, Say) and s.side is Side.CLIENT)
    assert sent[login.span.start : login.span.end].decode() == PLAIN


def test_cram_md5():
    challenge = b64encode(b"<1@mx>").decode()
    answer = b64encode(b"alice " + b"0f" * 16).decode()
    events = run([*HELLO, client("AUTH CRAM-MD5\r\n"), server(f"334 {challenge}\r\n"), client(f"{answer}\r\n"), server("235 ok\r\n")])
    (found,) = [e for e in events if isinstance(e, ChallengeResponse)]
    assert found.crack is not None
    assert found.crack.line.reveal() == f"$cram_md5${challenge}${answer}"
    assert found.outcome is Outcome.ACCEPTED


def test_a_second_try_after_a_refused_one():
    wrong = b64encode(b"\0alice\0wrong").decode()
    events = run([*HELLO, client(f"AUTH PLAIN {wrong}\r\n"), server("535 no\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert logins(events) == [("AUTH PLAIN", "alice", "wrong", "rejected"), ("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_cancelled_and_empty_responses_are_no_logins():
    assert logins(run([*HELLO, client("AUTH LOGIN\r\n"), server("334 VXNlcm5hbWU6\r\n"), client("*\r\n"), server("501 cancelled\r\n"), client("QUIT\r\n"), server("221 bye\r\n")])) == []
    assert logins(run([*HELLO, client("AUTH PLAIN =\r\n"), server("501 no\r\n")])) == []
    assert logins(run([*HELLO, client("AUTH PLAIN %%%\r\n"), server("501 no\r\n")])) == []


@pytest.mark.parametrize(
    ("lines", "mechanism"),
    [
        (["AUTH PLAIN", PLAIN], "AUTH PLAIN"),
        ([f"AUTH PLAIN {PLAIN}"], "AUTH PLAIN"),
        (["AUTH LOGIN", USER, PASSWORD], "AUTH LOGIN"),
        ([f"AUTH LOGIN {USER}", PASSWORD], "AUTH LOGIN"),
    ],
)
def test_the_client_alone(lines: list[str], mechanism: str):
    script: Script = [client(line + "\r\n") for line in ["EHLO host", *lines, "MAIL FROM:<a@example.org>", "DATA", "From: a", "", "AUTH PLAIN x", ".", "QUIT"]]
    events = run(script)
    assert logins(events) == [(mechanism, "alice", "s3cret", "unknown")]
    assert mails(events) == [b"From: a\r\n\r\nAUTH PLAIN x\r\n"]


def test_the_client_alone_gives_up_after_the_user():
    assert logins(run([client(f"EHLO h\r\nAUTH LOGIN\r\n{USER}\r\nQUIT\r\n")])) == []


def test_the_server_alone_gives_what_it_offers():
    events = run([BANNER, server("250-mx\r\n250 STARTTLS\r\n")])
    assert [type(e) for e in events] == [Greeting]
    assert upgrades(run([BANNER, server("220 2.0.0 go\r\n\x16\x03\x03\0\0")])) == ["granted"]


def test_joined_at_the_password_prompt():
    events = run([server("334 UGFzc3dvcmQ6\r\n"), client(f"{PASSWORD}\r\n"), server("235 ok\r\n")])
    assert logins(events) == [("AUTH LOGIN", None, "s3cret", "accepted")]


BODY = "Subject: hi\r\n\r\nMAIL FROM:<x@y>\r\nAUTH PLAIN AGEAYg==\r\n..leading dot\r\nQUIT\r\n.\r\n"
TEXT = b"Subject: hi\r\n\r\nMAIL FROM:<x@y>\r\nAUTH PLAIN AGEAYg==\r\n.leading dot\r\nQUIT\r\n"


def test_joined_at_the_user_prompt():
    events = run([server("334 VXNlcm5hbWU6\r\n"), client(USER + "\r\n"), server("334 UGFzc3dvcmQ6\r\n"), client(PASSWORD + "\r\n"), server("235 ok\r\n")])
    assert logins(events) == [("AUTH LOGIN", "alice", "s3cret", "accepted")]


def test_the_verb_of_exchange_servers():
    assert logins(run([*HELLO, client(f"X-EXPS PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_a_body_is_no_commands():
    events = run([*HELLO, client("MAIL FROM:<a@b>\r\n"), server("250 ok\r\n"), client("DATA\r\n"), server("354 go\r\n"), client(BODY), server("250 queued\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert mails(events) == [TEXT]
    assert logins(events) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]
    (mail,) = [e for e in events if isinstance(e, Content)]
    assert (mail.media, mail.where, mail.span.end - mail.span.start) == ("message/rfc822", "mail", len(BODY) - 3)


def test_pipelined_commands_meet_their_replies():
    events = run(
        [
            *HELLO,
            client("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
            server("250 ok\r\n250 ok\r\n550 no such user\r\n354 go\r\n"),
            client(BODY + "RSET\r\nSTARTTLS\r\n"),
            server("250 queued\r\n250 reset\r\n454 not now\r\n"),
        ]
    )
    assert mails(events) == [TEXT]
    assert upgrades(events) == ["asked", "refused"]


def test_a_refused_data_leaves_command_mode_on():
    for reply in ("554 no valid recipients", "451 later"):
        events = run([*HELLO, client("DATA\r\n"), server(f"{reply}\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
        assert logins(events) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]
        assert mails(events) == []


def test_an_empty_body():
    events = run([*HELLO, client("DATA\r\n"), server("354 go\r\n"), client(".\r\n"), server("250 ok\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert mails(events) == []
    assert len(logins(events)) == 1


def test_bare_newlines():
    events = run([*HELLO, client("DATA\n"), server("354 go\n"), client("a: b\n\nx\n.\n"), server("250 ok\n"), client(f"AUTH PLAIN {PLAIN}\n"), server("235 ok\n")])
    assert mails(events) == [b"a: b\n\nx\n"]
    assert len(logins(events)) == 1


def test_a_body_ended_otherwise_than_begun_ends_with_the_answer():
    events = run([*HELLO, client("DATA\r\n"), server("354 go\r\n"), client("a: b\n\nx\n.\n"), server("250 ok\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert len(mails(events)) == 1
    assert len(logins(events)) == 1


def test_a_bare_newline_and_dot_in_a_body_do_not_end_it():
    smuggled = "a: b\r\n\r\nx\n.\nAUTH PLAIN AGEAYg==\r\n.\r\n"
    events = run([*HELLO, client("DATA\r\n"), server("354 go\r\n"), client(smuggled), server("250 ok\r\n")])
    assert logins(events) == []
    assert len(mails(events)) == 1


def test_bdat_counts_bytes():
    first, second = "Subject: hi\r\n\r\n", "AUTH PLAIN AGEAYg==\r\n.\r\nQUIT\r\n"
    events = run(
        [
            *HELLO,
            client(f"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT {len(first)}\r\n{first}BDAT {len(second)} LAST\r\n{second}STARTTLS\r\n"),
            server("250 ok\r\n250 ok\r\n250 15 bytes\r\n250 queued\r\n454 no\r\n"),
        ]
    )
    assert mails(events) == [(first + second).encode()]
    assert logins(events) == []
    assert upgrades(events) == ["asked", "refused"]


def test_lmtp_answers_for_each_recipient():
    events = run(
        [
            server("220 mx LMTP\r\n"), client("LHLO host\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
            server("250 mx\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), client("a: b\r\n\r\n.\r\n"), server("250 one\r\n250 two\r\n"),
            client("STARTTLS\r\n"), server("220 go\r\n"),
        ]
    )  # fmt: skip
    assert upgrades(events) == ["asked", "granted"]


def test_starttls_granted():
    script = [BANNER, client("EHLO h\r\n"), server("250-mx\r\n250-STARTTLS\r\n250 HELP\r\n"), client("STARTTLS\r\n"), server("220 2.0.0 go\r\n"), client(b"\x16\x03\x01\0\x05hello")]
    events = run(script)
    assert upgrades(events) == ["offered", "asked", "granted"]
    sent = [sum(len(s.data) for s in script[:5] if isinstance(s, Say) and s.side is side) for side in Side]
    assert events[-1].resume == tuple(sent)
    assert drive(SPEC, [*script, client(f"AUTH PLAIN {PLAIN}\r\n")]) == events


@pytest.mark.parametrize("reply", ["454 TLS not available", "502 what?", "501 no arguments", "530 no"])
def test_starttls_refused(reply: str):
    events = run([*HELLO, client("STARTTLS\r\n"), server(f"{reply}\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert upgrades(events) == ["asked", "refused"]
    assert len(logins(events)) == 1


def test_starttls_with_one_side_missing():
    assert upgrades(run([client("EHLO h\r\nSTARTTLS\r\n"), client(b"\x16\x03\x01\0\x05hello")])) == ["asked", "granted"]
    # Captured out of order: the hello waits for the answer.
    events = run([*HELLO, client("STARTTLS\r\n"), client(b"\x16\x03\x01\0\x05hello"), server("220 go\r\n")])
    assert upgrades(events) == ["asked", "granted"]


def test_what_is_sent_before_the_answer_belongs_to_the_next_protocol_only_if_held():
    events = run([*HELLO, client("STARTTLS\r\nNOOP\r\n"), server("220 go\r\n")])
    (granted,) = [e for e in events if isinstance(e, Upgrade) and e.status == "granted"]
    assert granted.resume is not None


@pytest.mark.parametrize(
    "script",
    [
        [BANNER, client("EHLO h\r\n"), server("250-mx\r\n250-XXXXXXXA\r\n250 XXXB\r\n")],
        [BANNER, client("EHLO h\r\n"), server("250 mx\r\n"), client("XXXXXXXX\r\n"), server("500 what?\r\n")],
    ],
)
def test_stripped_on_the_way(script: Script):
    postures = [e for e in run([*script, client("EHLO h\r\n"), server("250-mx\r\n250 XXXXXXXA\r\n")]) if isinstance(e, Posture)]
    assert [p.encryption for p in postures] == [Encryption.STRIPPED]
    assert "XXXX" in postures[0].why


def test_other_masked_words_are_not_starttls():
    assert not [e for e in run([BANNER, client("EHLO h\r\n"), server("250-mx\r\n250-XXXXXXXXXXA\r\n250 XXXB\r\n")]) if isinstance(e, Posture)]


@pytest.mark.parametrize(
    ("banner", "product", "version"),
    [
        ("220 mx ESMTP Postfix (Debian/GNU)", "Postfix", None),
        ("220 mx ESMTP Exim 4.94.2 #2 Sat, 01 Jan 2022", "Exim", "4.94.2"),
        ("220 mx ESMTP Sendmail 8.15.2/8.15.2; Mon", "Sendmail", "8.15.2"),
        ("220 mx Microsoft ESMTP MAIL Service, Version: 6.0.3790.1830 ready", "Microsoft ESMTP MAIL Service", "6.0.3790.1830"),
    ],
)
def test_greeting(banner: str, product: str, version: str | None):
    (greeting,) = run([server(banner + "\r\n")])
    assert isinstance(greeting, Greeting)
    assert (greeting.product, greeting.version) == (product, version)


LONG: Script = [
    *HELLO, client("AUTH LOGIN\r\n"), server("334 VXNlcm5hbWU6\r\n"), client(f"{USER}\r\n"), server("334 UGFzc3dvcmQ6\r\n"),
    client(f"{PASSWORD}\r\n"), server("235 ok\r\n"), client("MAIL FROM:<a@b>\r\n"), server("250 ok\r\n"), client("DATA\r\n"),
    server("354 go\r\n"), client(BODY), server("250 ok\r\n"), client("QUIT\r\n"), server("221 bye\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(LONG)))
def test_a_gap_invents_nothing(at: int):
    step = LONG[at]
    assert isinstance(step, Say)
    events = run([*LONG[:at], Gap(step.side, len(step.data)), *LONG[at + 1 :]])
    assert {login[:3] for login in logins(events)} <= {("AUTH LOGIN", "alice", "s3cret"), ("AUTH LOGIN", None, "s3cret")}
    assert all(b"QUIT" in m or m == b"" for m in mails(events) if step.data != BODY.encode())


def test_a_gap_inside_a_body_and_over_its_end():
    start = [*HELLO, client("DATA\r\n"), server("354 go\r\n")]
    inside = run([*start, client("a: b\r\n\r\nsome"), Gap(Side.CLIENT, 9), client("thing\r\n.\r\nQUIT\r\n"), server("250 ok\r\n")])
    assert mails(inside) == [b"a: b\r\n\r\n", b"thing\r\n"] or mails(inside) == [b"a: b\r\n\r\nsome", b"thing\r\n"]
    over = run([*start, client("a: b\r\n\r\nsome"), Gap(Side.CLIENT, 9), server("250 ok\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")])
    assert len(logins(over)) == 1


def test_a_mail_beyond_the_limit_is_cut_and_its_end_found():
    line = b"x" * 998 + b"\r\n"
    script = [*HELLO, client("DATA\r\n"), server("354 go\r\n"), client(b"a: b\r\n\r\n" + line * (2 * MAX_MAIL // 1000) + b".\r\n"), server("250 ok\r\n"), client(f"AUTH PLAIN {PLAIN}\r\n"), server("235 ok\r\n")]
    events = drive(SPEC, script)
    assert [len(m) for m in mails(events)] == [MAX_MAIL]
    assert len(logins(events)) == 1
    assert drive(SPEC, script, cut=4096) == events


def test_a_client_that_never_stops():
    for line in ("NOOP\r\n", f"AUTH PLAIN {PLAIN}\r\n", "\r\n", "STARTTLS\r\n"):
        start = time.perf_counter()
        events = drive(SPEC, [client(line * 5000)])
        assert len(logins(events)) in (0, 5000)
        assert time.perf_counter() - start < 2


def test_lines_without_end_and_strangers_are_refused():
    with pytest.raises(Malformed):
        drive(SPEC, [client("EHLO " + "x" * 100_000)])
    with pytest.raises(Malformed):
        drive(SPEC, [server("hello there\r\n" * 20)])


@pytest.mark.parametrize(
    ("sent", "said", "match"),
    [
        (b"", b"", Match.MORE),
        (b"", b"220 mx.example.org ESMTP Postfix\r\n", Match.YES),
        (b"", b"220-mx SMTP\r\n", Match.YES),
        (b"", b"220 mx ready\r\n", Match.MORE),
        (b"EHLO h\r\n", b"220 mx ready\r\n", Match.YES),
        (b"HELO h\r\n", b"", Match.YES),
        (b"LHLO h\r\n", b"", Match.YES),
        (b"MAIL FROM:<a@b>", b"", Match.YES),
        (b"AUTH ", b"", Match.MORE),
        (b"USER alice\r\n", b"220 ftp ready\r\n", Match.NO),
        (b"", b"220 ProFTPD FTP server, no SMTP\r\n", Match.MORE),
        (b"", b"+OK POP3\r\n", Match.NO),
        (b"", b"SSH-2.0-x\r\n", Match.NO),
        (b"GET / HTTP/1.1\r\n", b"", Match.NO),
        (b"GET / HTTP/1.1\r\n", b"220 mx ESMTP\r\n", Match.YES),
        (b"", b"334 VXNlcm5hbWU6\r\n", Match.YES),
        (b"", b"334 \r\n", Match.YES),
        (b"", b"334 Using authentication type GSSAPI\r\n", Match.MORE),
        (b"", b"535 5.7.8 no\r\n", Match.YES),
        (b"", b"550 3.5 MB left\r\n", Match.MORE),
        (b"EHLO\r\n", b"220 mx ready\r\n", Match.YES),
        (b"EHLO b\xfcro\r\n", b"", Match.YES),
        (b"HLEP\r\n", b"220 mx ready\r\n", Match.MORE),
        (b"FEAT\r\n", b"220 mx ready\r\n", Match.NO),
        (b"HLEP\r\nEHLO h\r\n", b"220 mx ready\r\n", Match.YES),
        (b"AUTH LOGIN\r\n", b"220 mx ready\r\n", Match.YES),
        (b"RSET\r\nAUTH PLAIN AGEAYg==\r\n", b"250 ok\r\n", Match.YES),
        (b"AUTH TLS\r\n", b"234 ok\r\n", Match.NO),
        (b"AUTH hunter2\r\n", b"220 dict\r\n", Match.MORE),
        (b"YWxpY2U=\r\n", b"", Match.MORE),
        (b"YWxpY2U=\r\n", b"334 UGFzc3dvcmQ6\r\n", Match.YES),
    ],
)
def test_probe(sent: bytes, said: bytes, match: Match):
    assert SPEC.probe(sent, said) is match
    before = Match.MORE
    for n in range(max(len(sent), len(said)) + 1):
        now = SPEC.probe(sent[:n], said[:n])
        assert before is Match.MORE or now is before
        before = now
