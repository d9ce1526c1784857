"""BER and DER (ITU-T X.690): tag, length, value with definite lengths, as SNMP, LDAP and Kerberos use it."""

from __future__ import annotations

from sniffer.errors import Malformed

SEQUENCE, INTEGER, OCTETS, NULL, OID = 0x30, 0x02, 0x04, 0x05, 0x06
# Lengths of more than four bytes are larger than anything that is read here.
_MAX_LENGTH_BYTES = 4


def header(data: bytes, at: int) -> tuple[int, int, int]:
    """(tag, where the value begins, where it ends). The end may lie beyond the data: then more is needed.

    Malformed for multi-byte tags and indefinite lengths, which these protocols forbid. IndexError never: too few bytes
    give an end beyond the data.
    """
    if at + 2 > len(data):
        return 0, at, len(data) + 1
    tag, first = data[at], data[at + 1]
    if tag & 0x1F == 0x1F or first == 0x80:
        raise Malformed("a BER tag or length of a kind that is not used")
    if first < 0x80:
        return tag, at + 2, at + 2 + first
    count = first & 0x7F
    if count > _MAX_LENGTH_BYTES:
        raise Malformed("a BER length beyond the limit")
    start = at + 2 + count
    if start > len(data):
        return tag, start, len(data) + 1
    return tag, start, start + int.from_bytes(data[at + 2 : start], "big")


def value(data: bytes, at: int, end: int, tag: int) -> tuple[bytes, int]:
    """The value of an element of this tag that must lie before ``end``, and where the next begins."""
    found, start, stop = header(data, at)
    if found != tag or stop > end:
        raise Malformed("a BER element that is not the one expected")
    return data[start:stop], stop


def integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
