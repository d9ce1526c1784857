"""The version under which cleartap names itself to receivers."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


@cache
def version() -> str:
    """The installed version, or "0" in a tree that is not installed."""
    try:
        return installed("cleartap")
    except PackageNotFoundError:
        return "0"
