"""Places for watches to keep their things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watch.running import place, remove


@pytest.fixture
def folder() -> Iterator[Path]:
    made = place()
    yield made
    remove(made)
