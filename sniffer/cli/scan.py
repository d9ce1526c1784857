"""``cleartap scan``: from capture files to findings and a ledger."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("scan", help="read capture files", description="Read capture files, directories or '-' as one ordered set and report what crosses in the clear.")
    command.add_argument("files", nargs="+", metavar="FILE", help="pcap or pcapng, also compressed; a directory; '-' for standard input")
    command.add_argument("--format", choices=("jsonl",), default="jsonl")
    command.add_argument("--reveal", action="store_true", help="print the secrets themselves")
    command.add_argument("--fail-on", choices=("info", "low", "medium", "high", "critical", "never"), default="high", help="exit with 1 when something at or above this is found (default: high)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from sniffer.capture import capture_set, open_capture
    from sniffer.findings import Severity
    from sniffer.installation import fingerprint_key
    from sniffer.outputs import jsonl
    from sniffer.session import Session

    session = Session(fingerprint_key())
    session.run(open_capture(path) for path in capture_set(arguments.files))
    jsonl.write(session, sys.stdout, reveal=arguments.reveal)
    if session.summary.problems:
        for problem in session.summary.problems:
            print(f"cleartap: {problem}", file=sys.stderr)
        return 3
    worst = max((f.severity for f in session.findings), default=None)
    if arguments.fail_on == "never" or worst is None:
        return 0
    return int(worst >= Severity[arguments.fail_on.upper()])
