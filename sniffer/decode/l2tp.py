"""L2TP: version 2 (RFC 2661) over UDP, version 3 (RFC 3931) over UDP and IP."""

from __future__ import annotations

import numpy as np

from sniffer.decode.link import ETHERTYPES, advance
from sniffer.decode.peel import Kind, Peel, Rows, big, handles

# A session has an id of its own in either direction (RFC 2661, 3.1; RFC 3931, 4.1): in the path it would tear
# conversations apart.
_NAME = "l2tp"
# What the PPP of a version 2 session begins with: address and control, IPv4, IPv6, or the link's own protocols.
_PPP_STARTS = (b"\xff\x03", b"\x00\x21", b"\x00\x57", b"\xc0\x21", b"\xc0\x23", b"\xc2\x23", b"\x80\x21", b"\x80\x57")

# Where a version 3 session's frame may begin behind the session id: a cookie of 0, 4 or 8 bytes, then none or four of
# a sublayer. Both ends agreed on it when the session began; the packet says nothing of it (RFC 3931, 4.1).
_PLACES = (0, 4, 8, 12)
# What follows the addresses of the shortest Ethernet frame, padding included.
_SHORTEST = 46
_VLAN = 0x8100
_ARP = (0x0001, 0x0800, 0x0604)

_V3 = big(("flags", "u2"), ("reserved", "u2"), ("session", "u4"))
_ID = big(("session", "u4"))
_TYPE = big(("type", "u2"))
_INNER = big(("first", "u1"), ("tos", "u1"), ("v4_length", "u2"), ("v6_length", "u2"))
_WORDS = big(("word", "u2", (10,)))
_ARP_HEAD = big(("hardware", "u2"), ("protocol", "u2"), ("sizes", "u2"))


@handles(Kind.L2TP)
def l2tp(peel: Peel, rows: Rows) -> None:
    """A datagram of L2TP's port. Data messages of version 3 have an empty first word but for the version (RFC 3931, 4.1.2.1)."""
    head = peel.gather(rows, _V3)
    third = (head["flags"] == 3) & (head["reserved"] == 0) & (head["session"] != 0) & (peel.end[rows] - peel.at[rows] >= 8)
    _version_2(peel, rows[~third])
    advance(peel, rows[third], 4, Kind.L2TP3)


def _version_2(peel: Peel, rows: Rows) -> None:
    """L2TPv2 data messages (RFC 2661, 3.1): fields that the flags announce, then PPP. Control messages stay what they are."""
    for row in rows.tolist():
        at, end = int(peel.at[row]), int(peel.end[row])
        head = bytes(peel.buffer[at : min(end, at + 16)])
        flags = int.from_bytes(head[:2], "big")
        size = 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0) + (2 if flags & 0x0200 else 0)
        good = len(head) >= 8 and flags & 0x800F == 2 and not flags & 0x34F0
        if good and flags & 0x0200:
            size += int.from_bytes(head[size - 2 : size], "big")
        framed = good and at + size + 4 <= end and bytes(peel.buffer[at + size : at + size + 2]) in _PPP_STARTS
        peel.kind[row] = Kind.PPP if framed else Kind.DONE
        if framed:
            peel.at[row] = at + size
            peel.label(np.array([row]), _NAME)


@handles(Kind.L2TP3)
def l2tp3(peel: Peel, rows: Rows) -> None:
    """A session id, then a frame at one of few places: where a header announces an IP packet that fills the rest.

    Session 0 is the control connection (RFC 3931, 4.1.1.2); it stays what it is.
    """
    rows = peel.room(rows, 4)
    control = peel.gather(rows, _ID)["session"] == 0
    peel.kind[rows[control]] = Kind.PLAIN
    rows = rows[~control]
    peel.at[rows] += 4
    for skip in _PLACES:
        if not len(rows):
            return
        kinds = _frame(peel, rows, skip)
        known = kinds != Kind.DONE
        peel.label(rows[known], _NAME)
        advance(peel, rows[known], skip, kinds[known])
        rows = rows[~known]
    peel.drop(rows, "l2tpv3 of an unknown kind")


def _frame(peel: Peel, rows: Rows, skip: int) -> np.ndarray:
    """What frame begins ``skip`` bytes on, DONE for none: Ethernet with up to two tags, PPP, HDLC (RFC 4719, 3931, 4349), or IP."""
    kinds = np.full(len(rows), Kind.DONE, np.int64)
    first = peel.gather(rows, _TYPE, skip)["type"]
    kinds[_bare(peel, rows, skip)] = Kind.IP
    kinds[((first == 0x0F00) | (first == 0x8F00)) & _announced(peel, rows, skip + 2)] = Kind.CHDLC
    kinds[(first == 0xFF03) & _announced(peel, rows, skip + 2, 0x0021, 0x0057)] = Kind.PPP
    kinds[_announced(peel, rows, skip, 0x0021, 0x0057)] = Kind.PPP
    tagged = np.ones(len(rows), np.bool_)
    for tags in (0, 4, 8):
        kinds[tagged & (_announced(peel, rows, skip + 12 + tags) | _arp(peel, rows, skip + 12 + tags))] = Kind.ETHERNET
        tagged &= ETHERTYPES[peel.gather(rows, _TYPE, skip + 12 + tags)["type"]] == ETHERTYPES[_VLAN]
    return kinds


def _announced(peel: Peel, rows: Rows, skip: int, four: int = 0x0800, six: int = 0x86DD) -> np.ndarray:
    """Whether a type stands ``skip`` bytes on, and behind it the packet it names."""
    name = peel.gather(rows, _TYPE, skip)["type"]
    is_four, is_six = _filling(peel, rows, skip + 2)
    found: np.ndarray = (name == four) & is_four | (name == six) & is_six
    return found


def _filling(peel: Peel, rows: Rows, skip: int) -> tuple[np.ndarray, np.ndarray]:
    """Where an IPv4 and where an IPv6 packet begins ``skip`` bytes on that takes all there is, but for Ethernet's padding."""
    head = peel.gather(rows, _INNER, skip)
    version, left = head["first"] >> 4, peel.wire_end[rows] - peel.at[rows] - skip
    seen = peel.end[rows] - peel.at[rows] - skip
    size = np.where(version == 4, head["v4_length"], head["v6_length"].astype(np.int64) + 40)
    whole = (size == left) | (size < left) & (left <= _SHORTEST)
    return whole & (head["first"] >= 0x45) & (version == 4) & (size >= 20) & (seen >= 20), whole & (version == 6) & (seen >= 40)


def _bare(peel: Peel, rows: Rows, skip: int) -> np.ndarray:
    """Nothing announces this one: of IPv4 the checksum must be right, of IPv6 the upper protocol a usual one."""
    is_four, is_six = _filling(peel, rows, skip)
    total = peel.gather(rows, _WORDS, skip)["word"].astype(np.int64).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    usual = np.isin(peel.gather(rows, _TYPE, skip + 6)["type"] >> 8, (6, 17, 58))
    plain = peel.gather(rows, _TYPE, skip)["type"] >> 8 == 0x45
    found: np.ndarray = is_four & plain & (total == 0xFFFF) | is_six & usual
    return found


def _arp(peel: Peel, rows: Rows, skip: int) -> np.ndarray:
    head = peel.gather(rows, _ARP_HEAD, skip + 2)
    found: np.ndarray = peel.gather(rows, _TYPE, skip)["type"] == 0x0806
    for name, value in zip(("hardware", "protocol", "sizes"), _ARP, strict=True):
        found &= head[name] == value
    return found & (peel.end[rows] - peel.at[rows] - skip >= 30)
