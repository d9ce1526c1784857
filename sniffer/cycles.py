"""The collector of reference cycles, asked to look seldom: flows hold none, and its usual pace costs a sixth of a scan."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def collect_seldom() -> None:
    """For a process that does nothing else: look every half million objects instead of every 700, and not at what is there."""
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)


@contextmanager
def rare_collections() -> Iterator[None]:
    """The same for a part of a process. The next look after it takes in all that was made under it."""
    before = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
