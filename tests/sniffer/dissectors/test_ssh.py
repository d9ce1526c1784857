"""SSH: identifications, what was negotiated, and when to stop."""

from __future__ import annotations

from random import Random

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors.ssh import SPEC, probe
from sniffer.events import Anomaly, Done, Encryption, Greeting, Posture
from tests.drive import client, drive, server
from tests.sniffer.dissectors.say import both, storm


def kexinit(cipher: str) -> bytes:
    lists = ["curve25519-sha256", "ssh-ed25519", cipher, cipher, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""]
    body = b"\x14" + bytes(16) + b"".join(len(x).to_bytes(4, "big") + x.encode() for x in lists) + bytes(5)
    return (len(body) + 5).to_bytes(4, "big") + b"\x04" + body + bytes(4)


def session(cipher: str) -> list:
    return [server("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"), client("SSH-2.0-client\r\n"), client(kexinit(cipher)), server(kexinit(cipher))]


@pytest.mark.parametrize(("cipher", "verdict", "word"), [("aes128-ctr", Encryption.ENCRYPTED, "aes128-ctr"), ("3des-cbc", Encryption.ENCRYPTED, "obsolete"), ("none", Encryption.CLEARTEXT, "none")])
def test_what_was_negotiated(cipher, verdict, word):
    events = both(SPEC, session(cipher))
    (posture,) = [e for e in events if isinstance(e, Posture)]
    assert posture.encryption is verdict
    assert word in posture.why
    assert [(e.product, e.version) for e in events if isinstance(e, Greeting)] == [("OpenSSH", "9.2p1")]
    assert any(isinstance(e, Done) for e in events)


def test_protocol_1():
    events = both(SPEC, [server("SSH-1.5-old\r\n"), client("SSH-1.5-x\r\n"), server(bytes(20))])
    assert [e.reason for e in events if isinstance(e, Anomaly)] == ["SSH protocol 1", "SSH protocol 1"]


@pytest.mark.parametrize(("c", "s", "said"), [(b"", b"SSH-2.0-x", Match.YES), (b"SSH-", b"", Match.MORE), (b"SS", b"", Match.MORE), (b"SSL-2", b"", Match.NO), (b"", b"220 x", Match.NO), (b"", b"Authorised users only\r\n\r\nSSH-2.0-x", Match.YES), (b"GET / HTTP/1.1\r\n", b"text\nSSH-2.0-x", Match.NO)])
def test_probe(c, s, said):
    assert probe(c, s) is said


def test_storm():
    storm(SPEC, [b"SSH-2.0-x\r\n", kexinit("aes128-ctr")])


def test_an_identification_without_software():
    events = both(SPEC, [server("SSH-2.0\n"), client("SSH-2.0-x\r\n"), client(kexinit("aes128-ctr")), server(kexinit("aes128-ctr"))])
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]


SEALED = Random(5).randbytes(36)


def test_joined_after_the_identification():
    """Keystrokes of a session that was there before the capture: on SSH's port, what looks like ciphertext is taken for it."""
    other = Random(6).randbytes(100)
    assert probe(SEALED, b"") is Match.MORE
    assert probe(SEALED, other) is Match.MORE
    assert probe(SEALED, b"220 ready\r\n") is Match.NO
    assert probe(b"", bytes(100)) is Match.NO
    events = drive(SPEC, [client(SEALED), server(other)])
    assert [e.encryption for e in events if isinstance(e, Posture)] == [Encryption.ENCRYPTED]
    assert drive(SPEC, [client(SEALED)]) == []
    assert drive(SPEC, [client(SEALED), server(bytes(100))]) == []
