"""Redis: AUTH in all its forms, passwords set, replies paired."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.redis import MAX_HELD, SPEC, probe
from sniffer.events import Skip
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, logins, statements, storm


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)


@pytest.mark.parametrize(
    ("sent", "answer", "login"),
    [
        (command("AUTH", "pw"), "+OK\r\n", ("AUTH", None, "pw", "accepted")),
        (command("auth", "bob", "pw"), "-WRONGPASS no\r\n", ("AUTH user pass", "bob", "pw", "rejected")),
        (command("HELLO", "3", "AUTH", "bob", "pw", "SETNAME", "x"), "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n", ("HELLO AUTH", "bob", "pw", "accepted")),
        (b"AUTH pw\r\n", "+OK\r\n", ("AUTH", None, "pw", "accepted")),
    ],
)
def test_auth(sent, answer, login):
    assert logins(both(SPEC, [client(sent), server(answer)])) == [login]


def test_replies_are_paired_in_order():
    script = [client(command("PING") + command("AUTH", "a") + command("GET", "k") + command("AUTH", "b")), server("+PONG\r\n-ERR no\r\n$5\r\nvalue\r\n+OK\r\n")]
    assert [(x[2], x[3]) for x in logins(both(SPEC, script))] == [("a", "rejected"), ("b", "accepted")]


def test_pushed_messages_answer_nothing():
    script = [client(command("AUTH", "a")), server(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n+OK\r\n")]
    assert [x[3] for x in logins(both(SPEC, script))] == ["accepted"]


def test_passwords_set():
    script = [client(command("CONFIG", "SET", "requirepass", "new") + command("ACL", "SETUSER", "bob", "on", ">bobs", "~*") + command("MIGRATE", "h", "1", "", "0", "9", "AUTH2", "u", "p", "KEYS", "k") + command("SENTINEL", "SET", "m", "auth-pass", "sp"))]
    assert statements(both(SPEC, script, same_content=False)) == [("CONFIG SET requirepass", None, "new"), ("ACL SETUSER", "bob", "bobs"), ("MIGRATE AUTH2", "u", "p"), ("SENTINEL SET auth-pass", None, "sp")]


def test_one_side_and_gaps():
    assert [x[3] for x in logins(both(SPEC, [client(command("AUTH", "a"))]))] == ["unknown"]
    assert [x[3] for x in logins(drive(SPEC, [client(command("AUTH", "a")), Gap(Side.SERVER, 5), server("-ERR\r\n")]))] == ["unknown"]


def test_large_values_are_skipped_and_the_rest_is_read():
    size = MAX_HELD + 1000
    big = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size + b"x" * size + b"\r\n"
    script = [client(big + command("AUTH", "a")), server("+OK\r\n+OK\r\n")]
    for cut in (None, 1000, 65536):
        events = drive(SPEC, script, cut=cut)
        assert any(isinstance(e, Skip) for e in events)
        assert [x[2:] for x in logins(events)] == [("a", "accepted")]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [(command("PING"), b"", Match.YES), (b"*2\r", b"", Match.MORE), (b"*x\r\n", b"", Match.NO), (b"AUTH a\r\n", b"", Match.MORE), (b"GET / HTTP/1.1\r\n", b"", Match.MORE), (b"* OK IMAP", b"", Match.NO), (command("GET", "k"), b"HTTP/1.1", Match.NO)],
)
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [command("AUTH", "a"), command("HELLO", "3", "AUTH", "u", "p"), b"+OK\r\n", b"*2\r\n*1\r\n$1\r\na\r\n:1\r\n", b"%2\r\n+a\r\n+b\r\n", b"$-1\r\n"])
