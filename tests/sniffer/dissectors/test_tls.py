"""TLS: real handshakes over memory buffers, and what breaks them."""

from __future__ import annotations

import ssl

import pytest

from bench.mix import handshake
from sniffer.dissectors import Match
from sniffer.dissectors.tls import SPEC, probe
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
        (b"\x16\x05\x01\x00\x10\x01", b"", Match.NO), (b"GET /", b"", Match.NO), (b"", b"220 hi", Match.NO),
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", b"", Match.YES), (b"\x80\x2e\x05\x00\x02\x00\x15\x00\x00\x00\x10", b"", Match.NO),
    ],
)  # fmt: skip
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [f.data for flights in FLIGHTS.values() for f in flights] + [DATA, b"\x15\x03\x03\x00\x02\x02\x28", b"\x14\x03\x03\x00\x01\x01"], rounds=300)
