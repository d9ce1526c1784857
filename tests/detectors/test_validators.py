"""Check digits."""

from __future__ import annotations

import random

import pytest

from detectors._validators import card_brand, iban, is_test_card, luhn, ssn


def with_check_digit(head: str) -> bytes:
    return next(f"{head}{d}".encode() for d in range(10) if luhn(f"{head}{d}".encode()))


@pytest.mark.parametrize(
    ("head", "brand"),
    [
        ("453914880343646", "Visa"), ("453914880343646123", "Visa"), ("510914880343646", "Mastercard"), ("222300488034364", "Mastercard"),
        ("272099488034364", "Mastercard"), ("34391488034364", "American Express"), ("37391488034364", "American Express"),
        ("601139488034364", "Discover"), ("644139488034364", "Discover"), ("353039488034364", "JCB"), ("622139488034364123", "UnionPay"),
        ("3613948803436", "Diners Club"), ("676139488034364", "Maestro"), ("220139488034364", "Mir"),
    ],
)  # fmt: skip
def test_brands(head: str, brand: str) -> None:
    assert card_brand(with_check_digit(head)) == brand


@pytest.mark.parametrize("head", ["453914880343", "4539148803436461", "34391488034364612", "999914880343646", "222099488034364", "272100488034364",
                                  "17000000000", "1234567"])  # fmt: skip
def test_lengths_and_ranges(head: str) -> None:
    digits = with_check_digit(head)
    assert card_brand(digits) is None or (len(digits), card_brand(digits)) == (13, "Visa")


def test_one_wrong_digit_never_passes() -> None:
    digits = with_check_digit("453914880343646")
    for place in range(len(digits)):
        wrong = digits[:place] + str((digits[place] - 47) % 10).encode() + digits[place + 1 :]
        assert not luhn(wrong)


def test_published_test_numbers() -> None:
    assert is_test_card(b"4111111111111111")
    assert card_brand(b"4111111111111111") == "Visa"
    assert card_brand(b"5555555555554444") == "Mastercard"
    assert card_brand(b"4444444444444448") is None  # a filler


@pytest.mark.parametrize("text", ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NO9386011117947",
                                  "MT84MALT011000012345MTLCAST001S"])  # fmt: skip
def test_ibans(text: str) -> None:
    assert iban(text)
    assert not iban(text[:-1] + ("1" if text[-1] != "1" else "2"))
    assert not iban(text + "1")


@pytest.mark.parametrize("text", ["", "DE", "XX89370400440532013000", "DEAB370400440532013000", "DE8937040044053201300", "DE00000000000000000000"])
def test_no_ibans(text: str) -> None:
    assert not iban(text)


@pytest.mark.parametrize("digits", ["219451234", "001020034", "772129999"])
def test_ssn(digits: str) -> None:
    assert ssn(digits)


@pytest.mark.parametrize("digits", ["000451234", "666451234", "900451234", "219001234", "219450000", "078051120", "111111111", "21945123"])
def test_no_ssn(digits: str) -> None:
    assert not ssn(digits)


def test_a_tenth_of_random_digits_pass_luhn() -> None:
    draw = random.Random(7)
    passed = sum(luhn(str(draw.randrange(10**15, 10**16)).encode()) for _ in range(5000))
    assert 400 < passed < 600
