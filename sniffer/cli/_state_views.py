"""What ``cleartap state`` shows to people: one line an entry on a wide terminal, two on a narrow one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sniffer.alert import State as AlertState
from sniffer.cli._state_records import SECOND, Life
from sniffer.findings import Severity
from sniffer.outputs.console import OUTCOME_STYLE, SEVERITY_STYLE, VERDICT_STYLE
from sniffer.outputs.record import timestamp
from sniffer.outputs.text import clean, endpoint, plural, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sniffer.alert import Alert
    from sniffer.channels import Channel
    from sniffer.cli._state_records import Overview, Watch
    from sniffer.state import Acknowledgement, Interval, Recorded, SinkStats
    from sniffer.state.coverage import Watched

# From here on both halves of an entry fit on one line.
WIDE = 140
# An entry in three columns, each with what stands above and what stands below it (or beside it, where there is room).
Pair = tuple[Text, Text]
_LIFE = {Life.RUNNING: "green", Life.STOPPED: "yellow", Life.SILENT: "bold red", Life.DIED: "bold red", Life.NEVER: "dim"}


def moment(nanoseconds: int) -> str:
    """A time in UTC, to the minute."""
    return timestamp(nanoseconds)[:16].replace("T", " ")


def _moment(text: object) -> str:
    return clean(text, 40)[:16].replace("T", " ")


def span(nanoseconds: int) -> str:
    """A length of time in two units at most."""
    seconds = max(0, nanoseconds) // SECOND
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def _severity(name: str) -> str:
    return SEVERITY_STYLE[Severity[name.upper()]] if name.upper() in Severity.__members__ else ""


def _paired(rows: Iterable[tuple[Pair, Pair, Pair]], first: int, *, wide: bool) -> RenderableType:
    """Entries below each other, aligned; ``first`` is the width of the first column."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    entries = list(rows)
    second = wide and any(entry[0][1] for entry in entries)
    for width in (first, *([14] if second else []), *([16, 16, 50] if wide else [16])):
        table.add_column(width=width, overflow="fold")
    table.add_column(overflow="fold")
    for (kind, below), (id, when), (what, more) in entries:
        if wide:
            table.add_row(kind, *([below] if second else []), id, when, what, more)
        else:
            table.add_row(*(Text("\n").join(part for part in pair if part) for pair in ((kind, below), (id, when), (what, more))))
    return Padding(table, (0, 0, 0, 2))


def findings(rows: Sequence[Recorded], channels: Mapping[str, Channel], *, wide: bool) -> Iterator[RenderableType]:
    """By channel, in the order given."""
    groups: dict[str, list[Recorded]] = {}
    for row in rows:
        groups.setdefault(str(row.record.get("channel", "")), []).append(row)
    for id, group in groups.items():
        yield _title(group, channels.get(id), id)
        yield _paired((_finding(row) for row in group), 8, wide=wide)
        remedy = next((row.record["remedy"] for row in group if row.record.get("remedy")), "")
        if remedy:
            yield Padding(Text(f"→ {clean(remedy, 300)}", "italic dim"), (0, 0, 0, 2))
        yield Text("")


def _title(group: Sequence[Recorded], channel: Channel | None, id: str) -> Text:
    first = group[0].record
    new = next((row.record["severity"] for row in group if not _is_known(row)), "")
    client, server = first["client"], first["server"]
    title = Text.assemble(
        ("● ", _severity(new).replace("white on ", "") or "dim"),
        (f"{clean(client.get('ip'))} → {endpoint(clean(server.get('ip')), int(server.get('port', 0)))}", "bold"),
        f"  {clean(first['protocol'])}/{clean(first['transport'])}",
    )
    if channel is not None:
        title.append(f"  {channel.encryption}", VERDICT_STYLE[channel.encryption])
    if first.get("path"):
        title.append(f"  via {clean(' '.join(map(str, first['path'])))}", "dim")
    return title.append(f"  {clean(id, 20)}", "dim")


def _finding(row: Recorded) -> tuple[Pair, Pair, Pair]:
    found, known = row.record, _is_known(row)
    severity = clean(found["severity"])
    what = Text(clean(found["title"], 200), "dim" if known else "")
    if found["count"] > 1:
        what.append(f" ×{found['count']:,}", "dim")
    said = [(clean(found.get("username", ""), 34), ""), (clean(found.get("secret", {}).get("mask", "")), "")]
    said.append((clean(found.get("outcome", "")), OUTCOME_STYLE.get(found.get("outcome", ""), "")))
    more = Text("  ").join(Text(text, "dim" if known else style) for text, style in said if text)
    for said_of in _words(row):
        more.append("\n" if more else "").append(said_of)
    return (Text(severity, "dim" if known else _severity(severity)), Text()), _marked(found["id"], found["last_seen"]), (what, more)


