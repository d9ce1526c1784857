"""JA4, the fingerprint of a TLS client hello (the JA4 specification: its TLS client part is free for all to use)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from sniffer.dissectors._tls_hello import without_grease

if TYPE_CHECKING:
    from sniffer.dissectors._tls_hello import ClientHello

_SNI, _ALPN = 0x0000, 0x0010
_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3"}


def ja4(hello: ClientHello, transport: str) -> str:
    """``transport`` is t for TCP, q for QUIC, d for DTLS."""
    return _ja4(transport, hello.version, hello.suites, hello.extensions, hello.versions, hello.signatures, _alpn(hello))


@lru_cache(4096)
def _ja4(transport: str, legacy: int, all_suites: tuple[int, ...], all_extensions: tuple[int, ...], versions: tuple[int, ...], signatures: tuple[int, ...], alpn: str) -> str:
    """Made once for each kind of client: there are far fewer of these than connections."""
    suites = without_grease(all_suites)
    extensions = without_grease(all_extensions)
    offered = without_grease(versions) or [legacy]
    version = _VERSIONS.get(min(offered) if transport == "d" else max(offered), "00")
    head = f"{transport}{version}{'d' if _SNI in extensions else 'i'}{min(len(suites), 99):02}{min(len(extensions), 99):02}{alpn}"
    middle = ",".join(f"{n:04x}" for n in sorted(suites))
    kept = sorted(n for n in extensions if n not in (_SNI, _ALPN))
    tail = ",".join(f"{n:04x}" for n in kept)
    if signatures:
        tail += "_" + ",".join(f"{n:04x}" for n in without_grease(signatures))
    return f"{head}_{_hash(middle) if suites else '0' * 12}_{_hash(tail) if kept else '0' * 12}"


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
