"""Packets made by hand, and a protocol that writes down all it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sniffer.channels import Ended
from sniffer.decode.packets import TCP, Packets
from sniffer.dissectors import Match, Spec
from sniffer.events import Event, Side
from sniffer.flows.engine import Engine
from sniffer.flows.flow import Flow
from sniffer.flows.table import Table
from sniffer.flows.tracker import Tracker

FIN, SYN, RST, ACK = 1, 2, 4, 16
MAPPED = 0xFFFF << 32


@dataclass(frozen=True)
class Segment:
    side: int
    seq: int
    data: bytes = b""
    flags: int = ACK
    ack: int = 0
    missing: int = 0
    port: int = 40000
    time: int | None = None
    protocol: int = TCP


def packets(segments: Sequence[Segment], first: int = 1, start: int = 1_000_000_000) -> Packets:
    """One batch; packets are a millisecond apart unless a segment names its time."""
    n = len(segments)
    data = b"".join(s.data for s in segments) + bytes(256)
    sizes = np.array([len(s.data) for s in segments], np.int64)
    at = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)[:-1])) if n else np.zeros(0, np.int64)
    side = np.array([s.side for s in segments], np.int64)
    ports = np.array([s.port for s in segments], np.int64)
    ends = np.array([MAPPED | 0x0A000001, MAPPED | 0x0A000002], np.uint64)

    def column(values: list[int]) -> np.ndarray:
        return np.array(values, np.int64)

    return Packets(
        buffer=data,
        number=np.arange(first, first + n, dtype=np.int64),
        time=column([s.time if s.time is not None else start + i * 1_000_000 for i, s in enumerate(segments)]),
        source="lab",
        src_high=np.zeros(n, np.uint64),
        src_low=ends[side],
        dst_high=np.zeros(n, np.uint64),
        dst_low=ends[1 - side],
        protocol=column([s.protocol for s in segments]),
        sport=np.where(side == 0, ports, 9999),
        dport=np.where(side == 0, 9999, ports),
        at=at,
        size=sizes,
        missing=column([s.missing for s in segments]),
        seq=column([s.seq & 0xFFFFFFFF for s in segments]),
        ack=column([s.ack & 0xFFFFFFFF for s in segments]),
        flags=column([s.flags for s in segments]),
        path=np.zeros(n, np.uint64),
    )


class Recorder:
    """Writes down turns; neighbouring bytes of one side are one entry, so that cutting does not show."""

    def __init__(self, log: list[tuple]) -> None:
        self.log = log

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        if self.log and self.log[-1][0] == int(side) and isinstance(self.log[-1][2], bytes):
            who, start, before = self.log[-1]
            if start + len(before) == offset:
                self.log[-1] = (who, start, before + data)
                return ()
        self.log.append((int(side), offset, data))
        return ()

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        self.log.append((int(side), offset, size))
        return ()

    def close(self) -> Sequence[Event]:
        self.log.append(("close",))
        return ()


class Lab:
    """A tracker whose only protocol is the recorder. ``logs`` has one list a flow, in order of opening."""

    def __init__(self, *, columns: bool = True) -> None:
        self.logs: list[list[tuple]] = []
        self.ended: list[Ended] = []
        self.flows: list[Flow | None] = []
        self.table = Table()
        spec = Spec(name="lab", title="lab", ports=(9999,), probe=lambda c, s: Match.YES, stream=self._dissector, datagram=self._dissector)
        self.engine = Engine(self.table, lambda flow, event: None, strict=True, specs=(spec,))
        self.tracker = Tracker(self.table, self.engine, columns=columns)
        self.tracker.on_end = self._end
        self._number = 1

    def _dissector(self) -> Recorder:
        self.logs.append([])
        return Recorder(self.logs[-1])

    def _end(self, ended: Ended, flow: Flow | None) -> None:
        self.ended.append(ended)
        self.flows.append(flow)

    def run(self, segments: Sequence[Segment], batches: Sequence[int] = ()) -> Lab:
        """Feed segments cut into batches of the sizes given, then finish."""
        at = 0
        for size in [*batches, len(segments)]:
            part = segments[at : at + size]
            if part:
                self.tracker.feed(packets(part, at + 1, 1_000_000_000 + at * 1_000_000))
            at += size
        self.tracker.finish()
        return self


def said(log: list[tuple], side: int) -> bytes:
    """All bytes of a side in the order delivered, gaps as question marks."""
    return b"".join(e[2] if isinstance(e[2], bytes) else b"?" * e[2] for e in log if e[0] == side)
