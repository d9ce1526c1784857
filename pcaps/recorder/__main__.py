"""``./run record [PROTOCOL …]``: makes the captures again, as root on Linux; each recipe names the servers it needs.
``./run record demo`` puts the demo together from what was recorded."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from pcaps.recorder.demo import make
from pcaps.recorder.lab import Lab, RecordingError

PCAPS = Path(__file__).parent.parent


def recipes() -> list[str]:
    """The protocols with a ``record.py`` beside their captures."""
    return sorted(path.parent.name for path in PCAPS.glob("*/record.py"))


def main(wanted: list[str]) -> int:
    if wanted == ["demo"]:
        print(make(PCAPS))
        return 0
    if os.geteuid():
        print("record: network namespaces need root", file=sys.stderr)
        return 2
    unknown = set(wanted) - set(recipes())
    if unknown:
        print(f"record: no recipe for {', '.join(sorted(unknown))}; there are {', '.join(recipes())}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted or recipes():
        try:
            with Lab(PCAPS) as lab:
                importlib.import_module(f"pcaps.{name}.record").record(lab)
            print(f"{name}: recorded")
        except RecordingError as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
