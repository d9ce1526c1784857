"""SNMP: communities and their answers, USM parameters and levels."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.snmp import SPEC, probe
from sniffer.events import Anomaly, Encryption, Posture
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


def outcomes(events) -> list[str]:
    return [str(e.outcome) for e in events if hasattr(e, "outcome")]


def test_a_scanner_that_never_changes_its_request_id():
    words = [f"word{i}".encode() for i in range(400)]
    script = [client(message(0, w, GET, 1)) for w in words] + [server(message(0, b"word7", RESPONSE, 1))]
    found = logins(drive(SPEC, script, datagram=True))
    assert sorted(x[2] for x in found) == sorted(w.decode() for w in words)
    assert [x[2] for x in found if x[3] == "accepted"] == ["word7"]


def test_an_answer_with_another_community_loses_no_question():
    script = [client(message(1, b"asked@10", GET, 7)), server(message(1, b"asked", RESPONSE, 7))]
    assert sorted(x[2:] for x in logins(drive(SPEC, script, datagram=True))) == [("asked", "accepted"), ("asked@10", "unknown")]


def test_an_answer_alone_tells_that_the_community_is_right():
    """Agents with several addresses answer from another one; captures may hold one direction."""
    for side in (client, server):
        assert logins(drive(SPEC, [side(message(1, b"readers", RESPONSE, 7))] * 3, datagram=True)) == [("v2c", None, "readers", "accepted")]


def test_a_request_told_as_unknown_is_told_again_when_answered():
    script = [client(message(1, b"c", TRAP2, 1)), client(message(1, b"c", GET, 2)), server(message(1, b"c", RESPONSE, 2))]
    assert [x[3] for x in logins(drive(SPEC, script, datagram=True))] == ["unknown", "accepted"]


def test_informs_are_answered_by_the_receiver():
    script = [client(message(1, b"informs", 0xA6, 9)), server(message(1, b"informs", RESPONSE, 9))]
    assert logins(drive(SPEC, script, datagram=True)) == [("v2c", None, "informs", "accepted")]


def test_messages_cut_by_the_capture_keep_what_stands_in_front():
    whole = message(1, b"readers", GET, 7)
    cut = whole[: whole.index(b"readers") + len(b"readers") + 2]
    assert probe(cut, b"") is Match.YES
    assert logins(drive(SPEC, [client(cut)], datagram=True)) == [("v2c", None, "readers", "unknown")]
    events = drive(SPEC, [client(v3(1, b"bob", b"P" * 12)[:-4])], datagram=True)
    assert hashes(events) == [("v3-usm", "bob", (b"P" * 12).hex(), None)]


def test_a_broken_datagram_does_not_end_the_reading():
    script = [client(message(1, b"one", GET, 1)), client(b"\x30\x03\x02\x01\x09"), client(message(1, b"two", GET, 2))]
    events = drive(SPEC, script, datagram=True)
    assert [x[2] for x in logins(events)] == ["one", "two"]
    assert any(isinstance(e, Anomaly) for e in events)


def test_lengths_and_versions_in_long_forms():
    pdu = tlv(GET, number(1), number(0), number(0), tlv(0x30))
    inner = b"\x02\x02\x00\x01" + b"\x04\x82\x00\x06public" + pdu
    long = b"\x30\x84" + len(inner).to_bytes(4, "big") + inner
    assert probe(long, b"") is Match.YES
    assert logins(drive(SPEC, [client(long)], datagram=True)) == [("v2c", None, "public", "unknown")]


def report(counter: int, flags: int = 0) -> bytes:
    name = bytes.fromhex("2b060106030f0101") + bytes((counter, 0))
    usm = tlv(0x30, tlv(4, bytes.fromhex("80001f8880e9630000d61ff449")), number(3), number(9), tlv(4, b"bob"), tlv(4, b""), tlv(4, b""))
    head = tlv(0x30, number(5), number(65507), tlv(4, bytes((flags,))), number(3))
    pdu = tlv(0xA8, number(1), number(0), number(0), tlv(0x30, tlv(0x30, tlv(6, name), tlv(0x41, b"\1"))))
    return tlv(0x30, b"\x02\x01\x03", head, tlv(4, usm), tlv(0x30, tlv(4, b"engine"), tlv(4, b""), pdu))


@pytest.mark.parametrize(("counter", "flags", "outcome"), [(5, 0, "rejected"), (3, 0, "rejected"), (2, 1, "accepted"), (4, 0, "unknown"), (1, 0, "unknown")])
def test_reports_say_what_was_wrong(counter, flags, outcome):
    script = [client(v3(1, b"bob", b"P" * 12)), server(report(counter, flags))]
    assert outcomes(drive(SPEC, script, datagram=True)) == [outcome]


def test_after_a_wrong_digest_the_next_try_is_told_too():
    script = [client(v3(1, b"bob", b"P" * 12)), server(report(5)), client(v3(1, b"bob", b"Q" * 12)), server(v3(1, b"bob", b"R" * 12))]
    events = drive(SPEC, script, datagram=True)
    assert outcomes(events) == ["rejected", "accepted"]
    assert hashes(events)[1][2] == (b"Q" * 12).hex()


def test_the_digest_is_zeroed_where_it_stands():
    """Not where the same bytes come by chance: user and digest alike."""
    data = v3(1, b"A" * 12, b"A" * 12)
    at = data.rindex(b"A" * 12)
    (found,) = hashes(drive(SPEC, [client(data)], datagram=True))
    assert found[3].split("$")[4] == (data[:at] + bytes(12) + data[at + 12 :]).hex()
