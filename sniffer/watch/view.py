"""What ``cleartap watch`` shows: a live screen on a terminal, one line an event elsewhere. Masks only, all text made harmless."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sniffer.findings import Category, Severity
from sniffer.outputs.console import coverage_view
from sniffer.outputs.record import timestamp
from sniffer.outputs.text import clean, endpoint, plural
from sniffer.watch.shedding import STEPS

if TYPE_CHECKING:
    from sniffer.watch.status import LinkStatus, Shown, Status

# The log says how it stands that often (seconds).
STATUS_EVERY = 60.0
# Findings that scroll by between two refreshes: more in half a second cannot be read by anybody; all are recorded.
MOST_LINES = 20

_STYLE = {Severity.CRITICAL: "bold white on red", Severity.HIGH: "bold red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan", Severity.INFO: "dim"}
_VERDICT_STYLE = {"encrypted": "green", "unknown": "dim", "mixed": "yellow", "login-only": "yellow"}


class View(Protocol):
    """What the watcher tells people."""

    def finding(self, shown: Shown) -> None: ...
    def note(self, text: str, *, bad: bool = False) -> None: ...
    def refresh(self, status: Status) -> None: ...
    def close(self, status: Status) -> None: ...


def describe(shown: Shown) -> str:
    """A finding on one line."""
    found = shown.finding
    parts = [str(shown.severity), found.rule.id, f"{clean(found.client[0])} -> {endpoint(clean(found.server[0]), found.server[1])}", f"{found.protocol}/{found.transport}"]
    if found.username:
        parts.append(f"user={clean(found.username, 40)}")
    if found.rule.category is not Category.CHANNEL:
        parts.append(f"secret={found.secret.mask}")
    if found.outcome is not None:
        parts.append(str(found.outcome))
    parts.append(f"id={found.id}")
    if shown.suppressed:
        parts.append("(expected by policy)")
    return "  ".join(parts)


class LogView:
    """One line an event, for journals and files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said = time.monotonic()

    def finding(self, shown: Shown) -> None:
        self._say("finding", describe(shown))

    def note(self, text: str, *, bad: bool = False) -> None:
        self._say("warning" if bad else "note", clean(text, 500))

    def refresh(self, status: Status) -> None:
        if time.monotonic() - self._said >= STATUS_EVERY:
            self._said = time.monotonic()
            self._say("status", status.line())

    def close(self, status: Status) -> None:
        for link in status.links.values():
            self._say("summary", f"{clean(link.name)}: {link.packets:,} packets read, {link.dropped:,} dropped by the kernel, {link.lost:,} lost with a worker")
        self._say("summary", status.line())
        lines = Console(file=_Lines(self), width=200, no_color=True, highlight=False)  # type: ignore[arg-type]
        lines.print(coverage_view(status.total))

    def _say(self, kind: str, text: str) -> None:
        moment = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        try:
            print(f"{moment} {kind:<9}{text}", file=self._stream, flush=True)
        except (OSError, ValueError):
            pass  # whoever read the log is gone; the watch goes on


class _Lines:
    """Takes what a console prints and logs it line by line."""

    def __init__(self, view: LogView) -> None:
        self._view = view

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._view._say("coverage", line.rstrip())
        return len(text)

    def flush(self) -> None:
        return None


