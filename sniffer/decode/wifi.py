"""IEEE 802.11 data frames, also several in one (A-MSDU)."""

from __future__ import annotations

import numpy as np

from sniffer.decode.link import advance
from sniffer.decode.peel import Column, Kind, Peel, Rows, big, handles

# The largest A-MSDU (IEEE 802.11-2016, table 9-19: 11454 bytes) holds 260 TCP acknowledgements at their smallest.
MAX_SUBFRAMES = 260
# Two addresses and a length; with LLC behind them, below which nothing can be read.
_SUBFRAME, _LEAST = 14, 22

_WIFI = np.dtype([("control", "u1"), ("flags", "u1")])
_BYTE = big(("value", "u1"))
_TYPE = big(("type", "u2"))
_FOUR = big(("value", "u4"))


@handles(Kind.WIFI)
def wifi(peel: Peel, rows: Rows) -> None:
    """IEEE 802.11 data frames that are not encrypted: 24 bytes, a fourth address between two systems, QoS, HT."""
    rows = peel.room(rows, 10, "802.11 control")
    head = peel.gather(rows, _WIFI)
    control, flags = head["control"].astype(np.int64), head["flags"].astype(np.int64)
    data = ((control & 0x0C) == 0x08) & ((control & 0x40) == 0)
    kept = peel.require(rows, data, "802.11 management or control")
    control, flags = control[data], flags[data]
    clear = (flags & 0x40) == 0
    rows = peel.require(kept, clear, "encrypted 802.11")
    control, flags = control[clear], flags[clear]
    qos = (control & 0x80) != 0
    size = 24 + np.where((flags & 3) == 3, 6, 0) + np.where(qos, 2 + np.where(flags & 0x80, 4, 0), 0)
    good = peel.at[rows] + size + 8 <= peel.end[rows]
    rows, size, qos, four = peel.require(rows, good, "truncated header"), size[good], qos[good], (flags[good] & 3) == 3
    # Some drivers pad the header to four bytes: then LLC, which begins AA AA 03, stands there.
    padded = (size + 3) & ~3
    moved = ~_snap_at(peel, rows, size) & _snap_at(peel, rows, padded)
    aggregate = qos & ((peel.gather(rows, _BYTE, np.where(four, 30, 24))["value"] & 0x80) != 0)
    # Where LLC stands at once the frame is a plain one, whatever its bit says: nobody's address begins AA AA 03 00.
    aggregate &= peel.gather(rows, _FOUR, size)["value"] != 0xAAAA0300
    peel.at[rows] += np.where(moved & ~aggregate, padded, size)
    peel.kind[rows] = Kind.LLC
    _aggregate(peel, rows[aggregate])


def _snap_at(peel: Peel, rows: Rows, skip: np.ndarray) -> np.ndarray:
    """Where the header of LLC with SNAP stands behind ``skip`` bytes."""
    stands: np.ndarray = (peel.gather(rows, _TYPE, skip)["type"] == 0xAAAA) & (peel.at[rows] + skip + 8 <= peel.end[rows])
    return stands


def _aggregate(peel: Peel, rows: Rows) -> None:
    """An A-MSDU (IEEE 802.11-2016, 9.3.2.2): frames one behind the other, each but the last padded to four bytes."""
    rows = peel.room(rows, _LEAST)
    at, end, wire_end = peel.at[rows], peel.end[rows], peel.wire_end[rows]
    size = peel.gather(rows, _TYPE, 12)["type"].astype(np.int64)
    peel.end[rows] = np.minimum(end, at + _SUBFRAME + size)
    peel.wire_end[rows] = np.minimum(wire_end, at + _SUBFRAME + size)
    advance(peel, rows, _SUBFRAME, Kind.LLC)
    _further(peel, rows, at + (_SUBFRAME + size + 3 & ~3), end, wire_end)


def _further(peel: Peel, rows: Rows, at: Column, end: Column, wire_end: Column) -> None:
    """The frames of aggregates from the second on (at ``at``) become packets of their own."""
    found: list[tuple[Rows, Column, Column, Column]] = []
    for _ in range(MAX_SUBFRAMES):
        # What is shorter is a frame check sequence.
        rows, at, end, wire_end = _those(wire_end - at >= _LEAST, rows, at, end, wire_end)
        rows, at, end, wire_end = _counted(peel, end - at >= _LEAST, "802.11 aggregate cut short", rows, at, end, wire_end)
        # In a datagram put together from fragments there are no bytes of this batch: see ``Peel.more``.
        rows, at, end, wire_end = _counted(peel, at < peel.frames_end, "802.11 aggregate in fragments", rows, at, end, wire_end)
        if not len(rows):
            break
        size = peel.gather(rows, _TYPE, at - peel.at[rows] + 12)["type"].astype(np.int64)
        # A length of 0 is padding.
        rows, at, end, wire_end, size = _those(size > 0, rows, at, end, wire_end, size)
        until = at + _SUBFRAME + size
        good = (size >= _LEAST - _SUBFRAME) & (until <= wire_end)
        rows, at, end, wire_end, until = _counted(peel, good, "802.11 aggregate damaged", rows, at, end, wire_end, until)
        found.append((rows, at + _SUBFRAME, np.minimum(end, until), until))
        at = at + (until - at + 3 & ~3)
    else:
        peel.undecoded["802.11 aggregate of too many frames"] += int((wire_end - at >= _LEAST).sum())
    if sum(len(part[0]) for part in found):
        owner, start, end, until = (np.concatenate(columns) for columns in zip(*found, strict=True))
        new = peel.more(owner)
        peel.at[new], peel.end[new], peel.wire_end[new], peel.kind[new] = start, end, until, Kind.LLC


def _those(good: np.ndarray, *columns: Column) -> tuple[Column, ...]:
    return columns if good.all() else tuple(column[good] for column in columns)


def _counted(peel: Peel, good: np.ndarray, reason: str, *columns: Column) -> tuple[Column, ...]:
    """The columns where ``good``; the others, whose first frame has been read already, are counted by reason."""
    if not good.all():
        peel.undecoded[reason] += int((~good).sum())
    return _those(good, *columns)
