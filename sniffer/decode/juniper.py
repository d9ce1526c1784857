"""Juniper's capture formats (LINKTYPE_JUNIPER_*): a header of the router, a cookie of the interface card, then the frame.

The header: "MGC", flags; if they say so two bytes of length and as many of extensions. The cookie's size and meaning
depend on the card (tcpdump's print-juniper.c and Wireshark's packet-juniper.c are what there is of a description).
"""

from __future__ import annotations

import numpy as np

from sniffer.decode.link import advance
from sniffer.decode.peel import LINKS, Column, Kind, Peel, Rows, big, handles

LINKS.update(
    {
        130: Kind.JUNIPER_MLPPP, 131: Kind.JUNIPER_MLFR, 133: Kind.JUNIPER_GGSN, 134: Kind.JUNIPER_MFR, 135: Kind.JUNIPER_ATM2,
        136: Kind.JUNIPER_SERVICES, 137: Kind.JUNIPER_ATM1, 164: Kind.JUNIPER_SERVICES, 167: Kind.JUNIPER_ETHERNET, 168: Kind.JUNIPER_ETHERTYPE,
        178: Kind.JUNIPER_ETHERNET, 179: Kind.JUNIPER_PPP, 180: Kind.JUNIPER_FRAME_RELAY, 181: Kind.JUNIPER_CHDLC,
    }
)  # fmt: skip

_MAGIC = 0x4D4743
_INCOMING, _NO_LINK_LAYER, _EXTENDED = 0x01, 0x02, 0x80
# Cards that begin their cookie with one of these: it is four or eight bytes long (two more than usual, or just eight).
_LINK_SERVICES, _ADAPTIVE_SERVICES = 0x54, 0x47
# The protocols of an adaptive services cookie, in bits 4 to 6 of its sixth byte.
_COOKIE_PROTOCOLS = np.array([Kind.IPV4, Kind.IPV6, Kind.MPLS, Kind.CONTROL, *[Kind.UNKNOWN_TYPE] * 4], np.int64)
# Frames that stand right behind the header.
_PLAIN = {
    Kind.JUNIPER_ETHERNET: Kind.ETHERNET, Kind.JUNIPER_PPP: Kind.PPP, Kind.JUNIPER_CHDLC: Kind.CHDLC,
    Kind.JUNIPER_FRAME_RELAY: Kind.FRAME_RELAY, Kind.JUNIPER_ETHERTYPE: Kind.ETHERTYPE,
}  # fmt: skip

_HEAD = big(("magic", "u4"), ("extensions", "u2"))
_COOKIE = big(("bytes", "u1", (10,)))
_BYTE = big(("value", "u1"))
_TYPE = big(("type", "u2"))


def _unwrapped(peel: Peel, rows: Rows, least: int) -> Rows:
    """The rows that have a link layer and ``least`` bytes of it, stepped to it; the others go on as IP."""
    rows = peel.room(rows, 4)
    head = peel.gather(rows, _HEAD)
    flags = (head["magic"] & 0xFF).astype(np.int64)
    good = head["magic"] >> 8 == _MAGIC
    rows, flags, extensions = peel.require(rows, good, "bad juniper header"), flags[good], head["extensions"][good].astype(np.int64)
    size = 4 + np.where(flags & _EXTENDED, 2 + extensions, 0)
    bare = (flags & _NO_LINK_LAYER) != 0
    # Where the link layer was taken off, its four bytes of address family were left.
    size += np.where(bare, 4, 0)
    good = peel.at[rows] + size + np.where(bare, 1, least) <= peel.end[rows]
    rows, size, bare = peel.require(rows, good, "truncated header"), size[good], bare[good]
    advance(peel, rows, 0, np.where(bare, Kind.IP, peel.kind[rows]))
    peel.at[rows] += size
    linked: Rows = rows[~bare]
    return linked


@handles(*_PLAIN)
def plain(peel: Peel, rows: Rows) -> None:
    rows = _unwrapped(peel, rows, 1)
    kinds = peel.kind[rows]
    for mine, inner in _PLAIN.items():
        peel.kind[rows[kinds == mine]] = inner


def _cookie(peel: Peel, rows: Rows, usual: int) -> tuple[Rows, np.ndarray, Column]:
    """The rows that hold all of their cookie, the bytes there, and its size."""
    first = peel.gather(rows, _BYTE)["value"]
    size = np.where(first == _ADAPTIVE_SERVICES, 8, np.where(first == _LINK_SERVICES, usual + 2, usual)).astype(np.int64)
    good = peel.at[rows] + size < peel.end[rows]
    rows = peel.require(rows, good, "truncated header")
    return rows, peel.gather(rows, _COOKIE)["bytes"], size[good]


