"""MySQL's answers to commands: column definitions and rows, of text and of prepared statements; a replica's events."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY, FIELD_LIST, BINLOG_DUMP, PREPARE, EXECUTE, FETCH, BINLOG_DUMP_GTID = 3, 4, 18, 22, 23, 28, 30
BULK_EXECUTE = 0xFA  # MariaDB
# Commands that nothing is answered to: COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE.
_UNANSWERED = frozenset((1, 24, 25))
# Clients of MariaDB send several commands before they read; so many of them are remembered.
MAX_PENDING = 256
MAX_COLUMNS = 4096  # the server's own limit
_MORE_RESULTS = 0x8
# What a command is answered with, other than by an OK packet; None is a command that was not seen.
_ANSWERS = {None: "columns", QUERY: "columns", EXECUTE: "columns", BULK_EXECUTE: "columns", FETCH: "rows", BINLOG_DUMP: "binlog", BINLOG_DUMP_GTID: "binlog"}
# Column types of fixed size in binary rows, and what they are written as.
_FIXED = {1: "<b", 2: "<h", 3: "<i", 4: "<f", 5: "<d", 8: "<q", 9: "<i", 13: "<h"}
_TIMES = frozenset((7, 10, 11, 12))
_NULL = 6


def lenenc(body: bytes, place: int) -> tuple[int, int]:
    """A length-encoded integer, and where the next field begins."""
    if place >= len(body):
        return 0, place
    first = body[place]
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width:
        return (first if first < 0xFB else 0), place + 1
    return int.from_bytes(body[place + 1 : place + 1 + width], "little"), place + 1 + width


class Results:
    """Which command each answer is to, and its rows as lines of comma-separated values."""

    __slots__ = ("_columns", "_done", "_kind", "_number", "_pending", "_row", "_rows", "_types", "state")

    def __init__(self) -> None:
        self._pending: deque[int] = deque()
        self._number = 2  # of the server's packet before
        self._kind: int | None = None
        self._columns: list[bytes] = []
        self._types: list[int] = []
        self._row: Callable[[bytes], list[bytes]] = self._text
        self._rows: list[bytes] = []
        self._done: list[bytes] = []  # result sets that ended within one turn
        self.state = ""  # "", "columns", "rows", "infile", "binlog"

    def asked(self, kind: int) -> None:
        if kind not in _UNANSWERED and len(self._pending) < MAX_PENDING:
            self._pending.append(kind)

    def answer(self, body: bytes, number: int) -> None:
        """A packet of the server (not empty). Sequence numbers begin again with each command, and wrap within long answers."""
        if number == 1 and (self._number or not self.state):
            self._begin(self._pending.popleft() if self._pending else None)
        self._number = number
        if self.state == "columns":
            self._define(body)
        elif self.state == "rows":
            self._next(body)
        elif self.state == "infile":
            self._ended(body)

    def blocks(self) -> list[bytes]:
        """The rows since the last call, those of one result set together under its columns."""
        self._close()
        done, self._done = self._done, []
        return done

    def _begin(self, kind: int | None) -> None:
        self._close()
        self._kind = kind
        self.state = _ANSWERS.get(kind, "")
        self._row = self._binary if kind in (EXECUTE, FETCH, BULK_EXECUTE) else self._text
        if kind != FETCH:
            self._columns, self._types = [], []

    def _close(self) -> None:
        if self._rows:
            self._done.append(b"\n".join([b",".join(self._columns), *self._rows]))
            self._rows = []

    def _define(self, body: bytes) -> None:
        kind = body[0]
        if kind == 3 and body.startswith(b"\x03def") and len(self._columns) < MAX_COLUMNS:
            name, of = _column(body)
            self._columns.append(name)
            self._types.append(of)
        elif self._columns:
            self.state = "rows"
            # Without CLIENT_DEPRECATE_EOF a packet stands between definitions and rows.
            if kind != 0xFE:
                self._next(body)
        elif kind == 0xFB:
            self.state = "infile"
        elif kind in (0, 0xFF):
            self._ended(body)

    def _next(self, body: bytes) -> None:
        if body[0] in (0xFE, 0xFF):  # no value that is held is so long that it begins with these
            self._ended(body)
        else:
            self._rows.append(b",".join([_quoted(value) for value in self._row(body)]))

    def _ended(self, body: bytes) -> None:
        """An EOF, OK or ERR packet: of several result sets, each but the last says that more follow."""
        self._close()
        place = 3  # in an EOF packet, behind the number of warnings
        if body[0] == 0 or len(body) != 5:
            _, place = lenenc(body, 1)
            _, place = lenenc(body, place)
        more = body[0] != 0xFF and int.from_bytes(body[place : place + 2], "little") & _MORE_RESULTS
        self.state = "columns" if more else ""
        self._columns, self._types = ([], []) if more else (self._columns, self._types)

    def _text(self, body: bytes) -> list[bytes]:
        values: list[bytes] = []
        place = 0
        while place < len(body) and len(values) <= len(self._columns):
            if body[place] == 0xFB:
                values.append(b"")
                place += 1
                continue
            size, place = lenenc(body, place)
            values.append(body[place : place + size])
            place += size
        return values

    def _binary(self, body: bytes) -> list[bytes]:
        """A zero byte, a bit for each value that is NULL (from the third bit on), the others by their types."""
        count = len(self._types)
        nulls = int.from_bytes(body[1 : 1 + (count + 9) // 8], "little") >> 2
        place = 1 + (count + 9) // 8
        values: list[bytes] = []
        for at, of in enumerate(self._types):
            if of == _NULL or nulls >> at & 1:
                values.append(b"")
            elif of in _FIXED:
                size = struct.calcsize(_FIXED[of])
                part = body[place : place + size]
                values.append(str(struct.unpack(_FIXED[of], part)[0]).encode() if len(part) == size else b"")
                place += size
            elif of in _TIMES:
                place += 1 + (body[place] if place < len(body) else 0)
                values.append(b"")
            else:
                size, place = lenenc(body, place)
                values.append(body[place : place + size])
                place += size
        return values


def _quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b'"', b'""') + b'"' if b"," in value or b'"' in value or b"\n" in value else value


def _column(body: bytes) -> tuple[bytes, int]:
    """Name and type in a column definition: catalog, schema, table, original table, name …, and twelve bytes at its end."""
    place = 0
    value = b""
    for _ in range(5):
        size, place = lenenc(body, place)
        value = body[place : place + size]
        place += size
    return value, body[-6] if len(body) > place + 12 else 0


def binlog_statement(body: bytes) -> tuple[int, bytes] | None:
    """The statement in a QUERY_EVENT that a replica is sent, and where it begins: accounts are made by these.

    Behind OK (and two bytes of semi-synchronous replication) stand 19 bytes of event header, then 13 of the event's own.
    """
    at = 3 if body[1:2] == b"\xef" and len(body) > 3 and body[2] < 2 else 1
    if body[0] or len(body) < at + 32 or body[at + 4] != 2:
        return None
    size = int.from_bytes(body[at + 9 : at + 13], "little")
    if size != len(body) - at:
        return None
    place = at + 19 + 13 + int.from_bytes(body[at + 30 : at + 32], "little") + body[at + 27] + 1
    return place, body[place:]
