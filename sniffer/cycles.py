"""The collector of reference cycles, asked to look seldom: flows hold none, and its usual pace costs a sixth of a scan."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look every half million objects instead of every 700, and not at what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
