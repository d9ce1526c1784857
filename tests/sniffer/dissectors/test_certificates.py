"""Certificates: those of the book, and those that break its rules."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import NameOID

from sniffer.dissectors import _certificates_lax
from sniffer.dissectors._certificates import parse

NAME = x509.Name([
    x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
    x509.NameAttribute(NameOID.COMMON_NAME, "star.example.org"), x509.NameAttribute(NameOID.EMAIL_ADDRESS, "root@example.org"),
])  # fmt: skip
SUBJECT = r"emailAddress=root@example.org,CN=star.example.org,O=Example\, Inc.,C=NL"


SHA256 = hashes.SHA256()


def made(key, algorithm=SHA256) -> bytes:
    start, end = datetime(2020, 1, 2, tzinfo=UTC), datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key()).serial_number(5).not_valid_before(start).not_valid_after(end)
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


EC = made(ec.generate_private_key(ec.SECP256R1()))
END = b"\x17\x0d300102030405Z"


def changed(*pairs: tuple[bytes, bytes]) -> bytes:
    der = EC
    for old, new in pairs:
        assert old in der
        assert len(old) == len(new)
        der = der.replace(old, new)
    return der


def test_the_mail_address_of_a_name_is_named():
    assert parse(EC).subject == SUBJECT


@pytest.mark.parametrize(
    ("der", "key"),
    [(EC, "ec p-256"), (made(ed25519.Ed25519PrivateKey.generate(), None), "ed25519"), (made(dsa.generate_private_key(1024)), "dsa 1024")],
)
def test_both_readers_say_the_same(der, key):
    known, lax = parse(der), _certificates_lax.read(der)
    assert known.key == key
    assert key.startswith(lax.key)
    assert (known.subject, known.issuer, known.not_before, known.not_after, known.self_signed) == (lax.subject, lax.issuer, lax.not_before, lax.not_after, lax.self_signed)


@pytest.mark.parametrize(
    ("der", "subject"),
    [
        (changed((b"\x0c\x10star.example.org", b"\x13\x10*_.r.example.org")), SUBJECT.replace("star", "*_.r")),
        (changed((b"\x0c\x10star.example.org", b"\x14\x10b\xfccher.example.x")), SUBJECT.replace("star.example.org", "bücher.example.x")),
        (changed((b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05")), SUBJECT),
        (EC + bytes(2), SUBJECT),
    ],
)
def test_what_breaks_the_rules_of_strings_versions_and_lengths_is_read(der, subject):
    found = parse(der)
    assert (found.subject, found.not_after, found.key, found.self_signed) == (subject, "2030-01-02T03:04:05Z", "ec p-256", True)


@pytest.mark.parametrize(
    ("time", "read"),
    [
        (b"\x17\x0d301302030405Z", ""), (b"\x18\x0d203001020304Z", "2030-01-02T03:04:00Z"), (b"\x18\x0d300102030405Z", "2030-01-02T03:04:05Z"),
        (b"\x17\x0d30010203+0100", ""), (b"\x17\x0dnever at all!", ""), (b"\x17\x0d500102030405Z", "1950-01-02T03:04:05Z"),
    ],
)  # fmt: skip
def test_times_of_all_kinds(time, read):
    assert parse(changed((END, time))).not_after == read


@pytest.mark.parametrize(("number", "key"), [(b"\x06\x08\x2a\x81\x1c\xcf\x55\x01\x82\x2d", "ec sm2"), (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x63", "ec 1.2.840.10045.3.1.99")])
def test_curves_that_the_library_does_not_know(number, key):
    assert parse(changed((b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", number))).key == key


def test_storm():
    random = Random(3)
    for _ in range(2000):
        der = bytearray(EC)
        for _ in range(random.randrange(1, 4)):
            der[random.randrange(len(der))] = random.randrange(256)
        parse.__wrapped__(bytes(der[: random.randrange(len(der)) if random.random() < 0.3 else None]))
        _certificates_lax.read(bytes(der))
        _certificates_lax.key(bytes(der))
