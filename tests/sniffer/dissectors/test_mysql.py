"""MySQL: greetings, responses by plugin, switches, TLS, rows."""

from __future__ import annotations

import zlib

import pytest
import zstandard

from sniffer.dissectors import Match
from sniffer.dissectors._mysql_login import (
    CLIENT_COMPRESS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE,
    CLIENT_SSL,
    CLIENT_ZSTD,
)
from sniffer.dissectors.mysql import SPEC, probe
from sniffer.errors import Malformed
from sniffer.events import Done
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, secret_of, statements, storm, upgrades

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


NEW = bytes(range(100, 120))


def switch(plugin: bytes, data: bytes, number: int = 2, kind: bytes = b"\xfe") -> bytes:
    return packet(number, kind + plugin + b"\0" + data)


def test_a_client_that_cannot_name_plugins_answers_natively_whatever_the_server_prefers():
    flags = CLIENT_PROTOCOL_41 | CLIENT_SECURE
    login = packet(1, flags.to_bytes(4, "little") + bytes(4) + b"\x21" + bytes(23) + b"bob\0\x14" + b"R" * 20)
    (found,) = hashes(both(SPEC, [server(greeting(b"caching_sha2_password")), client(login), server(packet(2, OK))]))
    assert found[0] == "mysql_native_password"
    assert found[3] == f"$mysqlna${SALT.hex()}*{(b'R' * 20).hex()}"


def test_every_question_of_dialog_is_answered_in_the_clear():
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(b"dialog", b"\4Password: ")), client(packet(3, b"first\0")), server(packet(4, b"\5Code: ")), client(packet(5, b"123456\0")), server(packet(6, OK))]
    assert logins(both(SPEC, script)) == [("dialog", "bob", "first", "unknown"), ("dialog", "bob", "123456", "accepted")]


def test_sasl_of_the_ldap_plugin_is_no_password():
    plugin = b"authentication_ldap_sasl_client"
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(plugin, b"SCRAM-SHA-256")), client(packet(3, b"n,a=bob,n=bob,r=abc")), server(packet(4, b"\1r=abcd,s=QQ==,i=4096")), client(packet(5, b"c=biws,r=abcd,p=UFJPT0Y=")), server(packet(6, OK))]
    events = both(SPEC, script)
    assert not logins(events)
    assert hashes(events)[1] == ("SCRAM", "bob", "UFJPT0Y=", None)


def test_old_password_after_a_switch_ends_before_its_zero():
    script = [server(greeting()), client(response(b"R" * 20)), server(packet(2, b"\xfe")), client(packet(3, b"OLDPROOF\0")), server(packet(4, OK))]
    assert hashes(both(SPEC, script))[1] == ("mysql_old_password", "bob", b"OLDPROOF".hex(), None)


def test_parsec_proves_itself_in_its_second_packet():
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(b"parsec", b"N" * 32)), client(packet(3, b"")), server(packet(4, b"P\0" + b"s" * 18)), client(packet(5, b"P" * 96)), server(packet(6, OK))]
    assert hashes(both(SPEC, script))[1][:3] == ("parsec", "bob", (b"P" * 96).hex())


def test_the_next_factor_means_that_the_one_before_was_right():
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(b"mysql_clear_password", b"", kind=b"\2")), client(packet(3, b"second\0")), server(packet(4, OK))]
    events = both(SPEC, script)
    assert [str(e.outcome) for e in events if hasattr(e, "outcome")] == ["accepted", "accepted"]
    assert logins(events) == [("mysql_clear_password", "bob", "second", "accepted")]


def test_change_user_names_its_plugin_and_takes_the_last_salt():
    change = packet(0, b"\x11carol\0\x14" + b"C" * 20 + b"shop\0\x21\0mysql_native_password\0")
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(b"mysql_native_password", NEW + b"\0")), client(packet(3, b"S" * 20)), server(packet(4, OK)), client(change), server(packet(1, NO))]
    assert hashes(both(SPEC, script))[2] == ("mysql_native_password", "carol", (b"C" * 20).hex(), f"$mysqlna${NEW.hex()}*{(b'C' * 20).hex()}")


