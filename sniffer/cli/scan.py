"""``cleartap scan``: from capture files to findings and a ledger."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sniffer.cli import _reading

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("scan", help="report what crosses in the clear in capture files", description="Read capture files, directories or '-' as one ordered set and report what crosses in the clear. Exit code: 0 nothing at or above --fail-on, 1 something, 2 wrong usage or an output that cannot be written, 3 input unreadable or cut short.")
    _reading.add_input(command)
    _reading.add_output(command, ("console", "jsonl", "csv"))
    command.add_argument("--reveal", action="store_true", help="print the secrets themselves; without it nothing does")
    command.add_argument("--fail-on", choices=("info", "low", "medium", "high", "critical", "never"), default="high", metavar="SEVERITY", help="exit with 1 when something at or above this is found: info, low, medium, high (default), critical, never")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    digest = None
    if arguments.format == "jsonl":
        from sniffer.outputs import jsonl

        digest = partial(jsonl.digest, reveal=arguments.reveal)
    with _reading.out(arguments) as stream, _reading.read(arguments, digest) as session:
        if arguments.format == "jsonl":
            jsonl.write(session, stream)
        elif arguments.format == "csv":
            from sniffer.outputs import csv

            csv.write_findings(session, stream, reveal=arguments.reveal)
        else:
            from sniffer.outputs import console

            console.write(session, _reading.console(stream, arguments), reveal=arguments.reveal, everything=arguments.all)
    return _reading.exit_code(session, arguments.fail_on)
