"""The ``cleartap`` command: one file a subcommand."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import NoReturn

from sniffer.errors import CaptureError, UsageError

# NumPy's linear algebra is not used here; without this it begins a thread a CPU, which turn idly for a tenth of a second.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Each is a module here with ``add(subparsers)``, which sets ``run=`` to a function from the arguments to the exit code.
# They import what is heavy only when they run, so that --help answers at once.
COMMANDS = ("scan", "channels", "watch", "state", "doctor", "protocols", "rules")

EXIT_USAGE, EXIT_UNREADABLE = 2, 3  # 1: something was found


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than all the rest of the parser."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"cleartap {version('cleartap')}")
        except PackageNotFoundError:
            print("cleartap, from its source tree")
        parser.exit()


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line, or what of it one command needs: the others' options take as long to declare as a small capture to read."""
    top = argparse.ArgumentParser(prog="cleartap", description="Shows who sends what sensitive data to whom without encryption. Passive: it never sends a packet.")
    top.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in (only,) if only else COMMANDS:
        import_module(f"{__name__}.{name}").add(commands)
    return top


def command() -> NoReturn:
    """The process: runs the command line and ends at once, since taking a large session apart takes longer than --help."""
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser(argv[0] if argv and argv[0] in COMMANDS else None).parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        print(f"cleartap: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CaptureError as error:
        print(f"cleartap: {error}", file=sys.stderr)
        return EXIT_UNREADABLE
    except BrokenPipeError:
        # The reader went away (``| head``): nothing to say, and nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        # Mostly of what is written, such as a full disk: what cannot be read is a CaptureError.
        print(f"cleartap: {f'{error.filename}: ' if error.filename else ''}{error.strerror or type(error).__name__}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return code
