"""JA4, the fingerprint of a TLS client hello (the JA4 specification: its TLS client part is free for all to use)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sniffer.dissectors._tls_hello import without_grease

if TYPE_CHECKING:
    from sniffer.dissectors._tls_hello import ClientHello

_SNI, _ALPN = 0x0000, 0x0010
_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3"}


def ja4(hello: ClientHello, transport: str) -> str:
    """``transport`` is t for TCP, q for QUIC, d for DTLS."""
    suites = without_grease(hello.suites)
    extensions = without_grease(hello.extensions)
    offered = without_grease(hello.versions) or [hello.version]
    version = _VERSIONS.get(min(offered) if transport == "d" else max(offered), "00")
    head = f"{transport}{version}{'d' if _SNI in extensions else 'i'}{min(len(suites), 99):02}{min(len(extensions), 99):02}{_alpn(hello)}"
    middle = ",".join(f"{n:04x}" for n in sorted(suites))
    kept = sorted(n for n in extensions if n not in (_SNI, _ALPN))
    tail = ",".join(f"{n:04x}" for n in kept)
    if hello.signatures:
        tail += "_" + ",".join(f"{n:04x}" for n in without_grease(hello.signatures))
    return f"{head}_{_hash(middle) if suites else '0' * 12}_{_hash(tail) if extensions else '0' * 12}"


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def _alpn(hello: ClientHello) -> str:
    """First and last character of the first protocol; of its hexadecimal form where they are not alphanumeric."""
    if not hello.alpn or not hello.alpn[0]:
        return "00"
    first = hello.alpn[0]
    ends = bytes((first[0], first[-1]))
    if ends.isalnum():
        return ends.decode()
    text = first.hex()
    return text[0] + text[-1]
