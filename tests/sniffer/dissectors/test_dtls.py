"""DTLS: fragments put together, versions, the end of what can be read."""

from __future__ import annotations

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.dtls import SPEC, probe
from sniffer.events import Encryption, Posture, Side, Tls
from tests.drive import Say, client, drive
from tests.sniffer.dissectors.say import storm
from tests.streams import heads, speaking


@pytest.fixture(scope="module")
def script() -> list[Say]:
    return [s for s in speaking(SPEC)[0][1] if isinstance(s, Say)]


def split(data: bytes, size: int) -> list[bytes]:
    """A client hello's datagram as several, each with a fragment of the message."""
    record, header, body = data[:13], data[13:25], data[25:]
    out = []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        fragment = header[:6] + at.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part
        out.append(record[:11] + len(fragment).to_bytes(2, "big") + fragment)
    return out


def test_fragments_in_any_order_give_the_message(script):
    whole = drive(SPEC, script[:1], datagram=True)
    assert [e for e in whole if isinstance(e, Tls)]
    pieces = split(script[0].data, 40)
    for order in (pieces, pieces[::-1], [*pieces, *pieces]):
        events = drive(SPEC, [client(p) for p in order], datagram=True)
        assert [e.ja4 for e in events if isinstance(e, Tls)] == [e.ja4 for e in whole if isinstance(e, Tls)]


def test_the_recorded_sessions_are_encrypted():
    for _, recorded in speaking(SPEC):
        events = drive(SPEC, recorded, datagram=True)
        assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
        assert {e.version for e in events if isinstance(e, Tls) and e.version} <= {"DTLS 1.0", "DTLS 1.2"}


def test_probe(script):
    assert probe(*heads(script)) is Match.YES
    for data in (b"\x16\xfe\xfd", b"\x16\x03\x03" + bytes(40), bytes(60), b"\x16\xfe\xfd" + bytes(9) + b"\xff" + bytes(20)):
        assert probe(data, b"") is Match.NO


def test_storm(script):
    storm(SPEC, [s.data for s in script], datagram=True, rounds=300)
    assert Side.CLIENT is script[0].side


def test_a_connection_id_in_the_middle_of_a_session():
    """RFC 9146: records of type 25."""
    record = b"\x19\xfe\xfd\x00\x01" + bytes(5) + b"\x07" + b"id" + b"\x00\x10" + bytes(16)
    assert probe(record, b"") is Match.YES
    assert [e.encryption for e in drive(SPEC, [client(record)], datagram=True) if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
    assert probe(b"\x19\xfe\xfd" + bytes(30), b"") is Match.NO


def test_a_handshake_whose_end_was_not_captured(script):
    seen: list[Say] = []
    for say in script:
        seen.append(say)
        if [e for e in drive(SPEC, seen, datagram=True) if isinstance(e, Tls) and e.version]:
            break
    assert [e.encryption for e in drive(SPEC, seen, datagram=True) if isinstance(e, Posture)] == [Encryption.ENCRYPTED]


def test_a_failed_handshake_encrypts_nothing(script):
    alert = Say(Side.SERVER, b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28")
    assert [e.encryption for e in drive(SPEC, [script[0], alert], datagram=True) if isinstance(e, Posture)] == [Encryption.UNKNOWN]


def test_stun_before_the_handshake(script):
    """A call between browsers: both sides ask each other for their addresses first, as often as they like."""
    stun = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x80\x22\x00\x04test"
    first = script[0].data
    assert probe(stun, b"") is Match.MORE
    assert probe(stun * 3 + first, stun) is Match.YES
    assert probe(stun, stun + first) is Match.YES
    assert probe(stun + b"plain text", b"") is Match.NO
    assert probe((stun * 40)[:1024], b"") is Match.MORE
    events = drive(SPEC, [*[client(stun), Say(Side.SERVER, stun)] * 70, *script], datagram=True)
    assert {e.version for e in events if isinstance(e, Tls) and e.version} == {e.version for e in drive(SPEC, script, datagram=True) if isinstance(e, Tls) and e.version}
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
