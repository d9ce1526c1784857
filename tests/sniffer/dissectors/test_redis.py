"""Redis: AUTH in all its forms, passwords set, replies paired."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.redis import MAX_HELD, SPEC, probe
from sniffer.events import ChallengeResponse, Skip, Statement
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, secret_of, statements, storm


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


@pytest.mark.parametrize(
    ("line", "login"),
    [
        (b'AUTH "two words"\r\n', (None, "two words")),
        (b'auth bob "q\\"\\x41\\n"\n', ("bob", 'q"A\n')),
        (b"AUTH 'it\\'s'\r\n", (None, "it's")),
        (b'  AUTH   bob   p"w  \r\n', ("bob", 'p"w')),
    ],
)
def test_inline_commands_are_split_as_redis_does(line, login):
    script = [client(line), server("+OK\r\n")]
    events = both(SPEC, script)
    assert [(x[1], x[2], x[3]) for x in logins(events)] == [(*login, "accepted")]


def test_inline_commands_with_open_quotes_are_refused():
    assert not logins(both(SPEC, [client(b'AUTH "open\r\n'), server("-ERR Protocol error: unbalanced quotes in request\r\n")]))


def test_hello_options_in_any_order_and_names_like_options():
    sent = command("HELLO", "3", "SETNAME", "auth", "AUTH", "bob", "pw")
    assert logins(both(SPEC, [client(sent), server("-WRONGPASS no\r\n")])) == [("HELLO AUTH", "bob", "pw", "rejected")]
    assert logins(both(SPEC, [client(sent), server("*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n")]))[0][3] == "accepted"


@pytest.mark.parametrize(("answer", "outcome"), [("-NOAUTH no\r\n", "rejected"), ("-ERR invalid password\r\n", "rejected"), ("+QUEUED\r\n", "unknown"), ("$5\r\nvalue\r\n", "unknown"), (":1\r\n", "unknown")])
def test_only_ok_accepts(answer, outcome):
    assert [x[3] for x in logins(both(SPEC, [client(command("AUTH", "a")), server(answer)]))] == [outcome]


def test_replies_turned_off_are_not_waited_for():
    script = [client(command("CLIENT", "REPLY", "OFF") + command("SET", "k", "v") + command("CLIENT", "REPLY", "ON") + command("AUTH", "a")), server("+OK\r\n-ERR no\r\n")]
    assert [x[3] for x in logins(both(SPEC, script, same_content=False))] == ["rejected"]
    script = [client(command("CLIENT", "REPLY", "SKIP") + command("SET", "k", "v") + command("AUTH", "a")), server("-ERR no\r\n")]
    assert [x[3] for x in logins(both(SPEC, script, same_content=False))] == ["rejected"]


def test_attributes_stand_beside_replies():
    script = [client(command("GET", "k") + command("AUTH", "a")), server("|1\r\n+ttl\r\n:3600\r\n*2\r\n|1\r\n+x\r\n:1\r\n:1\r\n:2\r\n-ERR no\r\n")]
    assert [x[3] for x in logins(both(SPEC, script, same_content=False))] == ["rejected"]


def test_settings_in_commands_and_replies():
    sent = command("CONFIG", "SET", "masteruser", "repl", "masterauth", "mp", "maxmemory", "1") + command("SENTINEL", "CONFIG", "SET", "sentinel-pass", "sp") + command("SENTINEL", "SET", "m", "auth-user", "u", "auth-pass", "ap") + command("CONFIG", "GET", "requirepass")
    script = [client(sent), server("+OK\r\n+OK\r\n+OK\r\n*2\r\n$11\r\nrequirepass\r\n$3\r\nold\r\n")]
    events = both(SPEC, script, same_content=False)
    assert statements(events) == [("CONFIG SET masterauth", "repl", "mp"), ("SENTINEL CONFIG SET sentinel-pass", None, "sp"), ("SENTINEL SET auth-pass", "u", "ap"), ("CONFIG GET requirepass", None, "old")]
    assert [secret_of(script, e) for e in events if isinstance(e, Statement)][-1] == b"old"


def test_acl_rules_and_their_hashes():
    digest = "ab" * 32
    events = both(SPEC, [client(command("ACL", "SETUSER", "bob", "on", ">new", "<old", f"#{digest}", "~#tag"))], same_content=False)
    assert statements(events) == [("ACL SETUSER", "bob", "new"), ("ACL SETUSER", "bob", "old")]
    assert hashes(events) == [("ACL SETUSER", "bob", digest, digest)]


def test_keys_of_migrate_are_no_options():
    sent = command("MIGRATE", "h", "6379", "", "0", "9", "AUTH", "pw", "KEYS", "auth", "k")
    assert statements(both(SPEC, [client(sent)], same_content=False)) == [("MIGRATE AUTH", None, "pw")]
    assert not statements(both(SPEC, [client(command("MIGRATE", "auth", "6379", "auth", "0", "9", "KEYS", "auth", "k"))], same_content=False))


def test_lines_of_a_value_cut_by_a_gap_are_no_commands():
    events = drive(SPEC, [client(command("PING")), Gap(Side.CLIENT, 40), client(b"see\r\nAUTH fake\r\n$3\r\nx\r\n" + command("AUTH", "real")), server("+OK\r\n")])
    assert [x[2] for x in logins(events)] == ["real"]


def test_inline_greeting_before_arrays_on_any_port():
    assert probe(b"PING\r\n" + command("AUTH", "a"), b"") is Match.YES


def test_the_cluster_bus_is_another():
    assert probe(b"RCmb\0\0\1\0" + bytes(100), b"") is Match.NO


RDB = b"REDIS0009" + bytes(range(256))


@pytest.mark.parametrize("copy", [b"\n\n$%d\r\n" % len(RDB) + RDB, b"$EOF:" + b"a1" * 20 + b"\r\n" + RDB + b"a1" * 20])
def test_commands_after_a_copy_of_the_data_are_read(copy):
    """A copy has no line end behind it, whatever bytes stand in it."""
    asked = client(command("AUTH", "repl") + command("PSYNC", "?", "-1"))
    script = [asked, server("+OK\r\n+FULLRESYNC 8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb 0\r\n"), server(copy + command("SET", "mail", "dora@example.org")), client(command("REPLCONF", "ACK", "14"))]
    for cut in (None, 1, 7, 100):
        events = drive(SPEC, script, cut=cut)
        assert [x[2:] for x in logins(events)] == [("repl", "accepted")]
        assert any(b"dora@example.org" in data for _, data in content(events))
        assert not any(b"REDIS0009" in data for _, data in content(events))


def test_stored_hashes_of_users_in_replies():
    one, two = "ab" * 32, "cd" * 32
    line = f"user bob on #{one} #{two} ~* +@all"
    script = [client(command("ACL", "LIST")), server(b"*2\r\n$31\r\nuser default on nopass ~* +@all\r\n$%d\r\n%s\r\n" % (len(line), line.encode()))]
    events = both(SPEC, script, same_content=False)
    assert hashes(events) == [("ACL LIST", "bob", one, one), ("ACL LIST", "bob", two, two)]
    assert [secret_of(script, e) for e in events if isinstance(e, ChallengeResponse)] == [one.encode(), two.encode()]
    reply = b"*6\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$9\r\npasswords\r\n*1\r\n$64\r\n%s\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n" % one.encode()
    assert hashes(both(SPEC, [client(command("ACL", "GETUSER", "bob")), server(reply)], same_content=False)) == [("ACL GETUSER", None, one, one)]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (b"AUTH pw\r\n", b"-WRONGPASS invalid username-password pair\r\n", Match.YES), (b"AUTH pw\r\n", b"-ERR invalid password\r\n", Match.YES), (b"AUTH pw\r\nPING\r\n", b"+OK\r\n", Match.MORE), (b"PING\r\n", b"+PONG\r\n", Match.YES),
        (b"INFO\r\n", b"$3000\r\n# Server\r\n", Match.YES), (b"AUTH PLAIN\r\n", b"-ERR no\r\n", Match.MORE), (command("GET", "k"), b"rest of a value\r\n+OK\r\n", Match.YES), (command("GET", "k"), b"HTTP/1.1 400\r\n-x: y\r\n", Match.NO),
    ],
)  # fmt: skip
def test_inline_commands_and_captures_begun_in_the_middle(c, s, said):
    assert probe(c, s) is said
