"""What ``cleartap state`` says as schema-1 records, and what they are made of: whether a watch runs, what was watched."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sniffer.outputs import record
from sniffer.outputs.native import record as native
from sniffer.outputs.sink import Item
from sniffer.state.coverage import watched
from sniffer.state.reader import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sniffer.alert import Alert
    from sniffer.cli._state_policy import Judge
    from sniffer.findings import Severity
    from sniffer.state import Acknowledgement, Reader, Recorded, SinkStats, Tally
    from sniffer.state.coverage import Watched

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
# A watch says every second that it is there; so late it may be under load, with a slow disk, on a clock that is set.
FRESH = 15 * SECOND


class Life(StrEnum):
    """Whether a watch seems to run."""

    NEVER = "never"
    RUNNING = "running"
    SILENT = "silent"  # there, but it has recorded nothing for a while
    STOPPED = "stopped"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Watch:
    """The watch as its state tells of it. ``heartbeat`` in nanoseconds since the epoch, ``process`` 0 where it is not known."""

    life: Life
    heartbeat: int
    process: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on one screen."""

    watch: Watch
    sensor: str
    path: str
    size: int
    schema: int
    covered: Watched
    intervals: list[Interval]
    findings: dict[Severity, Tally]
    channels: dict[tuple[str, str], int]
    alerts: Counter[str]
    sinks: dict[str, SinkStats]
    losses: dict[str, dict[str, int]] = field(default_factory=dict)


def watch(reader: Reader, now: int) -> Watch:
    """Looks at the heartbeat first, and at the lock only where that leaves it open: a watch that starts is not to find it taken."""
    heartbeat = reader.heartbeat
    if not heartbeat:
        return Watch(Life.NEVER, 0, 0)
    if reader.stopped_cleanly:
        return Watch(Life.STOPPED, heartbeat, 0)
    if abs(now - heartbeat) < FRESH:
        return Watch(Life.RUNNING, heartbeat, 0)
    process = reader.holder
    return Watch(Life.DIED, heartbeat, 0) if process is None else Watch(Life.SILENT, heartbeat, process)


def coverage(reader: Reader, now: int, days: int, since: int = 0) -> tuple[Watched, list[Interval]]:
    """What was watched since the first record, as far back as intervals are kept (``days``), and the times that were not."""
    standing = watch(reader, now)
    begun = max(reader.begun or now, since, now - days * DAY)
    intervals = [gap for gap in reader.intervals(begun) if gap.start < now]
    until = now
    if standing.life is Life.RUNNING:
        until = max(begun, standing.heartbeat)
    elif standing.life is not Life.NEVER and standing.heartbeat < now:
        intervals.append(Interval(max(standing.heartbeat, begun), now, f"{standing.life}, until now"))
    return watched(begun, until, intervals), intervals


def overview(reader: Reader, now: int, days: int, judge: Judge) -> Overview:
    """Reads what the summary shows."""
    covered, intervals = coverage(reader, now, days)
    return Overview(
        watch=watch(reader, now),
        sensor=reader.sensor,
        path=str(reader.path),
        size=reader.size,
        schema=reader.schema,
        covered=covered,
        intervals=intervals,
        findings=judge.choose(reader, limit=0).counts,
        channels=reader.channel_counts(),
        alerts=Counter(alert.severity for alert in reader.alerts()),
        sinks=reader.sinks(),
        losses=reader.losses(),
    )


def finding(row: Recorded) -> dict[str, Any]:
    """A finding's record, with who knows of it."""
    return {**row.record, "acknowledged": _acknowledged(row.acknowledged, row.note)} if row.acknowledged else row.record


def _acknowledged(at: int, note: str) -> dict[str, Any]:
    return {"at": record.timestamp(at), "note": note}


def alert(row: Alert, known: Acknowledgement | None) -> dict[str, Any]:
    """The latest word of an alert, as receivers get it."""
    out = native(Item(row.id, "alert", {**asdict(row), "state": str(row.state)}), "")
    return {**out, "acknowledged": _acknowledged(*known)} if known else out


def unwatched(gap: Interval) -> dict[str, Any]:
    """A time that was not watched."""
    return {
        "type": "unwatched",
        "schema": record.SCHEMA,
        "start": record.timestamp(gap.start),
        "until": record.timestamp(gap.until),
        "seconds": round(max(0, gap.until - gap.start) / SECOND, 3),
        "reason": gap.reason,
    }


def receiver(name: str, stats: SinkStats, lost: Mapping[str, int]) -> dict[str, Any]:
    """A receiver's queue. Counts are since the state was made."""
    out: dict[str, Any] = {"type": "receiver", "schema": record.SCHEMA, "name": name, "queued": stats.queued, "queued_bytes": stats.queued_bytes, "sent": stats.sent}
    out |= {"failures": stats.failures, "lost": dict(lost)}
    if stats.last_success:
        out["last_success"] = record.timestamp(stats.last_success)
    if stats.last_error:
        out["last_error"] = stats.last_error
    return out


def covered(of: Watched) -> dict[str, Any]:
    """How much was watched, as a part of other records."""
    return {
        "since": record.timestamp(of.since),
        "until": record.timestamp(of.until),
        "seconds": round(of.whole / SECOND, 3),
        "unwatched_seconds": round(of.unwatched / SECOND, 3),
        "share": round(of.share, 6),
    }


def _tally(of: Tally) -> dict[str, int]:
    return {name: count for name, count in of._asdict().items() if count or name != "expected"}


def state(of: Overview) -> dict[str, Any]:
    """The summary."""
    channels: dict[str, dict[str, int]] = {}
    for (verdict, tier), count in of.channels.items():
        channels.setdefault(verdict, {})[tier] = count
    out: dict[str, Any] = {
        "type": "state",
        "schema": record.SCHEMA,
        "sensor": of.sensor,
        "path": of.path,
        "size": of.size,
        "version": of.schema,
        "watch": str(of.watch.life),
        "findings": {str(severity): _tally(tally) for severity, tally in of.findings.items()},
        "channels": channels,
        "alerts": dict(of.alerts),
        "receivers": [receiver(name, stats, of.losses.get(name, {})) for name, stats in of.sinks.items()],
    }
    if of.watch.heartbeat:
        out |= {"heartbeat": record.timestamp(of.watch.heartbeat), "watched": covered(of.covered)}
    return out
