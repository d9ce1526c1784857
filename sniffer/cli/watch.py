"""``cleartap watch``: live on interfaces, from a pipe, over TCP, or from a file as if it were live."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sniffer.errors import StateError, UsageError

if TYPE_CHECKING:
    import argparse

    from sniffer.config import Config
    from sniffer.watch.view import View

_EXIT_STATE = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "watch",
        help="watch a network live: record, alert, measure",
        description="Watch interfaces (a SPAN or mirror port), a FIFO or standard input (tcpdump -w - | cleartap watch -), a pcap-over-IP server "
        "(tcp://HOST:PORT), or a capture file as if it were live. Needs CAP_NET_RAW for interfaces and gives up every privilege once they are open. "
        "SIGHUP reads the configuration again. Exit code: 0 stopped or all read, 2 wrong usage, 3 nothing to read from or no state to write to.",
    )
    command.add_argument("source", nargs="?", metavar="SOURCE", help="'-', a FIFO, tcp://HOST:PORT, or a capture file, instead of interfaces")
    command.add_argument("-i", "--interface", action="append", metavar="NAME", help="an interface to watch, or 'any'; may be given more than once")
    command.add_argument("--config", metavar="FILE", help="the configuration (TOML); what is given here or as CLEARTAP_SECTION_KEY goes before it")
    command.add_argument("--filter", metavar="EXPR", help="watch only what matches; for interfaces in tcpdump's language, applied by the kernel")
    command.add_argument("--workers", type=int, metavar="N", help="processes that read, each its share of the hosts; default: by the processors there are")
    command.add_argument("--ring-mb", type=int, metavar="MB", help="memory for packets, of each interface and worker; default: 64")
    command.add_argument("--snaplen", type=int, metavar="BYTES", help="bytes of a frame that are read; default: 262144")
    command.add_argument("--state", metavar="FILE", help="where findings, ledger and alerts are kept")
    command.add_argument("--metrics", metavar="ADDRESS:PORT", help="where Prometheus reads; '' for nowhere; default: 127.0.0.1:9476")
    command.add_argument("--sensor", metavar="NAME", help="this installation's name in everything it sends; default: the host's")
    command.add_argument("--hold", action="store_true", help="go on serving metrics when a capture file has been read")
    command.add_argument("--log", action="store_true", help="one line an event also on a terminal")
    command.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    # One thread until privileges are given up: the numeric library starts one a processor otherwise, and gains us nothing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from sniffer.boundary import Boundary

    with Boundary("watch"):
        try:
            return _watch(arguments)
        except StateError as error:
            print(f"cleartap: {error}", file=sys.stderr)
            return _EXIT_STATE


def _watch(arguments: argparse.Namespace) -> int:
    from sniffer.capture.privileges import no_dumps
    from sniffer.installation import fingerprint_key
    from sniffer.watch import opening
    from sniffer.watch.receivers import open_sinks
    from sniffer.watch.watcher import Watcher

    no_dumps()
    config = _configuration(arguments)
    if arguments.source and arguments.interface:
        raise UsageError("give interfaces or a source, not both")
    if not arguments.source and not config.capture.interfaces:
        raise UsageError("nothing to watch: give an interface (-i eth1), '-', a FIFO, tcp://HOST:PORT or a capture file")
    if arguments.source:
        if config.capture.filter:
            from sniffer.decode.filter import compile_filter

            compile_filter(config.capture.filter)
        shares = opening.open_stream(arguments.source)
    else:
        shares = opening.open_interfaces(config.capture)
    opening.prepare_state(config.state.path)
    sinks = open_sinks(config)
    watcher = Watcher(
        config, shares, sinks, fingerprint_key(), _view(arguments),
        reread=lambda: _configuration(arguments), filter=config.capture.filter if arguments.source else "", hold=arguments.hold,
    )  # fmt: skip
    return watcher.run()


def _configuration(arguments: argparse.Namespace) -> Config:
    """File, environment and command line."""
    from sniffer import config
    from sniffer.watch.opening import root_state

    overrides: dict[str, Any] = {
        "sensor": arguments.sensor,
        "capture.interfaces": arguments.interface,
        "capture.filter": arguments.filter,
        "capture.workers": arguments.workers,
        "capture.ring_mb": arguments.ring_mb,
        "capture.snaplen": arguments.snaplen,
        "state.path": arguments.state,
        "metrics.listen": arguments.metrics,
    }
    return root_state(config.load(arguments.config, os.environ, overrides), root=_was_root())


_root: list[bool] = []


def _was_root() -> bool:
    """Whether this process began as root; the same answer after it has become somebody else."""
    if not _root:
        _root.append(os.geteuid() == 0)
    return _root[0]


def _view(arguments: argparse.Namespace) -> View:
    from rich.console import Console

    from sniffer.watch.view import LiveView, LogView

    if sys.stdout.isatty() and not arguments.log:
        return LiveView(Console(no_color=arguments.no_color or None, highlight=False, markup=False, emoji=False))
    return LogView(sys.stdout)
