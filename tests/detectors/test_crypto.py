"""Encryption that does not hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sniffer.events import Certificate, Side, Span, Tls
from sniffer.findings import Candidate, Severity

SPAN = Span(Side.SERVER, 0, 90)
Judge = Callable[..., list[Candidate]]


def certificate(key: str = "rsa 2048", *, self_signed: bool = False, signature: str = "sha256WithRSAEncryption") -> Certificate:
    return Certificate("CN=a.example", "CN=ca.example", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", key, self_signed, (), signature)


def ids(found: list[Candidate]) -> list[str]:
    return [c.rule.id for c in found]


@pytest.mark.parametrize("version", ["SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "DTLS 1.0"])
def test_obsolete(judge: Judge, version: str) -> None:
    (found,) = judge(Tls(span=SPAN, version=version))
    assert (found.rule.id, found.rule.severity, found.facts) == ("channel/obsolete-tls", Severity.MEDIUM, {"version": version})
    assert not found.secret


@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3", "DTLS 1.2", "DTLS 1.3", None, "TLS 1.4"])
def test_current(judge: Judge, version: str | None) -> None:
    assert not judge(Tls(span=SPAN, version=version, cipher="TLS_AES_128_GCM_SHA256"))


@pytest.mark.parametrize(
    ("cipher", "weakness"),
    [
        ("TLS_RSA_WITH_NULL_SHA256", "no encryption"), ("TLS_NULL_WITH_NULL_NULL", "no encryption"), ("TLS_SHA256_SHA256", "no encryption"),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", "no authentication"), ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", "export grade"),
        ("TLS_RSA_WITH_RC4_128_SHA", "RC4"), ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "3DES"), ("TLS_RSA_WITH_DES_CBC_SHA", "DES"),
    ],
)  # fmt: skip
def test_weak_ciphers(judge: Judge, cipher: str, weakness: str) -> None:
    (found,) = judge(Tls(span=SPAN, cipher=cipher))
    assert (found.rule.id, found.facts["weakness"]) == ("channel/weak-cipher", weakness)


@pytest.mark.parametrize("cipher", ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_CHACHA20_POLY1305_SHA256",
                                    "TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"])  # fmt: skip
def test_other_ciphers(judge: Judge, cipher: str) -> None:
    assert not judge(Tls(span=SPAN, cipher=cipher))


@pytest.mark.parametrize("key", ["rsa 1024", "rsa 512", "dsa 1024", "ec 192", "RSA 2047"])
def test_small_keys(judge: Judge, key: str) -> None:
    assert ids(judge(Tls(span=SPAN, certificate=certificate(key)))) == ["channel/weak-key"]


@pytest.mark.parametrize("key", ["rsa 2048", "rsa 4096", "ec 256", "ec secp256r1", "ed25519", "", "unknown"])
def test_other_keys(judge: Judge, key: str) -> None:
    assert not judge(Tls(span=SPAN, certificate=certificate(key)))


def test_self_signed(judge: Judge) -> None:
    (found,) = judge(Tls(span=SPAN, certificate=certificate(self_signed=True, signature="sha1WithRSAEncryption")))
    assert (found.rule.id, found.rule.severity) == ("channel/self-signed-certificate", Severity.LOW)


@pytest.mark.parametrize("signature", ["sha1WithRSAEncryption", "md5WithRSAEncryption", "ecdsa-with-SHA1"])
def test_broken_signatures(judge: Judge, signature: str) -> None:
    assert ids(judge(Tls(span=SPAN, certificate=certificate(signature=signature)))) == ["channel/weak-signature"]


def test_what_is_not_shown(judge: Judge) -> None:
    assert not judge(Tls(span=SPAN, version="TLS 1.3", certificate="not visible", sni="a.example"))
