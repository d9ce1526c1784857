"""Writes what a Python environment holds and under which licence, from the packages' own metadata (Core Metadata 2.4)."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions

_TOOLS = {"pip", "setuptools", "wheel"}


def licence(package: Distribution) -> str:
    """The SPDX expression, else the classifiers, else the first line of the licence field."""
    meta = package.metadata
    if expression := meta.get("License-Expression"):
        return expression
    named = [c.rpartition(" :: ")[2] for c in meta.get_all("Classifier") or () if c.startswith("License :: ")]
    if named:
        return ", ".join(named)
    text = (meta.get("License") or "").strip().splitlines()
    return text[0] if text else "not stated"


def lines() -> list[str]:
    """One line a package: name, version, licence, separated by tabs."""
    found = {str(d.metadata["Name"]): d for d in distributions()}
    return [f"{name}\t{d.version}\t{licence(d)}" for name, d in sorted(found.items(), key=lambda item: item[0].lower()) if name.lower() not in _TOOLS]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
