"""PostgreSQL: encryption asked, every password method, rows and statements."""

from __future__ import annotations

import struct

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.postgresql import SPEC, probe
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, statements, storm, upgrades

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
