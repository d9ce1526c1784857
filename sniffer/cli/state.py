"""``cleartap state``: what a watch has on record, and the word that somebody knows of it."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import TYPE_CHECKING

from sniffer.errors import StateError, UsageError

if TYPE_CHECKING:
    from sniffer.config import Config

_EXIT_STATE = 3
_SEVERITIES = ("info", "low", "medium", "high", "critical")
_VERDICTS = ("encrypted", "cleartext", "declined", "refused", "stripped", "login-only", "mixed", "unknown")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SECOND = 1_000_000_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "state",
        help="look at what a watch has on record, acknowledge findings",
        description="What a watch has on record, whether or not it runs: a summary on one screen, or a part of it. "
        "Exit code: 0, or 1 for findings --fail-on when there is one, 2 wrong usage, 3 the state cannot be read.",
    )
    _common(command)
    command.set_defaults(run=run, what="summary")
    parts = command.add_subparsers(title="parts", metavar="PART", dest="what")
    parts.required = False
    part = parts.add_parser("summary", help="everything on one screen (the default)")
    _common(part)
    _findings_parser(parts)
    part = parts.add_parser("channels", help="the ledger: who talks to whom, and is it encrypted")
    part.add_argument("--encryption", choices=_VERDICTS, default="", metavar="VERDICT", help=f"only those with this verdict: {', '.join(_VERDICTS)}")
    part.add_argument("--tier", default="", metavar="TIER", help="only those of this tier, for example database")
    _since_and_limit(part, "channels")
    _common(part)
    part = parts.add_parser("alerts", help="the alerts that fire")
    part.add_argument("--all", action="store_true", help="those that are over, too")
    _limited(part, "alerts")
    _common(part)
    part = parts.add_parser("unwatched", help="when nobody watched, why, and how much was watched")
    part.add_argument("--since", type=_since, default=0, metavar="WHEN", help="from then on: 24h, 7d, or a date and time (RFC 3339)")
    _common(part)
    part = parts.add_parser("receivers", help="what waits for receivers, what was lost and why")
    _common(part)
    part = parts.add_parser("acknowledge", help="say that findings or alerts are known, and why they stay")
    part.add_argument("ids", nargs="+", metavar="ID", help="ids of findings or alerts")
    part.add_argument("--note", default="", metavar="TEXT", help="who answers for it, until when, which ticket; kept with it")
    part.add_argument("--undo", action="store_true", help="take the acknowledgement back")
    _common(part)


def _findings_parser(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    part = parts.add_parser("findings", help="findings, the worst first", description="Findings by channel, the worst first. Exit code: 1 with --fail-on when there is such a one, else 0.")
    part.add_argument("--severity", choices=_SEVERITIES, default="info", metavar="SEVERITY", help=f"only those at least so severe: {', '.join(_SEVERITIES)}")
    part.add_argument("--rule", default="", metavar="GLOB", help="only those of this rule, for example 'credential/*'")
    part.add_argument("--channel", default="", metavar="ID", help="only those on this channel")
    part.add_argument("--new", action="store_true", help="only those that nobody has acknowledged and policy does not expect")
    _since_and_limit(part, "findings")
    part.add_argument("--fail-on", choices=(*_SEVERITIES, "never"), default="never", metavar="SEVERITY", help="exit with 1 when one of these, at or above this, is new; default: never")
    part.add_argument("-q", "--quiet", action="store_true", help="say nothing where there is nothing: for cron")
    _common(part)


def _since_and_limit(part: argparse.ArgumentParser, what: str) -> None:
    part.add_argument("--since", type=_since, default=0, metavar="WHEN", help="only what was seen since, by the packets' time: 24h, 7d, or a date and time (RFC 3339)")
    _limited(part, what)


def _limited(part: argparse.ArgumentParser, what: str) -> None:
    part.add_argument("--limit", type=_limit, default=None, metavar="N", help=f"so many {what} at most, the worst; 0 for all; default: 50 on the console, else all")


def _common(command: argparse.ArgumentParser) -> None:
    """Options that may stand before the part's name and after it: one that is not given must not undo one that is."""
    command.add_argument("--state", metavar="FILE", default=argparse.SUPPRESS, help="the state; default: where cleartap watch keeps it")
    command.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration of cleartap watch, which names the state and the policy that findings are judged by")
    command.add_argument("--format", choices=("console", "jsonl", "csv"), default=argparse.SUPPRESS, help="default: console; csv for findings and channels")
    command.add_argument("--no-color", action="store_true", default=argparse.SUPPRESS, help="no colours (also: NO_COLOR)")


def _since(text: str) -> int:
    """Nanoseconds since the epoch. A date without a time begins at midnight, one without a zone is UTC."""
    span = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if span:
        return max(0, time.time_ns() - int(span[1]) * _UNITS[span[2]] * _SECOND)
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a length of time (90m, 24h, 7d, 2w) nor a time (2026-11-26, 2026-11-26T09:00:00Z)") from None
    return max(0, int(seconds * 1_000_000) * 1000)


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    defaults = {"state": None, "config": None, "format": "console", "no_color": False}
    arguments = argparse.Namespace(**{**defaults, **vars(arguments)})
    arguments.what = arguments.what or "summary"
    if arguments.format == "csv" and arguments.what not in ("findings", "channels"):
        raise UsageError("--format csv is for findings and channels; jsonl has the rest")
    config = _configuration(arguments)
    from sniffer.cli import _state_parts as parts
    from sniffer.state import State

    try:
        if arguments.what == "acknowledge":
            return parts.acknowledge(config.state.path, arguments)
        with State.open_readonly(config.state.path) as reader:
            return parts.PARTS[arguments.what](reader, arguments, config)
    except StateError as error:
        print(f"cleartap: {error}", file=sys.stderr)
        return _EXIT_STATE


def _configuration(arguments: argparse.Namespace) -> Config:
    """File, environment and command line, as for ``cleartap watch``; where none names a state and we have none, the service's."""
    from sniffer import config

    found = config.load(arguments.config, os.environ, {"state.path": arguments.state})
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if arguments.state is None and (root or not os.access(found.state.path, os.F_OK)):
        from sniffer.watch.opening import root_state

        service = root_state(found, root=True)
        if root or os.access(service.state.path, os.F_OK):
            return service
    return found