@pytest.mark.parametrize(("code", "outcome"), [(1049, "accepted"), (1044, "accepted"), (1045, "rejected"), (1698, "rejected")])
def test_an_error_about_the_database_comes_after_the_password_was_right(code, outcome):
    events = both(SPEC, [server(greeting()), client(response(b"R" * 20)), server(packet(2, b"\xff" + code.to_bytes(2, "little") + b"#42000no"))])
    assert [str(e.outcome) for e in events if hasattr(e, "outcome")] == [outcome]


def test_full_authentication_is_a_password_only_in_the_clear():
    def end(last: bytes) -> list:
        plugin = b"caching_sha2_password"
        return both(SPEC, [server(greeting(plugin)), client(response(b"S" * 32, plugin)), server(packet(2, b"\1\4")), client(packet(3, last)), server(packet(4, OK))])

    assert logins(end(b"s3cret\0")) == [("caching_sha2_password", "bob", "s3cret", "accepted")]
    assert not logins(end(b"\2"))
    assert not logins(end(b"E" * 256))


def test_old_protocols():
    hello = packet(0, b"\x093.21.33b\0" + bytes(4) + b"OLDSALT!" + b"\0")
    login = packet(1, b"\5\0" + bytes(3) + b"bob\0OLDPROOF\0")
    assert probe(b"", hello) is Match.YES
    assert hashes(both(SPEC, [server(hello), client(login), server(packet(2, OK))])) == [("mysql_old_password", "bob", b"OLDPROOF".hex(), None)]


def test_joined_in_the_middle():
    query = packet(0, b"\3ALTER USER 'carol'@'%' IDENTIFIED BY 'new'")
    assert probe(query, b"") is probe(query, packet(1, OK)) is Match.YES
    assert probe(packet(0, b"\3hello world, this is"), b"") is Match.NO
    assert probe(packet(0, b"\3SELECT 1 FROM dual where")[:3], b"") is Match.MORE
    assert statements(both(SPEC, [client(query), server(packet(1, OK))])) == [("ALTER USER", "carol", "new")]
    assert not hashes(drive(SPEC, [client(packet(0, b"\3SELECT " + b"x" * 90))]))


def test_refusals_in_place_of_a_greeting():
    for code in (1040, 1129, 1130, 1053, 3032):
        assert probe(b"", packet(0, b"\xff" + code.to_bytes(2, "little") + b"Too many connections")) is Match.YES
    assert probe(b"", packet(0, b"\xff\x10\x04" + bytes(20))) is Match.NO


def test_the_x_protocol_is_another():
    capabilities = b"\1\0\0\0\1"
    assert probe(capabilities, b"") is Match.NO


