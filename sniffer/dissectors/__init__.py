"""Protocol dissectors: one file a protocol, found by the ``SPEC`` constant at its foot."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sniffer.dissectors._spec import Dissector, Match, Spec

__all__ = ["Dissector", "Match", "Spec", "prepare", "registry"]


@cache
def registry() -> dict[str, Spec]:
    """Every protocol by name. Modules that begin with an underscore are helpers."""
    specs = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            spec = importlib.import_module(f"{__name__}.{module.name}").SPEC
            specs[spec.name] = spec
    return specs


def prepare() -> None:
    """Load what dissectors load at their first use: for a process that is about to be forked."""
    registry()
    importlib.import_module("cryptography.x509")
