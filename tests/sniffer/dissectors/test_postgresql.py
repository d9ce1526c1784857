"""PostgreSQL: encryption asked, every password method, rows and statements."""

from __future__ import annotations

import struct

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.postgresql import SPEC, probe
from sniffer.events import Encryption, Posture
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, statements, storm, tokens, upgrades

SSL = struct.pack("!II", 8, 80877103)


def start(user: str = "bob") -> bytes:
    body = struct.pack("!I", 196608) + b"user\0" + user.encode() + b"\0database\0shop\0\0"
    return struct.pack("!I", len(body) + 4) + body


def msg(kind: str, body: bytes) -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def auth(code: int, more: bytes = b"") -> bytes:
    return msg("R", struct.pack("!I", code) + more)


OK, NO, READY = auth(0), msg("E", b"SFATAL\0C28P01\0\0"), msg("Z", b"I")


def rows(*values: tuple[bytes, ...]) -> bytes:
    return b"".join(msg("D", struct.pack("!h", len(v)) + b"".join(struct.pack("!I", len(x)) + x for x in v)) for v in values)


@pytest.mark.parametrize(("answer", "outcome"), [(OK, "accepted"), (NO, "rejected")])
def test_cleartext(answer, outcome):
    assert logins(both(SPEC, [client(start()), server(auth(3)), client(msg("p", b"s3cret\0")), server(answer)])) == [("cleartext password", "bob", "s3cret", outcome)]


def test_md5_has_its_salt():
    digest = b"md5" + b"ab" * 16
    script = [client(start()), server(auth(5, b"\1\2\3\4")), client(msg("p", digest + b"\0")), server(OK)]
    assert hashes(both(SPEC, script)) == [("md5", "bob", digest.decode(), f"$postgres$bob*01020304*{'ab' * 16}")]
    lost = drive(SPEC, [client(start()), Gap(Side.SERVER, 13), client(msg("p", digest + b"\0")), server(OK)])
    assert [h[3] for h in hashes(lost)] == [None]


def test_scram():
    first = b"SCRAM-SHA-256\0" + struct.pack("!I", 10) + b"n,,n=,r=ab"
    script = [client(start()), server(auth(10, b"SCRAM-SHA-256\0\0")), client(msg("p", first)), server(auth(11, b"r=abcd,s=QQ==,i=4096")), client(msg("p", b"c=biws,r=abcd,p=UFJPT0Y=")), server(auth(12, b"v=x") + OK)]
    assert hashes(both(SPEC, script)) == [("SCRAM-SHA-256", "bob", "UFJPT0Y=", None)]


def test_encryption():
    assert upgrades(both(SPEC, [client(SSL), server("S")])) == [("tls", "asked", None), ("tls", "granted", (8, 1))]
    refused = both(SPEC, [client(SSL), server("N"), client(start()), server(auth(3)), client(msg("p", b"pw\0")), server(OK)])
    assert upgrades(refused) == [("tls", "asked", None), ("tls", "refused", None)]
    assert logins(refused) == [("cleartext password", "bob", "pw", "accepted")]


def test_rows_stand_under_their_names():
    names = b"".join(n + b"\0" + bytes(18) for n in (b"id", b"ssn"))
    script = [client(start()), server(OK + READY), client(msg("Q", b"SELECT 1\0")), server(msg("T", struct.pack("!h", 2) + names) + rows((b"1", b"123-45-6789"), (b"2", b"")) + msg("C", b"SELECT 2\0") + READY)]
    said = content(drive(SPEC, script))
    assert said == [("statement", b"SELECT 1"), ("result rows", b"id\tssn\n1\t123-45-6789\n2\t")]


