"""Redis serialization protocol RESP2 and RESP3, and its inline commands (the Redis protocol specification)."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._redis_secrets import Item, auth, commands, hello_auth, outcome, settings, split
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import Content, Event, Greeting, Side, Skip, Span
from sniffer.secret import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# A command's arguments and their size, as far as they are held; Redis itself takes a million of 512 MB.
MAX_ARGUMENTS = 1024
MAX_HELD = 256 * 1024
MAX_LINE = 64 * 1024
# Commands ahead of their replies: pipelines send hundreds.
MAX_PENDING = 4096
# The random mark round a copy of the data that is sent while it is made ("$EOF:", replication over a socket).
_EOF_MARK = 40
_COMMANDS = frozenset(
    b"AUTH HELLO PING ECHO SELECT QUIT GET SET SETEX SETNX GETSET MGET MSET DEL EXISTS EXPIRE TTL INCR DECR HGET HSET HMSET HGETALL LPUSH RPUSH "
    b"LRANGE LPOP RPOP SADD SMEMBERS ZADD ZRANGE INFO CONFIG CLIENT COMMAND KEYS SCAN FLUSHALL FLUSHDB DBSIZE MULTI EXEC SUBSCRIBE PUBLISH "
    b"PSUBSCRIBE MONITOR EVAL EVALSHA SCRIPT SLAVEOF REPLICAOF PSYNC REPLCONF SYNC ACL MIGRATE DUMP RESTORE TYPE CLUSTER SENTINEL".split()
)  # fmt: skip


class Redis:
    """Commands paired with replies in order."""

    __slots__ = ("_buffers", "_items", "_left", "_lost", "_pending", "_pushed", "_rdb", "_silent", "_skip", "_text", "_until")

    def __init__(self) -> None:
        self._buffers = (Buffer(2 * MAX_HELD), Buffer(2 * MAX_HELD))
        self._pending: deque[list[Event]] = deque()
        self._items: list[list[Item]] = [[], []]  # of the command or reply being read
        self._left = [0, 0]  # elements it still lacks
        self._skip = [0, 0]  # bytes of an element too long to hold
        self._text: list[list[bytes]] = [[], []]
        self._pushed = False
        self._lost = False  # the client's commands, after a gap
        self._rdb = False  # a full copy of the data is to come, which no line end follows
        self._until = b""  # the mark at the end of a copy whose size is not known
        self._silent = ""  # no replies: "off", or "skip" for the next command

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        start = buffer.start
        while self._step(side, buffer, events):
            pass
        self._flush(side, Span(side, start, buffer.start), events)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        self._buffers[side].clear()
        self._items[side], self._left[side], self._skip[side] = [], 0, 0
        self._pushed, self._silent = False, ""
        if side is Side.SERVER:
            self._rdb, self._until = False, b""
        self._lost = self._lost or side is Side.CLIENT
        return self._forget()

    def close(self) -> Sequence[Event]:
        return self._forget()

    def _forget(self) -> list[Event]:
        events = [event for waiting in self._pending for event in waiting]
        self._pending.clear()
        return events

    def _step(self, side: Side, buffer: Buffer, events: list[Event]) -> bool:
        """Read one element; False when more bytes are needed."""
        if self._skip[side]:
            taken = min(self._skip[side], len(buffer))
            buffer.take(taken)
            self._skip[side] -= taken
            return taken > 0 and self._ended(side, b"", buffer.start, events)
        if self._until and side is Side.SERVER:
            return self._copied(buffer)
        mark = buffer.peek(1)
        if mark is None:
            return False
        at = buffer.start
        length = buffer.find(b"\n", MAX_LINE)
        if length < 0:
            if len(buffer) >= MAX_LINE:
                raise Malformed("a line longer than the limit")
            return False
        line = (buffer.peek(length) or b"").rstrip(b"\r")
        if self._lost and side is Side.CLIENT:
            # Lines inside of values look like commands; only the head of an array is trusted.
            self._lost = mark != b"*" or _number(line[1:]) is None
            if self._lost:
                buffer.take(length + 1)
                return True
        if self._rdb and side is Side.SERVER and mark != b"+":
            return self._copy(buffer, length + 1, line, events)
        if mark in (b"$", b"=", b"!") and (size := _number(line[1:])) is not None:
            return self._bulk(side, buffer, length + 1, size, events)
        if mark in (b"*", b"~", b">", b"%", b"|") and (count := _number(line[1:])) is not None:
            buffer.take(length + 1)
            return self._array(side, mark, count, at, events)
        buffer.take(length + 1)
        if side is Side.CLIENT and not self._left[side]:
            return self._inline(line, at, events)
        return self._element(side, line, at, events)

    def _copy(self, buffer: Buffer, header: int, line: bytes, events: list[Event]) -> bool:
        """After FULLRESYNC a copy of all data, and then commands: with its size in front and nothing behind it, or up to a mark.

        Lines with nothing in them come before it as signs of life.
        """
        buffer.take(header)
        self._rdb = not line
        if line[:5] == b"$EOF:" and len(line) == _EOF_MARK + 5:
            self._until = line[5:]
        elif line[:1] == b"$" and (size := _number(line[1:])) is not None and size > 0:
            start = buffer.start
            if size > len(buffer):
                events.append(Skip(span=Span(Side.SERVER, start, start + size)))
                buffer.clear()
            else:
                buffer.take(size)
        return True

    def _copied(self, buffer: Buffer) -> bool:
        found = buffer.find(self._until)
        if found < 0:
            buffer.take(max(0, len(buffer) - len(self._until) + 1))
            return False
        buffer.take(found + len(self._until))
        self._until = b""
        return True

    def _bulk(self, side: Side, buffer: Buffer, header: int, size: int, events: list[Event]) -> bool:
        if size < 0:
            buffer.take(header)
            return self._element(side, b"", buffer.start, events)
        if size > MAX_HELD:
            buffer.take(header)
            start = buffer.start
            self._skip[side] = size + 2
            events.append(Skip(span=Span(side, start, start + size)))
            # What is skipped is not delivered: only the line end behind it, and what of it is already here.
            here = len(buffer)
            if here < size:
                buffer.clear()
                self._skip[side] = 2
            return True
        whole = header + size + 2
        if len(buffer) < whole:
            return False
        buffer.take(header)
        at = buffer.start
        data = buffer.take(size) or b""
        buffer.take(2)
        return self._element(side, data, at, events)

    def _array(self, side: Side, mark: bytes, count: int, at: int, events: list[Event]) -> bool:
        count = count * 2 if mark in (b"%", b"|") else count
        if self._left[side]:  # nested: its elements take the place of one; attributes stand beside it
            self._left[side] += max(count, 0) - (mark != b"|")
            return (not self._left[side] and self._complete(side, events)) or True
        out_of_band = side is Side.SERVER and mark in (b">", b"|")  # answers nothing (RESP3)
        if count <= 0:
            if side is Side.SERVER and not out_of_band:
                self._reply(b"", events)
            return True
        self._left[side] = count
        self._items[side] = []
        self._pushed = self._pushed or out_of_band
        return True

    def _element(self, side: Side, data: bytes, at: int, events: list[Event]) -> bool:
        if not self._left[side]:
            if side is Side.SERVER:
                self._rdb = self._rdb or data.startswith(b"+FULLRESYNC ")
                if data[:1] not in (b"+", b"-", b":"):
                    self._text[side].append(data)
                self._reply(data, events)
            return True
        if len(self._items[side]) < MAX_ARGUMENTS:
            self._items[side].append((data, at))
        return self._ended(side, data, at, events, kept=True)

    def _ended(self, side: Side, data: bytes, at: int, events: list[Event], *, kept: bool = False) -> bool:
        if not kept:
            if self._skip[side]:
                return True
            if not self._left[side]:
                self._reply(b"", events)
                return True
            if len(self._items[side]) < MAX_ARGUMENTS:
                self._items[side].append((b"", at))
        self._left[side] -= 1
        if not self._left[side]:
            self._complete(side, events)
        return True

    def _complete(self, side: Side, events: list[Event]) -> bool:
        items, self._items[side] = self._items[side], []
        if side is Side.CLIENT:
            self._command(items, events)
        else:
            self._text[side] += [data for data, _ in items if len(data) > 3]
            if self._pushed:
                self._pushed = False
            else:
                self._reply(items[0][0] if items else b"", events)
                events += settings(items)
                if items and any(data == b"server" for data, _ in items[:2]):
                    self._hello(items, events)
        return True

    def _inline(self, line: bytes, at: int, events: list[Event]) -> bool:
        items = split(line, at)
        if items:
            self._command(items, events)
        return True

    def _command(self, items: list[Item], events: list[Event]) -> None:
        name = items[0][0].lower()
        waiting: list[Event] = []
        if name == b"auth":
            waiting = auth(items[1:])
        elif name == b"hello":
            waiting = hello_auth(items[1:])
        else:
            self._rdb = self._rdb or (name == b"sync" and not self._pending)  # its answer before PSYNC was there
            events += commands(name, items[1:])
            values = [data for data, _ in items[1:] if len(data) > 3]
            if values:
                self._text[Side.CLIENT].append(b" ".join([items[0][0], *values]))
        if len(self._pending) >= MAX_PENDING:
            events += self._pending.popleft()
        if self._answered(name, items[1:]):
            self._pending.append(waiting)
        else:
            events += waiting

    def _answered(self, name: bytes, items: list[Item]) -> bool:
        """Whether a reply will come: CLIENT REPLY turns them off, for good or for one command."""
        silent, self._silent = self._silent, "" if self._silent == "skip" else self._silent
        words = [data.lower() for data, _ in items[:2]]
        if name == b"client" and words[:1] == [b"reply"] and len(words) == 2:
            self._silent = {b"off": "off", b"skip": "skip"}.get(words[1], "")
            return not self._silent
        return not silent

    def _reply(self, data: bytes, events: list[Event]) -> None:
        waiting = self._pending.popleft() if self._pending else []
        if not waiting:
            return
        events += [replace(event, outcome=outcome(data, event)) for event in waiting]

    def _hello(self, items: list[Item], events: list[Event]) -> None:
        """HELLO's answer names server and version (RESP3)."""
        words = [data for data, _ in items]
        pairs = dict(zip(words[::2], words[1::2], strict=False))
        if b"version" in pairs:
            at = items[0][1]
            events.append(Greeting(span=Span(Side.SERVER, at, at + 1), product="Redis", version=decode(pairs[b"version"])[:40]))

    def _flush(self, side: Side, span: Span, events: list[Event]) -> None:
        """What a turn said, as one text."""
        texts, self._text[side] = self._text[side], []
        data = b"\n".join(texts)
        if len(data) >= 8 and span.end > span.start:
            where = "command arguments" if side is Side.CLIENT else "reply"
            events.append(Content(span=span, data=data, media="text/plain", where=where))


