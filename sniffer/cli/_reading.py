"""What the commands that read captures share: their options, the reading itself, progress, the exit code."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sniffer.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from sniffer.capture.frames import Reader
    from sniffer.reading import Digest, Reading

# Captures smaller than this are read before other processes would have begun …
_SHARED_FROM = 32 << 20
# … and beyond so many the one that reads and decodes is what the others wait for.
_MOST_JOBS = 4
MAX_JOBS = 64
# A read of less than this is over before a bar could be looked at.
_PROGRESS_FROM = 64 << 20


def add_input(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="pcap or pcapng, compressed or not; a directory; '-' for standard input")
    command.add_argument("--jobs", type=_count, metavar="N", help="processes that follow flows, with one more that reads for them; default: one a CPU up to 4 for large captures, else one for all")
    command.add_argument("--filter", metavar="EXPR", help="read only what matches, for example 'host 10.0.0.5 and port 21'")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_JOBS:
        raise ArgumentTypeError(f"a number from 1 to {MAX_JOBS} is wanted, not {text!r}")
    return int(text)


def _jobs(paths: list[str]) -> int:
    """One process a CPU where the captures are worth it."""
    if not hasattr(os, "sched_getaffinity") or sum(_size(Path(p)) for p in paths if p != "-") < _SHARED_FROM:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST_JOBS)


def add_output(command: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    command.add_argument("--format", choices=formats, default=formats[0], help=f"default: {formats[0]}")
    command.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output (mode 0600)")
    command.add_argument("--all", action="store_true", help="show every row on the console")
    command.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR)")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no notes")


@contextmanager
def read(arguments: argparse.Namespace, digest: Digest | None = None) -> Iterator[Reading]:
    """Everything named on the command line, read. CaptureError if nothing of it can be. ``digest``: see Reading.

    Processes that shared the reading end while what they found is written.
    """
    from sniffer.cycles import collect_seldom
    from sniffer.installation import fingerprint_key
    from sniffer.memory import keep_freed
    from sniffer.scanning import reading_with

    keep_freed()
    collect_seldom()
    keep = None
    if arguments.filter:
        from sniffer.decode.filter import compile_filter

        keep = compile_filter(arguments.filter)
    with reading_with(fingerprint_key(), jobs=arguments.jobs or _jobs(arguments.files), keep=keep, digest=digest) as session:
        with _progress(arguments.files, quiet=arguments.quiet) as tick:
            session.scan(arguments.files, tick)
        if not arguments.quiet:
            for problem in session.summary.problems:
                print(f"cleartap: {problem}", file=sys.stderr)
        yield session


@contextmanager
def _progress(paths: list[str], *, quiet: bool) -> Iterator[Callable[[Reader], None] | None]:
    """A bar on the terminal for long reads; None where there is none to show."""
    total = sum(_size(Path(p)) for p in paths if p != "-")
    if quiet or total < _PROGRESS_FROM or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=total)
        before: dict[str, int] = {}

        def tick(reader: Reader) -> None:
            before[reader.name] = int(getattr(reader, "position", 0) or 0)
            progress.update(task, completed=sum(before.values()))

        yield tick


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_dir():
        return sum(_size(inside) for inside in path.iterdir())
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def out(arguments: argparse.Namespace) -> Iterator[TextIO]:
    """Standard output, or the file asked for, which nobody else may read: it may hold secrets. Opened before anything is
    read, so that what cannot be written is known at once. UsageError where it cannot be opened, or is a capture itself.
    """
    if not arguments.output or arguments.output == "-":
        yield sys.stdout
        return
    from sniffer.capture import is_capture

    path = Path(arguments.output)
    if path.is_file() and is_capture(path):
        raise UsageError(f"{arguments.output}: is a capture, and is not written over")
    try:
        handle = os.open(arguments.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        yield stream


def console(stream: TextIO, arguments: argparse.Namespace) -> Console:
    """A rich console; wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    class Piped(Console):
        """Leaves a reader that went away to ``main``; rich's own way ends with 1, which here means that something was found."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    width = None if stream.isatty() else 160
    return Piped(file=stream, no_color=arguments.no_color or None, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def exit_code(session: Reading, fail_on: str) -> int:
    """3 unreadable or cut short, 1 something at or above ``fail_on``, else 0."""
    from sniffer.findings import Severity

    if session.summary.problems:
        return 3
    if fail_on == "never":
        return 0
    worst = Severity[fail_on.upper()]
    return int(any(Severity[name.upper()] >= worst for name, count in session.summary.severities.items() if count))
