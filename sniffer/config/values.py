"""One value of the configuration: what is allowed, and how it is read from TOML or from an environment variable's text.

Every kind has ``words`` (what is allowed, for people), ``take(value, base)`` which gives the value or raises Refused, and
``parse(text)``, which makes of an environment variable what TOML would have given.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

_SHOWN = 60  # characters of a refused value that are repeated
_NAMES = {bool: "true or false", int: "a number", float: "a fraction", list: "an array", tuple: "an array", dict: "a table"}


class Base(NamedTuple):
    """Where relative paths start, and where systemd put a service's credentials (None: it gave none)."""

    directory: Path
    credentials: Path | None


class Refused(Exception):
    """Says what the value is, as the end of a sentence that begins with the key."""


def is_(value: object) -> str:
    """A value as far as a message may repeat it: texts and numbers, shortened; of the rest only the kind."""
    if isinstance(value, str):
        return "is " + json.dumps(value if len(value) <= _SHOWN else value[:_SHOWN] + "…", ensure_ascii=not value.isprintable())
    if isinstance(value, bool):
        return f"is {str(value).lower()}"
    if isinstance(value, int | float):
        return f"is {value}" if abs(value) < 1e15 else "is a very large number"
    if isinstance(value, date):
        return f"is the {'time' if isinstance(value, datetime) else 'date'} {value}"
    return f"is {_NAMES.get(type(value), 'something else')}"


class Kind(Protocol):
    """What a key's value may be."""

    @property
    def words(self) -> str: ...

    def take(self, value: object, base: Base) -> object: ...

    def parse(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two ends."""

    low: int
    high: int

    @property
    def words(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise Refused(is_(value))
        return value

    def parse(self, text: str) -> object:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip(), re.ASCII) else text


@dataclass(frozen=True, slots=True)
class YesNo:
    words: str = "true or false"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, bool):
            raise Refused(is_(value))
        return value

    def parse(self, text: str) -> object:
        return {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}.get(text.strip().lower(), text)


@dataclass(frozen=True, slots=True)
class OneOf:
    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return ", ".join(self.choices[:-1]) + f" or {self.choices[-1]}"

    def take(self, value: object, base: Base) -> object:
        if value not in self.choices:
            raise Refused(is_(value))
        return value

    def parse(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Text:
    """A text of one line that ``check`` finds nothing wrong with. ``quiet``: it may hold a secret by mistake, so it is not repeated."""

    words: str
    check: Callable[[str], str | None] = lambda _: None  # what is wrong, or None
    most: int = 1000  # characters
    empty: bool = False
    quiet: bool = False

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, str):
            raise Refused(is_(value))
        wrong = self._wrong(value)
        if wrong is not None:
            raise Refused(wrong or is_(value))
        return value

    def _wrong(self, value: str) -> str | None:
        if not value:
            return None if self.empty else "is empty"
        if len(value) > self.most:
            return f"has {len(value)} characters"
        if not value.isprintable():
            return "has a control character in it"
        wrong = self.check(value)
        return "is not that" if wrong == "" and self.quiet else wrong

    def parse(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Several:
    """An array of different values of one kind; in the environment divided by commas."""

    each: Kind

    @property
    def words(self) -> str:
        return f"an array, of each of which holds: {self.each.words}"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, list | tuple):
            raise Refused(is_(value))
        taken = tuple(self.each.take(one, base) for one in value)
        for one in taken:
            if taken.count(one) > 1:
                raise Refused(f"has {one} twice")
        return taken

    def parse(self, text: str) -> object:
        return [self.each.parse(part.strip()) for part in text.split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class Day:
    words: str = "a date without quotes, such as 2027-03-31"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise Refused(is_(value))
        return value

    def parse(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class Headers:
    """HTTP header fields (RFC 9110, section 5). Those that carry secrets are refused: they belong into a file."""

    words: str = "a table of header names and texts, none of which is a secret (use username, password_file or secret_file)"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, dict):
            raise Refused(is_(value))
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
                raise Refused("has a name in it that no header can have")
            if re.search(r"auth|cookie|token|secret|passw|api-?key|credential", name, re.IGNORECASE):
                raise Refused(f"has {name} in it, which carries a secret")
            if not isinstance(text, str) or not text.isprintable() or len(text) > 1000:
                raise Refused(f"has a value for {name} that is no text of one line")
        return dict(value)

    def parse(self, text: str) -> object:
        return text


@dataclass(frozen=True, slots=True)
class File:
    """The path of a file, made absolute. ``there``: it must exist. ``secret``: and nobody else may read it.

    A plain name of a secret file means systemd's credential of that name, if there is one.
    """

    there: bool = False
    secret: bool = False

    @property
    def words(self) -> str:
        if self.secret:
            return "the path of a file that only its owner can read (chmod 0600)"
        return "the path of a file that is there" if self.there else "a path"

    def take(self, value: object, base: Base) -> object:
        if not isinstance(value, str):
            raise Refused(is_(value))
        if not value:
            return ""
        if not value.isprintable() or len(value) > 4000:
            raise Refused("is no path")
        if self.secret and base.credentials is not None and "/" not in value and (base.credentials / value).is_file():
            return str(base.credentials / value)  # the service manager has seen to who can read it
        path = Path(os.path.normpath(Path(value).expanduser() if value.startswith("~/") else base.directory / value))
        if self.there or self.secret:
            self._check(path, base)
        return str(path)

    def _check(self, path: Path, base: Base) -> None:
        # The name of a secret file is not repeated: sometimes it is the secret itself that was written there.
        name = "a file" if self.secret else str(path)
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):  # looked at first: opening a FIFO would wait for its writer
                raise Refused(f"names {name} that is not a regular file")
            with path.open("rb"):
                pass
        except OSError as error:
            raise Refused(f"names {name} that cannot be read ({error.strerror})") from None
        if not facts.st_size:
            raise Refused(f"names {name} that is empty")
        if self.secret and _others_can_read(path, facts, base):
            raise Refused(f"names a file whose mode is {stat.S_IMODE(facts.st_mode):04o}, so others can read it")

    def parse(self, text: str) -> object:
        return text


def _others_can_read(path: Path, facts: os.stat_result, base: Base) -> bool:
    """Whether the mode lets them. A group may read what was handed over to us: service managers keep the owner root for that.

    systemd gives credentials by an access list, which shows as a group's right (systemd.exec(5)); Kubernetes sets fsGroup.
    """
    given = base.credentials is not None and path.is_relative_to(base.credentials)
    ours = facts.st_uid == 0 != os.geteuid() and facts.st_gid in (os.getegid(), *os.getgroups())
    return bool(stat.S_IMODE(facts.st_mode) & (0o037 if given or ours else 0o077))