def _number(digits: bytes) -> int | None:
    body = digits[1:] if digits[:1] == b"-" else digits
    return int(digits) if body.isdigit() and len(body) < 12 else None


# What only Redis answers, to inline commands that other protocols have too.
_OWN = re.compile(
    rb"\+PONG\r\n|-(?:NOAUTH|WRONGPASS|NOPERM) |-ERR (?:invalid password|Client sent AUTH|AUTH <password> called|wrong number of arguments for|unknown command ['`])|\$\d{1,9}\r\n"
)
# A capture that begins in the middle of a reply: an array of the client's whose command is known, a reply later on.
_KNOWN = re.compile(rb"\*\d{1,7}\r\n\$\d{1,2}\r\n(?:" + b"|".join(sorted(_COMMANDS)) + rb")\r\n", re.I)
_INSIDE = re.compile(rb"\r\n[$+:*-][^\r\n]{0,200}\r\n")


def probe(client: bytes, server: bytes) -> Match:
    """A RESP array whose first element is a bulk string, or an inline command that Redis has; a reply in RESP."""
    said = Match.MORE
    if client:
        said = _command_like(client)
        if said is Match.NO:
            return said
    if server and server[:1] not in b"+-:$*%~_#,(>!=|":
        return Match.YES if said is Match.YES and _KNOWN.match(client) and _INSIDE.search(server) and not server.startswith(b"HTTP/") else Match.NO
    return Match.YES if said is Match.MORE and b"\n" in client and _OWN.match(server) else said