class LiveView:
    """How it stands, drawn again twice a second at the foot of the terminal; findings and notes scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = self._hidden = 0
        self._live = Live(Text(""), console=console, auto_refresh=False, transient=True)

    def finding(self, shown: Shown) -> None:
        if self._shown >= MOST_LINES:
            self._hidden += 1
            return
        self._shown += 1
        self._console.print(_line(shown), no_wrap=True, overflow="ellipsis", crop=True)

    def note(self, text: str, *, bad: bool = False) -> None:
        self._console.print(Text(f"{datetime.now(UTC):%H:%M:%S} {clean(text, 300)}", "bold yellow" if bad else "dim"))

    def refresh(self, status: Status) -> None:
        if self._hidden:
            self._console.print(Text(f"         … and {self._hidden:,} more findings", "dim"))
        self._shown = self._hidden = 0
        self._live.start()  # not before, or a start that fails would leave the terminal without its cursor
        self._live.update(screen(status), refresh=True)

    def close(self, status: Status) -> None:
        self._live.stop()
        self._console.print(screen(status, over=True))


def _line(shown: Shown) -> Text:
    """A finding on one line: when, how bad, between whom, what."""
    found = shown.finding
    style = "dim" if shown.suppressed else _STYLE[shown.severity]
    line = Text.assemble((f"{timestamp(found.last_seen)[11:19]} ", "dim"), (f"{shown.severity!s:<8}", style), f"  {clean(found.client[0])} → {endpoint(clean(found.server[0]), found.server[1])}", (f"  {clean(found.title, 60)}", "" if shown.suppressed else "bold"))
    if found.username:
        line.append(f"  {clean(found.username, 24)}")
    if found.rule.category is not Category.CHANNEL:
        line.append(f"  {found.secret.mask}")
    if found.outcome is not None:
        line.append(f"  {found.outcome}", "bold red" if str(found.outcome) == "accepted" else "dim")
    return line.append("  expected by policy", "dim") if shown.suppressed else line


def screen(status: Status, *, over: bool = False) -> RenderableType:
    """The whole of it."""
    parts: list[RenderableType] = [Text(""), _head(status, over), _links(status)]
    parts.append(_channels(status))
    if status.sinks:
        parts.append(_sinks(status))
    parts += _warnings(status)
    parts.append(coverage_view(status.total))
    return Group(*parts)


def _head(status: Status, over: bool) -> Text:
    seconds = int(time.time() - status.started)
    head = Text.assemble(("cleartap", "bold"), f"  {'watched' if over else 'watching'} for {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}", (f"  {plural(status.workers, 'worker')}, {plural(status.active, 'flow')}", "dim"))
    for severity in reversed(Severity):
        if count := status.findings.get(str(severity), 0):
            head.append("  ").append(f" {count:,} {severity} ", _STYLE[severity])
    if status.alerts:
        head.append(f"  {plural(status.alerts, 'alert')} firing", "bold red")
    return head


def _links(status: Status) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("link")
    for name in ("packets/s", "Mbit/s", "packets", "dropped", "lost"):
        table.add_column(name, justify="right")
    table.add_column("")
    for link in status.links.values():
        lossy = "bold red" if link.dropped else "green"
        table.add_row(
            clean(link.name), f"{link.packet_rate:,.0f}", f"{link.bit_rate / 1e6:,.1f}", f"{link.packets:,}",
            Text(f"{link.dropped:,}", lossy), Text(f"{link.lost:,}", "bold red" if link.lost else "dim"), _state(link),
        )  # fmt: skip
    return table


def _state(link: LinkStatus) -> Text:
    if link.problem:
        return Text(clean(link.problem, 80), "bold red")
    if not link.up:
        return Text("ended", "dim")
    return Text("silent", "bold yellow") if link.silent else Text("")


def _channels(status: Status) -> Text:
    line = Text("channels  ", "dim")
    if not status.channels:
        return line.append("none yet", "dim")
    for verdict, count in sorted(status.channels.items(), key=lambda kv: -kv[1]):
        if count:
            line.append(f"{count:,} {verdict}  ", _VERDICT_STYLE.get(verdict, "red"))
    return line


def _sinks(status: Status) -> Text:
    line = Text("outputs   ", "dim")
    for sink in status.sinks:
        line.append(f"{clean(sink.name)}: {sink.sent:,} sent", "red" if sink.error or sink.lost else "green")
        if sink.queued or sink.lost:
            line.append(f", {sink.queued:,} waiting, {sink.lost:,} lost", "yellow")
        if sink.error:
            line.append(f" ({clean(sink.error, 80)})", "red")
        line.append("  ")
    return line


def _warnings(status: Status) -> list[RenderableType]:
    out: list[RenderableType] = []
    if status.trouble:
        out.append(Text(f"not recorded: {clean(status.trouble, 200)}; {plural(status.backlog, 'finding')} held in memory", "bold red"))
    if status.step:
        out.append(Text(f"cannot keep up: {STEPS[status.step]}", "bold red"))
    if status.late > 1:
        out.append(Text(f"{status.late:.1f} s behind the wire", "yellow"))
    if status.restarts:
        out.append(Text(f"{plural(status.restarts, 'worker')} died and was replaced", "yellow"))
    if status.unwatched:
        out.append(Text(f"not watched for {status.unwatched:,.0f} s before this start", "yellow"))
    return out