def _is_known(row: Recorded) -> bool:
    return bool(row.acknowledged) or "expected" in row.record


def _words(row: Recorded) -> Iterator[Text]:
    """Who knows of it, and who answers for it."""
    if row.acknowledged:
        yield _known(row.acknowledged, row.note)
    if (expected := row.record.get("expected")) is not None:
        yield Text(f"✓ expected until {expected['expires']}: {clean(expected['owner'], 80)}, {clean(expected['reason'], 300)}", "green")


def _marked(id: object, seen: object) -> Pair:
    return Text(clean(id, 20)), Text(_moment(seen), "dim")


def _known(at: int, note: str) -> Text:
    return Text(f"✓ {moment(at)} {clean(note, 1000)}".rstrip(), "green")


def channels(rows: Mapping[str, Channel]) -> RenderableType:
    """The ledger, in the order given: two lines a row on any terminal, the reason is a sentence."""
    return _paired((_channel(id, row) for id, row in rows.items()), 14, wide=False)


def _channel(id: str, row: Channel) -> tuple[Pair, Pair, Pair]:
    who = Text(f"{clean(row.client)} → {endpoint(clean(row.server), row.port)}  {clean(row.protocol)}/{clean(row.transport)}")
    if row.path:
        who.append(f"  via {clean(' '.join(row.path))}", "dim")
    more = Text(f"{plural(row.sessions, 'session')}, {size(row.client_bytes + row.server_bytes)}", "dim")
    for severity in sorted(row.findings, reverse=True):
        more.append("  ").append(f"{row.findings[severity]:,} {severity}", SEVERITY_STYLE[severity])
    if row.why:
        more.append(f"  {clean(row.why, 120)}", "dim")
    verdict = Text(str(row.encryption), VERDICT_STYLE[row.encryption])
    return (verdict, Text(clean(row.tier, 14), "dim")), _marked(id, timestamp(row.last)), (who, more)


def alerts(rows: Iterable[Alert], known: Mapping[str, Acknowledgement], *, wide: bool) -> RenderableType:
    """Each with how it stands now."""
    return _paired((_alert(row, known.get(row.id)) for row in rows), 8, wide=wide)


def _alert(row: Alert, known: Acknowledgement | None) -> tuple[Pair, Pair, Pair]:
    over = row.state is AlertState.RESOLVED
    who = Text(style="dim" if over else "")
    if row.server:
        who.append(f"{clean(row.client)} → {endpoint(clean(row.server), row.port)}  {clean(row.protocol)}/{clean(row.transport)}")
    if row.count > 1:
        who.append(f"{'  ' if who else ''}×{row.count:,} since {moment(row.first_seen)}", "dim")
    if known:
        who.append("\n" if who else "").append(_known(known.at, known.note))
    state = Text(str(row.state), "dim" if over else "bold")
    return (Text(clean(row.severity), "dim" if over else _severity(row.severity)), state), _marked(row.id, timestamp(row.last_seen)), (Text(clean(row.title, 200), "dim" if over else ""), who)


def unwatched(covered: Watched, intervals: Sequence[Interval]) -> RenderableType:
    """How much was watched, and the times that were not."""
    if not intervals:
        return _share(covered)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("from (UTC)", "until", "for", "why"):
        table.add_column(name, justify="right" if name == "for" else "left", no_wrap=name != "why")
    for start, until, reason in intervals:
        table.add_row(_second(start), _second(until), span(until - start), clean(reason, 200))
    return Group(_share(covered), Text(""), table)


def _second(nanoseconds: int) -> str:
    return timestamp(nanoseconds)[:19].replace("T", " ")


def _share(covered: Watched) -> Text:
    # Rounded down: 100 % is said where nothing is missing.
    share = int(covered.share * 10_000) / 100
    style = "green" if not covered.unwatched else "yellow" if share >= 99 else "bold red"
    line = Text.assemble(f"since {moment(covered.since)} UTC, {span(covered.whole)}: ", (f"{share:g} % watched", style))
    return line.append(f", {span(covered.unwatched) if covered.unwatched >= SECOND else 'less than 1 s'} not") if covered.unwatched else line


