"""``cleartap rules``: what it reports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sniffer.cli import _listing

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("rules", help="list the rules, their severity and what to do about a finding")
    _listing.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from sniffer.ruleset import all_rules

    rows = [
        {
            "id": rule.id,
            "category": str(rule.category),
            "severity": str(rule.severity),
            "title": rule.title,
            "references": " ".join(rule.references),
            "remedy": rule.remedy,
        }
        for rule in all_rules()
    ]
    _listing.write(rows, arguments, sys.stdout)
    return 0
