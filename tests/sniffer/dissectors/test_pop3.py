from __future__ import annotations

import random
import time
from base64 import b64encode
from hashlib import md5
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from sniffer import scan
from sniffer.dissectors import Match
from sniffer.dissectors.pop3 import SPEC
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Content, Event, Greeting, Login, Side, Token, Upgrade
from tests.drive import Gap, Say, client, drive, server

Script = list[Say | Gap]

STAMP = "<1896.697170952@dbc.example.org>"
BANNER = server(f"+OK POP3 server ready {STAMP}\r\n")
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


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("+OK", "accepted"), ("+OK mailbox open", "accepted"), ("-ERR no", "rejected"), ("-ERR [AUTH] no", "rejected"), ("-ERR [IN-USE] locked", "accepted"), ("-ERR [SYS/TEMP] later", "unknown"), ("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "unknown")],
)
@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_user_and_pass(reply: str, outcome: str, newline: str):
    script: Script = [BANNER, client(f"USER alice{newline}"), server(f"+OK{newline}"), client(f"PASS  s3 cret {newline}"), server(f"{reply}{newline}")]
    events = run(script)
    assert logins(events) == [("PASS", "alice", " s3 cret ", outcome)]
    (login,) = [e for e in events if isinstance(e, Login)]
    assert login.span.end - login.span.start == len(" s3 cret ")


def test_status_words_and_line_ends_as_some_devices_write_them():
    script: Script = [server("+OK. ready\r\n"), client("USER alice\r\r\n"), server("+OK.\r\n"), client(" PASS\ts3cret\r\r\n"), server("-ERR: no\r\n")]
    assert logins(run(script)) == [("PASS", "alice", "s3cret", "rejected")]
    assert SPEC.probe(b"USER alice\r\n", b"+OK. ready\r\n") is Match.YES


@pytest.mark.parametrize("asked", ["CAPA", "AUTH", "LIST"])
def test_a_list_that_does_not_come(asked: str):
    script: Script = [BANNER, client(f"{asked}\r\n"), server("+OK\r\n"), client("USER alice\r\n"), server("+OK\r\n"), client("PASS s3cret\r\n"), server("-ERR no\r\n")]
    assert logins(run(script)) == [("PASS", "alice", "s3cret", "rejected")]


def test_a_capture_that_begins_with_the_password():
    assert logins(run([client("PASS s3cret\r\n"), server("+OK Welcome\r\n"), client("STAT\r\n"), server("+OK 0 0\r\n")])) == [("PASS", None, "s3cret", "accepted")]