def test_passwords_in_sql():
    script = [client(start()), server(OK), client(msg("Q", b"ALTER ROLE carol WITH PASSWORD 'it''s'\0") + msg("P", b"s1\0CREATE USER dave PASSWORD $$x$$\0\0\0"))]
    assert statements(both(SPEC, script)) == [("ALTER ROLE", "carol", "it's"), ("CREATE ROLE", "dave", "x")]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [(SSL, b"", Match.YES), (start(), b"", Match.YES), (b"", auth(5, b"1234"), Match.YES), (b"\0", b"", Match.MORE), (b"GET /", b"", Match.NO), (b"\0\0\0\x08\x12\x34\x56\x78", b"", Match.NO), (b"", b"SSH-2.0", Match.NO)],
)
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [SSL, start(), auth(3), auth(5, b"1234"), msg("p", b"pw\0"), OK, msg("Q", b"SELECT\0"), rows((b"a", b"b"))], rounds=300)


def parameters(version: int, *words: str) -> bytes:
    body = struct.pack("!I", version) + b"".join(w.encode() + b"\0" for w in words) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize("version", [196608, 196610, 196608 + 51, 196608 + 9999])
def test_startups_of_other_minor_versions_and_with_parameters_in_any_order(version):
    hello = parameters(version, "TimeZone", "UTC", "_pq_.x", "1", "database", "d" * 60, "user", "bob")
    assert probe(hello, b"") is Match.YES
    assert probe(hello[:20], b"") is Match.MORE
    assert probe(parameters(version, "database", "d"), b"") is Match.NO
    assert logins(both(SPEC, [client(hello), server(auth(3)), client(msg("p", b"pw\0")), server(OK)])) == [("cleartext password", "bob", "pw", "accepted")]


def test_both_kinds_of_encryption_refused_one_after_the_other():
    script = [client(struct.pack("!II", 8, 80877104)), server("N"), client(SSL), server("N"), client(start()), server(auth(3)), client(msg("p", b"pw\0")), server(NO)]
    assert logins(both(SPEC, script)) == [("cleartext password", "bob", "pw", "rejected")]


def test_gss_encryption_is_encryption_and_ends_the_reading():
    events = both(SPEC, [client(struct.pack("!II", 8, 80877104)), server("G"), client(b"\0\0\1\0" + bytes(256))])
    assert upgrades(events) == [("gss", "asked", None), ("gss", "granted", None)]
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]


def test_tokens_are_no_passwords_with_the_server_unseen():
    spnego = b"\x60\x48\x06\x06\x2b\x06\x01\x05\x05\x02" + b"NTLMSSP\0\1\0\0\0" + bytes(20)
    assert not logins(both(SPEC, [client(start()), client(msg("p", spnego))]))
    assert not logins(both(SPEC, [client(start()), client(msg("p", b"\x60\x82abc"))]))
    assert logins(both(SPEC, [client(start()), client(msg("p", b"pw\0"))])) == [("cleartext password", "bob", "pw", "unknown")]


def test_oauth_is_a_token():
    first = b"OAUTHBEARER\0" + struct.pack("!I", 30) + b"n,,\1auth=Bearer abc.def\1\1"
    assert tokens(both(SPEC, [client(start()), server(auth(10, b"OAUTHBEARER\0\0")), client(msg("p", first)), server(OK)])) == [("OAUTHBEARER", None, "abc.def")]


def test_digests_of_relatives():
    digest = struct.pack("!II", 0, 32) + b"D" * 32 + struct.pack("!I", 4) + b"nonc"
    assert hashes(both(SPEC, [client(start()), server(auth(13, bytes(40))), client(msg("d", digest)), server(OK)])) == [("digest", "bob", (b"D" * 32).hex(), None)]
    script = [client(start()), server(auth(10, struct.pack("!I", 2) + b"a" * 76)), client(msg("p", b"0f" * 32 + b"\0")), server(OK)]
    assert hashes(both(SPEC, script)) == [("sha256", "bob", "0f" * 32, None)]


def old_startup(user: bytes = b"bob") -> bytes:
    return struct.pack("!II", 296, 2 << 16) + b"shop".ljust(64, b"\0") + user.ljust(32, b"\0") + bytes(192)


def old_password(text: bytes) -> bytes:
    return struct.pack("!I", len(text) + 5) + text + b"\0"


