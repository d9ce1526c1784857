"""Payment card numbers (PCI DSS: primary account numbers): shape, issuer, check digit, then what stands around."""

from __future__ import annotations

import re
from typing import NamedTuple

from detectors._context import name_at, near
from detectors._look import MAX_REPORTED, Look
from detectors._media import Media
from detectors._names import Name, classify
from detectors._scan import Group, table
from detectors._validators import card_brand, is_test_card
from detectors.rules.names import CARD
from sniffer.findings import Category, Rule, Severity

RULE = Rule(
    "pii/payment-card", Category.PII, "Payment card number sent in the clear", Severity.HIGH, 0.95,
    references=("CWE-319", "PCI-DSS-4.2.1"), remedy="Send card data only over TLS 1.2 or later, or as a token of the payment provider.",
)  # fmt: skip

_PLAIN = re.compile(rb"[2-6]\d{12,18}+(?![0-9A-Za-z_]|\.\d|-[0-9A-Fa-f])")
_GROUPED = re.compile(
    rb"(?:(\d{4})([ .-])(\d{4})\2(\d{4})\2(\d{1,4})(?:\2(\d{1,3}))?|(3[47]\d\d)([ .-])(\d{6})\8(\d{5}))(?![0-9A-Za-z_]|[ .-]?\d)"
)
_TRACK = re.compile(rb"[=D]\d{4}[1-9]\d{2}|\^[^^\r\n]{2,26}\^\d{7}")
_GROUP_BEFORE = re.compile(rb"[0-9A-Fa-f]{2,8}[:]?[ .\t-]{1,2}\Z")
_GROUP_AFTER = re.compile(rb"[ .\t-]{1,2}[0-9A-Fa-f]{2,8}(?![0-9A-Za-z])")
_NEAR_AFTER = 16
_BEFORE = re.compile(rb"(?:[0-9A-Za-z_.]|\d[ -]|[0-9A-Za-z]-)\Z")
# A column of order numbers passes the check digit and the issuer table 2 to 6 times in a hundred, a column of cards
# always: from this many values on, fewer passing than this share means that it is no column of cards.
_SAMPLES = 20
_SHARE = 0.8
_LONGEST = 40  # nineteen digits with a separator after each
_LOOKED_UP = 250  # of the values shaped like a card, evenly taken: enough to see a share, few enough to cost nothing
# This many different valid numbers, with nearly all of the shape passing, cannot be chance (at worst 0.1 ** 6).
_PROOF = 6
# Confidence by what speaks for it.
_BY_NAME, _BY_TRACK, _BY_WORD, _BY_RATE, _BY_GROUPS, _TEST = 0.95, 0.98, 0.85, 0.85, 0.65, 0.6
_SPELT_OUT = (Media.TEXT, Media.VAGUE, Media.MAIL, Media.CSV, Media.SQL)


class _Card(NamedTuple):
    digits: bytes
    start: int
    end: int
    grouped: bool
    brand: str | None
    track: bool = False


def find_named(look: Look, fields: list[tuple[str, str]]) -> None:
    """Report the numbers in fields named for a card; not where most of a name's values fail (a column of something else)."""
    shaped: dict[str, list[tuple[bytes, str]]] = {}
    for name, value in fields:
        digits = re.sub(r"[ .-]", "", value[:_LONGEST]).encode("ascii", "replace")
        if digits.isdigit() and 13 <= len(digits) <= 19:
            shaped.setdefault(name, []).append((digits, value))
    for name, values in shaped.items():
        valid = [(digits, value, brand) for digits, value in values if (brand := card_brand(digits))]
        if len(values) >= _SAMPLES and len(valid) < _SHARE * len(values):
            continue
        for digits, value, brand in valid[: 2 * MAX_REPORTED]:
            start = look.data.find(value.encode())
            _report(look, _Card(digits, start, start + len(value), False, brand), _BY_NAME, name)


def find(look: Look, hits: list[tuple[int, int]]) -> None:
    """Report the card numbers among ``hits`` (anchor id, end)."""
    shaped = [card for ident, end in hits if (card := _shape(look, ident, end))]
    valid = [card for card in shaped if card.brand]
    if not valid:
        return
    rates = _Rates(look, shaped)
    for card in valid:
        name, before = name_at(look, card.start)
        sure = _BY_TRACK if card.track else _confidence(look, card, name, before, rates)
        if sure:
            _report(look, card, sure, name)


