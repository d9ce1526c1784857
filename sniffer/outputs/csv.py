"""Findings and channels as CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, TextIO

from sniffer.outputs import record
from sniffer.outputs.text import cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.reading import Reading

FINDING_COLUMNS = (
    "id", "severity", "rule", "category", "title", "protocol", "transport", "client.ip", "client.port", "server.ip", "server.port",
    "path", "mechanism", "outcome", "username", "realm", "secret.mask", "secret.fingerprint", "secret.kind", "where", "frame",
    "first_seen", "last_seen", "count", "confidence", "source", "channel", "references", "remedy",
)  # fmt: skip
CHANNEL_COLUMNS = (
    "id", "client", "server", "port", "transport", "path", "protocol", "product", "tier", "encryption", "why", "sessions",
    "bytes.client", "bytes.server", "findings.critical", "findings.high", "findings.medium", "findings.low", "findings.info",
    "tls.version", "tls.cipher", "tls.group", "tls.sni", "tls.alpn", "tls.ja4", "first_seen", "last_seen",
)  # fmt: skip


def write_findings(session: Reading, out: TextIO, *, reveal: bool = False) -> None:
    """One row a finding; ``reveal`` adds the column ``secret.value``."""
    columns = (*FINDING_COLUMNS, "secret.value") if reveal else FINDING_COLUMNS
    write(out, columns, (record.finding(found, reveal=reveal) for found in session.findings))


def write_channels(session: Reading, out: TextIO) -> None:
    """One row a channel."""
    write(out, CHANNEL_COLUMNS, map(record.channel, session.channels))


def write(out: TextIO, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Records as rows; a column is named by the way to its field."""
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([cell(_value(row, column)) for column in columns] for row in rows)


def _value(row: dict[str, Any], column: str) -> Any:
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else " ".join(map(str, value)) if isinstance(value, list) else value
