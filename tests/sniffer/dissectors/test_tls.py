"""TLS: real handshakes over memory buffers, and what breaks them."""

from __future__ import annotations

import ssl
from random import Random

import pytest

from bench.mix import handshake
from sniffer.dissectors import Match
from sniffer.dissectors.tls import SPEC, probe
from sniffer.errors import Malformed
from sniffer.events import Certificate, Done, Encryption, Posture, Tls
from tests.drive import Gap, Say, Side, client, drive, server
from tests.sniffer.dissectors.say import both, storm

FLIGHTS = {v: [Say(Side(side), data) for side, data in handshake(v)] for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}
DATA = b"\x17\x03\x03\x00\x20" + bytes(32)


def facts(events: list) -> dict[str, object]:
    out: dict[str, object] = {}
    for e in events:
        if isinstance(e, Tls):
            out |= {n: getattr(e, n) for n in ("version", "cipher", "group", "sni", "alpn", "ja4", "certificate", "resumed") if getattr(e, n) is not None}
    return out


def verdicts(events: list) -> list[Encryption]:
    return [e.encryption for e in events if isinstance(e, Posture)]


def test_tls12_shows_its_certificate():
    events = both(SPEC, FLIGHTS[ssl.TLSVersion.TLSv1_2])
    said = facts(events)
    assert said["version"] == "TLS 1.2"
    assert str(said["cipher"]).startswith("TLS_ECDHE_RSA_WITH_")
    assert said["sni"] == "www.example.org"
    assert isinstance(said["certificate"], Certificate)
    assert (said["certificate"].subject, said["certificate"].key, said["certificate"].self_signed) == ("CN=www.example.org", "rsa 2048", True)
    assert said["certificate"].not_after == "2032-12-29T00:00:00Z"
    assert said["group"] in ("x25519", "secp256r1", "X25519MLKEM768")
    assert verdicts(events) == [Encryption.ENCRYPTED]
    assert isinstance(events[-1], Done)


def test_tls13_says_what_cannot_be_seen():
    events = both(SPEC, FLIGHTS[ssl.TLSVersion.TLSv1_3])
    said = facts(events)
    assert (said["version"], said["certificate"], said["resumed"]) == ("TLS 1.3", "not visible", False)
    assert str(said["ja4"]).startswith("t13d")
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_one_side_alone():
    for flights in FLIGHTS.values():
        for side in (Side.CLIENT, Side.SERVER):
            events = drive(SPEC, [f for f in flights if f.side is side] + [Say(side, DATA)])
            assert verdicts(events) == [Encryption.ENCRYPTED]


def test_joined_in_the_middle():
    assert verdicts(both(SPEC, [client(DATA * 2)])) == [Encryption.ENCRYPTED]
    assert facts(drive(SPEC, [client(DATA * 2)])) == {}


def test_a_failed_handshake_encrypts_nothing():
    events = both(SPEC, [FLIGHTS[ssl.TLSVersion.TLSv1_2][0], server(b"\x15\x03\x03\x00\x02\x02\x28")])
    assert verdicts(events) == [Encryption.UNKNOWN]


def test_null_ciphers_are_no_encryption():
    hello = b"\x03\x03" + bytes(32) + b"\0" + b"\x00\x3b" + b"\0"
    body = b"\x02" + len(hello).to_bytes(3, "big") + hello
    record = b"\x16\x03\x03" + len(body).to_bytes(2, "big") + body
    change = b"\x14\x03\x03\x00\x01\x01"
    script = [FLIGHTS[ssl.TLSVersion.TLSv1_2][0], server(record + change), client(change + b"\x17\x03\x03\x00\x08password")]
    events = both(SPEC, script)
    assert verdicts(events) == [Encryption.CLEARTEXT]
    assert [e.data for e in events if hasattr(e, "media")] == [b"password"]


