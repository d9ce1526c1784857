"""pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, many interfaces, enhanced, simple and old packets."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sniffer.capture.frames import Frames
from sniffer.capture.pcap import gather
from sniffer.capture.window import MAX_RECORD, Window

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from sniffer.capture.blocks import Input

SECTION = 0x0A0D0D0A
INTERFACE, PACKET, SIMPLE, ENHANCED = 1, 2, 3, 6
_BYTE_ORDER = b"\x4d\x3c\x2b\x1a"
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
# More than any machine has; an interface beyond it is as unknown as one that was never declared.
MAX_INTERFACES = 65536


@dataclass(slots=True)
class _Interface:
    link: int
    snaplen: int
    power: int = 6  # units a second: 10**power, or 2**power
    binary: bool = False
    offset: int = 0  # seconds


@dataclass(slots=True)
class _Section:
    order: str = "<"
    interfaces: list[_Interface] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """Offsets of the packet blocks in a window, by kind, in file order."""

    at: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)


class PcapngReader:
    """Reads one pcapng file. See ``frames.Reader``."""

    format = "pcapng"

    def __init__(self, source: Input) -> None:
        self.name = source.name
        self.problem: str | None = None
        self.truncated = 0
        self._input = source
        self._section = _Section()
        self._number = 1
        self._last_time = 0

    @property
    def size(self) -> int | None:
        return self._input.size

    @property
    def position(self) -> int:
        return self._input.position

    def close(self) -> None:
        self._input.close()

    def batches(self) -> Iterator[Frames]:
        """Batches in file order; a new section or interface ends a batch, so that each has one table of interfaces."""
        window = Window(self._input)
        try:
            while window.refill():
                while True:
                    found, again = self._walk(window)
                    if found.at and len(frames := self._frames(window, found)):
                        yield frames
                    if self.problem:
                        return
                    if not again:
                        break
            left = window.end - window.start
            if self._input.damage:
                self.problem = f"{self.name}: {self._input.damage} after frame {self._number - 1}"
            elif left:
                self.problem = f"{self.name}: cut off at byte {window.consumed + left}, {left} bytes into a block after frame {self._number - 1}"
        finally:
            self._input.close()

    def _walk(self, window: Window) -> tuple[_Found, bool]:
        """Packet blocks up to the window's end or the next declaration; whether to come again for the same window."""
        found = _Found()
        add_at, add_kind = found.at.append, found.kind.append
        header = struct.Struct(f"{self._section.order}II").unpack_from
        buffer, at, end = window.buffer, window.start, window.end
        while at + 12 <= end:
            kind, size = header(buffer, at)
            if kind == SECTION:
                if found.at:
                    window.advance(at)
                    return found, True
                if at + 28 > end:
                    break
                self._section = _Section("<" if bytes(buffer[at + 8 : at + 12]) == _BYTE_ORDER else ">")
                header = struct.Struct(f"{self._section.order}II").unpack_from
                kind, size = header(buffer, at)
                if not self._sound(window, at, size):
                    break
                if at + size > end:
                    break
            elif size < 12 or size & 3 or size > MAX_RECORD:
                self._sound(window, at, size)
                break
            elif at + size > end:
                break
            elif kind in (ENHANCED, PACKET, SIMPLE):
                add_at(at)
                add_kind(kind)
            elif kind == INTERFACE:
                if found.at:
                    window.advance(at)
                    return found, True
                self._declare(buffer, at, size)
            at += size
        window.advance(at)
        return found, False

    def _sound(self, window: Window, at: int, size: int) -> bool:
        """Whether a block's length can be; else the file is corrupt from here on."""
        if 12 <= size <= MAX_RECORD and not size & 3:
            return True
        place = window.consumed + at - window.start
        self.problem = f"{self.name}: corrupt at byte {place}, after frame {self._number - 1}: a block claims {size} bytes; what comes after it was not read"
        return False

    def _declare(self, buffer: bytearray | mmap.mmap, at: int, size: int) -> None:
        """An interface: link type, snap length, and the options that bear on time (section 4.2)."""
        order = self._section.order
        if size < 20 or len(self._section.interfaces) >= MAX_INTERFACES:
            return
        link, _, snaplen = struct.unpack_from(f"{order}HHI", buffer, at + 8)
        interface = _Interface(link, snaplen)
        place, end = at + 16, at + size - 4
        while place + 4 <= end:
            code, length = struct.unpack_from(f"{order}HH", buffer, place)
            place += 4
            if code == 0 or place + length > end:
                break
            if code == _IF_TSRESOL and length >= 1:
                interface.binary, interface.power = bool(buffer[place] & 0x80), buffer[place] & 0x7F
            elif code == _IF_TSOFFSET and length >= 8:
                interface.offset = struct.unpack_from(f"{order}q", buffer, place)[0]
            place += length + (-length & 3)
        self._section.interfaces.append(interface)

    def _frames(self, window: Window, found: _Found) -> Frames:
        """Columns of the blocks found. Packets of interfaces that nobody declared are left out, but numbered."""
        order = self._section.order
        at, kind = np.array(found.at, np.int64), np.array(found.kind, np.int64)
        dtype = np.dtype([("kind", f"{order}u4"), ("total", f"{order}u4"), ("interface", f"{order}u4"), ("high", f"{order}u4"), ("low", f"{order}u4"), ("size", f"{order}u4"), ("wire", f"{order}u4")])
        fields = gather(window.buffer, at, dtype)
        interface = fields["interface"].astype(np.int64)
        size, wire = fields["size"].astype(np.int64), fields["wire"].astype(np.int64)
        data = at + 28
        ticks = (fields["high"].astype(np.uint64) << np.uint64(32)) | fields["low"].astype(np.uint64)
        room = fields["total"].astype(np.int64) - 32
        interfaces = self._section.interfaces
        if (kind != ENHANCED).any():
            old, simple = kind == PACKET, kind == SIMPLE
            # The obsolete block has a 16-bit interface and a drop count where the enhanced one has 32 bits.
            interface = np.where(old, interface & 0xFFFF if order == "<" else interface >> 16, np.where(simple, 0, interface))
            snaplen = interfaces[0].snaplen if interfaces else 0
            original = fields["interface"].astype(np.int64)
            room = np.where(simple, fields["total"].astype(np.int64) - 16, room)
            cut = np.minimum(original, snaplen) if snaplen else original
            size = np.where(simple, np.minimum(cut, room), size)
            wire = np.where(simple, original, wire)
            data = np.where(simple, at + 12, data)
        link, time = self._times(interface, ticks, kind)
        good = (link >= 0) & (room >= 0)
        wire = np.maximum(wire, size)
        # A captured length that runs over its block: what the block holds is the packet, the rest counts as cut off.
        size = np.minimum(size, room)
        number = np.arange(self._number, self._number + len(at), dtype=np.int64)
        self._number += len(at)
        self.truncated += int(np.count_nonzero(wire > size))
        columns = [data, size, wire, time, link, number]
        if not good.all():
            columns = [c[good] for c in columns]
        offset, size, wire, time, link, number = columns
        return Frames(window.buffer, offset, size, wire, time, link, number, self.name)

    def _times(self, interface: np.ndarray, ticks: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Link type (-1 for an unknown interface) and nanoseconds of each packet, interface by interface."""
        link = np.full(len(interface), -1, np.int64)
        time = np.zeros(len(interface), np.int64)
        interfaces = self._section.interfaces
        for index in np.unique(interface).tolist():
            if index < len(interfaces):
                mine = interface == index
                link[mine] = interfaces[index].link
                time[mine] = _nanoseconds(ticks[mine], interfaces[index])
        # A simple packet block has no time: it gets that of the packet before it.
        if (kind == SIMPLE).any():
            for i in np.flatnonzero(kind == SIMPLE).tolist():
                time[i] = time[i - 1] if i else self._last_time
        if len(time):
            self._last_time = int(time[-1])
        return link, time


def _nanoseconds(ticks: np.ndarray, interface: _Interface) -> np.ndarray:
    """Timestamps of any resolution as nanoseconds; what an int64 cannot hold is 0."""
    offset = interface.offset * 1_000_000_000
    if not interface.binary and interface.power <= 9:
        scale = 10 ** (9 - interface.power)
        bounded = np.where(ticks < np.uint64((1 << 62) // scale), ticks, np.uint64(0)).astype(np.int64)
        moments: np.ndarray = bounded * scale + (offset if abs(offset) < 1 << 61 else 0)
        return moments
    units = 2**interface.power if interface.binary else 10**interface.power
    exact = [t * 1_000_000_000 // units + offset for t in ticks.tolist()]
    return np.array([t if -(1 << 62) < t < 1 << 62 else 0 for t in exact], np.int64)