def test_local_infile_is_content():
    script = [server(greeting()), client(response(b"R" * 20)), server(packet(2, OK)), client(packet(0, b"\3LOAD DATA LOCAL INFILE 'f' INTO TABLE t")), server(packet(1, b"\xfbf")), client(packet(2, b"1,bob\n") + packet(3, b"")), server(packet(4, OK))]
    assert content(both(SPEC, script))[-1] == ("LOCAL INFILE data", b"1,bob\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CREATE USER 'a'@'%' IDENTIFIED BY 'x1', b IDENTIFIED BY 'y1'", [("CREATE USER", "a", "x1"), ("CREATE USER", "b", "y1")]),
        ("GRANT ALL ON *.* TO `c d`@localhost IDENTIFIED BY 'pw' WITH GRANT OPTION", [("IDENTIFIED BY", "c d", "pw")]),
        ("ALTER USER USER() IDENTIFIED BY 'mine'", [("ALTER USER", None, "mine")]),
        ("CREATE OR REPLACE USER m@h IDENTIFIED VIA ed25519 USING PASSWORD('se\\'c')", [("CREATE USER", "m", "se'c")]),
        ("ALTER USER x IDENTIFIED WITH caching_sha2_password BY 'n1' REPLACE 'o1'", [("ALTER USER", "x", "n1")]),
        ("UPDATE mysql.user SET authentication_string=PASSWORD('old') WHERE User='root'", [("PASSWORD()", "root", "old")]),
        ("CHANGE MASTER TO MASTER_HOST='h', MASTER_USER='repl', MASTER_PASSWORD='rp'", [("CHANGE MASTER", "repl", "rp")]),
        ("START REPLICA USER='repl' PASSWORD='rp'", [("CHANGE MASTER", "repl", "rp")]),
        ("SELECT * FROM t WHERE host=? AND password=?", []),
        ("ALTER USER x PASSWORD EXPIRE", []),
        ("CREATE USER u@'%' IDENTIFIED BY 'a1' AND IDENTIFIED WITH sha256_password BY 'b1'", [("CREATE USER", "u", "a1"), ("CREATE USER", "u", "b1")]),
        ("ALTER USER u ADD 2 FACTOR IDENTIFIED BY 'x1'", [("ALTER USER", "u", "x1")]),
        ("CLONE INSTANCE FROM 'donor'@'h.example':3306 IDENTIFIED BY 'cp'", [("IDENTIFIED BY", "donor", "cp")]),
        ("PREPARE s FROM 'ALTER USER u IDENTIFIED BY \\'p1\\''", [("ALTER USER", "u", "p1")]),
        ("CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'far', HOST 'h', PASSWORD 'fp')", [("USER MAPPING", "far", "fp")]),
    ],
)
def test_spellings_of_account_statements(text, found):
    script = [server(greeting()), client(response(b"R" * 20)), server(packet(2, OK)), client(packet(0, b"\3\0\1" + text.encode()))]
    assert statements(both(SPEC, script)) == found


@pytest.mark.parametrize(
    ("text", "crack"),
    [
        ("CREATE USER a IDENTIFIED BY PASSWORD '*" + "AB" * 20 + "'", (300, "ab" * 20)),
        ("SET PASSWORD FOR a = '*" + "AB" * 20 + "'", (300, "ab" * 20)),
        ("CREATE USER a IDENTIFIED WITH mysql_old_password AS '0123456789abcdef'", (200, "0123456789abcdef")),
        ("CREATE USER a IDENTIFIED WITH caching_sha2_password AS '$A$005$" + "s" * 20 + "d" * 43 + "'", (7401, "$mysql$A$005*" + "73" * 20 + "*" + "64" * 43)),
        ("CREATE USER a IDENTIFIED VIA ed25519 USING 'b64hash'", None),
    ],
)
def test_stored_hashes_are_no_passwords(text, crack):
    script = [server(greeting()), client(response(b"")), server(packet(2, OK)), client(packet(0, b"\3" + text.encode()))]
    events = both(SPEC, script)
    assert not statements(events)
    (found,) = [e for e in events if hasattr(e, "crack")]
    assert found.username == "a"
    assert (found.crack and (found.crack.hashcat, found.crack.line.reveal())) == crack


def column(name: bytes, of: int = 253) -> bytes:
    return b"\x03def\0\0\0" + bytes((len(name),)) + name + b"\0\x0c" + bytes(6) + bytes((of,)) + bytes(5)


LOGIN = [server(greeting()), client(response(b"R" * 20)), server(packet(2, OK))]


def test_a_capture_of_the_client_alone_is_read_past_its_login():
    script = [client(response(b"R" * 20)), client(packet(0, b"\3ALTER USER carol IDENTIFIED BY 'new'"))]
    events = both(SPEC, script)
    assert [h[:2] for h in hashes(events)] == [("mysql_native_password", "bob")]
    assert statements(events) == [("ALTER USER", "carol", "new")]
    dialog = [client(response(b"pw\0", b"dialog")), client(packet(0, b"\3SELECT 1"))]
    assert logins(both(SPEC, dialog)) == [("dialog", "bob", "pw", "unknown")]


