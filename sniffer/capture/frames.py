"""A batch of captured frames as columns over one buffer."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.int64]
# Memory that holds a batch's bytes.
Block = bytes | bytearray | memoryview | mmap.mmap

# Headers are gathered with fixed windows, so every buffer must reach this far past the start of its last frame's end.
PAD = 256


@dataclass(slots=True)
class Frames:
    """Captured frames in capture order, n of them. All columns are int64 of length n.

    ``buffer`` is contiguous, holds every captured byte, ends at least PAD bytes after the last frame's end, and is
    valid only until the next batch is asked for: whoever keeps bytes longer copies them.
    """

    buffer: Block
    offset: Column  # of the frame's first captured byte in the buffer
    size: Column  # captured bytes
    wire: Column  # bytes on the wire (>= size; larger where a snaplen cut the frame)
    time: Column  # nanoseconds since the epoch
    link: Column  # LINKTYPE_ value of the interface that saw the frame
    number: Column  # as Wireshark numbers it in its file, from 1
    source: str  # the capture's name, for people
    # The outermost 802.1Q tag where the kernel took it off the bytes: TPID << 16 | TCI, or -1 for none. Files: None.
    vlan: Column | None = None

    def __len__(self) -> int:
        return len(self.offset)


class Reader(Protocol):
    """A capture being read. ``problem`` is None, or after the last batch says in one line what is missing and where."""

    name: str
    problem: str | None

    def batches(self) -> Iterator[Frames]: ...

    def close(self) -> None: ...
