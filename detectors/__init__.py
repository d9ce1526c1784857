"""Detectors: events in, candidate findings out. One subject a file, found by the ``DETECTORS`` constant at its foot."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sniffer.events import Event
from sniffer.findings import Candidate, Context, Rule

__all__ = ["Detector", "catalogue", "prepare", "registry"]


@dataclass(frozen=True, slots=True)
class Detector:
    """Looks at events of one type. ``look`` is pure and raises nothing of its own."""

    on: type[Event]
    look: Callable[[Any, Context], Iterable[Candidate]]
    rules: tuple[Rule, ...]


@cache
def registry() -> tuple[Detector, ...]:
    """Every detector. Modules that begin with an underscore are helpers."""
    found: list[Detector] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        if not module.startswith("_"):
            found.extend(getattr(importlib.import_module(f"{__name__}.{module}"), "DETECTORS", ()))
    return tuple(found)


def prepare() -> None:
    """Load what detectors load at their first use: for a process that is about to be forked."""
    from detectors._scan import database

    registry()
    database()


def catalogue() -> dict[str, Rule]:
    """Every rule by id."""
    return {rule.id: rule for detector in registry() for rule in detector.rules}
