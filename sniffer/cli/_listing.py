"""Plain listings: a table for people, JSON Lines for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import argparse


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=("console", "jsonl"), default="console")
    command.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR)")


def write(rows: list[dict[str, str]], arguments: argparse.Namespace, stream: TextIO) -> None:
    if arguments.format == "jsonl":
        import json  # --help needs none

        stream.writelines(json.dumps(row) + "\n" for row in rows)
        return
    from rich.table import Table

    from sniffer.cli._reading import console

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*row.values())
    console(stream, arguments).print(table)