def _shape(look: Look, ident: int, end: int) -> _Card | None:
    anchor = table()[ident]
    start = end - anchor.width
    if anchor.group is Group.CARD_PLAIN:
        match = _PLAIN.match(look.data, start)
        digits = match[0] if match else b""
        if not match:
            return _track(look, start)
        if look.data[match.end() : match.end() + 1] in (b"=", b"^") and (track := _track(look, start)):
            return track
    else:
        match = _GROUPED.match(look.data, start)
        if not match:
            return None
        digits = b"".join(match.group(1, 3, 4, 5) if match[1] else match.group(7, 9, 10)) + (match[6] or b"")
    if _BEFORE.search(look.data[max(0, start - 2) : start]):
        return None
    return _Card(digits, start, match.end(), anchor.group is Group.CARD_GROUPED, card_brand(digits))


_DIGITS = re.compile(rb"\d{13,19}")


def _track(look: Look, start: int) -> _Card | None:
    """Magnetic stripe data, tracks 1 and 2 (ISO/IEC 7813): number, separator, name, expiry and service code."""
    match = _DIGITS.match(look.data, start)
    rest = _TRACK.match(look.data, match.end()) if match else None
    if match is None or rest is None or not (brand := card_brand(match[0])):
        return None
    month = rest[0][-5:-3]  # both tracks: YYMM, then the service code
    return _Card(match[0], start, match.end(), False, brand, True) if b"01" <= month <= b"12" else None


class _Rates:
    """Of the values under one name, how many have the shape of a card number and how many pass. Counted when asked."""

    def __init__(self, look: Look, shaped: list[_Card]) -> None:
        self._look, self._shaped = look, shaped
        self._by_name: dict[str | None, tuple[int, int, int]] | None = None

    def of(self, name: str | None) -> tuple[int, int, int]:
        """Shaped, passing, different passing."""
        if self._by_name is None:
            self._by_name = self._count()
        return self._by_name.get(name, (0, 0, 0))

    def _count(self) -> dict[str | None, tuple[int, int, int]]:
        seen: dict[str | None, list[_Card]] = {}
        for card in self._shaped[:: 1 + len(self._shaped) // _LOOKED_UP]:
            seen.setdefault(name_at(self._look, card.start)[0], []).append(card)
        return {
            name: (len(cards), sum(bool(c.brand) for c in cards), len({c.digits for c in cards if c.brand}))
            for name, cards in seen.items()
        }

    def fails(self, name: str | None) -> bool:
        """Whether the name's values are something else (order numbers)."""
        if len(self._shaped) < _SAMPLES:
            return False
        shaped, passing, _ = self.of(name)
        return shaped >= _SAMPLES and passing < _SHARE * shaped

    def proves(self, name: str | None) -> bool:
        if len(self._shaped) < _PROOF:
            return False
        shaped, passing, different = self.of(name)
        return different >= _PROOF and passing >= _SHARE * shaped


def _confidence(look: Look, card: _Card, name: str | None, before: bytes, rates: _Rates) -> float:
    """0 where it is not to be reported."""
    said = classify(name) if name else Name.GENERIC
    if said is Name.DENIED:
        return 0.0
    if said is Name.CARD:
        sure = _BY_NAME
    elif near(before, CARD) or (not name and near(look.data[card.end : card.end + _NEAR_AFTER], CARD)):
        sure = _BY_WORD
    elif rates.proves(name):
        return _BY_RATE
    else:
        spelt = card.grouped and not name and look.media in _SPELT_OUT and not _among_groups(look.data, card)
        sure = _BY_GROUPS if spelt else 0.0
    return 0.0 if sure and rates.fails(name) else sure


def _among_groups(data: bytes, card: _Card) -> bool:
    """Whether the groups go on before or after, as in hex dumps and tables of code points."""
    return bool(_GROUP_BEFORE.search(data[max(0, card.start - 10) : card.start]) or _GROUP_AFTER.match(data[card.end : card.end + 10]))


def _report(look: Look, card: _Card, sure: float, name: str | None) -> None:
    test = is_test_card(card.digits)
    facts: dict[str, object] = {"brand": card.brand or ""}
    if test:
        facts["test"] = True
    if card.track:
        facts["track"] = True
    look.add(
        RULE, card.digits.decode("ascii"), "card", (card.start, card.end), key=name, confidence=min(sure, _TEST) if test else sure,
        severity=Severity.LOW if test else None, facts=facts,
    )  # fmt: skip
