"""Payment card numbers: issuer ranges with their lengths, and numbers the card networks publish for testing."""

from __future__ import annotations

# (first six digits from, to, lengths, brand), ISO/IEC 7812 prefixes as the networks publish them. Order: the
# narrower range first, since Discover and Maestro lie inside wider ones.
ISSUERS: tuple[tuple[int, int, frozenset[int], str], ...] = (
    (340000, 349999, frozenset({15}), "American Express"),
    (370000, 379999, frozenset({15}), "American Express"),
    (300000, 305999, frozenset({14, 16}), "Diners Club"),
    (309500, 309599, frozenset({14, 16}), "Diners Club"),
    (360000, 369999, frozenset({14}), "Diners Club"),
    (380000, 399999, frozenset({14, 16}), "Diners Club"),
    (352800, 358999, frozenset({16, 17, 18, 19}), "JCB"),
    (400000, 499999, frozenset({13, 16, 19}), "Visa"),
    (222100, 272099, frozenset({16}), "Mastercard"),
    (510000, 559999, frozenset({16}), "Mastercard"),
    (601100, 601199, frozenset({16, 17, 18, 19}), "Discover"),
    (644000, 659999, frozenset({16, 17, 18, 19}), "Discover"),
    (622126, 622925, frozenset({16, 17, 18, 19}), "UnionPay"),
    (620000, 629999, frozenset({16, 17, 18, 19}), "UnionPay"),
    (810000, 817199, frozenset({16, 17, 18, 19}), "UnionPay"),
    (500000, 509999, frozenset({16, 17, 18, 19}), "Maestro"),
    (560000, 589999, frozenset({16, 17, 18, 19}), "Maestro"),
    (220000, 220499, frozenset({16, 17, 18, 19}), "Mir"),
    (639000, 639099, frozenset({16, 17, 18, 19}), "Maestro"),
    (670000, 679999, frozenset({16, 17, 18, 19}), "Maestro"),
)

# Published by the networks and payment providers for tests; they pass every check and belong to nobody.
TEST_NUMBERS = frozenset(
    {
        "4111111111111111", "4012888888881881", "4222222222222", "4242424242424242", "4000056655665556",
        "4000000000000002", "4000000000000077", "4000000000003220", "4917610000000000", "4263982640269299",
        "5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222", "2223000048400011",
        "5425233430109903", "2222420000001113", "378282246310005", "371449635398431", "378734493671000",
        "374245455400126", "6011111111111117", "6011000990139424", "6011000400000000", "6011981111111113",
        "30569309025904", "38520000023237", "36227206271667", "3056930009020004", "36006666333344", "3530111333300000",
        "3566002020360505", "3566111111111113", "6200000000000005", "6200000000000047", "6205500000000000004",
        "6759649826438453", "5018000000000009", "6304000000000000", "4462030000000000", "5019717010103742",
    }
)  # fmt: skip
