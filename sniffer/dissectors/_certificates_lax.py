"""Certificates that break the rules of DER or of their strings, read for what they show all the same (RFC 5280, section 4.1).

A star or an underscore in a PrintableString, Latin-1 in a TeletexString, a time without seconds, an unknown version: old and
embedded servers show such, their clients take them, and whoever watches wants to know the name and the date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sniffer.dissectors._ber import INTEGER, OID, SEQUENCE, header
from sniffer.errors import Malformed
from sniffer.events import Certificate

_SET, _VERSION, _GENERALIZED, _BMP, _UNIVERSAL = 0x31, 0xA0, 0x18, 0x1E, 0x1C
# Names have a dozen parts; a certificate's body has ten elements.
_MAX_PARTS = 64
_TIME = re.compile(rb"((?:\d\d){5,7})(?:\.\d+)?(?:Z|([+-])(\d\d)(\d\d))?\Z")
# RFC 4514, 2.4.
_ESCAPED = re.compile(r'([,+"\\<>;]|\A[ #]| \Z)')
_ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip
_KEYS = {
    "1.2.840.10040.4.1": "dsa", "1.3.101.112": "ed25519", "1.3.101.113": "ed448",
    "1.2.643.2.2.19": "gost 2001", "1.2.643.7.1.1.1.1": "gost 2012 256", "1.2.643.7.1.1.1.2": "gost 2012 512",
    "2.16.840.1.101.3.4.3.17": "ml-dsa 44", "2.16.840.1.101.3.4.3.18": "ml-dsa 65", "2.16.840.1.101.3.4.3.19": "ml-dsa 87",
}  # fmt: skip
_RSA, _PSS, _EC = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.10045.2.1"
_CURVES = {"1.2.840.10045.3.1.7": "p-256", "1.3.132.0.34": "p-384", "1.3.132.0.35": "p-521", "1.2.156.10197.1.301": "sm2"}

Part = tuple[int, bytes]


def read(der: bytes) -> Certificate | None:
    """The facts of a certificate; None where even its outline cannot be followed."""
    try:
        issuer, validity, subject, key = _body(der)
        times = [_time(*part) for part in _parts(validity)[:2]]
        names = [_name(subject), _name(issuer)]
        if len(times) < 2:
            return None
        return Certificate(
            subject=names[0], issuer=names[1], not_before=times[0], not_after=times[1], key=_key(key), self_signed=subject == issuer
        )
    except (Malformed, IndexError, ValueError):
        return None


def key(der: bytes) -> str:
    """The kind of key of a certificate, also of kinds that the library does not know."""
    try:
        return _key(_body(der)[3])
    except (Malformed, IndexError, ValueError):
        return "unknown"


def _body(der: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Issuer, validity, subject and key of a certificate."""
    parts = _parts(_parts(_parts(der)[0][1])[0][1])
    if parts[0][0] == _VERSION:
        del parts[0]
    if [tag for tag, _ in parts[:6]] != [INTEGER, *[SEQUENCE] * 5]:
        raise Malformed("no certificate")
    return parts[2][1], parts[3][1], parts[4][1], parts[5][1]


def _parts(data: bytes) -> list[Part]:
    """The elements side by side in a value: tags and values."""
    found: list[Part] = []
    at = 0
    while at < len(data) and len(found) < _MAX_PARTS:
        tag, start, end = header(data, at)
        if end > len(data):
            raise Malformed("a certificate's element runs over the end")
        found.append((tag, data[start:end]))
        at = end
    return found


def _name(data: bytes) -> str:
    """A distinguished name as RFC 4514 writes it: the last part first."""
    texts = []
    for tag, together in _parts(data):
        if tag == _SET:
            texts.append("+".join(_attribute(one) for _, one in _parts(together)))
    return ",".join(reversed(texts))


def _attribute(data: bytes) -> str:
    kind, value = _parts(data)[:2]
    dotted = _dotted(kind[1])
    text = _ESCAPED.sub(r"\\\1", _text(*value))
    return f"{_ATTRIBUTES.get(dotted, dotted)}={text}"


def _text(tag: int, value: bytes) -> str:
    if tag in (_BMP, _UNIVERSAL):
        return value.decode("utf-16-be" if tag == _BMP else "utf-32-be", "replace")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _time(tag: int, value: bytes) -> str:
    """RFC 3339, or nothing for what is no time. Two digits of a year are of 1950 to 2049 (RFC 5280, 4.1.2.5.1)."""
    found = _TIME.match(value)
    if found is None:
        return ""
    digits = found[1]
    width = 4 if len(digits) == 14 or (tag == _GENERALIZED and digits[:2] in (b"19", b"20")) else 2
    year = int(digits[:width]) + (0 if width == 4 else 1900 if digits[0] >= 0x35 else 2000)
    month, day, hour, minute, second = (int(digits[i : i + 2] or b"0") for i in range(width, width + 10, 2))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if found[2]:
            ahead = timedelta(hours=int(found[3]), minutes=int(found[4]))
            moment = moment - ahead if found[2] == b"+" else moment + ahead
    except (ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else ""


def _key(data: bytes) -> str:
    """A SubjectPublicKeyInfo (RFC 5280, 4.1.2.7): the algorithm, and for RSA and named curves the size."""
    (_, algorithm), (_, bits) = _parts(data)[:2]
    parts = _parts(algorithm)
    kind = _dotted(parts[0][1])
    if kind in (_RSA, _PSS):
        modulus = _parts(_parts(bits[1:])[0][1])[0][1]
        return f"rsa {int.from_bytes(modulus, 'big').bit_length()}"
    if kind == _EC:
        curve = _dotted(parts[1][1]) if len(parts) > 1 and parts[1][0] == OID else "of its own parameters"
        return f"ec {_CURVES.get(curve, curve)}"
    return _KEYS.get(kind, kind)


def _dotted(data: bytes) -> str:
    """An object identifier (X.690, 8.19)."""
    if not data or len(data) > 32:
        raise Malformed("no object identifier")
    numbers, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise Malformed("no object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
