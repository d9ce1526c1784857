"""SNMP: communities and their answers, USM parameters and levels."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.snmp import SPEC, probe
from sniffer.events import Encryption, Posture
from tests.drive import client, drive, server
from tests.sniffer.dissectors.say import hashes, logins, storm


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes((len(body),)) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes((tag,)) + size + body


def number(value: int) -> bytes:
    return tlv(2, value.to_bytes(4, "big"))


def message(version: int, community: bytes, kind: int, request: int) -> bytes:
    pdu = tlv(kind, number(request), number(0), number(0), tlv(0x30))
    return tlv(0x30, tlv(2, bytes((version,))), tlv(4, community), pdu)


GET, RESPONSE, SET, TRAP2 = 0xA0, 0xA2, 0xA3, 0xA7


@pytest.mark.parametrize(("version", "name"), [(0, "v1"), (1, "v2c")])
def test_an_answer_accepts_the_community(version, name):
    script = [client(message(version, b"readers", GET, 7)), server(message(version, b"readers", RESPONSE, 7))]
    assert logins(drive(SPEC, script, datagram=True)) == [(name, None, "readers", "accepted")]


def test_silence_is_unknown_and_polling_tells_nothing_new():
    script = [client(message(1, b"guess", GET, i)) for i in range(50)]
    assert logins(drive(SPEC, script, datagram=True)) == [("v2c", None, "guess", "unknown")]
    script = [step for i in range(50) for step in (client(message(1, b"ok", GET, i)), server(message(1, b"ok", RESPONSE, i)))]
    assert logins(drive(SPEC, script, datagram=True)) == [("v2c", None, "ok", "accepted")]


def test_traps_and_sets():
    assert logins(drive(SPEC, [client(message(1, b"traps", TRAP2, 7))], datagram=True)) == [("v2c", None, "traps", "unknown")]
    events = drive(SPEC, [client(message(1, b"writers", SET, 7)), server(message(1, b"writers", RESPONSE, 7))], datagram=True)
    assert events[-1].where == "community string of a SET"


def v3(flags: int, user: bytes, proof: bytes, request: int = 5) -> bytes:
    usm = tlv(0x30, tlv(4, bytes.fromhex("80001f8880e9630000d61ff449")), number(3), number(9), tlv(4, user), tlv(4, proof), tlv(4, bytes(8)))
    head = tlv(0x30, number(request), number(65507), tlv(4, bytes((flags,))), number(3))
    return tlv(0x30, number(3)[:1] + b"\x01\x03", head, tlv(4, usm), tlv(0x30, tlv(4, b"engine"), tlv(4, b""), tlv(GET, number(1), number(0), number(0), tlv(0x30))))


@pytest.mark.parametrize(("size", "mode"), [(12, 25000), (16, 26700), (24, 26800), (32, 26900), (48, 27300)])
def test_usm_parameters_are_a_hash_of_the_right_mode(size, mode):
    proof = bytes(range(1, size + 1))
    events = drive(SPEC, [client(v3(1, b"bob", proof)), server(v3(1, b"bob", proof[::-1]))], datagram=True)
    (found,) = hashes(events)
    assert found[:3] == ("v3-usm", "bob", proof.hex())
    assert found[3].startswith("$SNMPv3$")
    assert found[3].endswith(f"$80001f8880e9630000d61ff449${proof.hex()}")
    assert proof.hex() not in found[3].rsplit("$", 2)[0]
    assert events[-1].crack.hashcat == mode
    assert events[-1].outcome == "accepted"


def test_levels():
    for flags, verdict in ((0, Encryption.CLEARTEXT), (1, Encryption.CLEARTEXT), (3, Encryption.ENCRYPTED)):
        events = drive(SPEC, [client(v3(flags, b"bob", bytes(12)))], datagram=True)
        assert [e.encryption for e in events if isinstance(e, Posture)] == [verdict]


def test_over_tcp_in_any_cutting():
    script = [client(message(1, b"readers", GET, 7) + message(1, b"others", GET, 8)), server(message(1, b"readers", RESPONSE, 7))]
    whole = drive(SPEC, script)
    assert sorted(x[2:] for x in logins(whole)) == [("others", "unknown"), ("readers", "accepted")]
    assert drive(SPEC, script, cut=1) == whole


@pytest.mark.parametrize(("data", "said"), [(message(0, b"public", GET, 1), Match.YES), (v3(0, b"", b""), Match.YES), (b"\x30\x0c\x02\x01\x05", Match.NO), (b"\x30\x82\x01\x00\x02\x01\x01\x60\x02\x41\x41", Match.NO), (b"\x00\x01", Match.NO)])
def test_probe(data, said):
    assert probe(data, b"") is said


def test_storm():
    seeds = [message(0, b"public", GET, 1), message(1, b"x", RESPONSE, 1), v3(3, b"bob", bytes(12))]
    storm(SPEC, seeds, datagram=True, rounds=400)
    storm(SPEC, seeds)
