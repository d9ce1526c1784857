"""What people read: findings by channel, worst first; the ledger as a table; what was not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from sniffer.events import Encryption
from sniffer.findings import Category, Severity
from sniffer.outputs.text import clean, endpoint, plural, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.reading import Reading
    from sniffer.summary import Summary

# A screen or two; --all shows the rest, and the other formats always hold everything.
MAX_CHANNELS_SHOWN = 25
MAX_FINDINGS_SHOWN = 12

SEVERITY_STYLE = {
    Severity.CRITICAL: "bold white on red",
    Severity.HIGH: "bold red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}
# In the order of the table: what calls for action first.
VERDICT_STYLE = {
    Encryption.STRIPPED: "bold red",
    Encryption.REFUSED: "red",
    Encryption.DECLINED: "red",
    Encryption.LOGIN_ONLY: "yellow",
    Encryption.MIXED: "yellow",
    Encryption.CLEARTEXT: "red",
    Encryption.UNKNOWN: "dim",
    Encryption.ENCRYPTED: "green",
}
OUTCOME_STYLE = {"accepted": "bold red", "rejected": "green", "unknown": "dim"}


def write(session: Reading, console: Console, *, reveal: bool = False, everything: bool = False) -> None:
    """Print a whole session."""
    findings, channels = list(session.findings), session.channels
    console.print(_head(session.summary, findings))
    limit = 1 << 30 if everything else MAX_CHANNELS_SHOWN
    for part in findings_view(findings, {c.id: c for c in channels}, reveal=reveal, limit=limit, each=limit if everything else MAX_FINDINGS_SHOWN):
        console.print(part)
    console.print(Line("channels", style="dim", align="left"))
    console.print(ledger_view(channels, limit))
    console.print(Line("coverage", style="dim", align="left"))
    console.print(coverage_view(session.summary))


def _head(summary: Summary, findings: list[Finding]) -> RenderableType:
    read = f"{plural(summary.frames, 'frame')}, {size(summary.bytes)}, {plural(summary.flows, 'flow')} in {summary.seconds:.1f} s"
    name = clean(summary.sources[0]) if len(summary.sources) == 1 else plural(len(summary.sources), "capture")
    counts = {s: sum(f.severity is s for f in findings) for s in reversed(Severity)}
    line = Text.assemble((name, "bold"), f" · {read}\n")
    shown = [(f" {count} {severity} ", SEVERITY_STYLE[severity]) for severity, count in counts.items() if count]
    if not shown:
        return line.append("nothing found in the clear", "green")
    for part in shown:
        line.append(*part).append(" ")
    return line


def findings_view(findings: list[Finding], channels: dict[str, Channel], *, reveal: bool, limit: int, each: int) -> Iterator[RenderableType]:
    """Findings about secrets and data by channel; what the ledger says of the channel itself stands in its table."""
    groups: dict[str, list[Finding]] = {}
    for found in findings:
        groups.setdefault(found.channel, []).append(found)
    ordered = sorted(groups.values(), key=lambda g: (-max(f.severity for f in g), g[0].first_seen))
    for group in ordered[:limit]:
        yield _group(group, channels.get(group[0].channel), reveal, each)
    if len(ordered) > limit:
        yield Text(f"… and {len(ordered) - limit:,} more channels with findings (--all shows them)", "dim")


def _group(group: list[Finding], channel: Channel | None, reveal: bool, each: int) -> RenderableType:
    first = group[0]
    title = Text.assemble(
        ("● ", SEVERITY_STYLE[max(f.severity for f in group)].replace("white on ", "")),
        (f"{clean(first.client[0])} → {endpoint(clean(first.server[0]), first.server[1])}", "bold"),
        f"  {first.protocol}/{first.transport}",
    )
    if channel is not None:
        title.append(f"  {channel.encryption}", VERDICT_STYLE[channel.encryption])
    if first.path:
        title.append(f"  via {clean(' '.join(first.path))}", "dim")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(width=8)
    table.add_column()
    table.add_column(max_width=34)
    table.add_column(max_width=44, overflow="fold")
    table.add_column(width=8)
    table.add_column(justify="right", style="dim")
    worst_first = sorted(group, key=lambda f: (-f.severity, f.first_seen))
    for found in worst_first[:each]:
        table.add_row(*_row(found, reveal))
    rows: list[RenderableType] = [title, Padding(table, (0, 0, 0, 2))]
    if len(worst_first) > each:
        rows.append(Text(f"  … and {len(worst_first) - each:,} more (--all shows them)", "dim"))
    remedy = next((f.remedy for f in worst_first if f.remedy), "")
    if remedy:
        rows.append(Text(f"  → {remedy}", "italic dim"))
    rows.append(Text(""))
    return Group(*rows)


def _row(found: Finding, reveal: bool) -> tuple[RenderableType, ...]:
    outcome = str(found.outcome) if found.outcome is not None else ""
    shown = "" if found.rule.category is Category.CHANNEL else clean(found.secret.reveal(), 200) if reveal else found.secret.mask
    times = f" ×{found.count}" if found.count > 1 else ""
    return (
        Text(str(found.severity), SEVERITY_STYLE[found.severity]),
        Text(f"{clean(found.title)}{times}"),
        Text(clean(found.username or "", 34)),
        Text(shown),
        Text(outcome, OUTCOME_STYLE.get(outcome, "")),
        Text(f"frame {found.frame}" if found.frame else ""),
    )


def ledger_view(channels: list[Channel], limit: int) -> RenderableType:
    """The ledger, what is worst in front."""
    if not channels:
        return Text("no channel carried any data", "dim")
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("client", "server", "protocol", "encryption", "why"):
        table.add_column(name, overflow="fold" if name == "why" else "ellipsis", no_wrap=name != "why", max_width=None if name == "why" else 45)
    table.add_column("sessions", justify="right")
    table.add_column("data", justify="right", no_wrap=True)
    rank = {verdict: place for place, verdict in enumerate(VERDICT_STYLE)}
    ordered = sorted(channels, key=lambda c: (-max(c.findings, default=-1), rank[c.encryption], c.server, c.port))
    for row in ordered[:limit]:
        table.add_row(
            clean(row.client),
            endpoint(row.server, row.port),
            f"{row.protocol}/{row.transport}",
            Text(str(row.encryption), VERDICT_STYLE[row.encryption]),
            clean(_why(row), 90),
            f"{row.sessions:,}",
            size(row.client_bytes + row.server_bytes),
        )
    if len(ordered) <= limit:
        return table
    return Group(table, Text(f"… and {len(ordered) - limit:,} more channels (--all shows them)", "dim"))


def _why(row: Channel) -> str:
    facts = row.tls or {}
    if row.encryption is not Encryption.ENCRYPTED or not facts:
        return row.why
    said = [str(facts[name]) for name in ("version", "cipher") if facts.get(name)]
    if facts.get("sni"):
        said.append(f"for {facts['sni']}")
    return ", ".join(said) or row.why


def coverage_view(summary: Summary) -> RenderableType:
    """What was not seen: a clean report over half the traffic is not a clean report."""
    lines: list[tuple[str, str]] = []
    if summary.problems:
        lines += [(clean(problem, 300), "bold red") for problem in summary.problems]
    for count, words in (
        (summary.truncated, "packets cut by the snap length"),
        (summary.gaps, f"gaps in streams, {size(summary.gap_bytes)} missing"),
        (summary.one_sided, "sessions of which only one side was seen"),
        (sum(summary.undecoded.values()), f"frames without IP or not decoded ({_top(summary.undecoded)})"),
        (summary.evicted, "flows let go because the table was full"),
        (summary.omitted, "rows beyond the ledger's bound"),
        (sum(summary.bugs.values()), f"faults of cleartap itself ({_top(summary.bugs)})"),
    ):
        if count:
            lines.append((f"{count:,} {words}", "yellow"))
    if summary.attempts:
        lines.append((f"{summary.attempts:,} connections in which nobody said anything", "dim"))
    if not lines:
        lines.append(("every frame was read", "green"))
    return Group(*(Text(text, style) for text, style in lines))


def _top(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda kv: -kv[1])
    return ", ".join(f"{clean(name)} {count:,}" for name, count in ordered[:4])