def test_a_gap_keeps_what_was_shown():
    flights = FLIGHTS[ssl.TLSVersion.TLSv1_2]
    events = drive(SPEC, [*flights[:2], Gap(Side.CLIENT, 100)])
    assert facts(events)["version"] == "TLS 1.2"
    assert verdicts(events) == [Encryption.ENCRYPTED]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (FLIGHTS[ssl.TLSVersion.TLSv1_3][0].data[:1024], b"", Match.YES), (b"\x16\x03", b"", Match.MORE), (DATA * 2, b"", Match.YES), (b"", b"\x15\x03\x01\x00\x02\x02\x28", Match.YES),
        (b"\x16\x05\x01\x00\x10\x01" + bytes(20), b"", Match.NO), (b"GET /", b"", Match.NO), (b"", b"220 hi", Match.NO),
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", b"", Match.YES), (b"\x80\x2e\x05\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(16), b"", Match.NO),
    ],
)  # fmt: skip
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [f.data for flights in FLIGHTS.values() for f in flights] + [DATA, b"\x15\x03\x03\x00\x02\x02\x28", b"\x14\x03\x03\x00\x01\x01"], rounds=300)


def record(kind: int, body: bytes, version: bytes = b"\x03\x03") -> bytes:
    return bytes((kind,)) + version + len(body).to_bytes(2, "big") + body


def message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def hello(kind: int, suite: int, extensions: bytes = b"", version: bytes = b"\x03\x03", random: bytes = bytes(32)) -> bytes:
    suites = suite.to_bytes(2, "big")
    chosen = b"\0" + suites + b"\0" if kind == 2 else b"\0" + b"\0\2" + suites + b"\1\0"
    return message(kind, version + random + chosen + (len(extensions).to_bytes(2, "big") + extensions if extensions else b""))


TLS13 = b"\x00\x2b\x00\x02\x03\x04"
OFFERS13 = b"\x00\x2b\x00\x03\x02\x03\x04"
CHANGE = record(20, b"\1")


def test_early_data_does_not_hide_the_server_hello():
    script = [client(record(22, hello(1, 0x1301, OFFERS13)) + CHANGE + DATA), server(record(22, hello(2, 0x1301, TLS13)) + CHANGE + DATA)]
    events = both(SPEC, script)
    assert facts(events)["version"] == "TLS 1.3"
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_the_server_hello_of_an_early_draft():
    body = message(2, b"\x7f\x12" + bytes(32) + b"\x13\x01" + b"\x00\x08" + b"\x00\x28\x00\x04\x00\x1d\x00\x00")
    events = both(SPEC, [client(record(22, hello(1, 0x1301)) + DATA), server(record(22, body) + DATA)])
    assert {n: facts(events)[n] for n in ("version", "cipher", "group")} == {"version": "TLS 1.3", "cipher": "TLS_AES_128_GCM_SHA256", "group": "x25519"}


