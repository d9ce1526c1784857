"""Linux AF_PACKET with a ring shared with the kernel, TPACKET_V3 (packet(7), Documentation/networking/packet_mmap.rst)."""

from __future__ import annotations

import mmap
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from sniffer.capture.device import LINKTYPE_SLL2, LINKTYPES, Device
from sniffer.capture.frames import PAD, Column, Frames
from sniffer.capture.pcap import gather
from sniffer.capture.ringsocket import BLOCK, SOL_PACKET, geometry, open_group, open_socket
from sniffer.capture.source import Counters, RingSettings
from sniffer.errors import CaptureError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BLOCK", "SOL_PACKET", "Ring", "open_group", "open_socket"]

_STATISTICS = 6

# Read at once, if that much is waiting: as large as the blocks of a file.
BATCH = 8 << 20
# How often an idle reader looks whether the interface is still there, in seconds.
LOOK_EVERY = 0.5

# struct tpacket_block_desc: words of 32 bits from the block's start.
_STATUS, _COUNT, _FIRST, _LENGTH, _SEQUENCE = 2, 3, 4, 5, 6
_USER = 1
_BLOCK_HEADER = 48
# Kept in the private area of the first block, where it outlives the process: blocks, packets and bytes read, packets
# offered and dropped, freezes.
_KEPT = struct.Struct("=6Q")

# struct tpacket3_hdr, and struct sockaddr_ll behind it.
_HEADER = np.dtype(
    [
        ("next", "u4"), ("seconds", "u4"), ("nanoseconds", "u4"), ("size", "u4"), ("wire", "u4"), ("status", "u4"), ("mac", "u2"), ("net", "u2"),
        ("hash", "u4"), ("tci", "u4"), ("tpid", "u2"), ("pad", "u2"), ("reserved", "V8"),
        ("family", "u2"), ("protocol", ">u2"), ("ifindex", "u4"), ("hatype", "u2"), ("pkttype", "u1"), ("halen", "u1"), ("address", "V8"),
    ]
)  # fmt: skip
_TCI_VALID, _TPID_VALID = 0x10, 0x40
# The LINKTYPE_ of each ARPHRD_; the header written where that is LINKTYPE_LINUX_SLL2.
_LINK = np.full(65536, LINKTYPE_SLL2, np.int64)
_LINK[list(LINKTYPES)] = list(LINKTYPES.values())
_SLL2 = np.dtype([("protocol", ">u2"), ("zero", ">u2"), ("ifindex", ">u4"), ("hatype", ">u2"), ("pkttype", "u1"), ("halen", "u1"), ("address", "V8")])