def test_a_command_sent_ahead_of_the_verdict_takes_none_from_the_login():
    script = [server(greeting()), client(response(b"R" * 20) + packet(0, b"\3SET PASSWORD = 'x1'")), server(packet(2, OK)), server(packet(1, OK))]
    events = both(SPEC, script)
    assert [str(e.outcome) for e in events if hasattr(e, "outcome") and hasattr(e, "response")] == ["accepted"]
    assert statements(events) == [("SET PASSWORD", None, "x1")]


def test_rows_of_prepared_statements():
    result = packet(1, b"\4") + packet(2, column(b"id", 8)) + packet(3, column(b"made", 12)) + packet(4, column(b"card")) + packet(5, column(b"gone"))
    result += packet(6, b"\xfe\0\0\2\0") + packet(7, b"\0" + bytes((1 << 5,)) + (41).to_bytes(8, "little") + b"\4\xe8\7\1\2" + b"\x0442,3") + packet(8, b"\xfe\0\0\2\0")
    events = both(SPEC, [*LOGIN, client(packet(0, b"\x17" + bytes(4) + b"\0\1\0\0\0")), server(result)], same_content=False)
    assert content(events)[-1] == ("result rows", b'id,made,card,gone\n41,,"42,3",')


def test_each_of_several_results_stands_under_its_own_names():
    first = packet(1, b"\1") + packet(2, column(b"a")) + packet(3, b"\xfe\0\0\2\0") + packet(4, b"\1x") + packet(5, b"\xfe\0\0\x0a\0")
    second = packet(6, b"\1") + packet(7, column(b"b")) + packet(8, b"\xfe\0\0\2\0") + packet(9, b"\1y") + packet(10, b"\xfe\0\0\2\0")
    ahead = packet(1, b"\1") + packet(2, column(b"c")) + packet(3, b"\1z") + packet(4, b"\xfe\0\0\2\0\0\0")
    script = [*LOGIN, client(packet(0, b"\3SELECT 1; SELECT 2") + packet(0, b"\3SELECT 3")), server(first + second + ahead)]
    assert content(drive(SPEC, script))[2:] == [("result rows", b"a\nx"), ("result rows", b"b\ny"), ("result rows", b"c\nz")]


def test_sequence_numbers_that_wrap_begin_no_new_answer():
    rows = b"".join(packet(n & 255, b"\1r") for n in range(3, 300))
    script = [*LOGIN, client(packet(0, b"\3SELECT 1")), server(packet(1, b"\1") + packet(2, column(b"a")) + rows)]
    assert content(drive(SPEC, script))[-1] == ("result rows", b"a" + b"\nr" * 297)


def squeezed(number: int, inside: bytes, coding: str = "zlib") -> bytes:
    if coding == "plain":
        return len(inside).to_bytes(3, "little") + bytes((number, 0, 0, 0)) + inside
    data = zlib.compress(inside) if coding == "zlib" else zstandard.compress(inside)
    return len(data).to_bytes(3, "little") + bytes((number,)) + len(inside).to_bytes(3, "little") + data


def compressing(flag: int, *, offered: bool = True) -> list:
    flags = CLIENT_PROTOCOL_41 | CLIENT_SECURE | CLIENT_PLUGIN_AUTH
    low, high = ((flags | flag if offered else flags) >> s & 0xFFFF for s in (0, 16))
    hello = packet(0, b"\x0a8.0.36\0" + bytes(4) + SALT[:8] + b"\0" + low.to_bytes(2, "little") + b"\x21\2\0" + high.to_bytes(2, "little") + b"\x15" + bytes(10) + SALT[8:] + b"\0mysql_native_password\0")
    login = packet(1, (flags | flag).to_bytes(4, "little") + bytes(4) + b"\x21" + bytes(23) + b"bob\0\x14" + b"R" * 20 + b"mysql_native_password\0")
    return [server(hello), client(login), server(packet(2, OK))]


