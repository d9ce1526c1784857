"""``cleartap doctor``: whether this machine can watch, and what to do where it cannot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sniffer.cli import _listing

if TYPE_CHECKING:
    import argparse

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "doctor",
        help="look at what watching needs, and say what to do about it",
        description="Permissions, interfaces, offloads, clock, disk, state, keys, metrics, policy and receivers. Run it as the account, and in the place, that is to watch. "
        "Exit code: 0 nothing fails, 1 something does, 2 wrong usage or a mistake in the configuration.",
    )
    command.add_argument("--config", metavar="FILE", help="the configuration of cleartap watch")
    command.add_argument("-i", "--interface", action="append", metavar="NAME", help="an interface to look at; default: those configured")
    command.add_argument("--state", metavar="FILE", help="where the state is to be")
    _listing.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from sniffer import config
    from sniffer.doctor import FAIL, examine

    found = config.load(arguments.config, os.environ, {"capture.interfaces": arguments.interface, "state.path": arguments.state})
    if hasattr(os, "geteuid"):
        from sniffer.watch.opening import root_state

        found = root_state(found)
    failed = False
    for check in examine(found):
        failed = failed or check.status == FAIL
        if arguments.format == "jsonl":
            _listing.write([asdict(check)], arguments, sys.stdout)
        else:
            _print(check.name, check.status, check.detail, check.remedy, arguments)
        sys.stdout.flush()
    return int(failed)


def _print(name: str, status: str, detail: str, remedy: str, arguments: argparse.Namespace) -> None:
    from rich.text import Text

    from sniffer.cli._reading import console
    from sniffer.outputs.text import clean

    line = Text.assemble((f"{status:<5}", _STYLE[status]), (f"{clean(name, 60)}: ", "bold"), clean(detail, 400))
    if remedy and status != "ok":
        line.append(f"\n     → {clean(remedy, 300)}", "italic")
    console(sys.stdout, arguments).print(line, soft_wrap=True)
