"""MySQL: greetings, responses by plugin, switches, TLS, rows."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.mysql import CLIENT_PLUGIN_AUTH, CLIENT_PROTOCOL_41, CLIENT_SECURE, CLIENT_SSL, SPEC, probe
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, statements, storm, upgrades

SALT = bytes(range(65, 85))
OK, NO = b"\0\0\0\2\0\0\0", b"\xff\x15\x04#28000no"


def packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((number,)) + body


def greeting(plugin: bytes = b"mysql_native_password", *, ssl: bool = False) -> bytes:
    flags = CLIENT_PROTOCOL_41 | CLIENT_SECURE | CLIENT_PLUGIN_AUTH | (CLIENT_SSL if ssl else 0)
    low, high = (flags & 0xFFFF).to_bytes(2, "little"), (flags >> 16).to_bytes(2, "little")
    return packet(0, b"\x0a8.0.36\0" + bytes(4) + SALT[:8] + b"\0" + low + b"\x21\2\0" + high + b"\x15" + bytes(10) + SALT[8:] + b"\0" + plugin + b"\0")


def response(secret: bytes, plugin: bytes = b"mysql_native_password", number: int = 1) -> bytes:
    flags = CLIENT_PROTOCOL_41 | CLIENT_SECURE | CLIENT_PLUGIN_AUTH
    return packet(number, flags.to_bytes(4, "little") + bytes(4) + b"\x21" + bytes(23) + b"bob\0" + bytes((len(secret),)) + secret + plugin + b"\0")


@pytest.mark.parametrize(("answer", "outcome"), [(OK, "accepted"), (NO, "rejected")])
def test_native_password(answer, outcome):
    events = both(SPEC, [server(greeting()), client(response(b"R" * 20)), server(packet(2, answer))])
    assert hashes(events) == [("mysql_native_password", "bob", (b"R" * 20).hex(), f"$mysqlna${SALT.hex()}*{(b'R' * 20).hex()}")]
    assert [str(e.outcome) for e in events if hasattr(e, "outcome")] == [outcome]


def test_a_switch_brings_a_new_salt():
    new = bytes(range(100, 120))
    switch = packet(2, b"\xfemysql_native_password\0" + new + b"\0")
    events = both(SPEC, [server(greeting(b"caching_sha2_password")), client(response(b"S" * 32, b"caching_sha2_password")), server(switch), client(packet(3, b"R" * 20)), server(packet(4, OK))])
    assert [h[0] for h in hashes(events)] == ["caching_sha2_password", "mysql_native_password"]
    assert hashes(events)[1][3] == f"$mysqlna${new.hex()}*{(b'R' * 20).hex()}"


def test_clear_password():
    events = both(SPEC, [server(greeting()), client(response(b"s3cret\0", b"mysql_clear_password")), server(packet(2, OK))])
    assert logins(events) == [("mysql_clear_password", "bob", "s3cret", "accepted")]


def test_encryption():
    request = packet(1, (CLIENT_PROTOCOL_41 | CLIENT_SSL).to_bytes(4, "little") + bytes(28))
    hello = greeting(ssl=True)
    assert upgrades(both(SPEC, [server(hello), client(request)])) == [("tls", "offered", None), ("tls", "asked", None), ("tls", "granted", (36, len(hello)))]
    assert upgrades(both(SPEC, [server(hello), client(response(b"R" * 20)), server(packet(2, OK))])) == [("tls", "offered", None)]


def test_statements_and_rows():
    def column(name: bytes) -> bytes:
        return b"\x03def\0\0\0" + bytes((len(name),)) + name + b"\0" + bytes(13)

    result = packet(1, b"\2") + packet(2, column(b"id")) + packet(3, column(b"card")) + packet(4, b"\xfe\0\0\2\0") + packet(5, b"\x011\x0441,2") + packet(6, b"\x012\xfb") + packet(7, b"\xfe\0\0\2\0")
    script = [server(greeting()), client(response(b"R" * 20)), server(packet(2, OK)), client(packet(0, b"\3SET PASSWORD FOR carol = PASSWORD('n\\'ew')")), server(packet(1, OK)), client(packet(0, b"\3SELECT")), server(result)]
    events = drive(SPEC, script)
    assert statements(events) == [("SET PASSWORD", "carol", "n'ew")]
    assert content(events)[-1] == ("result rows", b'id,card\n1,"41,2"\n2,')


def test_gap_takes_the_salt():
    lost = drive(SPEC, [server(greeting()), Gap(Side.SERVER, 5), client(response(b"R" * 20)), server(packet(2, OK))])
    assert all(h[3] is None for h in hashes(lost))


@pytest.mark.parametrize(("c", "s", "said"), [(b"", greeting(), Match.YES), (b"", packet(0, NO), Match.YES), (b"", greeting()[:4], Match.MORE), (response(b"R" * 20), b"", Match.YES), (b"", b"220 hello", Match.NO), (b"GET / HTTP/1.1\r\n", b"", Match.NO), (b"", b"\x0a\0\0\0\x0bxxxxxxxx", Match.NO)])
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [greeting(), response(b"R" * 20), packet(2, OK), packet(2, NO), packet(0, b"\3SELECT 1"), packet(2, b"\xfename\0" + SALT)], rounds=300)
