"""DNS: told from other datagrams by its form."""

from __future__ import annotations

import random

import pytest

from bench.mix import dns_pair
from sniffer.dissectors import Match
from sniffer.dissectors.dns import SPEC, probe
from sniffer.events import Done, Encryption, Posture
from tests.drive import client, drive
from tests.sniffer.dissectors.say import both, storm

QUESTION, ANSWER = dns_pair(random.Random(1))


def test_one_message_is_enough():
    events = drive(SPEC, [client(QUESTION)], datagram=True)
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.CLEARTEXT]
    assert isinstance(events[-1], Done)
    assert len(both(SPEC, [client(len(QUESTION).to_bytes(2, "big") + QUESTION)])) == 2


@pytest.mark.parametrize("data", [QUESTION, ANSWER, len(QUESTION).to_bytes(2, "big") + QUESTION])
def test_claims(data):
    assert probe(data, b"") is Match.YES


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", bytes(40), b"\x16\xfe\xfd" + bytes(40), b"\xff" * 60, QUESTION[:12], b"\x30\x26\x02\x01\x00\x04\x06public" + bytes(30), b"\x80\x60" + bytes(30)])
def test_leaves_others_alone(data):
    assert probe(data, b"") is Match.NO


def test_random_datagrams_are_not_claimed():
    rng = random.Random(3)
    assert sum(probe(rng.randbytes(rng.randint(12, 200)), b"") is Match.YES for _ in range(5000)) <= 2


def test_storm():
    storm(SPEC, [QUESTION, ANSWER], datagram=True)


NETBIOS = bytes.fromhex("80940110000100000000000020") + b"EJFDEBFEEBFACACACACACACACACACAAA" + b"\0"


@pytest.mark.parametrize("kind", [b"\0\x20\0\1", b"\0\x21\0\1"])
def test_netbios_names_are_no_dns(kind):
    assert probe(NETBIOS + kind, b"") is Match.NO


def test_a_service_record_is_no_netbios_name():
    """SRV has the number of NBSTAT."""
    assert probe(bytes.fromhex("000101000001000000000000") + b"\x05_ldap\x04_tcp\x07example\0\0\x21\0\1", b"") is Match.YES


def test_an_error_that_is_nothing_but_options():
    assert probe(bytes.fromhex("0001800100000000000000010000291000000000000000"), b"") is Match.YES


def test_a_name_cut_by_a_snap_length():
    """Captures of 68 bytes a packet hold the header and half a name."""
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x03www\x07example\x03org\0\0\1\0\1"
    for size in range(16, len(query) - 4):
        assert probe(query[:size], b"") is Match.YES
    for other in (query[:12] + b"\x03w\0w", query[:12] + b"\x09www", query[:4] + b"\0\2" + query[6:20], query[:2] + b"\x29" + query[3:20]):
        assert probe(other, b"") is not Match.YES


def test_a_question_of_nothing_but_options():
    """RFC 7873, 5.4: a client that asks for a server's cookie."""
    query = b"\x12\x34\x01\x00" + bytes(6) + b"\0\1" + b"\0\x00\x29\x10\x00" + bytes(4) + b"\0\x0c\0\x0a\0\x08" + b"cookie!!"
    assert probe(query, b"") is Match.YES