def receivers(sinks: Mapping[str, SinkStats], losses: Mapping[str, Mapping[str, int]], now: int) -> RenderableType:
    """Queues, what was lost and why, and what went wrong last."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("receiver", "waiting", "sent", "failures", "lost", "last delivered"):
        table.add_column(name, justify="left" if name in ("receiver", "lost", "last delivered") else "right", overflow="fold")
    errors = []
    for name, stats in sinks.items():
        waiting = f"{stats.queued:,} ({size(stats.queued_bytes)})" if stats.queued else "0"
        table.add_row(
            Text(clean(name), "bold"), Text(waiting, "yellow" if stats.queued else "green"), f"{stats.sent:,}", Text(f"{stats.failures:,}", "yellow" if stats.failures else ""),
            Text(_reasons(losses.get(name, {})) or "0", "bold red" if stats.lost else ""), f"{span(now - stats.last_success)} ago" if stats.last_success else Text("never", "yellow"),
        )  # fmt: skip
        if stats.last_error:
            errors.append(Text.assemble((f"{clean(name)}: ", "bold"), (f"last error: {clean(stats.last_error, 300)}", "red" if stats.queued else "dim")))
    return Group(table, *([Text(""), *errors] if errors else []))


def _reasons(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {clean(reason)}" for reason, count in lost.items())


def summary(of: Overview, now: int) -> RenderableType:
    """One screen."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", width=10)
    table.add_column(overflow="fold")
    table.add_row("sensor", Text(clean(of.sensor) or "–", "bold"))
    table.add_row("watch", _life(of.watch, now))
    table.add_row("state", f"{clean(of.path, 400)}, {size(of.size)}, schema {of.schema}")
    table.add_row("coverage", _coverage(of))
    table.add_row("", "")
    table.add_row("findings", _findings_by_severity(of))
    table.add_row("", "")
    table.add_row("channels", _channels_by_verdict(of))
    table.add_row("", "")
    table.add_row("alerts", _firing(of))
    table.add_row("receivers", _receivers(of, now))
    return table


def _life(watch: Watch, now: int) -> Text:
    ago = span(now - watch.heartbeat)
    process = f" (process {watch.process})" if watch.process else ""
    said = {
        Life.RUNNING: f"running, heard of {ago} ago",
        Life.STOPPED: f"stopped {ago} ago",
        Life.DIED: f"died: last heard of {ago} ago, and nobody stopped it",
        Life.SILENT: f"there{process}, but it has recorded nothing for {ago}: it cannot write, or hangs",
        Life.NEVER: "none has watched into this file yet",
    }
    return Text(said[watch.life], _LIFE[watch.life])


def _coverage(of: Overview) -> Text:
    if of.watch.life is Life.NEVER:
        return Text("–", "dim")
    line = _share(of.covered)
    reasons = dict.fromkeys(clean(gap.reason, 40) for gap in of.intervals)
    return line.append(f" ({', '.join(list(reasons)[:4])}{', …' if len(reasons) > 4 else ''})", "dim") if reasons else line


def _counted(rows: Iterable[tuple[int, Text, str]], nothing: str) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(justify="right")
    table.add_column(min_width=11)
    table.add_column(overflow="fold")
    for count, name, more in rows:
        table.add_row(f"{count:,}", name, more)
    return table if table.row_count else Text(nothing, "green")


def _findings_by_severity(of: Overview) -> RenderableType:
    rows = []
    for severity, tally in of.findings.items():
        parts = [f"{count:,} {name}" for name, count in tally._asdict().items() if count]
        said = "new" if tally.new == sum(tally) else ", ".join(parts)
        rows.append((sum(tally), Text(str(severity), SEVERITY_STYLE[severity] if tally.new else "dim"), said))
    return _counted(rows, "none")


def _channels_by_verdict(of: Overview) -> RenderableType:
    tiers: dict[str, dict[str, int]] = {}
    for (verdict, tier), count in of.channels.items():
        tiers.setdefault(verdict, {})[tier] = count
    styles: dict[Any, str] = {str(verdict): style for verdict, style in VERDICT_STYLE.items()}
    return _counted(
        ((sum(by.values()), Text(clean(verdict), styles.get(verdict, "")), ", ".join(f"{clean(tier)} {count:,}" for tier, count in by.items())) for verdict, by in tiers.items()),
        "none",
    )


def _firing(of: Overview) -> Text:
    if not of.alerts:
        return Text("none fires", "green")
    line = Text(f"{of.alerts.total():,} firing: ", "bold")
    ordered = [(str(severity), of.alerts[str(severity)]) for severity in reversed(Severity) if of.alerts[str(severity)]]
    return line.append(Text(", ").join(Text(f"{count:,} {name}", _severity(name)) for name, count in ordered))


def _receivers(of: Overview, now: int) -> Text:
    if not of.sinks:
        return Text("none has been sent anything", "dim")
    lines = []
    for name, stats in of.sinks.items():
        if stats.queued or stats.lost:
            line = Text.assemble((f"{clean(name)}: ", "bold"), (f"{stats.queued:,} waiting", "yellow" if stats.queued else ""))
            if lost := _reasons(of.losses.get(name, {})):
                line.append(f", lost: {lost}", "bold red")
            line.append(f", last delivered {span(now - stats.last_success)} ago" if stats.last_success else ", nothing delivered yet")
            lines.append(line.append(f"; {clean(stats.last_error, 160)}", "red") if stats.queued and stats.last_error else line)
    well = len(of.sinks) - len(lines)
    if well:
        lines.append(Text(f"{well} with nothing waiting", "green"))
    return Text("\n").join(lines)