@pytest.mark.parametrize(("answer", "outcome"), [(b"R\0\0\0\0K" + bytes(8) + b"Z", "accepted"), (b"EFATAL 1:  no\n\0", "rejected")])
def test_protocol_2(answer, outcome):
    assert probe(old_startup(), b"") is Match.YES
    script = [client(old_startup()), server(b"R\0\0\0\3"), client(old_password(b"pw")), server(answer)]
    assert logins(both(SPEC, script)) == [("cleartext password", "bob", "pw", outcome)]


def test_protocol_2_by_md5_and_crypt_and_its_statements():
    digest = b"md5" + b"ab" * 16
    md5 = [client(old_startup()), server(b"R\0\0\0\5\1\2\3\4"), client(old_password(digest)), server(b"R\0\0\0\0"), client(b"QALTER USER carol PASSWORD 'new'\0X")]
    events = both(SPEC, md5)
    assert hashes(events) == [("md5", "bob", digest.decode(), f"$postgres$bob*01020304*{'ab' * 16}")]
    assert statements(events) == [("ALTER ROLE", "carol", "new")]
    crypt = [client(old_startup()), server(b"R\0\0\0\4ab"), client(old_password(b"abJnggxhB/yWI")), server(b"R\0\0\0\0")]
    assert hashes(both(SPEC, crypt)) == [("crypt", "bob", "abJnggxhB/yWI", None)]


def test_protocol_2_forgets_its_salt_in_a_gap():
    lost = drive(SPEC, [client(old_startup()), Gap(Side.SERVER, 9), client(old_password(b"md5" + b"ab" * 16)), server(b"R\0\0\0\0")])
    assert not hashes(lost)


def test_server_joined_after_redshift_asks():
    assert probe(b"", auth(13, bytes(40))) is Match.YES


SCRAM = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CREATE USER a PASSWORD 'x1'; ALTER ROLE b WITH LOGIN ENCRYPTED PASSWORD 'y1'", [("CREATE ROLE", "a", "x1"), ("ALTER ROLE", "b", "y1")]),
        ("ALTER USER \"my user\" PASSWORD'tight'", [("ALTER ROLE", "my user", "tight")]),
        ("ALTER USER a PASSWORD 'back\\slash\\'", [("ALTER ROLE", "a", "back\\slash\\")]),
        ("ALTER USER a PASSWORD E'it\\'s'", [("ALTER ROLE", "a", "it's")]),
        ("CREATE ROLE a PASSWORD $q$do'llar$q$", [("CREATE ROLE", "a", "do'llar")]),
        ("CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'remote', password 'fdw')", [("USER MAPPING", "remote", "fdw")]),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=h user=repl password=rp' PUBLICATION p", [("connection string", "repl", "rp")]),
        ("SELECT * FROM dblink('password=rp user=far host=h', 'SELECT 1 WHERE user=1')", [("connection string", "far", "rp")]),
        ("SELECT dblink_connect('host=h user=far password=''r p''')", [("connection string", "far", "r p")]),
        ("CREATE USER MAPPING FOR bob SERVER s OPTIONS (username 'rem(ote)', password 'f(d)w')", [("USER MAPPING", "rem(ote)", "f(d)w")]),
        ("ALTER USER MAPPING FOR bob SERVER s OPTIONS (SET password 'fdw')", [("USER MAPPING", None, "fdw")]),
        ("DO $$BEGIN EXECUTE 'CREATE ROLE bob PASSWORD ''pw1'''; END$$", [("CREATE ROLE", "bob", "pw1")]),
        ("EXECUTE 'SELECT * FROM t WHERE user=$1 AND password=$2'", []),
        ("ALTER USER a PASSWORD NULL", []),
        ("SELECT * FROM t WHERE host=$1 AND password=$2", []),
        ("SELECT 'x' FROM t WHERE user=$1 AND password=$2", []),
    ],
)
def test_spellings_of_role_statements(text, found):
    assert statements(both(SPEC, [client(start()), server(OK), client(msg("Q", text.encode() + b"\0"))])) == found


