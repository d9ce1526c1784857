"""QUIC: the packets of RFC 9001's appendix A, and recorded sessions."""

from __future__ import annotations

from sniffer.dissectors import Match
from sniffer.dissectors._quic_keys import keys
from sniffer.dissectors.quic import SPEC, V1, probe
from sniffer.events import Encryption, Posture, Tls
from tests.drive import Say, client, drive
from tests.sniffer.dissectors.say import storm
from tests.streams import heads, speaking

CONNECTION = bytes.fromhex("8394c8f03e515708")


def test_keys_of_the_appendix():
    """RFC 9001, A.1."""
    assert [k.hex() for k in keys(V1, CONNECTION, server=False) or ()] == ["1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"]
    assert [k.hex() for k in keys(V1, CONNECTION, server=True) or ()] == ["cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314"]


def test_keys_of_version_2():
    """RFC 9369, A.1."""
    assert [k.hex() for k in keys(0x6B3343CF, CONNECTION, server=False) or ()] == ["8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"]


def test_recorded_sessions():
    for _, script in speaking(SPEC):
        events = drive(SPEC, script, datagram=True)
        facts = [e for e in events if isinstance(e, Tls)]
        assert [e.sni for e in facts if e.sni] == ["www.example.org"]
        assert [e.version for e in facts if e.version] == ["TLS 1.3"]
        assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]


def test_what_does_not_decrypt_is_encrypted_all_the_same():
    packet = b"\xc3" + V1.to_bytes(4, "big") + b"\x08" + CONNECTION + b"\x00\x00\x44\x9e" + bytes(1182)
    assert [type(e) for e in drive(SPEC, [client(packet)], datagram=True)] == [Posture]


def test_probe():
    for _, script in speaking(SPEC):
        assert probe(*heads(script)) is Match.YES
    for data in (b"\xc3\0\0\0\7" + bytes(40), b"\x17\x03\x03" + bytes(40), bytes(40), b"\xc3\0\0\0\1\x30" + bytes(60)):
        assert probe(data, b"") is Match.NO


def test_storm():
    storm(SPEC, [s.data for _, script in speaking(SPEC) for s in script if isinstance(s, Say)], datagram=True, rounds=150)
