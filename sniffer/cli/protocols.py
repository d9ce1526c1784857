"""``cleartap protocols``: what it can read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sniffer.cli import _listing

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("protocols", help="list the protocols it knows")
    _listing.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from sniffer.dissectors import registry

    rows = [
        {
            "name": spec.name,
            "transport": "/".join(name for name, made in (("tcp", spec.stream), ("udp", spec.datagram)) if made),
            "ports": " ".join(map(str, spec.ports)),
            "tier": spec.tier,
            "encrypted": "yes" if spec.encrypted else "no",
            "title": spec.title,
        }
        for _, spec in sorted(registry().items())
    ]
    _listing.write(rows, arguments, sys.stdout)
    return 0