@handles(Kind.JUNIPER_MLPPP)
def mlppp(peel: Peel, rows: Rows) -> None:
    """Multilink PPP: an adaptive services cookie names the protocol of what follows, behind any other there is PPP."""
    rows, cookie, size = _cookie(peel, _unwrapped(peel, rows, 2), 2)
    named = cookie[:, 0] == _ADAPTIVE_SERVICES
    # A cookie of the routing engine's direction stands before PPP all the same.
    inner = np.where(named & (cookie[:, 4] != 0x0C), _COOKIE_PROTOCOLS[cookie[:, 5] >> 4 & 7], Kind.PPP)
    peel.at[rows] += size
    peel.kind[rows] = inner


@handles(Kind.JUNIPER_MLFR, Kind.JUNIPER_MFR)
def multilink_frame_relay(peel: Peel, rows: Rows) -> None:
    """Multilink frame relay (FRF.15, FRF.16): as above, behind any other cookie UI and a network protocol's id (RFC 2427)."""
    for kind, usual in ((Kind.JUNIPER_MLFR, 2), (Kind.JUNIPER_MFR, 4)):
        mine = _unwrapped(peel, rows[peel.kind[rows] == kind], 2)
        if kind == Kind.JUNIPER_MFR:
            # A member link's frame has no cookie: its first two bits say that it is a whole one or a fragment.
            mine = peel.require(mine, peel.gather(mine, _BYTE)["value"] < 0xC0, "multilink fragment")
        mine, cookie, size = _cookie(peel, mine, usual)
        named = cookie[:, 0] == _ADAPTIVE_SERVICES
        peel.at[mine] += size
        peel.kind[mine[named]] = _COOKIE_PROTOCOLS[cookie[named, 5] >> 4 & 7]
        mine = peel.room(mine[~named], 2)
        unnumbered = peel.gather(mine, _BYTE)["value"] == 0x03
        advance(peel, mine, 1, np.where(unnumbered, Kind.NLPID, Kind.UNKNOWN_TYPE))


@handles(Kind.JUNIPER_GGSN)
def ggsn(peel: Peel, rows: Rows) -> None:
    """A protocol number, 2 for IPv4 and 6 for IPv6: the third of eight bytes (tcpdump) or in the first two of four (Wireshark)."""
    rows = _unwrapped(peel, rows, 9)
    head = peel.gather(rows, _COOKIE)["bytes"]
    kinds = np.full(len(rows), Kind.UNKNOWN_TYPE, np.int64)
    size = np.zeros(len(rows), np.int64)
    for number, nibble, kind in ((2, 4, Kind.IPV4), (6, 6, Kind.IPV6)):
        for place, length in ((0, 4), (2, 8)):
            found = (head[:, place] == number) & (head[:, length] >> 4 == nibble)
            kinds[found], size[found] = kind, length
    advance(peel, rows, 0, kinds)
    peel.at[rows] += size


@handles(Kind.JUNIPER_SERVICES)
def services(peel: Peel, rows: Rows) -> None:
    """Adaptive services and monitoring cards: eight bytes, then IP."""
    rows = _unwrapped(peel, rows, 9)
    advance(peel, rows, 8, Kind.IP)


@handles(Kind.JUNIPER_ATM1, Kind.JUNIPER_ATM2)
def atm(peel: Peel, rows: Rows) -> None:
    """RFC 2684: LLC, a network protocol's id behind it or alone, or IP; cells of the link's own management have none of them."""
    for kind, size in ((Kind.JUNIPER_ATM1, 4), (Kind.JUNIPER_ATM2, 8)):
        mine = _unwrapped(peel, rows[peel.kind[rows] == kind], size + 4)
        cookie = peel.gather(mine, _COOKIE)["bytes"]
        managed = (cookie[:, 7] & 0x70) != 0 if size == 8 else cookie[:, 0] == 0x80
        peel.at[mine] += size
        first, third = peel.gather(mine, _TYPE)["type"], peel.gather(mine, _BYTE, 2)["value"]
        routed = (first == 0xFEFE) & (third == 0x03)
        cisco = first >> 8 == 0x03
        inner = np.select([managed, first == 0xAAAA, routed | cisco], [Kind.CONTROL, Kind.LLC, Kind.NLPID], Kind.IP)
        advance(peel, mine, 0, inner)
        peel.at[mine[~managed & routed]] += 3
        peel.at[mine[~managed & cisco]] += 1
