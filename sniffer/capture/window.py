"""A buffer over a capture: filled block by block, the record that a block cuts carried over to the next.

It is used again for every block, or where several processes read, each block gets the place that is free next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.capture.frames import PAD

if TYPE_CHECKING:
    import mmap

    from sniffer.capture.blocks import Input

# Large enough that the cost of a batch in NumPy calls is spread over some ten thousand packets, small enough that the
# headers just walked are still in the cache when they are gathered.
BLOCK = 8 << 20
# No record is longer: four times what Wireshark takes for the largest packets of any link type.
MAX_RECORD = 1 << 20
SIZE = BLOCK + MAX_RECORD + PAD


class Window:
    """``buffer[start:end]`` is what was read and not consumed. PAD bytes past the end may be looked at."""

    __slots__ = ("_input", "_view", "buffer", "consumed", "end", "start")

    def __init__(self, source: Input) -> None:
        self._input = source
        self.buffer: bytearray | mmap.mmap = bytearray(SIZE) if source.place is None else source.place()
        self._view = memoryview(self.buffer)
        self.start = self.end = 0
        self.consumed = 0  # bytes of the (decompressed) capture before ``start``

    def advance(self, to: int) -> None:
        """Everything before buffer offset ``to`` is done with."""
        self.consumed += to - self.start
        self.start = to

    def refill(self, need: int = 0) -> bool:
        """Read more; False at the end of the capture. Waits for ``need`` bytes, else gives what one read brings."""
        left = self.end - self.start
        kept = bytes(self._view[self.start : self.end])
        if self._input.place is not None and self.end:
            self.buffer = self._input.place()
            self._view = memoryview(self.buffer)
        self._view[:left] = kept
        self.start, self.end = 0, left
        got = 0
        limit = BLOCK + MAX_RECORD
        while self.end < limit:
            count = self._input.readinto(self._view[self.end : min(limit, self.end + BLOCK)])
            if not count:
                break
            got += count
            self.end += count
            # A regular file fills the block; a pipe gives what it has, and that is handed on at once.
            if got >= need and (got >= BLOCK // 2 or not self._input.plentiful):
                break
        return got > 0
