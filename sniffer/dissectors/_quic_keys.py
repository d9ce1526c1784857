"""QUIC Initial packets opened: their keys come from the connection id that stands in them (RFC 9001, section 5; RFC 9369)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

V1, V2 = 0x00000001, 0x6B3343CF
_SALTS = {
    V1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    V2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    # Google's last versions before the standard: T050 and T051 carry TLS (Q050 has hellos of its own).
    0x54303530: bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310"),
    0x54303531: bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d"),
}
_DRAFT_29 = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
_DRAFT_23 = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
_DRAFT_21 = bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")
# The first draft that had each salt, latest first.
_DRAFTS = ((33, _SALTS[V1]), (29, _DRAFT_29), (23, _DRAFT_23), (21, _DRAFT_21))
# Facebook's mvfst under its own numbers, by the draft it spoke.
_MVFST = {0xFACEB001: 22, 0xFACEB002: 27, 0xFACEB00E: 27}


def salt(version: int) -> bytes | None:
    """The salt of a version; several drafts share theirs."""
    draft = version & 0xFF if version >> 8 == 0xFF0000 else _MVFST.get(version)
    if draft is not None:
        return next((salt for first, salt in _DRAFTS if first <= draft <= 34), None)
    return _SALTS.get(version)


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1) for at most one block."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()[:size]


def keys(version: int, connection: bytes, *, server: bool) -> tuple[bytes, bytes, bytes] | None:
    """(key, iv, header protection key) of one side's Initial packets."""
    seed = salt(version)
    if seed is None:
        return None
    initial = hmac.new(seed, connection, hashlib.sha256).digest()
    secret = _expand(initial, "server in" if server else "client in", 32)
    prefix = "quicv2" if version == V2 else "quic"
    return _expand(secret, f"{prefix} key", 16), _expand(secret, f"{prefix} iv", 12), _expand(secret, f"{prefix} hp", 16)


def open_packet(packet: bytes, number_at: int, end: int, material: tuple[bytes, bytes, bytes]) -> bytes | None:
    """The plain payload of a packet whose number field begins at ``number_at``; None if it does not decrypt."""
    key, iv, protection = material
    sample = packet[number_at + 4 : number_at + 20]
    if len(sample) < 16:
        return None
    mask = Cipher(algorithms.AES(protection), modes.ECB()).encryptor().update(sample)  # noqa: S305  (RFC 9001, 5.4.3)
    first = packet[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(packet[number_at : number_at + size], mask[1:], strict=False))
    header = bytes((first,)) + packet[1:number_at] + number
    nonce = bytes(a ^ b for a, b in zip(iv, number.rjust(12, b"\0"), strict=True))
    try:
        return AESGCM(key).decrypt(nonce, packet[number_at + size : end], header)
    except (InvalidTag, ValueError):
        return None
