"""Which findings and channels are asked for, as conditions of a query (SQLite; GLOB for names)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.events import Encryption

if TYPE_CHECKING:
    from sniffer.findings import Severity

# What calls for action first, as the ledger is shown.
VERDICTS = (
    Encryption.STRIPPED, Encryption.REFUSED, Encryption.DECLINED, Encryption.CLEARTEXT, Encryption.LOGIN_ONLY, Encryption.MIXED, Encryption.UNKNOWN, Encryption.ENCRYPTED,
)  # fmt: skip
WORST_FIRST = "CASE encryption " + " ".join(f"WHEN '{verdict}' THEN {place}" for place, verdict in enumerate(VERDICTS)) + " END"


def findings(rule: str, channel: str, severity: Severity, acknowledged: bool | None, since: int) -> tuple[str, list[object]]:
    """Conditions on the table ``findings f``, and their values."""
    where, values = _given({"f.rule GLOB ?": rule, "f.channel = ?": channel})
    if acknowledged is not None:
        where.append("f.acknowledged > 0" if acknowledged else "f.acknowledged = 0")
    return " AND ".join(["f.severity >= ?", "f.last_seen >= ?", *where]), [int(severity), since, *values]


def channels(encryption: str, tier: str, since: int) -> tuple[str, list[object]]:
    """Conditions on the table ``channels``, and their values."""
    where, values = _given({"encryption = ?": encryption, "tier = ?": tier})
    return " AND ".join(["last_seen >= ?", *where]), [since, *values]


def _given(tests: dict[str, str]) -> tuple[list[str], list[str]]:
    """Those that ask for something."""
    asked = {test: wanted for test, wanted in tests.items() if wanted}
    return list(asked), list(asked.values())
