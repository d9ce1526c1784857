"""cleartap: watches a network passively and shows what sensitive data crosses it without encryption.

import sniffer

result = sniffer.scan("office.pcap")
for finding in result.findings:
print(finding.severity, finding.title, finding.username, finding.secret)
for channel in result.channels:
print(channel.client, channel.server, channel.port, channel.encryption, channel.why)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sniffer.channels import Channel
    from sniffer.events import Encryption, Outcome
    from sniffer.findings import Category, Finding, Severity
    from sniffer.scanning import Result, scan
    from sniffer.secret import Secret
    from sniffer.summary import Summary

__all__ = ["Category", "Channel", "Encryption", "Finding", "Outcome", "Result", "Secret", "Severity", "Summary", "scan"]

_PLACES = {
    "Category": "findings",
    "Channel": "channels",
    "Encryption": "events",
    "Finding": "findings",
    "Outcome": "events",
    "Result": "scanning",
    "Secret": "secret",
    "Severity": "findings",
    "Summary": "summary",
    "scan": "scanning",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``cleartap --help`` and a look at one module cost no NumPy."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
