"""A found value that never shows itself: repr, str, format, pickle and JSON give the mask."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn

# Values drawn from fewer possibilities than this can be guessed from their fingerprint by trying them all,
# so they get none: a CVV has 10^3, a PIN 10^4, an expiry date fewer.
_SMALL_SPACES = frozenset({"cvv", "pin", "expiry", "date-of-birth"})
_LENGTHS = ((0, "empty"), (7, "1–7 chars"), (11, "8–11 chars"), (15, "12–15 chars"))
_FINGERPRINT_HEX = 24  # 96 bits: no accidental collision in any deployment, short enough to read aloud


def bucket(length: int) -> str:
    """The length of a secret as a range, since an exact length helps whoever guesses it."""
    return next((name for limit, name in _LENGTHS if length <= limit), "16+ chars")


def _mask_card(value: str) -> str:
    digits = re.sub(r"\D", "", value)
    return f"{digits[:6]}{'•' * (len(digits) - 10)}{digits[-4:]}" if len(digits) >= 13 else "••••"


def _mask_iban(value: str) -> str:
    text = re.sub(r"\s", "", value)
    return f"{text[:4]}…{text[-4:]}" if len(text) >= 15 else "••••"


def _mask_email(value: str) -> str:
    name, _, domain = value.partition("@")
    return f"{name[:1]}•••@{domain[:1]}•••.{domain.rpartition('.')[2]}"


def _mask_ssn(value: str) -> str:
    return f"•••-••-{re.sub(r'[^0-9]', '', value)[-4:]}"


_MASKS = {"card": _mask_card, "iban": _mask_iban, "email": _mask_email, "ssn": _mask_ssn}


class Secret:
    """A value found on the wire, and its kind (``password``, ``community``, ``hash``, ``token``, ``key``, ``cookie``,
    ``card``, ``iban``, ``ssn``, ``email``, ``cvv``, ``pin`` …).

    Only :meth:`reveal` gives the value; everything that might print it by accident gives :attr:`mask`.
    """

    __slots__ = ("_value", "kind")

    _value: str
    kind: str

    def __init__(self, value: str | bytes, kind: str = "password") -> None:
        text = value if isinstance(value, str) else decode(value)
        object.__setattr__(self, "_value", text)
        object.__setattr__(self, "kind", kind)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Secret is immutable: {name}")

    @property
    def mask(self) -> str:
        """What may be shown: nothing of a password but its length in buckets; of a card first six and last four."""
        special = _MASKS.get(self.kind)
        return special(self._value) if special else f"•••• ({bucket(len(self._value))})"

    def reveal(self) -> str:
        """The value itself: only for ``--reveal`` and for comparing inside the process."""
        return self._value

    def fingerprint(self, key: bytes) -> str | None:
        """HMAC-SHA256 of kind and value under the installation's key; None where the space is small enough to search."""
        if self.kind in _SMALL_SPACES or not self._value:
            return None
        value = re.sub(r"[\s-]", "", self._value) if self.kind in ("card", "iban", "ssn") else self._value
        text = f"{self.kind}\0{value}".encode("utf-8", "surrogateescape")
        return "k1:" + hmac.digest(key, text, "sha256").hex()[:_FINGERPRINT_HEX]

    def __bool__(self) -> bool:
        return bool(self._value)

    def __len__(self) -> NoReturn:
        raise TypeError("the length of a secret is not told; use mask")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self.kind == other.kind and self._value == other._value

    def __hash__(self) -> int:
        return hash((self.kind, self._value))

    def __str__(self) -> str:
        return self.mask

    def __repr__(self) -> str:
        return f"<Secret {self.kind} {self.mask}>"

    def __format__(self, spec: str) -> str:
        return format(self.mask, spec)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (self.mask,))


def decode(data: bytes) -> str:
    """Text of wire bytes: UTF-8 where it is that, else Latin-1, so that no byte is lost or replaced."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