@pytest.mark.parametrize(("text", "crack"), [("md5" + "ab" * 16, (12, "ab" * 16 + ":carol")), (SCRAM, (28600, SCRAM))])
def test_verifiers_are_no_passwords(text, crack):
    events = both(SPEC, [client(start()), server(OK), client(msg("Q", f"ALTER USER carol PASSWORD '{text}'".encode() + b"\0"))])
    assert not statements(events)
    (found,) = [e for e in events if hasattr(e, "crack")]
    assert (found.username, found.response.reveal()) == ("carol", text)
    assert (found.crack.hashcat, found.crack.line.reveal()) == crack


HELLO = b"\x16\x03\x01\0\x05\1\0\0\1\3"


def test_tls_is_seen_with_either_side_alone():
    assert upgrades(both(SPEC, [client(SSL), client(HELLO)])) == [("tls", "asked", None), ("tls", "granted", (8, 1))]
    assert probe(b"", b"S") is probe(b"", b"S\x16\x03") is Match.MORE
    assert probe(b"", b"S" + HELLO) is Match.YES
    assert upgrades(both(SPEC, [server(b"S" + HELLO)])) == [("tls", "granted", (0, 1))]


def test_a_refusal_is_seen_with_the_server_alone():
    assert probe(b"", b"N" + auth(3)) is Match.YES
    assert probe(b"", b"NOTICE") is Match.NO
    events = both(SPEC, [server(b"N" + auth(3) + OK)])
    assert upgrades(events) == [("tls", "refused", None)]
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.REFUSED]


BIND = msg("B", b"\0s1\0" + bytes(2) + b"\0\1\0\0\0\3bob\0\0") + msg("E", b"\0\0\0\0\0")
SYNC = msg("S", b"")


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (BIND + SYNC, b"", Match.YES),
        (BIND[:30], b"", Match.MORE),
        (BIND + b"anything", b"", Match.NO),
        (b"POST / HTTP/1.1\r\n", b"", Match.NO),
        (msg("P", b"\0SELECT $1\0\0\1\0\0\4\x13") + SYNC, b"", Match.YES),
        (b"", msg("2", b"") + rows((b"1",)) + msg("C", b"SELECT 1\0") + READY, Match.YES),
        (b"", b"220 ready\r\n", Match.NO),
    ],
)
def test_sessions_of_prepared_statements_joined_in_the_middle(c, s, said):
    assert probe(c, s) is said


def test_a_session_is_read_again_after_a_gap():
    rest = b"and the end of a long row, cut off at its beginning" * 3
    names = msg("T", struct.pack("!h", 1) + b"a\0" + bytes(18))
    script = [client(start()), server(OK + READY), client(msg("Q", b"SELECT 1\0")), Gap(Side.SERVER, 900), server(rest), client(msg("Q", b"ALTER ROLE a PASSWORD 'x1'\0")), server(msg("C", b"ALTER ROLE\0") + READY)]
    script += [Gap(Side.CLIENT, 60), client(rest), server(READY), client(msg("Q", b"ALTER ROLE a PASSWORD 'x2'\0")), server(names + rows((b"v",)) + READY)]
    events = both(SPEC, script)
    assert statements(events) == [("ALTER ROLE", "a", "x1"), ("ALTER ROLE", "a", "x2")]
    assert content(events)[-1] == ("result rows", b"a\nv")


def test_crypt_of_protocol_3():
    script = [client(start()), server(auth(4, b"ab")), client(msg("p", b"abJnggxhB/yWI\0")), server(OK)]
    assert hashes(both(SPEC, script)) == [("crypt", "bob", "abJnggxhB/yWI", None)]


@pytest.mark.parametrize(("kept", "user"), [(20, "bob"), (16, None), (13, None), (7, None)])
def test_a_startup_packet_cut_by_the_snap_length_names_its_user_if_that_is_whole(kept, user):
    whole = start()
    script = [client(whole[:kept]), Gap(Side.CLIENT, len(whole) - kept), server(auth(3)), client(msg("p", b"pw\0")), server(OK)]
    assert logins(both(SPEC, script)) == [("cleartext password", user, "pw", "accepted")]