class Ring:
    """Reads the ring of a socket from ``open_socket``. See ``source.LiveSource``.

    The socket may come from another process; whoever maps it next goes on where the last reader stopped, counters and
    frame numbers too. One reader at a time. ``close`` closes this process' hold on the socket.
    """

    def __init__(self, sock: socket.socket, settings: RingSettings) -> None:
        self.name = settings.interface
        self.problem: str | None = None
        self._sock = sock
        self._device = Device.perhaps(settings.interface)
        self._blocks = geometry(settings.ring_bytes)
        try:
            self._map = mmap.mmap(sock.fileno(), BLOCK * self._blocks, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError) as error:
            raise CaptureError(f"{self.name}: its ring cannot be mapped: {error}") from None
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("I")
        self._buffer = bytearray(BATCH + BLOCK + PAD)
        self._into = memoryview(self._buffer)
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN | select.POLLERR)
        self._fence = threading.Lock()
        self._fence.acquire()
        self._looked = 0.0
        self._resume()

    def _resume(self) -> None:
        kept = _KEPT.unpack_from(self._map, _BLOCK_HEADER)
        self._read, self._packets, self._wire, self._offered, self._dropped, self._freezes = kept
        last = (self._read - 1) % self._blocks
        at = last * BLOCK // 4
        # The reader before may have ended between taking a block and giving it back. Blocks are numbered from 1.
        if self._read and self._words[at + _STATUS] & _USER and self._words[at + _SEQUENCE] == self._read & 0xFFFF_FFFF:
            self._words[at + _STATUS] = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self, wait: float) -> Frames | None:
        """All blocks that are ready, up to BATCH bytes; waits up to ``wait`` seconds for the first."""
        deadline = time.monotonic() + wait
        while not self._ready():
            left = deadline - time.monotonic()
            events = self._poll.poll(max(left, 0) * 1000)
            if events and events[0][1] & select.POLLERR:
                # Taken, so that the next wait is one again.
                self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                self._look()
            if left <= 0 and not self._ready():
                self._glance()
                return None
        if self.problem:
            self._look()
        return self._take()

    def _ready(self) -> bool:
        return bool(self._words[self._read % self._blocks * (BLOCK // 4) + _STATUS] & _USER)

    def _take(self) -> Frames:
        """Copy the blocks out and give each back at once."""
        step = struct.Struct("=I").unpack_from
        words, buffer = self._words, self._buffer
        offsets: list[int] = []
        append = offsets.append
        end, before = 0, self._packets
        while end <= BATCH and self._ready():
            block = self._read % self._blocks
            word = block * (BLOCK // 4)
            first, length = words[word + _FIRST], words[word + _LENGTH]
            at = end
            end += max(length - first, 0)
            self._into[at:end] = self._bytes[block * BLOCK + first : block * BLOCK + max(length, first)]
            count = words[word + _COUNT]
            for _ in range(count):
                append(at)
                at += step(buffer, at)[0]
            self._packets += count
            self._give_back(word)
            end = (end + 7) & ~7
        return self._frames(np.array(offsets, np.int64), before)

    def _give_back(self, word: int) -> None:
        self._read += 1
        self._keep()
        # A release and an acquire: on processors that reorder, the copy is finished before the kernel may write again.
        self._fence.release()
        self._fence.acquire()
        self._words[word + _STATUS] = 0

    def _keep(self) -> None:
        """Bytes are those of the batches before, the rest is as it is."""
        _KEPT.pack_into(self._map, _BLOCK_HEADER, self._read, self._packets, self._wire, self._offered, self._dropped, self._freezes)

    def _frames(self, at: Column, before: int) -> Frames:
        """Columns of the packets at these offsets; ``before`` were read earlier."""
        header = gather(self._buffer, at, _HEADER)
        size, wire = header["size"].astype(np.int64), header["wire"].astype(np.int64)
        offset = at + header["mac"]
        count = len(at)
        number = np.arange(before + 1, before + count + 1, dtype=np.int64)
        self._wire += int(wire.sum())
        # By packet, for ``any`` has devices of all kinds.
        link = _LINK[header["hatype"]]
        cooked = np.flatnonzero(link == LINKTYPE_SLL2)
        if len(cooked):
            self._cook(header, at, cooked, offset, size, wire)
        moments = header["seconds"].astype(np.int64) * 1_000_000_000 + header["nanoseconds"]
        return Frames(self._buffer, offset, size, wire, moments, link, number, self.name, _tags(header))

    def _cook(self, header: npt.NDArray[np.void], at: Column, rows: Column, offset: Column, size: Column, wire: Column) -> None:
        """Give packets a cooked link header in place of theirs, which nobody knows: into the room that is left before them."""
        head = header[rows]
        cooked = np.zeros(len(rows), _SLL2)
        for name in ("protocol", "ifindex", "hatype", "pkttype", "halen", "address"):
            cooked[name] = head[name]
        room = _SLL2.itemsize
        windows: npt.NDArray[np.void] = np.ndarray((len(self._buffer) - room + 1,), f"V{room}", buffer=self._buffer, strides=(1,))
        start = at[rows] + head["net"] - room
        windows[start] = cooked.view(f"V{room}")
        more = offset[rows] - start
        offset[rows] = start
        size[rows] += more
        wire[rows] += more

    def counters(self) -> Counters:
        """Exact, whoever read the ring before: nobody but its readers may ask the kernel for them (asking resets them)."""
        offered, dropped, freezes = struct.unpack("=3I", self._sock.getsockopt(SOL_PACKET, _STATISTICS, 12))
        self._offered += offered
        self._dropped += dropped
        self._freezes += freezes
        self._keep()
        return Counters(self._packets, self._wire, self._dropped, self._freezes)

    @property
    def offered(self) -> int:
        """Packets that passed the filter, as of the last ``counters``: read, dropped, or still in the ring."""
        return int(self._offered)

    @property
    def fill(self) -> float:
        """The share of the ring that waits to be read: near 1 the kernel is about to drop."""
        step, first = BLOCK // 4, _STATUS
        return sum(self._words[at * step + first] & _USER for at in range(self._blocks)) / self._blocks

    def _glance(self) -> None:
        """Look at the interface, but not at every empty read."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        self.problem = self._device.problem(self._sock)

    def close(self) -> None:
        for view in (self._words, self._bytes):
            view.release()
        self._map.close()
        self._sock.close()


def _tags(header: npt.NDArray[np.void]) -> Column | None:
    """The tag that the kernel took off the bytes: see ``Frames.vlan``."""
    tagged = header["status"] & _TCI_VALID != 0
    if not tagged.any():
        return None
    tpid = np.where(header["status"] & _TPID_VALID != 0, header["tpid"], 0x8100).astype(np.int64)
    tags: Column = np.where(tagged, tpid << 16 | header["tci"], -1)
    return tags
