"""What needs the privileges of the start: sockets, descriptors, secret files, the place of the state. Then they are given up."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sniffer.capture import privileges
from sniffer.capture.live import HAS_RING, RingSettings
from sniffer.errors import CaptureError, UsageError
from sniffer.watch.sources import PortablePlan, RemotePlan, RingPlan, StreamPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sniffer.config import CaptureSettings, Config
    from sniffer.watch.sources import SourcePlan

# Where root keeps the state when nothing else is said: its home is closed to the account it becomes.
ROOT_STATE = "/var/lib/cleartap/state.sqlite"
# Workers that are started unless a number is given: the parent, and whoever else is there, keep a processor.
MOST_WORKERS = 4


def root_state(config: Config, *, root: bool | None = None) -> Config:
    """What root keeps goes where the account it becomes can reach it, unless a place is named. ``root``: as it was at the start."""
    from sniffer.config import load

    usual = load(None, {name: os.environ[name] for name in ("HOME", "XDG_STATE_HOME") if name in os.environ}, {}).state.path
    if not (os.geteuid() == 0 if root is None else root) or config.state.path != usual:
        return config
    return replace(config, state=replace(config.state, path=ROOT_STATE))


def workers(asked: int) -> int:
    """How many workers share the interfaces."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or max(1, min(MOST_WORKERS, processors - 1))


def open_interfaces(settings: CaptureSettings) -> list[tuple[SourcePlan, ...]]:
    """For each worker its share of every interface: the same hosts on all of them, so that a tap's two links meet.

    CaptureError says which interface cannot be opened and why; UsageError is for the filter.
    """
    if not HAS_RING:
        return [tuple(PortablePlan(_ring(settings, name, 1)) for name in settings.interfaces)]
    from sniffer.capture.ring import open_group, open_socket

    count = workers(settings.workers)
    columns: list[list[RingPlan]] = []
    for name in settings.interfaces:
        ring = _ring(settings, name, count)
        sockets = open_group(ring) if count > 1 else [open_socket(ring)]
        columns.append([RingPlan(ring, each) for each in sockets])
    return [tuple(column[i] for column in columns) for i in range(count)]


def _ring(settings: CaptureSettings, name: str, count: int) -> RingSettings:
    ring = RingSettings(interface=name, filter=settings.filter, snaplen=settings.snaplen, ring_bytes=settings.ring_mb << 20, promiscuous=settings.promiscuous)
    return replace(ring, fanout_group=0, fanout_size=count) if count > 1 else ring


def open_stream(name: str) -> list[tuple[SourcePlan, ...]]:
    """Standard input, a FIFO, pcap-over-IP or a capture file, for the one worker that reads it."""
    if name.startswith("tcp://"):
        _check_url(name)
        return [(RemotePlan(name),)]
    if name == "-":
        return [(StreamPlan("standard input", Connection(os.dup(0), writable=False), live=not stat.S_ISREG(os.fstat(0).st_mode)),)]
    try:
        fifo = stat.S_ISFIFO(Path(name).stat().st_mode)
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if fifo else 0))
    except OSError as error:
        raise CaptureError(f"{name}: {error.strerror}") from None
    return [(StreamPlan(name, Connection(handle, writable=False), live=fifo),)]


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname and parts.port and parts.path in ("", "/"))
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{url}: a pcap-over-IP server is named tcp://HOST:PORT")


def prepare_state(path: str) -> None:
    """Root only: the directory of the state belongs to the account that is to write there. UsageError where it cannot."""
    if os.geteuid() != 0:
        return
    uid, gid = privileges.account()
    place = Path(path).absolute()
    made = not place.parent.exists()
    _reached((folder for folder in place.parents if folder.exists()), uid, gid)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if made:
            os.chown(place.parent, uid, gid)
    except OSError as error:
        raise UsageError(f"{place.parent}: cannot be made: {error.strerror}") from None
    _reached(place.parents, uid, gid)
    if not _may(place.parent.stat(), uid, gid, 2):
        raise UsageError(f"{place.parent}: the account (user {uid}) that watches once the capture is open may not write there: chown it, or name another place with --state")


def _reached(folders: Iterable[Path], uid: int, gid: int) -> None:
    for folder in folders:
        if not _may(folder.stat(), uid, gid, 1):
            raise UsageError(f"{folder}: closed to the account (user {uid}) that watches once the capture is open; name another place with --state, for example {ROOT_STATE}")


def reachable() -> bool:
    """Whether the account that root becomes can start this interpreter and read this program; True for all others."""
    if os.geteuid() != 0 or sys.platform != "linux":
        return True
    uid, gid = privileges.account()
    for name in (sys.executable, os.__file__, __file__):
        path = Path(name).resolve()
        if not _may(path.stat(), uid, gid, 4) or not all(_may(folder.stat(), uid, gid, 1) for folder in path.parents):
            return False
    return True


def _may(facts: os.stat_result, uid: int, gid: int, bit: int) -> bool:
    shift = 6 if facts.st_uid == uid else 3 if facts.st_gid == gid else 0
    return bool(facts.st_mode >> shift & bit)


def give_up(modules: Sequence[str] = ()) -> None:
    """Drop every privilege, for good, after importing what is imported late: the interpreter may lie where the account
    that is left cannot read (a virtual environment in a home).
    """
    for name in (*_LATE, *modules):
        try:
            __import__(name)
        except ImportError:
            continue
    if sys.platform == "linux":
        privileges.drop()


# Modules of the standard library and of ours that are imported where used, and may be used only after the drop.
_LATE = (
    "encodings.idna", "encodings.utf_16", "encodings.latin_1", "ssl", "sqlite3", "http.client", "smtplib", "email.message", "email.utils", "traceback",
    "tomllib", "fcntl", "sniffer.config", "sniffer.outputs.file", "sniffer.outputs.syslog", "sniffer.outputs.webhook", "sniffer.outputs.alertmanager",
    "sniffer.outputs.mail", "sniffer.outputs.slack", "sniffer.metrics", "multiprocessing.popen_forkserver", "multiprocessing.resource_tracker", "_strptime",
)  # fmt: skip
