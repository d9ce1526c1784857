"""Frames in, the innermost IP packets out: each layer is peeled off the whole batch at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from sniffer.capture.frames import PAD
from sniffer.decode import ip, juniper, l2tp, link, transport, tunnel, wifi  # noqa: F401  (they register their handlers)
from sniffer.decode.fragments import Fragments
from sniffer.decode.ip import PROTOCOLS, V6_PROTOCOLS
from sniffer.decode.packets import Packets
from sniffer.decode.peel import ALL, HANDLERS, LINKS, WHOLE, Kind, Peel, Rows

if TYPE_CHECKING:
    from sniffer.capture.frames import Frames

__all__ = ["Decoder"]

# Headers peeled off one frame: a tenant's VLAN in VXLAN in an operator's MPLS over QinQ makes ten.
MAX_LAYERS = 24


class Decoder:
    """Decodes batches in capture order.

    ``undecoded`` counts frames that gave no packet by reason (and what gave none of those in an 802.11 aggregate),
    ``fragments`` what became of IP fragments, ``paths`` names the encapsulations behind ``Packets.path``.
    """

    def __init__(self) -> None:
        self.undecoded: Counter[str] = Counter()
        self.paths: dict[int, tuple[str, ...]] = {0: ()}
        self._fragments = Fragments()

    @property
    def fragments(self) -> Counter[str]:
        return self._fragments.counts

    def decode(self, frames: Frames) -> Packets:
        """The packets of one batch. Frames without one are counted in ``undecoded``."""
        peel = Peel(frames, self.paths, self.undecoded)
        self._begin(peel, frames)
        for _ in range(MAX_LAYERS):
            if not self._step(peel):
                break
        else:
            peel.drop(np.flatnonzero(peel.kind > Kind.DROPPED), "nesting too deep")
        return _packets(peel, frames)

    def flush(self) -> None:
        """The capture is over."""
        self._fragments.flush()

    def _begin(self, peel: Peel, frames: Frames) -> None:
        if frames.vlan is not None:
            link.tagged(peel, frames.vlan)
        link_type = int(frames.link[0])
        if (frames.link == link_type).all():
            self._link(peel, np.arange(len(frames)), link_type)
            return
        for value in np.unique(frames.link).tolist():
            self._link(peel, np.flatnonzero(frames.link == value), value)

    def _link(self, peel: Peel, rows: Rows, link_type: int) -> None:
        kind = LINKS.get(link_type)
        if kind is None:
            peel.drop(rows, f"unsupported link type {link_type}")
        else:
            peel.kind[rows] = kind

    def _step(self, peel: Peel) -> bool:
        """Advance every unfinished packet by one header; False when there is none."""
        present = np.flatnonzero(np.bincount(peel.kind, minlength=len(Kind)))
        present = present[present > Kind.DROPPED]
        for number in present.tolist():
            rows = np.flatnonzero(peel.kind == number)
            if len(rows) == len(peel.kind) and number in WHOLE:
                rows = ALL
            if number == Kind.FRAGMENT:
                self._put_together(peel, rows)
            else:
                HANDLERS[Kind(number)](peel, rows)
        return bool(len(present))

    def _put_together(self, peel: Peel, rows: Rows) -> None:
        """Hold fragments; a datagram that became whole goes on as the packet of its last fragment."""
        whole: list[tuple[int, bytes]] = []
        for row in rows.tolist():
            version = 4 if int(peel.src_high[row]) == 0 and int(peel.src_low[row]) >> 32 == 0xFFFF else 6
            names = ("src_high", "src_low", "dst_high", "dst_low", "seq", "path")
            key = (version, *(int(getattr(peel, name)[row]) for name in names), int(peel.protocol[row]) if version == 4 else 0)
            data = bytes(peel.buffer[int(peel.at[row]) : int(peel.end[row])])
            cut = int(peel.wire_end[row]) > int(peel.end[row])
            peel.kind[row] = Kind.DROPPED
            if cut:
                self._fragments.counts["fragments cut by the snap length"] += 1
                continue
            payload = self._fragments.add(key, int(peel.ack[row]), data, more=bool(peel.flags[row]), time=int(peel.time[row]), version=version)
            if payload is not None:
                whole.append((row, payload))
        if whole:
            _append(peel, whole)


def _append(peel: Peel, whole: list[tuple[int, bytes]]) -> None:
    """Give reassembled payloads a place behind the frames, in a new buffer."""
    kept = len(peel.buffer)
    parts = [bytes(peel.buffer)]
    at = kept
    for row, payload in whole:
        parts.append(payload)
        peel.at[row], peel.end[row], peel.wire_end[row] = at, at + len(payload), at + len(payload)
        four = int(peel.src_high[row]) == 0 and int(peel.src_low[row]) >> 32 == 0xFFFF
        # In IPv6 more extension headers may follow the fragment's (RFC 8200, 4.5).
        peel.kind[row] = (PROTOCOLS if four else V6_PROTOCOLS)[int(peel.protocol[row])]
        at += len(payload)
    parts.append(bytes(PAD))
    peel.buffer = b"".join(parts)


def _packets(peel: Peel, frames: Frames) -> Packets:
    done = peel.kind == Kind.DONE
    size = np.maximum(peel.payload_end - peel.payload, 0)
    missing = np.maximum(peel.payload_wire_end - np.maximum(peel.payload_end, peel.payload), 0)
    columns = {
        "number": frames.number, "time": frames.time, "src_high": peel.src_high, "src_low": peel.src_low,
        "dst_high": peel.dst_high, "dst_low": peel.dst_low, "protocol": peel.protocol, "sport": peel.sport, "dport": peel.dport,
        "at": peel.payload, "size": size, "missing": missing, "seq": peel.seq, "ack": peel.ack, "flags": peel.flags, "path": peel.path,
    }  # fmt: skip
    if peel.frame is not None:
        columns["number"], columns["time"] = frames.number[peel.frame], peel.time
        kept = np.flatnonzero(done)
        kept = kept[np.argsort(peel.frame[kept], kind="stable")]
        columns = {name: column[kept] for name, column in columns.items()}
    elif not done.all():
        columns = {name: column[done] for name, column in columns.items()}
    return Packets(buffer=peel.buffer, source=frames.source, **columns)
