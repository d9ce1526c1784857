"""NTLMSSP messages (MS-NLMP), bare or inside SPNEGO (RFC 4178): a challenge, and the response that answers it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sniffer.events import Crack
from sniffer.secret import Secret

_SIGNATURE = b"NTLMSSP\0"
_CHALLENGE, _AUTHENTICATE = 2, 3
_UNICODE = 1
_ANONYMOUS = 0x800
# Names in Active Directory end at 104 (users) and 255 (domains) characters; the blob of NTLMv2 seldom reaches 1 KiB.
_MAX_NAME = 1024
_MAX_RESPONSE = 8192
_V1 = 24  # an NTLMv1 response has just this many bytes, NTLMv2's are longer (MS-NLMP, 2.2.2.6 and 2.2.2.8)
_PROOF = 16


@dataclass(frozen=True, slots=True)
class Response:
    """An AUTHENTICATE message. ``crack`` only where the challenge it answers was seen in the same exchange."""

    mechanism: str  # "NTLMv1", "NTLMv2", or "LM" where that response alone was sent
    username: str
    domain: str
    workstation: str
    response: Secret
    crack: Crack | None


def find(blob: bytes) -> bytes | None:
    """The NTLMSSP message inside raw or wrapped bytes."""
    at = blob.find(_SIGNATURE)
    return blob[at:] if at >= 0 and len(blob) - at >= 12 else None


class Exchange:
    """One authentication: negotiate, challenge, authenticate. A challenge is used for one response and never invented."""

    __slots__ = ("_challenge",)

    def __init__(self) -> None:
        self._challenge: bytes | None = None

    def forget(self) -> None:
        """After a gap: what comes next may answer another challenge."""
        self._challenge = None

    def feed(self, blob: bytes) -> Response | None:
        """Any message, from either side. A Response for an AUTHENTICATE message that proves a password, else None."""
        message = find(blob)
        if message is None:
            return None
        kind = struct.unpack_from("<I", message, 8)[0]
        if kind == _CHALLENGE:
            self._challenge = message[24:32] if len(message) >= 32 else None
            return None
        challenge, self._challenge = self._challenge, None
        return _authenticate(message, challenge) if kind == _AUTHENTICATE else None


def _field(message: bytes, at: int, limit: int) -> bytes:
    """A security buffer: length, space, offset (MS-NLMP, 2.2.1.3); empty where it lies outside the message."""
    length, _, offset = struct.unpack_from("<HHI", message, at)
    data = message[offset : offset + length]
    return data if len(data) == length <= limit else b""


def _authenticate(message: bytes, challenge: bytes | None) -> Response | None:
    if len(message) < 52:
        return None
    lm, nt = _field(message, 12, _MAX_RESPONSE), _field(message, 20, _MAX_RESPONSE)
    flags = _flags(message)
    if len(nt) < _V1 and (nt or len(lm) != _V1 or flags & _ANONYMOUS):
        return None
    names = [_text(_field(message, at, _MAX_NAME), flags) for at in (36, 28, 44)]
    user, domain, workstation = names
    if not user:
        return None
    line: str | None = None
    mode: int | None
    if not nt:  # Windows 9x and what imitates it; LMv2 has this length too, but never comes without the other response
        mechanism, kind, mode = "LM", "netlm", None
        if challenge is not None:
            line = f"{user}:$NETLM${challenge.hex()}${lm.hex()}"
    elif len(nt) == _V1:
        mechanism, kind, mode = "NTLMv1", "netntlm", 5500
        # With extended session security the LM field holds the client's challenge; crackers take it in the same place.
        if challenge is not None:
            line = f"{user}::{domain}:{lm.hex()}:{nt.hex()}:{challenge.hex()}"
    else:
        mechanism, kind, mode = "NTLMv2", "netntlmv2", 5600
        if challenge is not None:
            line = f"{user}::{domain}:{challenge.hex()}:{nt[:_PROOF].hex()}:{nt[_PROOF:].hex()}"
    crack = Crack(kind, mode, Secret(line, "hash")) if line is not None else None
    return Response(mechanism, user, domain, workstation, Secret((nt or lm).hex(), "hash"), crack)


def _flags(message: bytes) -> int:
    """The negotiated flags. Early messages end before them and have their payload there: then the user tells the character set."""
    places = [offset for length, _, offset in struct.iter_unpack("<HHI", message[12:52]) if length]
    if len(message) >= 64 and min(places, default=64) >= 64:
        return int(struct.unpack_from("<I", message, 60)[0])
    return _UNICODE if b"\0" in _field(message, 36, _MAX_NAME) else 0


def _text(data: bytes, flags: int) -> str:
    if flags & _UNICODE and len(data) % 2 == 0:
        return data.decode("utf-16-le", "replace")
    return data.decode("latin-1")
