"""``cleartap rules``: what it reports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sniffer.cli import _listing

if TYPE_CHECKING:
    import argparse

    from sniffer.findings import Rule


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("rules", help="list the rules, their severity and what to do about a finding")
    _listing.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from sniffer.alerting import CATEGORY, Condition
    from sniffer.ruleset import all_conditions, all_rules

    listed: list[Rule | Condition] = [*all_rules(), *all_conditions()]
    rows = [
        {
            "id": rule.id,
            "category": CATEGORY if isinstance(rule, Condition) else str(rule.category),
            "severity": str(rule.severity),
            "title": rule.title,
            "references": " ".join(rule.references),
            "remedy": rule.remedy,
        }
        for rule in listed
    ]
    _listing.write(rows, arguments, sys.stdout)
    return 0
