"""What Redis protocol commands and replies say of passwords (the Redis command reference, redis.conf, the ACL rules)."""

from __future__ import annotations

import re

from sniffer.events import ChallengeResponse, Crack, Event, Login, Outcome, Side, Span, Statement
from sniffer.secret import Secret, decode

Item = tuple[bytes, int]  # an argument, and the stream offset of its first byte

# Settings that hold a password (redis.conf, sentinel.conf, Valkey's names).
_SETTINGS = frozenset((b"requirepass", b"masterauth", b"primaryauth", b"tls-key-file-pass", b"tls-client-key-file-pass", b"sentinel-pass", b"auth-pass"))
_USERS = frozenset((b"masteruser", b"primaryuser", b"sentinel-user", b"auth-user"))
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_RULE_HASH = re.compile(rb" #([0-9a-f]{64})(?= |$)")
# An inline command's arguments: quoted with escapes, quoted without, bare (sdssplitargs in Redis).
_ARGUMENT = re.compile(rb"\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"']\S*))(?=\s|$)", re.S)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.S)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_MAX_ARGUMENTS = 1024


def split(line: bytes, at: int) -> list[Item]:
    """The arguments of an inline command; none if its quotes don't match, as Redis refuses it then."""
    items: list[Item] = []
    place, line = 0, line.rstrip()
    while place < len(line) and len(items) < _MAX_ARGUMENTS:
        found = _ARGUMENT.match(line, place)
        if found is None:
            return []
        group = found.lastindex or 0
        text = found[group]
        if group == 1:
            text = _ESCAPE.sub(lambda m: bytes.fromhex(m[1][1:].decode()) if len(m[1]) == 3 else _LETTERS.get(m[1], m[1]), text)
        elif group == 2:
            text = text.replace(b"\\'", b"'")
        items.append((text, at + found.start(group)))
        place = found.end()
    return items


def outcome(reply: bytes, event: Event) -> Outcome:
    """Of a login. Its error is a line; anything but OK, or a map for HELLO, answers something else."""
    if reply.startswith(b"-"):
        return Outcome.REJECTED
    right = reply == b"+OK" or (isinstance(event, Login) and event.mechanism == "HELLO AUTH" and not reply.startswith((b"+", b":")))
    return Outcome.ACCEPTED if right else Outcome.UNKNOWN


def _login(mechanism: str, user: bytes | None, secret: Item) -> list[Event]:
    data, at = secret
    if not data:
        return []
    return [Login(span=Span(Side.CLIENT, at, at + len(data)), mechanism=mechanism, username=decode(user) if user is not None else None, secret=Secret(decode(data)), where="AUTH argument")]


def auth(items: list[Item]) -> list[Event]:
    """AUTH [user] password."""
    if len(items) >= 2:
        return _login("AUTH user pass", items[0][0], items[1])
    return _login("AUTH", None, items[0]) if items else []


def hello_auth(items: list[Item]) -> list[Event]:
    """HELLO version [AUTH user password] [SETNAME name], options in any order."""
    place = 1
    while place < len(items):
        word = items[place][0].lower()
        if word == b"auth" and place + 2 < len(items):
            return _login("HELLO AUTH", items[place + 1][0], items[place + 2])
        place += 2
    return []


def commands(name: bytes, items: list[Item]) -> list[Event]:
    """Passwords and their hashes in commands that set or name them."""
    words = [data.lower() for data, _ in items]
    if name == b"acl" and words[:1] == [b"setuser"] and len(items) > 2:
        return [event for item in items[2:] for event in _rule(items[1][0], item)]
    if name == b"migrate":
        return _migrate(items, words)
    if (name == b"config" and words[:1] == [b"set"]) or (name == b"sentinel" and words[:2] == [b"config", b"set"]):
        return _pairs(items[1 if name == b"config" else 2 :], f"{decode(name).upper()} SET" if name == b"config" else "SENTINEL CONFIG SET", Side.CLIENT)
    if name == b"sentinel" and words[:1] == [b"set"]:
        return _pairs(items[2:], "SENTINEL SET", Side.CLIENT)
    return []


def settings(items: list[Item]) -> list[Event]:
    """A reply that names a setting and its value, as CONFIG GET's does, or the users' stored hashes, as those of ACL LIST and GETUSER do."""
    listed = [event for item in items if item[0].startswith(b"user ") for event in _listed(*item)]
    names = [data for data, _ in items]
    if b"passwords" in names and b"commands" in names:
        listed += [_stored(None, data, at, Side.SERVER, "ACL GETUSER") for data, at in items if _SHA256.fullmatch(data)]
    if listed:
        return listed
    if not any(data in _SETTINGS for data, _ in items[::2]):
        return []
    return _pairs(items, "CONFIG GET", Side.SERVER)


def _listed(line: bytes, at: int) -> list[Event]:
    """A line of ACL LIST: "user", the name, the rules."""
    user = line.split(b" ", 2)[1]
    return [_stored(user, found[1], at + found.start(1), Side.SERVER, "ACL LIST") for found in _RULE_HASH.finditer(line)]


def _stored(user: bytes | None, digest: bytes, at: int, side: Side, mechanism: str) -> Event:
    """A password's SHA-256, without salt."""
    where = f"{mechanism} {'argument' if side is Side.CLIENT else 'reply'}, stored hash"
    crack = Crack("raw-sha256", 1400, Secret(digest.decode(), "hash"))
    name = decode(user) if user is not None else None
    return ChallengeResponse(span=Span(side, at, at + len(digest)), mechanism=mechanism, username=name, response=Secret(digest.decode(), "hash"), where=where, crack=crack)


def _pairs(items: list[Item], mechanism: str, side: Side) -> list[Event]:
    pairs = [(items[i][0].lower(), items[i + 1]) for i in range(0, len(items) - 1, 2)]
    user = next((value[0] for key, value in pairs if key in _USERS), None)
    return [event for key, value in pairs if key in _SETTINGS for event in _statement(f"{mechanism} {key.decode()}", user if key != b"requirepass" else None, value, side)]


def _statement(mechanism: str, user: bytes | None, secret: Item, side: Side = Side.CLIENT) -> list[Event]:
    data, at = secret
    if not data:
        return []
    where = f"{mechanism} argument" if side is Side.CLIENT else f"{mechanism} reply"
    return [Statement(span=Span(side, at, at + len(data)), mechanism=mechanism, username=decode(user) if user else None, secret=Secret(decode(data)), where=where)]


def _rule(user: bytes, item: Item) -> list[Event]:
    """ACL rules: > and < give and take a password, # and ! its SHA-256."""
    kind, data, at = item[0][:1], item[0][1:], item[1] + 1
    if kind in (b">", b"<"):
        return _statement("ACL SETUSER", user, (data, at))
    if kind in (b"#", b"!") and _SHA256.fullmatch(data):
        return [_stored(user, data, at, Side.CLIENT, "ACL SETUSER")]
    return []


def _migrate(items: list[Item], words: list[bytes]) -> list[Event]:
    """MIGRATE host port key db timeout, then options up to the keys."""
    place = 5
    while place < len(words) and words[place] != b"keys":
        if words[place] == b"auth" and place + 1 < len(items):
            return _statement("MIGRATE AUTH", None, items[place + 1])
        if words[place] == b"auth2" and place + 2 < len(items):
            return _statement("MIGRATE AUTH2", items[place + 1][0], items[place + 2])
        place += 1
    return []
