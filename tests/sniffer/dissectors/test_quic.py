"""QUIC: the packets of RFC 9001's appendix A, and recorded sessions."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sniffer.dissectors import Match
from sniffer.dissectors._quic_keys import keys
from sniffer.dissectors.quic import SPEC, V1, probe
from sniffer.events import Encryption, Posture, Tls
from tests.drive import Say, client, drive, server
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


def crypto(offset: int, data: bytes) -> bytes:
    return b"\x06" + (0x4000 | offset).to_bytes(2, "big") + (0x4000 | len(data)).to_bytes(2, "big") + data


def initial(version: int, frames: bytes, number: int = 0) -> bytes:
    """A client's Initial packet (RFC 9001, 5.3 and 5.4)."""
    key, iv, protection = keys(version, CONNECTION, server=False) or (b"", b"", b"")
    plain = frames + bytes(1150 - len(frames))
    first = 0xD0 if version == 0x6B3343CF else 0xC0
    header = bytes((first,)) + version.to_bytes(4, "big") + b"\x08" + CONNECTION + b"\0\0" + (0x4000 | len(plain) + 17).to_bytes(2, "big") + bytes((number,))
    sealed = AESGCM(key).encrypt(bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big"), strict=True)), plain, header)
    mask = Cipher(algorithms.AES(protection), modes.ECB()).encryptor().update(sealed[3:19])
    return bytes((header[0] ^ mask[0] & 15,)) + header[1:-1] + bytes((header[-1] ^ mask[1],)) + sealed


NAME = b"quic.example.org"
HELLO = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0" + (lambda e: len(e).to_bytes(2, "big") + e)(b"\0\0" + (len(NAME) + 5).to_bytes(2, "big") + (len(NAME) + 3).to_bytes(2, "big") + b"\0" + len(NAME).to_bytes(2, "big") + NAME)
MESSAGE = b"\x01" + len(HELLO).to_bytes(3, "big") + HELLO


@pytest.mark.parametrize("version", [V1, 0x6B3343CF, 0xFF000016, 0xFF000017, 0xFF00001B, 0xFF00001D, 0xFF000020, 0xFF000021, 0xFF000022, 0xFACEB001, 0xFACEB002, 0x54303530, 0x54303531])
def test_versions_in_the_field(version):
    packet = initial(version, crypto(0, MESSAGE))
    assert probe(packet, b"") is Match.YES
    assert [e.sni for e in drive(SPEC, [client(packet)], datagram=True) if isinstance(e, Tls)] == [NAME.decode()]


def test_drafts_33_and_34_have_the_salt_of_version_1():
    """draft-ietf-quic-tls-33, section 5.2."""
    assert keys(0xFF000022, CONNECTION, server=False) == keys(V1, CONNECTION, server=False)


def test_a_hello_in_pieces_sent_again_and_cut_another_way():
    packets = [initial(V1, crypto(40, MESSAGE[40:]), 1), initial(V1, crypto(0, MESSAGE[:10]), 0), initial(V1, b"\x01" + crypto(0, MESSAGE[:45]), 2)]
    assert [e.sni for e in drive(SPEC, [client(p) for p in packets], datagram=True) if isinstance(e, Tls)] == [NAME.decode()]


def test_a_version_nobody_has_forces_a_negotiation():
    asked = b"\xc0\x1a\x2a\x3a\x4a\x08" + CONNECTION + b"\0" + bytes(1200)
    answer = b"\xc0\0\0\0\0\0\x08" + CONNECTION + V1.to_bytes(4, "big")
    assert probe(asked, b"") is Match.YES
    assert probe(asked, answer) is Match.YES
    events = drive(SPEC, [client(asked), server(answer), client(initial(V1, crypto(0, MESSAGE)))], datagram=True)
    assert [e.sni for e in events if isinstance(e, Tls)] == [NAME.decode()]
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]


def test_a_short_header_first_is_not_googles():
    events = drive(SPEC, [server(b"\x40" + bytes(60)), client(b""), client(initial(V1, crypto(0, MESSAGE)))], datagram=True)
    assert [e.why for e in events if isinstance(e, Posture)] == ["QUIC v1"]
