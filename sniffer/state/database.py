"""The state's file: made for its owner alone, opened, checked, set aside when it is damaged (SQLite 3, WAL)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.errors import StateCorrupt, StateError, StateFull
from sniffer.state import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a writer waits for another. The longest we hold the file ourselves is a step of pruning, well under a second.
BUSY_SECONDS = 10.0
# Damaged files kept for whoever wants to look into them; a failing disk must not fill itself with them.
MAX_SET_ASIDE = 3
# What a write-ahead log may keep on disk when it is empty again; one large report can make it grow beyond.
_JOURNAL_BYTES = 16 << 20
# Synchronous: FULL waits for the disk at each commit, so that a power cut takes nothing that was recorded; there is one
# commit a report, so it costs next to nothing. NORMAL leaves it to the next FULL commit: a mark "delivered" that a power
# cut takes back has an item sent twice, which is allowed. Neither matters to kill -9: the kernel has the pages by then.
FULL, NORMAL = "FULL", "NORMAL"
# How long somebody who looks whether the file is in use may hold its lock (seconds); it takes some ten microseconds.
_LOOK_SECONDS = 0.05
_LOOKS = 20
_SUFFIXES = ("", "-wal", "-shm")
_gates: dict[str, threading.Lock] = {}


def _gate(path: Path) -> threading.Lock:
    return _gates.setdefault(str(path.absolute()), threading.Lock())


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Write or checkpoint while no other thread of this process does.

    SQLite has its own lock, but up to 3.51.2 a checkpoint that begins at the instant at which another connection commits
    can lose pages (sqlite.org/wal.html, "The WAL-reset bug"); Debian 12 has 3.40. Waiting here is also fair, not polled.
    """
    gate = _gate(path)
    if not gate.acquire(timeout=BUSY_SECONDS):
        raise StateError(f"{path}: another thread has been writing for more than {BUSY_SECONDS:.0f} s")
    try:
        yield
    finally:
        gate.release()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What SQLite says, as our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: sqlite3.Error) -> StateError:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF  # the rest says which kind of it
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _full(path)):
        return StateFull(f"{path}: no room on the disk; nothing of the last report was written")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StateCorrupt(f"{path}: the state database is damaged ({error})")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateError(f"{path}: another process has been writing for more than {BUSY_SECONDS:.0f} s")
    if code == sqlite3.SQLITE_READONLY:
        return StateError(f"{path}: this account may not write it or beside it, which SQLite must even to read it; run this as the account that watches")
    return StateError(f"{path}: {error}")


def _full(path: Path) -> bool:
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 1 << 16


@contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One transaction: all of it is written, or, whatever is raised, nothing."""
    with alone(path), explained(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def connect(path: Path, *, synchronous: str, checkpoints: bool) -> sqlite3.Connection:
    """A connection for writing to a file that is there. ``checkpoints``: it is the state's own, whose commits bring the log back."""
    with alone(path), explained(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with closed_if_it_fails(db):
            if not db.execute("PRAGMA page_count").fetchone()[0]:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or never
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = FAST")  # what retention takes is gone from the file, user names too
            db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
            if not checkpoints:
                db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


@contextmanager
def closed_if_it_fails(db: sqlite3.Connection) -> Iterator[None]:
    """Close a connection unless the block goes through."""
    with ExitStack() as undo:
        undo.callback(db.close)
        yield
        undo.pop_all()


def read_only(path: Path, *, any_version: bool = False) -> sqlite3.Connection:
    """A connection that cannot write, for any process, also while another writes.

    StateError if there is no such file, or it has not the schema of this program (``any_version``: a newer one).
    """
    try:
        there = path.is_file()
    except OSError as error:  # a directory that is closed to us
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error
    if not there:
        raise StateError(f"{path}: there is no state database here")
    if not os.access(path, os.R_OK):
        raise StateError(f"{path}: may not be read by this account")
    with explained(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with closed_if_it_fails(db):
            found = schema.version(db, str(path))
            if found != schema.NEWEST and not any_version:
                raise StateError(f"{path}: schema {found} is older than this cleartap's {schema.NEWEST}; `cleartap watch` brings it up to date when it starts")
    return db


def prepare(path: Path) -> None:
    """Make the directory (0700) and the file (0600) where they are missing; take others' permissions from the file.

    Before SQLite opens it: closing a descriptor of ours later would drop the locks SQLite holds (fcntl(2)).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
    except OSError as error:
        raise StateError(f"{path}: cannot be made or written: {error.strerror}") from error


def occupy(path: Path) -> int:
    """Make this process the one that watches into the file. The descriptor holds the lock; it goes with the process."""
    name = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateError(f"{name}: cannot be made: {error.strerror}") from error
    try:
        _lock(handle)
    except OSError as error:
        number = _process(handle)
        os.close(handle)
        raise StateError(f"{path}: in use by another cleartap watch (process {number or 'unknown'})") from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _lock(handle: int) -> None:
    """Take the lock; tried some times, since ``holder`` may be looking, which takes an instant."""
    for left in reversed(range(_LOOKS)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if not left:
                raise
            time.sleep(_LOOK_SECONDS)


def _process(handle: int) -> int:
    text = os.pread(handle, 16, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdecimal() else 0


def holder(path: Path) -> int | None:
    """The process that watches into the file, 0 if its number cannot be told; None where there is none, or where this may not be asked."""
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process(handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    return None


def check(path: Path) -> None:
    """Look at a file before it is written to: StateError if it is not for this program, StateCorrupt if it is damaged.

    Reads it whole where the last run did not end cleanly: then a disk may have failed.
    """
    if not path.stat().st_size:
        return
    db = read_only(path, any_version=True)
    try:
        with explained(path):
            if schema.version(db, str(path)) == 0 or db.execute("SELECT clean FROM watch").fetchone()[0]:
                return
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise StateCorrupt(f"{path}: the state database is damaged")
    finally:
        db.close()


def set_aside(path: Path) -> tuple[Path, int]:
    """Rename a damaged file with its log; its new name, and when it was last written (nanoseconds since the epoch).

    Only while no connection of this process has it open: the last to close would remove the new file's log.
    """
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    written = 0
    try:
        for suffix in _SUFFIXES:
            old = path.with_name(path.name + suffix)
            if old.exists():
                written = max(written, old.stat().st_mtime_ns)
                old.rename(aside.with_name(aside.name + suffix))
        for old in _excess(path):
            for suffix in _SUFFIXES:
                old.with_name(old.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{path}: damaged, and cannot be set aside: {error.strerror}") from error
    return aside, written


def _excess(path: Path) -> list[Path]:
    kept = [p for p in path.parent.iterdir() if p.name.startswith(f"{path.name}.corrupt-") and not p.name.endswith(_SUFFIXES[1:])]
    return sorted(kept)[:-MAX_SET_ASIDE]


def size(path: Path) -> int:
    """Bytes on disk, the log included."""
    total = 0
    for suffix in _SUFFIXES[:2]:
        try:
            total += path.with_name(path.name + suffix).stat().st_size
        except FileNotFoundError:  # no log while nobody writes
            continue
    return total
