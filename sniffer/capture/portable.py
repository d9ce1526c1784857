"""Capture where there is no AF_PACKET, by scapy: slower, and the only file that imports it (GPL-2.0, see pyproject)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from sniffer.capture.frames import PAD, Frames
from sniffer.capture.source import ANY, Counters, RingSettings
from sniffer.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Packets that make a batch: scapy gives them one by one, and no more than this wait for the next.
BATCH = 4096
# Seconds that a batch may take to fill while packets keep coming.
GATHER = 0.05
_EN10MB = 1


class Portable:
    """Reads an interface through scapy's socket for this system. See ``source.LiveSource``.

    ``dropped`` counts only what the system tells (BSD's bpf); elsewhere it stays 0 and losses show as gaps.
    """

    def __init__(self, settings: RingSettings) -> None:
        import scapy.arch
        import scapy.layers.l2  # noqa: F401  (both fill in ``conf``)
        from scapy.config import conf
        from scapy.error import Scapy_Exception

        self.name = settings.interface
        self.problem: str | None = None
        self._settings = settings
        self._counters = Counters()
        interface = None if settings.interface == ANY else settings.interface
        try:
            self._sock: Any = conf.L2listen(iface=interface, filter=settings.filter or None, promisc=settings.promiscuous)
        except PermissionError:
            raise CaptureError(f"{self.name}: no permission to capture: run it as an administrator") from None
        except Scapy_Exception as error:
            if settings.filter and "filter" in str(error).lower():
                raise UsageError(f"filter: not understood: {settings.filter!r}") from None
            raise CaptureError(f"{self.name}: cannot be watched: {error}") from None
        except (OSError, ValueError) as error:
            raise CaptureError(f"{self.name}: cannot be watched: {getattr(error, 'strerror', None) or error}") from None
        self._types = conf.l2types

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def read(self, wait: float) -> Frames | None:
        """What comes within ``wait`` seconds; after the first packet it waits no longer than GATHER for more."""
        packets: list[tuple[int, int, bytes]] = []
        deadline = time.monotonic() + wait
        while len(packets) < BATCH and self._select(deadline):
            packet = self._receive()
            if packet is not None:
                if not packets:
                    deadline = min(deadline, time.monotonic() + GATHER)
                packets.append(packet)
            if self.problem:
                break
        return self._frames(packets) if packets else None

    def _select(self, deadline: float) -> bool:
        try:
            return bool(self._sock.select([self._sock], max(deadline - time.monotonic(), 0)))
        except (OSError, ValueError) as error:
            self.problem = f"{self.name}: {error}"
            time.sleep(max(0.0, deadline - time.monotonic()))  # as long as a quiet link would keep us
            return False

    def _receive(self) -> tuple[int, int, bytes] | None:
        """Link type, time in nanoseconds and bytes of one packet."""
        try:
            layer, data, moment = self._sock.recv_raw(self._settings.snaplen)
        except OSError as error:
            self.problem = f"{self.name}: {error.strerror or error}"
            return None
        self.problem = None
        if data is None:
            return None
        link = self._types.layer2num.get(layer, _EN10MB)
        return link, time.time_ns() if moment is None else int(moment * 1_000_000_000), data

    def _frames(self, packets: Sequence[tuple[int, int, bytes]]) -> Frames:
        size = np.array([len(data) for _, _, data in packets], np.int64)
        before, count = self._counters.packets, len(packets)
        self._counters.packets += count
        self._counters.bytes += int(size.sum())
        return Frames(
            buffer=b"".join([*(data for _, _, data in packets), bytes(PAD)]),
            offset=np.cumsum(size) - size,
            size=size,
            wire=size.copy(),
            time=np.array([moment for _, moment, _ in packets], np.int64),
            link=np.array([link for link, _, _ in packets], np.int64),
            number=np.arange(before + 1, before + count + 1, dtype=np.int64),
            source=self.name,
        )

    def counters(self) -> Counters:
        stats = getattr(self._sock, "get_stats", None)
        if stats is not None:
            _, dropped = stats()
            self._counters.dropped = int(dropped or 0)
        return Counters(self._counters.packets, self._counters.bytes, self._counters.dropped, 0)

    def close(self) -> None:
        self._sock.close()
