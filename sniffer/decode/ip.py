"""IPv4 (RFC 791) and IPv6 (RFC 8200) with extension headers."""

from __future__ import annotations

import numpy as np

from sniffer.decode.peel import Kind, Peel, Rows, big, handles

_V4 = big(("version", "u1"), ("tos", "u1"), ("length", "u2"), ("id", "u2"), ("fragment", "u2"), ("ttl", "u1"), ("protocol", "u1"), ("sum", "u2"), ("src", "u4"), ("dst", "u4"))
_V6 = big(("version", "u1"), ("flow", "V3"), ("length", "u2"), ("next", "u1"), ("hops", "u1"), ("src_high", "u8"), ("src_low", "u8"), ("dst_high", "u8"), ("dst_low", "u8"))
_EXTENSION = big(("next", "u1"), ("length", "u1"), ("fragment", "u2"), ("id", "u4"))
_NIBBLE = big(("value", "u1"))
_MAPPED = np.uint64(0xFFFF << 32)
_MORE_OR_OFFSET = 0x3FFF

_AH, _FRAGMENT, _NONE = 51, 44, 59
_PROTOCOLS = {6: Kind.TCP, 17: Kind.UDP, 136: Kind.UDP, 132: Kind.PORTS, 33: Kind.PORTS, 47: Kind.GRE, 4: Kind.IPV4, 41: Kind.IPV6, 137: Kind.MPLS, 143: Kind.ETHERNET, 97: Kind.ETHERNET, 115: Kind.L2TP3}
PROTOCOLS = np.full(256, Kind.PLAIN, np.int64)
PROTOCOLS[list(_PROTOCOLS)] = list(_PROTOCOLS.values())
V6_PROTOCOLS = PROTOCOLS.copy()
V6_PROTOCOLS[[0, 43, 44, 51, 60, 135, 139, 140]] = Kind.IPV6_EXTENSION
# AH stands before the transport in IPv4 too (RFC 4302).
PROTOCOLS[_AH] = Kind.IPV6_EXTENSION
# Which inner packet is a tunnel worth naming, by the protocol number that announced it.
_TUNNELS = ((4, Kind.IPV4, "ipip"), (41, Kind.IPV6, "6in4"))


@handles(Kind.IP)
def ip(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 1)
    nibble = peel.gather(rows, _NIBBLE)["value"] >> 4
    peel.kind[rows] = np.where(nibble == 4, Kind.IPV4, np.where(nibble == 6, Kind.IPV6, Kind.UNKNOWN_TYPE))


@handles(Kind.IPV4, whole=True)
def ipv4(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 20)
    head = peel.gather(rows, _V4)
    size = (head["version"] & 15).astype(np.int64) << 2
    total = head["length"].astype(np.int64)
    at = peel.at[rows]
    # Offload leaves the length 0 in frames larger than 64 KiB: then the frame's own length counts.
    total = np.where(total == 0, peel.wire_end[rows] - at, total)
    good = ((head["version"] >> 4) == 4) & (size >= 20) & (total >= size) & (at + size <= peel.end[rows])
    if not good.all():
        rows = peel.numbers(rows)
        peel.drop(rows[~good], "bad ip header")
        rows, head, size, total, at = rows[good], head[good], size[good], total[good], at[good]
    protocol = head["protocol"]
    _name_tunnels(peel, rows)
    peel.wire_end[rows] = np.minimum(peel.wire_end[rows], at + total)
    peel.end[rows] = np.minimum(peel.end[rows], at + total)
    peel.src_high[rows] = peel.dst_high[rows] = 0
    peel.src_low[rows] = head["src"] | _MAPPED
    peel.dst_low[rows] = head["dst"] | _MAPPED
    peel.protocol[rows] = protocol
    part = (head["fragment"] & _MORE_OR_OFFSET) != 0
    kinds = PROTOCOLS[protocol]
    if part.any():
        rows = peel.numbers(rows)
        kinds[part] = Kind.FRAGMENT
        peel.seq[rows[part]] = head["id"][part]
        peel.ack[rows[part]] = (head["fragment"][part].astype(np.int64) & 0x1FFF) << 3
        peel.flags[rows[part]] = head["fragment"][part] & 0x2000
    peel.at[rows] = at + size
    peel.kind[rows] = kinds


def _name_tunnels(peel: Peel, rows: Rows) -> None:
    """An IP packet announced by another: the outer protocol number is still in the column."""
    outer = peel.protocol[rows]
    if not outer.any():
        return
    rows = peel.numbers(rows)
    for number, _, name in _TUNNELS:
        peel.label(rows[outer == number], name)


@handles(Kind.IPV6)
def ipv6(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 40)
    head = peel.gather(rows, _V6)
    good = (head["version"] >> 4) == 6
    rows = peel.require(rows, good, "bad ip header")
    head = head[good]
    _name_tunnels(peel, rows)
    at, length = peel.at[rows], head["length"].astype(np.int64)
    # Length 0 is a jumbogram (RFC 2675) or offload: the frame's own length counts.
    end = np.where(length == 0, peel.wire_end[rows], at + 40 + length)
    peel.wire_end[rows] = np.minimum(peel.wire_end[rows], end)
    peel.end[rows] = np.minimum(peel.end[rows], end)
    for name in ("src_high", "src_low", "dst_high", "dst_low"):
        getattr(peel, name)[rows] = head[name]
    peel.protocol[rows] = head["next"]
    peel.at[rows] = at + 40
    peel.kind[rows] = V6_PROTOCOLS[head["next"]]


@handles(Kind.IPV6_EXTENSION)
def extension(peel: Peel, rows: Rows) -> None:
    """One extension header: its own length in units of 8 bytes (4 for AH), the fragment header's fixed at 8."""
    rows = peel.room(rows, 8)
    head = peel.gather(rows, _EXTENSION)
    mine = peel.protocol[rows]
    length = head["length"].astype(np.int64)
    size = np.where(mine == _AH, (length + 2) * 4, np.where(mine == _FRAGMENT, 8, (length + 1) * 8))
    good = peel.at[rows] + size <= peel.end[rows]
    rows, head, mine, size = peel.require(rows, good, "truncated header"), head[good], mine[good], size[good]
    fragment = head["fragment"].astype(np.int64)
    part = (mine == _FRAGMENT) & ((fragment & 0xFFF9) != 0)
    kinds = V6_PROTOCOLS[head["next"]]
    kinds[head["next"] == _NONE] = Kind.PLAIN
    kinds[part] = Kind.FRAGMENT
    peel.seq[rows[part]] = head["id"][part]
    peel.ack[rows[part]] = fragment[part] & 0xFFF8
    peel.flags[rows[part]] = (fragment[part] & 1) << 13
    peel.protocol[rows] = head["next"]
    peel.at[rows] += size
    peel.kind[rows] = kinds