@pytest.mark.parametrize("before", [[], [server("+ \r\n")], [BANNER, Gap(Side.CLIENT, 12)], [BANNER, client("AUTH PLAIN\r\n"), Gap(Side.SERVER, 4)]])
def test_a_response_whose_command_was_not_captured(before: Script):
    assert logins(run([*before, client(f"{PLAIN}\r\n"), server("+OK Welcome\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "accepted")]


def test_pipelined_and_in_lower_case():
    events = run([BANNER, client("user alice\r\npass wrong\r\nuser alice\r\npass s3cret\r\nstat\r\n"), server("+OK\r\n-ERR no\r\n+OK\r\n+OK\r\n+OK 0 0\r\n")])
    assert logins(events) == [("PASS", "alice", "wrong", "rejected"), ("PASS", "alice", "s3cret", "accepted")]


def test_commands_sent_before_the_greeting():
    events = run([client("USER alice\r\nPASS wrong\r\n"), BANNER, server("+OK\r\n-ERR no\r\n")])
    assert logins(events) == [("PASS", "alice", "wrong", "rejected")]


def test_empty_and_missing_passwords():
    assert logins(run([BANNER, client("USER alice\r\nPASS\r\nPASS \r\n"), server("+OK\r\n-ERR\r\n-ERR\r\n")])) == []


@pytest.mark.parametrize("script", [[client("USER alice\r\nPASS s3cret\r\nSTAT\r\nQUIT\r\n")], [client("AUTH PLAIN\r\n"), client(f"{PLAIN}\r\n"), client("STAT\r\n")]])
def test_the_client_alone(script: Script):
    assert [login[1:] for login in logins(run(script))] == [("alice", "s3cret", "unknown")]


def test_apop_is_what_crackers_check():
    digest = md5(STAMP.encode() + b"tanstaaf").hexdigest()
    events = run([BANNER, client(f"APOP mrose {digest.upper()}\r\n"), server("+OK\r\n")])
    (found,) = [e for e in events if isinstance(e, ChallengeResponse)]
    assert (found.mechanism, found.username, found.response.reveal(), str(found.outcome)) == ("APOP", "mrose", digest, "accepted")
    assert found.crack is not None
    assert (found.crack.hashcat, found.crack.line.reveal()) == (20, f"{digest}:{STAMP}")


@pytest.mark.parametrize("first", [server("+OK ready\r\n"), Gap(Side.SERVER, 40), client("NOOP\r\n")])
def test_apop_without_its_challenge_is_not_completed(first: Say | Gap):
    events = run([first, client(f"APOP mrose {'ab' * 16}\r\n"), server("-ERR\r\n")])
    (found,) = [e for e in events if isinstance(e, ChallengeResponse)]
    assert found.crack is None


@pytest.mark.parametrize("banner", ["+OK <12.34@mx> by <info@example.org>", "+OK mail <info@example.org> <12.34@mx>", "+OK <12.34@mx>."])
def test_apop_takes_the_stamp_with_the_clock(banner: str):
    event = run([server(banner + "\r\n"), client("APOP alice " + "0f" * 16 + "\r\n"), server("+OK\r\n")])[-1]
    assert isinstance(event, ChallengeResponse)
    assert event.crack is not None
    assert event.crack.line.reveal() == "0f" * 16 + ":<12.34@mx>"


def test_apop_with_a_space_in_the_stamp_or_the_user():
    event = run([server("+OK <12 34@mx>\r\n"), client("APOP al ice " + "0f" * 16 + "\r\n"), server("+OK\r\n")])[-1]
    assert isinstance(event, ChallengeResponse)
    assert event.crack is not None
    assert (event.username, event.crack.line.reveal()) == ("al ice", "0f" * 16 + ":<12 34@mx>")


def test_a_server_that_goes_on_with_ok():
    """Exchange answers AUTH NTLM with +OK where the others say +."""
    user, password = b64encode(b"alice").decode(), b64encode(b"s3cret").decode()
    for turns in (
        [client("AUTH PLAIN\r\n"), server("+OK\r\n"), client(PLAIN + "\r\n")],
        [client("AUTH LOGIN\r\n"), server("+OK\r\n"), client(user + "\r\n"), server("+OK\r\n"), client(password + "\r\n")],
    ):
        events = run([BANNER, *turns, server("+OK in\r\n"), client("STAT\r\n"), server("+OK 0 0\r\n")])
        assert [login[1:] for login in logins(events)] == [("alice", "s3cret", "accepted")]


def test_an_ok_that_ended_the_exchange_is_followed_by_commands():
    events = run([BANNER, client("AUTH ANONYMOUS\r\n"), server("+OK in\r\n"), client("STAT\r\n"), server("+OK 0 0\r\n"), client("USER a\r\n"), server("+OK\r\n"), client("PASS b\r\n"), server("-ERR no\r\n")])
    assert logins(events) == [("PASS", "a", "b", "rejected")]


def test_apop_that_is_none():
    assert run([client("APOP mrose short\r\nAPOP\r\n")]) == []


@pytest.mark.parametrize(
    "turns",
    [
        [client(f"AUTH PLAIN {PLAIN}\r\n")],
        [client("AUTH PLAIN\r\n"), server("+\r\n"), client(f"{PLAIN}\r\n")],
        [client("AUTH PLAIN\r\n"), server("+ \r\n"), client(f"{PLAIN}\r\n")],
    ],
)
def test_auth_plain(turns: Script):
    assert logins(run([BANNER, *turns, server("-ERR no\r\n")])) == [("AUTH PLAIN", "alice", "s3cret", "rejected")]


def test_auth_login_cram_and_token():
    user, password = b64encode(b"alice").decode(), b64encode(b"s3cret").decode()
    events = run([BANNER, client("AUTH LOGIN\r\n"), server("+ VXNlcm5hbWU6\r\n"), client(f"{user}\r\n"), server("+ UGFzc3dvcmQ6\r\n"), client(f"{password}\r\n"), server("+OK\r\n")])
    assert logins(events) == [("AUTH LOGIN", "alice", "s3cret", "accepted")]
    challenge, answer = b64encode(b"<1@mx>").decode(), b64encode(b"alice " + b"0f" * 16).decode()
    (found,) = [e for e in run([BANNER, client("AUTH CRAM-MD5\r\n"), server(f"+ {challenge}\r\n"), client(f"{answer}\r\n"), server("+OK\r\n")]) if isinstance(e, ChallengeResponse)]
    assert found.crack is not None
    assert found.crack.line.reveal() == f"$cram_md5${challenge}${answer}"
    token = b64encode(b"user=alice@example.org\x01auth=Bearer abc\x01\x01").decode()
    assert [e.secret.reveal() for e in run([BANNER, client(f"AUTH XOAUTH2 {token}\r\n"), server("+OK\r\n")]) if isinstance(e, Token)] == ["abc"]


CAPA = "+OK list follows\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\nIMPLEMENTATION Dovecot 2.3.4\r\n.\r\n"


def test_capabilities():
    events = run([BANNER, client("CAPA\r\n"), server(CAPA), client("CAPA\r\n"), server(CAPA), client("USER alice\r\nPASS s3cret\r\n"), server("+OK\r\n+OK\r\n")])
    assert upgrades(events) == ["offered"]
    assert any(isinstance(e, Greeting) and (e.product, e.version) == ("Dovecot", "2.3.4") for e in events)
    assert len(logins(events)) == 1


def test_stls():
    script: Script = [BANNER, client("STLS\r\n"), server("+OK begin\r\n"), client(b"\x16\x03\x01\0\x05hello")]
    events = run(script)
    assert upgrades(events) == ["asked", "granted"]
    assert events[-1].resume == (6, len(BANNER.data) + len("+OK begin\r\n"))
    assert upgrades(run([BANNER, client("STLS\r\n"), server("-ERR no\r\n"), client("USER a\r\nPASS b\r\n"), server("+OK\r\n+OK\r\n")])) == ["asked", "refused"]
    assert upgrades(run([client("STLS\r\n"), client(b"\x16\x03\x01\0\x05hello")])) == ["asked", "granted"]


MAIL = "Subject: hi\r\n\r\n+OK PASS x\r\n..dot\r\n"


@pytest.mark.parametrize("command", ["RETR 1", "TOP 1 10"])
def test_mails(command: str):
    events = run([BANNER, client(f"{command}\r\nUSER alice\r\nPASS s3cret\r\n"), server(f"+OK 99 octets\r\n{MAIL}.\r\n+OK\r\n-ERR no\r\n")])
    assert mails(events) == [b"Subject: hi\r\n\r\n+OK PASS x\r\n.dot\r\n"]
    assert logins(events) == [("PASS", "alice", "s3cret", "rejected")]


def test_a_mail_with_the_server_alone():
    assert mails(run([BANNER, server("+OK\r\n+OK 99 octets\r\n" + MAIL + ".\r\n+OK bye\r\n")])) == [b"Subject: hi\r\n\r\n+OK PASS x\r\n.dot\r\n"]


@pytest.mark.parametrize(
    ("command", "reply"),
    [("LIST", "+OK\r\n1 120\r\n.\r\n"), ("LIST 1", "+OK 1 120\r\n"), ("UIDL", "+OK\r\n1 x\r\n.\r\n"), ("UIDL 1", "+OK 1 x\r\n"), ("AUTH", "+OK\r\nPLAIN\r\n.\r\n"), ("LIST", "-ERR\r\n"), ("RETR 9", "-ERR none\r\n"), ("XYZ", "-ERR\r\n")],
)
def test_only_some_replies_have_more_lines(command: str, reply: str):
    events = run([BANNER, client(f"{command}\r\nUSER alice\r\nPASS s3cret\r\n"), server(f"{reply}+OK\r\n-ERR no\r\n")])
    assert logins(events) == [("PASS", "alice", "s3cret", "rejected")]


LONG: Script = [
    BANNER, client("CAPA\r\n"), server(CAPA), client("USER alice\r\n"), server("+OK\r\n"), client("PASS s3cret\r\n"), server("+OK\r\n"),
    client("RETR 1\r\n"), server(f"+OK\r\n{MAIL}.\r\n"), client("USER bob\r\n"), server("+OK\r\n"), client("PASS other\r\n"), server("-ERR\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(LONG)))
def test_a_gap_invents_nothing(at: int):
    step = LONG[at]
    assert isinstance(step, Say)
    found = {login[1:3] for login in logins(run([*LONG[:at], Gap(step.side, len(step.data)), *LONG[at + 1 :]]))}
    assert found <= {("alice", "s3cret"), ("bob", "other"), (None, "s3cret"), (None, "other")}


def test_a_user_before_a_gap_does_not_belong_to_a_pass_after_it():
    script: Script = [BANNER, client("USER alice\r\n"), server("+OK\r\n"), Gap(Side.CLIENT, 50), client("STAT\r\nPASS s3cret\r\n"), server("+OK\r\n")]
    assert [login[1] for login in logins(run(script))] == [None]


def test_a_gap_in_a_mail():
    events = run([BANNER, client("RETR 1\r\n"), server("+OK\r\nSubject: hi\r\n\r\nfirst"), Gap(Side.SERVER, 10), server("second\r\n.\r\n"), client("USER a\r\nPASS b\r\n"), server("+OK\r\n+OK\r\n")])
    assert len(mails(events)) == 2
    assert len(logins(events)) == 1
    lost = run([BANNER, client("RETR 1\r\n"), server("+OK\r\nSubject: hi\r\n\r\nfirst"), Gap(Side.SERVER, 10), client("USER a\r\nPASS b\r\n"), server("+OK\r\n-ERR\r\n")])
    assert logins(lost) == [("PASS", "a", "b", "rejected")]


def test_hostile_input_costs_little():
    for line in ("NOOP\r\n", "PASS x\r\n", "APOP a " + "ab" * 16 + "\r\n", f"AUTH PLAIN {PLAIN}\r\n"):
        start = time.perf_counter()
        drive(SPEC, [client(line * 5000)])
        assert time.perf_counter() - start < 2
    with pytest.raises(Malformed):
        drive(SPEC, [server("x" * 100_000)])
    with pytest.raises(Malformed):
        drive(SPEC, [server("x\r\n" * 10_000)])


@pytest.mark.parametrize(
    ("sent", "said", "match"),
    [
        (b"", b"+OK POP3 ready\r\n", Match.YES),
        (b"", b"+OK <1.2@host>\r\n", Match.YES),
        (b"", b"+OK Dovecot ready.\r\n", Match.YES),
        (b"", b"+OK\r\n", Match.MORE),
        (b"*1\r\n$4\r\nPING\r\n", b"+OK\r\n", Match.NO),
        (b"USER alice\r\n", b"+OK hello\r\n", Match.YES),
        (b"AUTH PLAIN\r\n", b"+OK hello\r\n", Match.YES),
        (b"RETR 1\r\n", b"+OK 1\r\n", Match.YES),
        (b"RETR 1\r\n", b"-ERR no\r\n", Match.YES),
        (b"USER alice\r\n", b"", Match.MORE),
        (b"USER alice\r\nPASS x\r\nSTAT\r\n", b"", Match.YES),
        (b"CAPA\r\n", b"", Match.YES),
        (b"USER alice\r\n", b"220 ftp\r\n", Match.NO),
        (b"", b"+PONG\r\n", Match.NO),
        (b"", b"-ERR wrong\r\n", Match.MORE),
        (b"", b"* OK IMAP\r\n", Match.NO),
        (b"LANG en\r\n", b"+OK hello\r\n", Match.MORE),
        (b"LANG en\r\nUSER alice\r\n", b"+OK hello\r\n", Match.YES),
        (b"SET a b\r\n", b"+OK\r\n", Match.NO),
        (b"AUTH hunter2\r\n", b"+OK\r\n", Match.MORE),
        (b"AGEAYg==\r\n", b"+OK in\r\n", Match.MORE),
        (b"AGEAYg==\r\nSTAT\r\n", b"+OK in\r\n", Match.YES),
    ],
)
def test_probe(sent: bytes, said: bytes, match: Match):
    assert SPEC.probe(sent, said) is match
    before = Match.MORE
    for n in range(max(len(sent), len(said)) + 1):
        now = SPEC.probe(sent[:n], said[:n])
        assert before is Match.MORE or now is before
        before = now


LOGIN = b"USER alice\r\nPASS s3cret\r\n"


@pytest.mark.parametrize(
    ("after", "pop3", "ftp"),
    [
        *((c, Match.YES, Match.NO) for c in (b"STAT\r\n", b"LIST\r\n", b"LIST 2\r\n", b"RETR 1\r\n", b"DELE 1\r\n", b"UIDL\r\n", b"TOP 1 0\r\n", b"NOOP\r\nstat\n", b"PASS x\r\nCAPA\r\n")),
        *((c, Match.NO, Match.YES) for c in (b"CWD /\r\n", b"PASV\r\n", b"PORT 1,2,3,4,5,6\r\n", b"TYPE I\r\n", b"SYST\r\n", b"RETR a.txt\r\n", b"DELE 1.txt\r\n", b"USER b\r\nPASS c\r\nFEAT\r\n", b"STAT x\r\n")),
        *((c, Match.YES, Match.YES) for c in (b"", b"QUIT\r\n", b"NOOP\r\n", b"USER b\r\nPASS c\r\n", b"ST")),  # the port decides who is asked first
    ],
)  # fmt: skip
def test_the_clients_commands_after_its_login_tell_pop3_from_ftp(after: bytes, pop3: Match, ftp: Match):
    from sniffer.dissectors.ftp import SPEC as FTP

    assert (SPEC.probe(LOGIN + after, b""), FTP.probe(LOGIN + after, b"")) == (pop3, ftp)


@pytest.mark.parametrize(
    ("port", "after", "protocol"),
    [
        (110, b"", "pop3"), (110, b"QUIT\r\n", "pop3"), (110, b"STAT\r\nQUIT\r\n", "pop3"), (21, b"", "ftp"), (21, b"QUIT\r\n", "ftp"), (2121, b"NOOP\r\n", "ftp"), (21, b"PASV\r\n", "ftp"),
        (4110, b"STAT\r\nRETR 1\r\n", "pop3"), (4110, b"LIST\r\n", "pop3"), (4021, b"TYPE I\r\nPASV\r\n", "ftp"), (110, b"CWD x\r\n", "ftp"), (21, b"UIDL\r\n", "pop3"), (4021, b"", "ftp"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("handshake", [True, False])
def test_a_login_of_which_only_the_client_was_captured(tmp_path: Path, port: int, after: bytes, protocol: str, handshake: bool):
    path = tmp_path / "one-sided.pcap"
    ends = IP(src="10.0.0.5", dst="10.0.0.9")
    packets = [Ether() / ends / TCP(sport=51234, dport=port, flags="S", seq=99)] if handshake else []
    at = 100
    for data in (b"USER alice\r\n", b"PASS s3cret\r\n", after):
        packets += [Ether() / ends / TCP(sport=51234, dport=port, flags="PA", seq=at, ack=1) / data] if data else []
        at += len(data)
    wrpcap(str(path), packets)
    (found,) = scan(path, key=b"k" * 32).findings
    assert (found.protocol, found.username, found.secret and found.secret.reveal()) == (protocol, "alice", "s3cret")
