"""Reads the configuration (TOML 1.0), checks all of it, and tells everything that is wrong at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from platform import node
from typing import Any

from sniffer.config.checks import sent_in_clear
from sniffer.config.settings import (
    AlertSettings,
    CaptureSettings,
    Config,
    MetricsSettings,
    OutputSettings,
    StateSettings,
)
from sniffer.config.tables import FIELDS, LISTS, NEEDED, OTHERS, SECTIONS, SENSOR, USED, WRITTEN
from sniffer.config.values import Base, Kind, Refused, is_
from sniffer.errors import UsageError

# Of what ``changed`` names: what was opened with rights that are gone by then, or is held by other processes.
NEEDS_RESTART = frozenset({"sensor", "capture", "state", "metrics"})
_PREFIX = "CLEARTAP_"


def load(path: str | None, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """The configuration of a file (None: of none), overridden by CLEARTAP_SECTION_KEY, overridden by the command line's words.

    The keys of ``overrides`` are "section.key" (or "sensor"); a value of None is no override. Relative paths start from the file's
    directory, those of the environment and the command line from the working directory.
    Raises UsageError that names every mistake: where, which key, what it is and what is allowed.
    """
    reader = _Reader(path, environment)
    config = reader.config(reader.document(), overrides)
    if reader.problems:
        many = f"{len(reader.problems)} mistakes in the configuration:\n  " if len(reader.problems) > 1 else ""
        raise UsageError(many + "\n  ".join(reader.problems))
    return config


def changed(old: Config, new: Config) -> tuple[str, ...]:
    """The sections that differ, by the names they have in the file. Those in NEEDS_RESTART only count after a restart."""
    names = {field: name for name, field in FIELDS.items()}
    return tuple(names.get(f.name, f.name) for f in fields(Config) if getattr(old, f.name) != getattr(new, f.name))


class _Reader:
    """One reading; keeps what was wrong."""

    def __init__(self, path: str | None, environment: Mapping[str, str]) -> None:
        self.path = path
        self.problems: list[str] = []
        self._environment = environment
        given = environment.get("CREDENTIALS_DIRECTORY")
        credentials = Path(given) if given else None
        self._here = Base(Path.cwd(), credentials)
        self._base = Base(Path(path).absolute().parent, credentials) if path else self._here

    def document(self) -> dict[str, Any]:
        """The file as TOML has it."""
        if self.path is None:
            return {}
        try:
            return tomllib.loads(Path(self.path).read_bytes().decode())
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: is not UTF-8 (byte {error.start}), as TOML must be") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{self.path}: is not TOML: {error}") from None
        except RecursionError:
            raise UsageError(f"{self.path}: is nested too deeply") from None

    def config(self, document: dict[str, Any], overrides: Mapping[str, object]) -> Config:
        """All sections; what is wrong is noted and left out."""
        for name in document:
            if name not in SECTIONS and name not in LISTS and name != "sensor":
                self._tell(f"{self.path}: {name}", f"is unknown{_meant(name, ['sensor', *SECTIONS, *LISTS])}", f"sensor, {', '.join(f'[{n}]' for n in SECTIONS)}, {', '.join(f'[[{n}]]' for n in LISTS)}")
        self._check_names(overrides)
        sensor = self._layers("", {"sensor": SENSOR}, {"sensor": document["sensor"]} if "sensor" in document else {}, overrides)
        made = {name: self._section(name, document.get(name, {}), overrides) for name in SECTIONS}
        lists = {FIELDS[name]: self._list(name, document.get(name, [])) for name in LISTS}
        if not made["state"].get("path"):
            made["state"]["path"] = _state_path(self._environment)
        self._check_queues(made["state"], lists[FIELDS["output"]])
        return Config(
            sensor=sensor.get("sensor") or node() or "cleartap",
            capture=CaptureSettings(**made["capture"]),
            state=StateSettings(**made["state"]),
            metrics=MetricsSettings(**made["metrics"]),
            alerts=AlertSettings(**made["alerts"]),
            **lists,
        )

    def _check_queues(self, state: dict[str, Any], outputs: Iterable[OutputSettings]) -> None:
        """The queues lie in the state and are never taken for its bound: too large together, they would leave no room for the record."""
        half = int(state.get("max_mb", StateSettings().max_mb)) // 2
        if (together := sum(output.queue_mb for output in outputs)) > half:
            self._tell(f"{self.path}: [[output]] queue_mb", f"is {together} for all outputs together", f"at most half of [state] max_mb ({half})")

    def _tell(self, where: str, what: str, allowed: str) -> None:
        line = f"{where} {what}; allowed: {allowed}"
        # A key in quotation marks may hold anything, also what would look like another line.
        self.problems.append("".join(c if c.isprintable() else "?" for c in line))

    def _take(self, where: str, kind: Kind, value: object, base: Base) -> object | None:
        try:
            return kind.take(value, base)
        except Refused as refused:
            self._tell(where, str(refused), kind.words)
            return None

    # Tables that stand once

    def _section(self, name: str, table: object, overrides: Mapping[str, object]) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._tell(f"{self.path}: {name}", is_(table) if not isinstance(table, list) else f"is an array ([[{name}]])", f"one table, [{name}]")
            table = {}
        return self._layers(name, SECTIONS[name][1], table, overrides)

    def _layers(self, section: str, kinds: dict[str, Kind], table: dict[str, object], overrides: Mapping[str, object]) -> dict[str, Any]:
        """File, then environment, then command line: the last word counts, and each is checked where it stands."""
        taken: dict[str, Any] = {}
        shown = f"{self.path}: [{section}] " if section else f"{self.path}: "
        self._unknown(shown, table, kinds)
        for key, kind in kinds.items():
            full = f"{section}.{key}" if section else key
            variable = _PREFIX + full.replace(".", "_").upper()
            said: list[tuple[str, object, Base]] = []
            if key in table:
                said.append((shown + key, table[key], self._base))
            if variable in self._environment:
                said.append((variable, kind.parse(self._environment[variable]), self._here))
            if (value := overrides.get(full)) is not None:
                said.append((f"command line: {full}", kind.parse(value) if isinstance(value, str) else value, self._here))
            for where, value, base in said:
                if (good := self._take(where, kind, value, base)) is not None:
                    taken[key] = good
        return taken

    def _unknown(self, shown: str, table: Mapping[str, object], kinds: Mapping[str, Kind]) -> None:
        for key in table:
            if key not in kinds:
                self._tell(shown + key, f"is unknown{_meant(key, list(kinds))}", ", ".join(kinds))

    def _check_names(self, overrides: Mapping[str, object]) -> None:
        """Words for settings that do not exist, in the environment and on the command line."""
        known = {f"{section}.{key}" for section, (_, kinds) in SECTIONS.items() for key in kinds} | {"sensor"}
        for name in overrides:
            if name not in known:
                self._tell(f"command line: {name}", f"is unknown{_meant(name, sorted(known))}", ", ".join(sorted(known)))
        for variable in self._environment:
            for section, (_, kinds) in SECTIONS.items():
                key = variable.removeprefix(f"{_PREFIX}{section.upper()}_").lower()
                if variable.startswith(f"{_PREFIX}{section.upper()}_") and key not in kinds and not OTHERS.search(variable):
                    self._tell(variable, f"is unknown{_meant(key, list(kinds), f'{_PREFIX}{section}_')}", ", ".join(f"{_PREFIX}{section}_{k}".upper() for k in kinds))

    # Tables that stand any number of times

    def _list(self, name: str, tables: object) -> tuple[Any, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._tell(f"{self.path}: {name}", is_(tables) if not isinstance(tables, dict) else f"is one table ([{name}])", f"any number of tables, [[{name}]]")
            return ()
        made = [self._entry(name, number, table) for number, table in enumerate(tables, 1)]
        self._twice(name, tables)
        return tuple(one for one in made if one is not None)

    def _entry(self, name: str, number: int, table: dict[str, object]) -> object | None:
        cls, kinds = LISTS[name]
        shown = f"{self.path}: [[{name}]] {number}{_called(table)} "
        before = len(self.problems)
        self._unknown(shown, table, kinds)
        taken: dict[str, Any] = {}
        for key, kind in kinds.items():
            if key in table and (good := self._take(shown + key, kind, table[key], self._base)) is not None:
                taken[key] = good
        for field in fields(cls):
            if field.default is MISSING and field.default_factory is MISSING and field.name not in table:
                self._tell(shown + field.name, "is missing", kinds[field.name].words)
        if name == "output":
            self._output(shown, table, taken)
        elif name == "severity" and not (set(table) & (set(kinds) - {"severity"})):
            self._tell(shown.rstrip(), "matches everything", "at least one of rule, protocol, server, client, port")
        elif name == "expected" and not (taken.get("client") or taken.get("server")) and len(self.problems) == before:
            self._tell(shown.rstrip(), "has neither client nor server", "at least one of them (0.0.0.0/0 and ::/0 if really all are meant)")
        return cls(**taken) if len(self.problems) == before else None

    def _output(self, shown: str, table: dict[str, object], taken: dict[str, Any]) -> None:
        """What the keys of an output must be together."""
        sort = taken.get("type")
        if sort is None:
            return
        used = USED[sort]
        for key in table:
            if key in LISTS["output"][1] and key not in used:
                self._tell(shown + key, f"has no meaning for type {sort}", ", ".join(k for k in LISTS["output"][1] if k in used))
        for choice in NEEDED[sort]:
            if not any(table.get(key) for key in choice):
                self._tell(shown + " or ".join(choice), f"is missing, which type {sort} needs", LISTS["output"][1][choice[0]].words)
        if len([key for key in ("url", "url_file") if key in table]) == 2:
            self._tell(shown + "url_file", "is set beside url", "one of them")
        if taken.get("format", "native") not in WRITTEN[sort]:
            self._tell(shown + "format", f"is {taken['format']}, which type {sort} cannot write", ", ".join(sorted(WRITTEN[sort])))
        for one, other in (("cert_file", "key_file"), ("username", "password_file")):
            if (one in table) != (other in table):
                self._tell(shown + one, f"and {other} only go together", "both, or neither")
        if "username" in taken and sent_in_clear(taken.get("url", "")):
            self._tell(shown + "username", "and its password would be sent in the clear", "https, or a receiver on this host")
        if sort == "mail":
            taken.setdefault("transport", "tls")  # a report of what crosses in the clear is not sent in the clear unless asked
            if taken["transport"] == "udp":
                self._tell(shown + "transport", "is udp, which mail cannot use", "tcp or tls")
        elif sort == "syslog" and set(table) & {"ca_file", "cert_file", "key_file"} and taken.get("transport", "udp") != "tls":
            self._tell(shown + "transport", "is not tls, though there are files for TLS", "tls")

    def _twice(self, name: str, tables: Sequence[Mapping[str, object]]) -> None:
        """What must be there once: outputs by name, networks by range."""
        key = {"output": "name", "network": "cidr"}.get(name)
        seen: dict[object, int] = {}
        for number, table in enumerate(tables, 1):
            value = table.get(key) if key else None
            if isinstance(value, str) and seen.setdefault(value, number) != number:
                self._tell(f"{self.path}: [[{name}]] {number}{_called(table)} {key}", f"{is_(value)}, as [[{name}]] {seen[value]} has it", "each once")


def _called(table: Mapping[str, object]) -> str:
    """An entry's name in brackets, where it has a usable one: people look for that rather than for a number."""
    name = table.get("name") or table.get("owner")
    return f" ({name})" if isinstance(name, str) and name.isprintable() and len(name) <= 64 else ""


def _meant(name: str, known: list[str], prefix: str = "") -> str:
    close = get_close_matches(name, known, 1)
    return f" (is {(prefix + close[0]).upper() if prefix else close[0]} meant?)" if close else ""


def _state_path(environment: Mapping[str, str]) -> str:
    """Where systemd says (systemd.exec(5), StateDirectory=), else where the XDG base directories say."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return str(Path(given) / "state.sqlite")
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or "/var/lib") / ".local" / "state")
    return str(Path(base) / "cleartap" / "state.sqlite")