@pytest.mark.parametrize(("flag", "coding"), [(CLIENT_COMPRESS, "zlib"), (CLIENT_ZSTD, "zstd"), (CLIENT_COMPRESS, "plain")])
def test_compressed_sessions_are_read_on(flag, coding):
    query = packet(0, b"\3ALTER USER carol IDENTIFIED BY 'new'")
    result = packet(1, b"\1") + packet(2, column(b"a")) + packet(3, b"\1x")
    script = [*compressing(flag), client(squeezed(0, query[:9], coding) + squeezed(1, query[9:], coding)), server(squeezed(2, result, coding))]
    events = both(SPEC, script)
    assert statements(events) == [("ALTER USER", "carol", "new")]
    assert content(events)[-1] == ("result rows", b"a\nx")
    alone = [step for step in script if step.side is Side.CLIENT]
    assert statements(both(SPEC, alone)) == [("ALTER USER", "carol", "new")]


def test_compression_that_the_server_does_not_offer_is_none():
    script = [*compressing(CLIENT_COMPRESS, offered=False), client(packet(0, b"\3ALTER USER carol IDENTIFIED BY 'new'"))]
    assert statements(both(SPEC, script)) == [("ALTER USER", "carol", "new")]


def test_compressed_bombs_and_gaps_end_the_reading():
    bomb = (20).to_bytes(3, "little") + b"\0" + (1 << 23).to_bytes(3, "little") + bytes(20)
    assert isinstance(drive(SPEC, [*compressing(CLIENT_COMPRESS), client(bomb)])[-1], Done)
    with pytest.raises(Malformed):
        drive(SPEC, [*compressing(CLIENT_COMPRESS), client((9).to_bytes(3, "little") + b"\0\x50\0\0" + zlib.compress(b"x"))])
    assert isinstance(drive(SPEC, [*compressing(CLIENT_COMPRESS), Gap(Side.CLIENT, 9)])[-1], Done)


def test_a_replica_names_its_password_and_is_sent_statements():
    register = packet(0, b"\x15" + bytes(4) + b"\2h1\4repl\6secret" + bytes(10))
    text = b"\0\0" + b"shop\0" + b"CREATE USER carol IDENTIFIED BY 'made'"
    size = (19 + 13 + len(text)).to_bytes(4, "little")
    event = b"\0" + bytes(4) + b"\2" + bytes(4) + size + bytes(6) + bytes(8) + b"\4" + bytes(2) + b"\2\0" + text
    script = [*LOGIN, client(register), server(packet(1, OK)), client(packet(0, b"\x12" + bytes(10))), server(packet(1, event))]
    assert statements(both(SPEC, script)) == [("COM_REGISTER_SLAVE", "repl", "secret"), ("CREATE USER", "carol", "made")]
    (statement,) = [e for e in drive(SPEC, script) if getattr(e, "mechanism", "") == "CREATE USER"]
    assert secret_of(script, statement) == b"made"


def test_a_gap_in_the_greeting_leaves_the_login():
    script = [Gap(Side.SERVER, len(greeting())), client(response(b"R" * 20)), server(packet(2, OK)), client(packet(0, b"\3SET PASSWORD = 'x1'"))]
    events = both(SPEC, script)
    assert hashes(events) == [("mysql_native_password", "bob", (b"R" * 20).hex(), None)]
    assert statements(events) == [("SET PASSWORD", None, "x1")]


def test_a_session_is_read_again_after_a_gap():
    rest = b"and the end of a long row of text, cut off at its beginning" * 3
    result = packet(1, b"\1") + packet(2, column(b"a")) + packet(3, b"\1x")
    script = [*LOGIN, client(packet(0, b"\3SELECT 1")), Gap(Side.SERVER, 900), server(rest), client(packet(0, b"\3SET PASSWORD = 'x1'")), server(packet(1, OK)), Gap(Side.CLIENT, 50), client(rest), server(packet(1, OK)), client(packet(0, b"\3SET PASSWORD = 'x2'")), server(result)]
    events = both(SPEC, script)
    assert statements(events) == [("SET PASSWORD", None, "x1"), ("SET PASSWORD", None, "x2")]
    assert content(events)[-1] == ("result rows", b"a\nx")


