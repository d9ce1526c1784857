"""One pass over content with Hyperscan: which anchors stand where (block mode, end offsets only)."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import re
import threading
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectors.rules import anchors, files
from detectors.rules.tokens import PREFIXED, SHAPED
from sniffer.findings import Severity

# One database for all groups: on JSON it scans 1.0 GB/s where three calls, one a group, come to 0.6 (bench of the three
# on 64 KiB blocks), and a short content costs one call instead of three.

# Characters of a token's body in its anchor: 16 leave 0.2 chance hits a megabyte of HTML, 8 leave 75.
_ANCHOR_BODY = 16
# Hits kept of one content. A content with more is a machine's output or an attack; what was found till then stands.
MAX_HITS = 50_000


class Group(IntEnum):
    """What kind of anchor was hit."""

    TOKEN = 0
    LOGIN_KEY = 1
    SECRET_KEY = 2
    PERSON_KEY = 3
    CARD_PLAIN = 4
    CARD_GROUPED = 5
    IBAN = 6
    MAIL = 7
    URL = 8
    CONNECTION = 9
    LINE = 10
    HASH = 11


class Shape(NamedTuple):
    """A token rule as the confirming pass wants it: ``pattern`` starts ``width`` bytes before the hit's end (0: search back)."""

    subject: str
    title: str
    pattern: str
    width: int
    guard: bool
    severity: Severity


class Anchor(NamedTuple):
    group: Group
    pattern: str
    caseless: bool
    width: int = 0
    shape: Shape | None = None
    row: int = 0  # in the table of files


def _tokens() -> list[Anchor]:
    found = []
    for rule in PREFIXED:
        tail = "(?![A-Za-z0-9_-])" if rule.body != "A-Z2-7" else "(?![A-Za-z0-9_/+-])"
        for prefix in rule.prefixes:
            lead, size = re.escape(prefix).replace("\\-", "-").replace("\\~", "~"), min(rule.least, _ANCHOR_BODY)
            pattern = f"{lead}[{rule.body}]{{{rule.least},{rule.most}}}{tail}"
            shape = Shape(rule.subject, rule.title, pattern, len(prefix) + size, prefix != ":AA", rule.severity)
            found.append(Anchor(Group.TOKEN, f"{lead}[{rule.body}]{{{size}}}", False, shape.width, shape))
    for form in SHAPED:
        shape = Shape(form.subject, form.title, form.pattern, form.width, form.guard, form.severity)
        found.append(Anchor(Group.TOKEN, form.anchor, form.caseless, form.width, shape))
    return found


def _others() -> list[Anchor]:
    keys = ((Group.LOGIN_KEY, anchors.LOGIN_KEYS), (Group.SECRET_KEY, anchors.SECRET_KEYS), (Group.PERSON_KEY, anchors.PERSON_KEYS),
            (Group.CONNECTION, anchors.CONNECTION))  # fmt: skip
    formats = (
        Anchor(Group.CARD_PLAIN, anchors.CARD_PLAIN, False, 13),
        Anchor(Group.CARD_PLAIN, anchors.CARD_TRACK1, False, 13),
        Anchor(Group.CARD_GROUPED, anchors.CARD_GROUPED, False, 16),
        Anchor(Group.CARD_GROUPED, anchors.CARD_AMEX, False, 17),
        Anchor(Group.IBAN, anchors.IBAN, False),
        Anchor(Group.MAIL, anchors.MAIL, False, 3),
        Anchor(Group.URL, anchors.URL, False),
    )
    return [
        *(Anchor(group, text, True) for group, texts in keys for text in texts),
        *formats,
        *(Anchor(Group.LINE, line.anchor, line.caseless, row=row) for row, line in enumerate(files.LINES)),
        *(Anchor(Group.HASH, form.anchor, False, row=row) for row, form in enumerate(files.HASHES)),
    ]


@cache
def table() -> tuple[Anchor, ...]:
    """Every anchor; a hit's id is its place here."""
    return (*_tokens(), *_others())


def _compile(hyperscan: Any) -> Any:
    rows = table()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[row.pattern.encode() for row in rows], ids=list(range(len(rows))), elements=len(rows),
        flags=[hyperscan.HS_FLAG_CASELESS if row.caseless else 0 for row in rows],
    )  # fmt: skip
    return database


def _store() -> Path:
    """The cache file's path: compiling takes some 40 ms, loading 0.1. Named by all that the compiled form depends on."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    told = repr((table(), _hyperscan().__version__, platform.machine(), platform.system()))
    return Path(root) / "cleartap" / f"anchors-{hashlib.sha256(told.encode()).hexdigest()[:32]}.hs"


def _load(hyperscan: Any, path: Path) -> Any | None:
    """The stored database, if it is ours, whole and for this machine; None means compile anew."""
    try:
        state = path.parent.stat()
        if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o022):
            return None
        blob = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(blob[32:]).digest() != blob[:32]:
        return None
    try:
        database = hyperscan.loadb(blob[32:], hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.HyperscanError:
        return None
    return database


def _save(hyperscan: Any, database: Any, path: Path) -> None:
    """Store for the next run; a place that cannot be written is no error."""
    blob = hyperscan.dumpb(database)
    draft = path.with_suffix(f".{os.getpid()}")  # whole or not at all, also with two runs at once
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(blob).digest() + blob)
        draft.replace(path)
    except OSError:
        return


def _hyperscan() -> Any:
    return importlib.import_module("hyperscan")  # when first needed, and untyped


@cache
def database() -> Any:
    """The compiled anchors."""
    hyperscan = _hyperscan()
    try:
        path = _store()
    except (RuntimeError, KeyError):  # no home folder
        return _compile(hyperscan)
    found = _load(hyperscan, path)
    if found is None:
        found = _compile(hyperscan)
        _save(hyperscan, found, path)
    return found


def _note(anchor: int, start: int, end: int, flags: int, hits: list[tuple[int, int]]) -> bool:
    hits.append((anchor, end))
    return len(hits) >= MAX_HITS  # true stops the scan


class _Scanner(threading.local):
    """The database with Hyperscan's working space: one a thread, since scanning lets go of the interpreter lock."""

    def __init__(self) -> None:
        found = database()
        self.scan = found.scan
        self.scratch = found.scratch.clone()
        self.stopped: type[Exception] = _hyperscan().ScanTerminated


_scanner: _Scanner | None = None


def scan(data: bytes) -> list[tuple[int, int]]:
    """``(anchor id, end offset)`` of every hit in order of its end."""
    global _scanner
    if _scanner is None:
        _scanner = _Scanner()
    hits: list[tuple[int, int]] = []
    scanner = _scanner
    try:
        scanner.scan(data, _note, context=hits, scratch=scanner.scratch)
    except scanner.stopped:
        pass
    return hits