def _command_like(data: bytes) -> Match:
    if data[:1] == b"*":
        head, end, rest = data.partition(b"\r\n")
        digits = head[1:] if end else head[1:].rstrip(b"\r")
        if (digits and not digits.isdigit()) or (end and not digits) or len(head) > 8:
            return Match.NO
        if not end:
            return Match.MORE
        size, end, word = rest.partition(b"\r\n")
        if size[:1] not in (b"", b"$") or (size[1:].rstrip(b"\r") and not size[1:].rstrip(b"\r").isdigit()):
            return Match.NO
        if not end:
            return Match.MORE if len(size) < 8 else Match.NO
        count = int(size[1:] or 0)
        name = word[: min(count, 24)]
        if len(name) < min(count, 24):
            return Match.MORE if name.isalpha() or not name else Match.NO
        return Match.YES if 0 < count <= 24 and name.replace(b".", b"").replace(b"_", b"").replace(b"-", b"").isalnum() else Match.NO
    line, end, rest = data.partition(b"\n")
    word = line.split(b" ", 1)[0].rstrip(b"\r").upper()
    if not end:
        return Match.MORE if any(c.startswith(word) for c in _COMMANDS) and len(line) < 512 else Match.NO
    # Words that other line protocols have too must wait for the port's word, or for an array behind them.
    if word in _COMMANDS and rest[:1] == b"*":
        return _command_like(rest)
    return Match.NO if word not in _COMMANDS else Match.MORE if word in (b"AUTH", b"QUIT", b"INFO", b"GET", b"SET", b"ECHO", b"TYPE", b"HELLO", b"PING") else Match.YES


SPEC = Spec(
    name="redis",
    title="Redis, RESP",
    ports=(6379, 6380, 26379),
    probe=probe,
    stream=Redis,
    tier="database",
    remedy="Turn on TLS (tls-port) and close the plain port.",
)
