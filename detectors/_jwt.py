"""JSON Web Tokens (RFC 7519): what the header and claims say of a token, without keeping it."""

from __future__ import annotations

import base64
import binascii
import json
import re

# A claim set is a few hundred bytes; what is larger than this is not worth decoding for three facts.
_MAX_PART = 16384
_MAX_FACT = 128
_PARTS = re.compile(r"(eyJ[A-Za-z0-9_-]{5,})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]*){0,2}\Z")


def _decode(part: str) -> dict[str, object] | None:
    if len(part) > _MAX_PART:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str | None:
    return value[:_MAX_FACT] if isinstance(value, str) and value.isprintable() else None


def facts(token: str) -> dict[str, object] | None:
    """``alg``, ``iss``, ``exp`` and whose it is, for a JWT; None if it is no JWT (its header must name an algorithm).

    Whether it has expired is not said here: that needs a clock.
    """
    match = _PARTS.match(token)
    header = _decode(match[1]) if match else None
    if match is None or header is None or not isinstance(header.get("alg"), str):
        return None
    known: dict[str, object] = {"format": "JWT"}
    claims = _decode(match[2]) or {}
    for name, value in (("alg", header["alg"]), ("iss", claims.get("iss"))):
        if text := _text(value):
            known[name] = text
    for name in ("exp", "iat"):
        value = claims.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
            known[name] = int(value)
    if "kubernetes.io/serviceaccount/service-account.name" in claims or "kubernetes.io" in claims:
        known["service_account"] = True
    return known
