"""``./run fuzz [SECONDS]``: damages recorded captures and reads them whole, for as long as wanted.

Invariant: whatever the bytes, the program reads on: no exception of ours, no read longer than ten seconds, and no output
that shows a recorded secret's neighbourhood as anything but a mask. The tests run a short form of it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from sniffer.capture import open_capture
from sniffer.errors import CaptureError
from sniffer.session import Session
from tests.streams import PCAPS

LIMIT = 10.0


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A capture with a few bytes changed, taken out or put in; its file header is left alone most of the time."""
    out = bytearray(data)
    low = 0 if rng.random() < 0.05 else min(24, len(out) - 1)
    for _ in range(rng.choice((1, 3, 10, 40, 200))):
        at = rng.randrange(low, len(out))
        kind = rng.random()
        if kind < 0.7:
            out[at] = rng.choice((0, 255, 127, 128, 10, 32, rng.getrandbits(8)))
        elif kind < 0.85:
            del out[at : at + rng.randint(1, 40)]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 40))
        if len(out) <= low + 1:
            break
    return bytes(out)


def once(rng: random.Random, paths: list[Path], folder: Path) -> None:
    """One damaged capture, read whole with our own bugs raised."""
    source = rng.choice(paths)
    seed = rng.getrandbits(32)
    target = folder / "damaged.pcap"
    target.write_bytes(damaged(random.Random(seed), source.read_bytes()))
    start = time.monotonic()
    session = Session(b"fuzz" * 8, strict=True)
    try:
        session.run([open_capture(target)])
    except CaptureError:
        pass
    except Exception:
        kept = Path(tempfile.gettempdir()) / f"cleartap-fuzz-{source.parent.name}-{source.stem}-{seed}.pcap"
        kept.write_bytes(target.read_bytes())
        print(f"fuzz: kept {kept}", file=sys.stderr)
        raise
    assert time.monotonic() - start < LIMIT, f"{source} damaged with seed {seed} took too long"


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else 600.0
    paths = sorted(PCAPS.glob("*/*.pcap*"))
    rng = random.Random(arguments[1] if len(arguments) > 1 else time.time_ns())
    end, count = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            once(rng, paths, Path(folder))
            count += 1
    print(f"fuzz: {count} damaged captures read")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
