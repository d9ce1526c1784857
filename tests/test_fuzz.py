"""The short form of ``./run fuzz``, with a fixed seed."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz import once
from tests.streams import PCAPS


def test_damaged_captures_are_read_without_a_fault(tmp_path: Path):
    rng, paths = random.Random(5), sorted(PCAPS.glob("*/*.pcap*"))
    for _ in range(250):
        once(rng, paths, tmp_path)
