"""Payment card numbers: issuer ranges with their lengths, and numbers the card networks publish for testing."""

from __future__ import annotations

# (first four digits from, to, lengths, brand): ISO/IEC 7812 prefixes as the networks publish them. Discover's shared
# range inside UnionPay's (622126 to 622925) counts as UnionPay.
ISSUERS: tuple[tuple[int, int, frozenset[int], str], ...] = (
    (3400, 3499, frozenset({15}), "American Express"),
    (3700, 3799, frozenset({15}), "American Express"),
    (3000, 3059, frozenset({14, 16}), "Diners Club"),
    (3095, 3095, frozenset({14, 16}), "Diners Club"),
    (3600, 3699, frozenset({14}), "Diners Club"),
    (3800, 3999, frozenset({14, 16}), "Diners Club"),
    (3528, 3589, frozenset({16, 17, 18, 19}), "JCB"),
    (4000, 4999, frozenset({13, 16, 19}), "Visa"),
    (2221, 2720, frozenset({16}), "Mastercard"),
    (5100, 5599, frozenset({16}), "Mastercard"),
    (6011, 6011, frozenset({16, 17, 18, 19}), "Discover"),
    (6440, 6599, frozenset({16, 17, 18, 19}), "Discover"),
    (6200, 6299, frozenset({16, 17, 18, 19}), "UnionPay"),
    (8100, 8171, frozenset({16, 17, 18, 19}), "UnionPay"),
    (5000, 5099, frozenset({16, 17, 18, 19}), "Maestro"),
    (5600, 5899, frozenset({16, 17, 18, 19}), "Maestro"),
    (2200, 2204, frozenset({16, 17, 18, 19}), "Mir"),
    (6304, 6304, frozenset({16, 17, 18, 19}), "Maestro"),
    (6390, 6390, frozenset({16, 17, 18, 19}), "Maestro"),
    (6700, 6799, frozenset({16, 17, 18, 19}), "Maestro"),
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