def test_the_fingerprint_is_that_of_the_hello_before_a_retry():
    retry = hello(2, 0x1301, TLS13, random=bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"))
    first, second = hello(1, 0x1301, OFFERS13), hello(1, 0x1301, OFFERS13 + b"\x00\x2c\x00\x02\x00\x00")
    script = [client(record(22, first)), server(record(22, retry) + CHANGE), client(CHANGE + record(22, second)), server(record(22, hello(2, 0x1301, TLS13)) + DATA)]
    events = both(SPEC, script)
    assert facts(events)["ja4"] == facts(drive(SPEC, script[:1]))["ja4"]
    assert facts(events)["version"] == "TLS 1.3"


def test_a_handshake_whose_end_was_not_captured():
    events = both(SPEC, FLIGHTS[ssl.TLSVersion.TLSv1_2][:2])
    assert verdicts(events) == [Encryption.ENCRYPTED]
    assert verdicts(both(SPEC, FLIGHTS[ssl.TLSVersion.TLSv1_2][:1])) == []


@pytest.mark.parametrize("body", [b"\x00\x00\x20" + bytes((0x30, 0x1E)) + bytes(30), b"\x00\x00\x00", b"\xff"])
def test_a_certificate_message_without_a_chain_ends_nothing(body):
    script = [client(record(22, hello(1, 0xC02F))), server(record(22, hello(2, 0xC02F) + message(11, body))), client(CHANGE), server(CHANGE)]
    assert verdicts(both(SPEC, script)) == [Encryption.ENCRYPTED]


def test_tlcp():
    script = [client(record(22, hello(1, 0xE013, version=b"\1\1"), b"\1\1")), server(record(22, hello(2, 0xE013, version=b"\1\1"), b"\1\1")), client(record(20, b"\1", b"\1\1")), server(record(20, b"\1", b"\1\1"))]
    assert probe(script[0].data, script[1].data) is Match.YES
    events = both(SPEC, script)
    assert (facts(events)["version"], facts(events)["cipher"]) == ("TLCP 1.1", "TLS_ECC_SM4_CBC_SM3")
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_ssl_2_answered_in_kind():
    offer = b"\x01\x00\x02\x00\x03\x00\x00\x00\x10\x01\x00\x80" + bytes(16)
    answer = b"\x04\x00\x01\x00\x02\x00\x04\x00\x03\x00\x10" + b"cert" + b"\x01\x00\x80" + bytes(16)
    script = [client(bytes((0x80, len(offer))) + offer), server(bytes((0x80, len(answer))) + answer), client(b"\x80\x20\x02" + bytes(31))]
    assert probe(script[0].data, b"") is Match.YES
    assert probe(b"", script[1].data) is Match.YES
    assert probe(script[0].data, script[1].data) is Match.YES
    events = both(SPEC, script)
    assert (facts(events)["version"], facts(events)["cipher"]) == ("SSL 2.0", "SSL_CK_RC4_128_WITH_MD5")
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_an_ssl_2_hello_that_opens_tls_may_come_in_pieces():
    offer = b"\x01\x03\x01\x00\x03\x00\x00\x00\x10\x00\x00\x2f" + bytes(16)
    events = both(SPEC, [client(bytes((0x80, len(offer))) + offer), server(record(22, hello(2, 0x2F, version=b"\3\1"), b"\3\1")), client(CHANGE), server(CHANGE)])
    assert facts(events)["version"] == "TLS 1.0"


def test_integrity_alone_is_no_encryption_in_tls_1_3():
    data = record(23, b"USER alice\x17" + bytes(3) + b"m" * 32)
    events = both(SPEC, [client(record(22, hello(1, 0xC0B4, OFFERS13))), server(record(22, hello(2, 0xC0B4, TLS13)) + record(23, b"e\x16" + b"m" * 32)), client(data)])
    assert verdicts(events) == [Encryption.CLEARTEXT]
    assert [e.data for e in events if hasattr(e, "media")] == [b"USER alice"]


@pytest.mark.parametrize(("c", "s"), [(record(22, message(16, bytes(66))), b""), (b"", record(22, message(11, bytes(300)) + message(14, b""))), (b"", record(22, message(12, bytes(100))))])
def test_joined_inside_the_handshake(c, s):
    assert probe(c, s) is Match.YES


SERVER_FIRST = record(22, hello(2, 0xC02F, b"\xff\x01\x00\x01\x00") + message(11, bytes(900)))
SEALED = Random(5).randbytes(400)


def test_the_end_of_a_session_shows_a_sealed_alert():
    """A capture that begins when an idle connection is closed."""
    alert = record(21, SEALED[:26])
    assert probe(b"", alert) is Match.YES
    assert probe(alert, b"") is Match.YES
    assert verdicts(both(SPEC, [server(alert)])) == [Encryption.ENCRYPTED]
    assert verdicts(both(SPEC, [client(alert), server(alert)])) == [Encryption.ENCRYPTED]
    assert probe(b"", record(21, b"\x03\x28")) is Match.NO


def test_one_record_of_data_is_enough_in_the_middle():
    assert probe(record(23, SEALED[:40]), b"") is Match.YES
    assert probe(record(23, SEALED[:8]), b"") is Match.MORE
    assert probe(record(23, SEALED[:40])[:-1], b"") is Match.MORE


def test_a_sealed_finished_before_data():
    """Its first byte is no kind of handshake message."""
    assert probe(record(22, b"\xa7" + SEALED[:39]) + DATA, b"") is Match.YES
    assert probe(record(22, b"\xa7" + SEALED[:39]) + b"x" * 40, b"") is Match.NO


def test_joined_inside_a_record_of_one_side():
    """During a download: the server's bytes begin anywhere, the client's with a record."""
    assert probe(b"", SEALED) is Match.MORE
    assert probe(DATA, SEALED) is Match.YES
    assert probe(b"STARTTLS\r\n" + SEALED[:64] + DATA + DATA, b"") is Match.NO
    assert probe(DATA, b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nServer: x\r\n\r\n") is Match.NO
    for script in ([server(SEALED), client(DATA)], [client(record(21, SEALED[:10])), server(SEALED), client(DATA)], [server(SEALED + DATA + DATA)]):
        assert verdicts(drive(SPEC, script)) == [Encryption.ENCRYPTED]


def test_a_server_hello_after_a_hole():
    """Packets cut by a snap length, or a client hello that was lost in part."""
    script = [client(record(22, hello(1, 0xC02F))[:40]), Gap(Side.CLIENT, 200), server(record(22, hello(2, 0xC02F)) + CHANGE), client(CHANGE)]
    events = drive(SPEC, script)
    assert facts(events)["version"] == "TLS 1.2"
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_data_after_a_hole_where_the_server_hello_was():
    script = [client(record(22, hello(1, 0xC02F))), Gap(Side.SERVER, 1400), server(SEALED[:300]), client(CHANGE + record(22, SEALED[:40])), server(CHANGE + record(22, SEALED[:40])), client(DATA)]
    events = drive(SPEC, script)
    assert verdicts(events) == [Encryption.ENCRYPTED]
    assert "version" not in facts(events)


@pytest.mark.parametrize(("size", "known"), [(52, True), (300, True), (45, False)])
def test_the_beginning_of_a_server_hello_shows_version_and_suite(size, known):
    for end in ([Gap(Side.SERVER, 1000)], []):
        events = drive(SPEC, [client(record(22, hello(1, 0xC02F))), server(SERVER_FIRST[:size]), *end])
        assert facts(events).get("cipher") == ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" if known else None)
        assert verdicts(events) == [Encryption.ENCRYPTED] * known


def test_the_suites_of_1_3_tell_the_version_before_the_extension_does():
    whole = record(22, hello(2, 0x1301, b"\x00\x33\x00\x24\x00\x1d\x00\x20" + bytes(32) + TLS13))
    events = drive(SPEC, [client(record(22, hello(1, 0x1301, OFFERS13))), server(whole[:60]), Gap(Side.SERVER, 500)])
    assert (facts(events)["version"], facts(events)["certificate"]) == ("TLS 1.3", "not visible")


def test_the_beginning_of_a_client_hello_shows_the_name():
    name = b"\x00\x00\x00\x14\x00\x12\x00\x00\x0fwww.example.org"
    whole = record(22, hello(1, 0x1301, name + b"\x00\x15\x01\x00" + bytes(256)))
    said = facts(drive(SPEC, [client(whole[:120]), Gap(Side.CLIENT, 300)]))
    assert said == {"sni": "www.example.org"}


def test_a_hello_in_records_of_a_few_bytes():
    body = hello(1, 0xC02F)
    pieces = b"".join(record(22, body[i : i + 3]) for i in range(0, len(body), 3))
    assert probe(pieces, b"") is Match.YES
    assert "ja4" in facts(both(SPEC, [client(pieces), server(record(22, hello(2, 0xC02F)))]))


def test_a_hello_that_breaks_its_format_ends_nothing():
    broken = message(1, hello(1, 0x2F, b"\x00\x0b\x00\x02\x01\x00")[4:-3])
    events = both(SPEC, [client(record(22, broken)), server(record(22, hello(2, 0x2F, version=b"\3\1")) + CHANGE), client(CHANGE)])
    assert facts(events)["version"] == "TLS 1.0"
    assert verdicts(events) == [Encryption.ENCRYPTED]


def test_a_keep_alive_on_the_port_is_no_tls():
    with pytest.raises(Malformed):
        drive(SPEC, [client(b"\0")])


def test_damage_behind_the_server_hello_leaves_what_was_shown():
    events = both(SPEC, [client(record(22, hello(1, 0x2F))), server(record(22, hello(2, 0x2F)) + b"\x09\x00" + bytes(40))])
    assert facts(events)["cipher"] == "TLS_RSA_WITH_AES_128_CBC_SHA"
    assert verdicts(events) == [Encryption.ENCRYPTED]
