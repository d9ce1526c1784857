"""The parts of ``cleartap state``: what each reads, and how it is written."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from sniffer.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from sniffer.config import Config
    from sniffer.state import Reader, Recorded

# Rows on the console unless --limit says otherwise: some screens. Programs get everything.
MOST_SHOWN = 50
# Rows read in one go: the file is not held while whoever reads what we print takes their time.
_PART = 500
# What CSV says of a finding's being known, after the columns that all findings have.
_KNOWN_COLUMNS = ("acknowledged.at", "acknowledged.note", "expected.owner", "expected.reason", "expected.expires")


def _console(arguments: argparse.Namespace) -> Console:
    from sniffer.cli._reading import console

    return console(sys.stdout, arguments)


def _show(console: Console, *parts: RenderableType) -> None:
    """Print by our own hand: where the reader has gone, rich would end the process with a code that means something else here."""
    for part in parts:
        with console.capture() as got:
            console.print(part)
        # Columns are filled to their width: nobody needs the blanks at the end.
        sys.stdout.writelines(line.rstrip() + "\n" for line in got.get().splitlines())


def _write(rows: Iterable[dict[str, Any]]) -> None:
    from sniffer.outputs import jsonl

    sys.stdout.writelines(jsonl.line(row) + "\n" for row in rows)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _PART):
        yield ids[start : start + _PART]


def _most(arguments: argparse.Namespace) -> int | None:
    """Rows at most, None for all."""
    most = arguments.limit if arguments.limit is not None else MOST_SHOWN if arguments.format == "console" else 0
    return most or None


def _summary(reader: Reader, arguments: argparse.Namespace, config: Config) -> int:
    from sniffer.cli import _state_records as records
    from sniffer.cli._state_policy import Judge

    now = time.time_ns()
    found = records.overview(reader, now, config.state.retention_days, Judge(config, now))
    if arguments.format == "jsonl":
        _write([records.state(found)])
    else:
        from sniffer.cli import _state_views as views

        _show(_console(arguments), views.summary(found, now))
    return 0


def _findings(reader: Reader, arguments: argparse.Namespace, config: Config) -> int:
    from sniffer.cli import _state_records as records
    from sniffer.cli._state_policy import Judge
    from sniffer.findings import Severity

    judge = Judge(config, time.time_ns())
    wanted: dict[str, Any] = {"rule": arguments.rule, "channel": arguments.channel, "since": arguments.since}
    chosen = judge.choose(reader, severity=Severity[arguments.severity.upper()], new=arguments.new, limit=_most(arguments), **wanted)
    rows = judge.rows(reader, chosen.ids)
    if arguments.format == "jsonl":
        _write(map(records.finding, rows))
    elif arguments.format == "csv":
        from sniffer.outputs import csv

        csv.write(sys.stdout, (*csv.FINDING_COLUMNS, *_KNOWN_COLUMNS), map(records.finding, rows))
    else:
        _show_findings(reader, arguments, list(rows), len(chosen.ids), chosen.total)
    return int(arguments.fail_on != "never" and chosen.new(Severity[arguments.fail_on.upper()]))


def _show_findings(reader: Reader, arguments: argparse.Namespace, rows: Sequence[Recorded], shown: int, total: int) -> None:
    from sniffer.cli import _state_views as views

    console = _console(arguments)
    channels = reader.channels_of(list({str(row.record.get("channel", "")) for row in rows}))
    _show(console, *views.findings(rows, channels, wide=console.width >= views.WIDE))
    _close(console, shown, total, "finding", quiet=arguments.quiet)


def _close(console: Console, shown: int, total: int, what: str, *, quiet: bool = False) -> None:
    """The last line: that there is nothing, or that there is more."""
    from rich.text import Text

    from sniffer.outputs.text import plural

    if not total and not quiet:
        _show(console, _nothing(f"no {what} on record that matches"))
    elif total > shown:
        _show(console, Text(f"… and {plural(total - shown, f'more {what}')} (--limit 0 shows all)", "dim"))


def _nothing(said: str) -> RenderableType:
    from rich.text import Text

    return Text(said, "green")


def _channels(reader: Reader, arguments: argparse.Namespace, _: Config) -> int:
    from sniffer.outputs import record

    wanted = {"encryption": arguments.encryption, "tier": arguments.tier, "since": arguments.since}
    ids = reader.channel_ids(**wanted, limit=_most(arguments))
    rows = (record.channel(row) for part in _parts(ids) for row in reader.channels_of(part).values())
    if arguments.format == "jsonl":
        _write(rows)
    elif arguments.format == "csv":
        from sniffer.outputs import csv

        csv.write(sys.stdout, csv.CHANNEL_COLUMNS, rows)
    else:
        from sniffer.cli import _state_views as views

        console = _console(arguments)
        for part in _parts(ids):
            _show(console, views.channels(reader.channels_of(part)))
        _close(console, len(ids), sum(reader.channel_counts(**wanted).values()), "channel")
    return 0


def _alerts(reader: Reader, arguments: argparse.Namespace, _: Config) -> int:
    from sniffer.alert import State as AlertState
    from sniffer.cli import _state_records as records
    from sniffer.findings import Severity

    found, known = reader.alerts(None if arguments.all else AlertState.FIRING), reader.acknowledgements()
    order = {str(severity): -severity for severity in Severity}
    found.sort(key=lambda row: (row.state is AlertState.RESOLVED, order.get(row.severity, 0), -row.last_seen))
    if arguments.format == "jsonl":
        _write(records.alert(row, known.get(row.id)) for row in found[: _most(arguments)])
        return 0
    from sniffer.cli import _state_views as views

    console, most = _console(arguments), _most(arguments) or len(found)
    if found:
        _show(console, views.alerts(found[:most], known, wide=console.width >= views.WIDE))
        _close(console, most, len(found), "alert")
    else:
        _show(console, _nothing("no alert fires"))
    return 0


def _unwatched(reader: Reader, arguments: argparse.Namespace, config: Config) -> int:
    from sniffer.cli import _state_records as records

    covered, intervals = records.coverage(reader, time.time_ns(), config.state.retention_days, arguments.since)
    if arguments.format == "jsonl":
        _write([*map(records.unwatched, intervals), {"type": "watched", "schema": 1, **records.covered(covered)}])
    else:
        from sniffer.cli import _state_views as views

        _show(_console(arguments), views.unwatched(covered, intervals))
    return 0


def _receivers(reader: Reader, arguments: argparse.Namespace, _: Config) -> int:
    from sniffer.cli import _state_records as records

    sinks, losses = reader.sinks(), reader.losses()
    if arguments.format == "jsonl":
        _write(records.receiver(name, stats, losses.get(name, {})) for name, stats in sinks.items())
        return 0
    from sniffer.cli import _state_views as views

    console = _console(arguments)
    if sinks:
        _show(console, views.receivers(sinks, losses, time.time_ns()))
    else:
        _show(console, _nothing("no receiver has been sent anything"))
    return 0


def acknowledge(path: str, arguments: argparse.Namespace) -> int:
    """All of the ids or, where one is not there, none."""
    from sniffer import state
    from sniffer.outputs.text import clean, plural

    ids = list(dict.fromkeys(arguments.ids))
    if not arguments.undo and not arguments.note.strip():
        raise UsageError("say with --note why it stays: who answers for it, until when")
    with state.State.open_readonly(path) as reader:
        known = reader.acknowledgements().keys() if arguments.undo else reader.on_record(ids)
    if unknown := [clean(id, 40) for id in ids if id not in known]:
        raise UsageError(f"{'not acknowledged' if arguments.undo else 'not on record'}: {', '.join(unknown[:10])}{', …' if len(unknown) > 10 else ''}; nothing was changed")
    if arguments.undo:
        state.retract(path, ids)
    else:
        for id in ids:
            state.acknowledge(path, id, arguments.note)
    if arguments.format == "jsonl":
        _write({"type": "acknowledged", "schema": 1, "id": id, **({"undone": True} if arguments.undo else {"note": clean(arguments.note, 1000)})} for id in ids)
    else:
        print(f"{plural(len(ids), 'acknowledgement')} {'taken back' if arguments.undo else 'recorded'}")
    return 0


PARTS = {"summary": _summary, "findings": _findings, "channels": _channels, "alerts": _alerts, "unwatched": _unwatched, "receivers": _receivers}
