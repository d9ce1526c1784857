"""Several links as one capture in the order of time: a tap gives each direction of a conversation on a link of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sniffer.capture.frames import PAD, Frames

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nanoseconds until a packet can be read for certain: the ring's RETIRE_AFTER, and what the kernel's timer may be late.
# Until then one of another link may still come that was before it.
HOLD = 80_000_000
# What comes while the links are read may be later than the reading's begin by so much.
AHEAD = 1_000_000_000
# A read of so many bytes may have left more behind.
FULL = 4 << 20
# Held back at the most; beyond it order gives way to memory.
MAX_HELD = 64 << 20


class Merger:
    """Holds packets back until nothing older can come from another link."""

    def __init__(self) -> None:
        self._held: Frames | None = None

    def put(self, batches: Sequence[Frames], now: int) -> Frames | None:
        """Take what one read of every link brought, begun at ``now`` (nanoseconds since the epoch); give what is in order."""
        parts = [self._held, *batches] if self._held is not None else list(batches)
        if not parts:
            return None
        horizon = now - HOLD
        for frames in batches:
            if int(frames.size.sum()) >= FULL:
                horizon = min(horizon, int(frames.time[-1]))
        merged = together(parts)
        ready = int(np.searchsorted(merged.time, horizon, "right"))
        # Packets of the future: the clock was set back, and they would be held until it has caught up.
        if len(merged.buffer) > MAX_HELD or int(merged.time[-1]) > now + AHEAD:
            ready = len(merged)
        self._held = _part(merged, slice(ready, None)) if ready < len(merged) else None
        return _part(merged, slice(0, ready)) if ready else None

    def flush(self) -> Frames | None:
        """What is held, at the end."""
        held, self._held = self._held, None
        return held


def _part(frames: Frames, which: slice) -> Frames:
    """Some of a batch, over the same buffer."""
    vlan = None if frames.vlan is None else frames.vlan[which]
    return replace(frames, vlan=vlan, **{name: getattr(frames, name)[which] for name in _COLUMNS})


def together(batches: Sequence[Frames]) -> Frames:
    """Batches as one in the order of time, over a buffer of its own."""
    parts, starts, total = [], [], 0
    for frames in batches:
        first, end = int(frames.offset.min()), int((frames.offset + frames.size).max())
        parts.append(memoryview(frames.buffer)[first:end])
        starts.append(total - first)
        total += end - first
    columns = {name: np.concatenate([getattr(frames, name) for frames in batches]) for name in _COLUMNS}
    columns["offset"] = np.concatenate([frames.offset + start for frames, start in zip(batches, starts, strict=True)])
    if any(frames.vlan is not None for frames in batches):
        columns["vlan"] = np.concatenate([np.full(len(frames), -1, np.int64) if frames.vlan is None else frames.vlan for frames in batches])
    order = np.argsort(columns["time"], kind="stable")
    buffer = b"".join((*parts, bytes(PAD)))
    source = "+".join(dict.fromkeys(name for frames in batches for name in frames.source.split("+")))
    return replace(batches[0], buffer=buffer, source=source, **{name: column[order] for name, column in columns.items()})


_COLUMNS = tuple(name for name in Frames.__dataclass_fields__ if name not in ("buffer", "source", "vlan"))
