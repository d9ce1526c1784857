"""``cleartap channels``: who talks to whom, and is it encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.cli import _reading

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("channels", help="list who talks to whom in capture files, and whether it is encrypted", description="The ledger alone: one row per channel with its encryption verdict.")
    _reading.add_input(command)
    _reading.add_output(command, ("console", "jsonl", "csv"))
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with _reading.out(arguments) as stream, _reading.read(arguments) as session:
        if arguments.format == "jsonl":
            from sniffer.outputs import jsonl, record

            stream.writelines(jsonl.line(record.channel(row)) + "\n" for row in session.channels)
        elif arguments.format == "csv":
            from sniffer.outputs import csv

            csv.write_channels(session, stream)
        else:
            from sniffer.outputs import console

            _reading.console(stream, arguments).print(console.ledger_view(session.channels, 1 << 30 if arguments.all else 200))
    return 3 if session.summary.problems else 0
