"""Classic pcap (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds, the header of Kuznetzov's variant."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from sniffer.capture.frames import Block, Frames
from sniffer.capture.walk import walk
from sniffer.capture.window import MAX_RECORD, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from sniffer.capture.blocks import Input

# magic as it stands in the file: (byte order, nanoseconds a unit of the second field, size of a record header)
MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}
_FILE_HEADER = 24
# Bits 28–31 of the link field tell of a frame check sequence, bit 26 that they do; bits 16–25 are reserved.
_LINK_MASK = 0xFFFF


class PcapReader:
    """Reads one classic pcap. See ``frames.Reader``."""

    format = "pcap"

    def __init__(self, source: Input) -> None:
        self.name = source.name
        self.problem: str | None = None
        self._input = source
        self.truncated = 0

    @property
    def size(self) -> int | None:
        return self._input.size

    @property
    def position(self) -> int:
        return self._input.position

    def close(self) -> None:
        self._input.close()

    def batches(self) -> Iterator[Frames]:
        """Batches in file order; afterwards ``problem`` tells of a cut or corrupt file."""
        window = Window(self._input)
        while window.end - window.start < _FILE_HEADER and window.refill(_FILE_HEADER):
            pass
        head = bytes(window.buffer[:_FILE_HEADER])
        if window.end < _FILE_HEADER:
            self.problem = f"{self.name}: cut off inside the file header ({window.end} bytes)"
            self._input.close()
            return
        order, unit, header = MAGICS[head[:4]]
        link = struct.unpack_from(f"{order}I", head, 20)[0] & _LINK_MASK
        window.advance(_FILE_HEADER)
        number = 1
        more = True
        try:
            while more:
                offsets = self._walk(window, order, header)
                if len(offsets):
                    frames = self._frames(window, offsets, order, unit, header, link, number)
                    number += len(frames)
                    yield frames
                if self.problem:
                    return
                more = window.refill()
            self._tail(window, number)
        finally:
            self._input.close()

    def _walk(self, window: Window, order: str, header: int) -> npt.NDArray[np.int64]:
        """Offsets of the whole records in the window."""
        end = window.end
        offsets, at = walk(window.buffer, window.start, end, header, order)
        # The last one may be cut by the block, or by the end of the file, or be no record at all.
        if len(offsets) and at > end:
            at = int(offsets[-1])
            offsets = offsets[:-1]
            size = struct.unpack_from(f"{order}I", window.buffer, at + 8)[0]
            if size > MAX_RECORD - header:
                self._corrupt(window, at, size)
        window.advance(at)
        return offsets

    def _corrupt(self, window: Window, at: int, size: int) -> None:
        place = window.consumed + at - window.start
        self.problem = f"{self.name}: corrupt at byte {place}: a record claims {size} bytes; what comes after it was not read"

    def _frames(self, window: Window, at: npt.NDArray[np.int64], order: str, unit: int, header: int, link: int, number: int) -> Frames:
        dtype = np.dtype([("seconds", f"{order}u4"), ("fraction", f"{order}u4"), ("size", f"{order}u4"), ("wire", f"{order}u4")])
        fields = gather(window.buffer, at, dtype)
        size = fields["size"].astype(np.int64)
        wire = np.maximum(fields["wire"].astype(np.int64), size)
        self.truncated += int(np.count_nonzero(wire > size))
        count = len(at)
        return Frames(
            buffer=window.buffer,
            offset=at + header,
            size=size,
            wire=wire,
            time=fields["seconds"].astype(np.int64) * 1_000_000_000 + fields["fraction"].astype(np.int64) * unit,
            link=np.full(count, link, np.int64),
            number=np.arange(number, number + count, dtype=np.int64),
            source=self.name,
        )

    def _tail(self, window: Window, number: int) -> None:
        left = window.end - window.start
        if self._input.damage:
            self.problem = f"{self.name}: {self._input.damage} after frame {number - 1}"
        elif left:
            self.problem = f"{self.name}: cut off at byte {window.consumed + left}, {left} bytes into frame {number}"


def gather(buffer: Block, offsets: npt.NDArray[np.int64], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """The structure at each offset, all in one call: a view with a window at every byte, indexed by the offsets."""
    size = dtype.itemsize
    windows: npt.NDArray[np.void] = np.ndarray((len(buffer) - size + 1,), f"V{size}", buffer=buffer, strides=(1,))
    return windows[offsets].view(dtype)
