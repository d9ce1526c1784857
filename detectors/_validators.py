"""Check digits and ranges of payment cards (ISO/IEC 7812), IBANs (ISO 13616) and US social security numbers."""

from __future__ import annotations

from functools import cache

from detectors.rules.cards import ISSUERS, TEST_NUMBERS
from detectors.rules.ibans import DIGITS_ONLY, LENGTHS

_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_LEAST_DISTINCT = 3  # real numbers have more; 4444…, 4141… are fillers
# Numbers the Social Security Administration gave up because advertising printed them, and the one everybody types.
_RETIRED_SSN = frozenset({"078051120", "219099999", "457555462"})
_EXAMPLE_SSN = frozenset({"123456789", "111223333", "123121234"})


def luhn(digits: bytes) -> bool:
    """Whether the last digit is the Luhn check digit (ISO/IEC 7812-1 annex B)."""
    return (sum(digits[-1::-2].translate(_PLAIN)) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


@cache
def _issuers() -> list[tuple[frozenset[int], str] | None]:
    """By the first four digits: lengths and brand."""
    table: list[tuple[frozenset[int], str] | None] = [None] * 10_000
    for low, high, lengths, brand in ISSUERS:
        table[low : high + 1] = [(lengths, brand)] * (high + 1 - low)
    return table


def card_brand(digits: bytes) -> str | None:
    """The brand, if issuer range, length and check digit agree; None otherwise."""
    issuer = _issuers()[int(digits[:4])] if 13 <= len(digits) <= 19 else None
    if issuer is None or len(digits) not in issuer[0] or not luhn(digits):
        return None
    return issuer[1] if len(set(digits)) >= _LEAST_DISTINCT or is_test_card(digits) else None


def is_test_card(digits: bytes) -> bool:
    return digits.decode("ascii") in TEST_NUMBERS


def iban(text: str) -> bool:
    """Whether compact upper-case ``text`` has its country's length and the right check digits (ISO 7064 MOD 97-10)."""
    if LENGTHS.get(text[:2]) != len(text) or not text[2:4].isdecimal() or not (text.isascii() and text.isalnum()):
        return False
    if text[:2] in DIGITS_ONLY and not text[2:].isdecimal():
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1 and len(set(text[4:])) > 1


def ssn(digits: str) -> bool:
    """Whether nine digits can be a social security number (SSA: area not 000, 666, 9xx; group not 00; serial not 0000)."""
    return (
        len(digits) == 9
        and digits[:3] not in ("000", "666")
        and digits[0] != "9"
        and digits[3:5] != "00"
        and digits[5:] != "0000"
        and digits not in _RETIRED_SSN
        and len(set(digits)) >= _LEAST_DISTINCT
    )


def is_example_ssn(digits: str) -> bool:
    return digits in _EXAMPLE_SSN
