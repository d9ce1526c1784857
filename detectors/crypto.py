"""Encryption that does not hold: obsolete versions, weak ciphers, small keys (RFC 8996, RFC 9325, PCI DSS 4.2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from detectors import Detector
from sniffer.events import Certificate, Tls
from sniffer.findings import Candidate, Category, Context, Rule, Severity
from sniffer.secret import Secret

OBSOLETE = Rule(
    "channel/obsolete-tls", Category.CHANNEL, "Obsolete TLS version", Severity.MEDIUM, 0.99,
    references=("CWE-327", "PCI-DSS-4.2.1", "RFC8996"), remedy="Turn off SSL and TLS before 1.2 on the server.",
)  # fmt: skip
WEAK_CIPHER = Rule(
    "channel/weak-cipher", Category.CHANNEL, "Weak cipher suite", Severity.MEDIUM, 0.99,
    references=("CWE-327", "PCI-DSS-4.2.1", "RFC9325"), remedy="Allow only AEAD cipher suites with forward secrecy.",
)  # fmt: skip
SELF_SIGNED = Rule(
    "channel/self-signed-certificate", Category.CHANNEL, "Self-signed certificate", Severity.LOW, 0.95,
    references=("CWE-295", "PCI-DSS-4.2.1"), remedy="Use a certificate that the clients' trust store can check.",
)  # fmt: skip
WEAK_KEY = Rule(
    "channel/weak-key", Category.CHANNEL, "Certificate key too small", Severity.MEDIUM, 0.99,
    references=("CWE-326", "PCI-DSS-4.2.1", "NIST-SP-800-57"), remedy="Reissue with RSA 2048 bits or more, or P-256.",
)  # fmt: skip
WEAK_SIGNATURE = Rule(
    "channel/weak-signature", Category.CHANNEL, "Certificate signed with a broken hash", Severity.LOW, 0.95,
    references=("CWE-328", "RFC9155"), remedy="Reissue the certificate with SHA-256.",
)  # fmt: skip

_OBSOLETE = frozenset({"SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "DTLS 1.0"})
# What is wrong, the words in the IANA name of a suite that say so, how bad it is. NULL encrypts nothing and an
# anonymous exchange lets anybody be the server, so these protect no better than cleartext.
_CIPHERS = (
    ("no encryption", re.compile(r"WITH_NULL|_NULL_(?:SHA|MD5|NULL)"), Severity.HIGH),
    ("no authentication", re.compile(r"_anon_", re.I), Severity.HIGH),
    ("export grade", re.compile("EXPORT|_DES40_|RC[24](?:_CBC)?_40"), Severity.HIGH),
    ("RC4", re.compile("RC4"), Severity.MEDIUM),
    ("DES", re.compile("_DES_"), Severity.MEDIUM),
    ("3DES", re.compile("3DES"), Severity.MEDIUM),
    ("RC2", re.compile("RC2"), Severity.MEDIUM),
)
_INTEGRITY_ONLY = frozenset({"TLS_SHA256_SHA256", "TLS_SHA384_SHA384"})  # RFC 9150: no encryption by design
_KEY = re.compile(r"(rsa|dsa|dh|ec|ecdsa)\D*(\d+)", re.I)
_LEAST_BITS = {"rsa": 2048, "dsa": 2048, "dh": 2048, "ec": 224, "ecdsa": 224}
_NOTHING = Secret("", "none")


def _finding(rule: Rule, event: Tls, severity: Severity | None = None, **facts: object) -> Candidate:
    return Candidate(rule=rule, secret=_NOTHING, span=event.span, where="TLS handshake", severity=severity, facts=dict(facts))


@lru_cache(1024)
def _weakness(cipher: str) -> tuple[str, Severity] | None:
    """What is wrong with a suite, and how bad it is. There are some hundred suites, and many handshakes."""
    if cipher in _INTEGRITY_ONLY:
        return "no encryption", Severity.HIGH
    return next(((weakness, severity) for weakness, pattern, severity in _CIPHERS if pattern.search(cipher)), None)


def _of_certificate(event: Tls, certificate: Certificate) -> Iterator[Candidate]:
    key = _KEY.match(certificate.key)
    if key and 0 < int(key[2][:9]) < _LEAST_BITS[key[1].lower()]:
        yield _finding(WEAK_KEY, event, key=certificate.key)
    if certificate.self_signed:
        yield _finding(SELF_SIGNED, event, subject=certificate.subject)
    elif re.search(r"md[245]|sha-?1(?!\d)", certificate.signature, re.I):
        yield _finding(WEAK_SIGNATURE, event, signature=certificate.signature)


def _look(event: Tls, context: Context) -> Iterable[Candidate]:
    found: list[Candidate] = []
    if event.version in _OBSOLETE:
        found.append(_finding(OBSOLETE, event, version=event.version))
    if event.cipher and (weak := _weakness(event.cipher)) is not None:
        found.append(_finding(WEAK_CIPHER, event, weak[1], cipher=event.cipher, weakness=weak[0]))
    if isinstance(event.certificate, Certificate):
        found.extend(_of_certificate(event, event.certificate))
    return found


DETECTORS = (Detector(on=Tls, look=_look, rules=(OBSOLETE, WEAK_CIPHER, SELF_SIGNED, WEAK_KEY, WEAK_SIGNATURE)),)