def test_full_authentication_in_the_clear_keeps_the_response_too():
    plugin = b"caching_sha2_password"
    events = both(SPEC, [server(greeting(plugin)), client(response(b"S" * 32, plugin)), server(packet(2, b"\1\4")), client(packet(3, b"s3cret\0")), server(packet(4, OK))])
    assert [h[0] for h in hashes(events)] == ["caching_sha2_password"]
    assert logins(events) == [("caching_sha2_password", "bob", "s3cret", "accepted")]


def test_what_rsa_made_of_a_password_is_none_though_it_ends_with_a_zero():
    script = [server(greeting()), client(response(b"R" * 20)), server(switch(b"sha256_password", NEW + b"\0")), client(packet(3, b"\1")), server(packet(4, b"\1-----BEGIN PUBLIC KEY-----")), client(packet(5, b"E" * 255 + b"\0")), server(packet(6, OK))]
    events = both(SPEC, script)
    assert not logins(events)
    assert [h[0] for h in hashes(events)] == ["mysql_native_password"]


def test_an_empty_password_is_no_response():
    events = both(SPEC, [server(greeting()), client(response(b"")), server(switch(b"caching_sha2_password", NEW + b"\0")), client(packet(3, b"\0")), server(packet(4, OK))])
    assert not hashes(events)


def test_change_user_in_a_session_joined_in_the_middle_names_its_plugin():
    change = packet(0, b"\x11carol\0\x20" + b"C" * 32 + b"shop\0\x21\0caching_sha2_password\0")
    script = [client(packet(0, b"\3SELECT 1 FROM dual")), server(packet(1, OK)), client(change), server(packet(1, OK))]
    assert hashes(both(SPEC, script)) == [("caching_sha2_password", "carol", (b"C" * 32).hex(), None)]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (packet(0, b"\x0e"), b"", Match.MORE),
        (packet(0, b"\x0e"), packet(1, OK), Match.YES),
        (packet(0, b"\x0e"), b"HTTP/1.1 200 OK", Match.NO),
        (packet(0, b"\x17\5\0\0\0\0\1\0\0\0\0\1"), b"", Match.YES),
        (packet(0, b"\3/* ApplicationName=shop */ SELECT 1"), b"", Match.YES),
        (packet(0, b"\3-- note\n  (SELECT 1)"), b"", Match.YES),
        (packet(0, b"\3/* never"), b"", Match.NO),
        (b"", packet(1, b"\1") + packet(2, column(b"a")), Match.YES),
        (b"", packet(0, b"\xff\x10\4" + "Слишком много соединений".encode()), Match.YES),
        (b"", packet(0, b"\xff\x29\x23Max connect timeout reached"), Match.YES),
        (b"", greeting().replace(b"8.0.36", b"banana"), Match.YES),
        (b"", packet(0, b"\x0abanana\0" + b"text and no zero where one must be, whatever it says"), Match.NO),
    ],
)
def test_more_ways_that_sessions_begin_or_are_joined(c, s, said):
    assert probe(c, s) is said


@pytest.mark.parametrize("text", ["IDENTIFIED VIA pam USING 'mariadb'", "IDENTIFIED WITH 'authentication_ldap_simple' AS 'uid=u,ou=people'", "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'", "IDENTIFIED VIA unix_socket"])
def test_what_a_plugin_is_told_that_keeps_no_passwords_is_no_hash(text):
    events = both(SPEC, [server(greeting()), client(response(b"")), server(packet(2, OK)), client(packet(0, b"\3CREATE USER u@localhost " + text.encode()))])
    assert not statements(events)
    assert not hashes(events)
