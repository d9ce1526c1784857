"""Link layers: Ethernet and its tags, PPP, frame relay, Linux cooked, BSD loopback, FDDI, token ring, Apple's and OpenBSD's taps (IEEE 802.3, 802.1Q; RFC 1661, 2427, 2516, 3032)."""

from __future__ import annotations

import numpy as np

from sniffer.decode.peel import LINKS, REASONS, Kind, Peel, Rows, big, handles

# LINKTYPE_ values of tcpdump.org and the OpenBSD and NetBSD numbers still met for raw IP.
LINKS.update(
    {
        0: Kind.NULL, 1: Kind.ETHERNET, 9: Kind.PPP, 12: Kind.IP, 14: Kind.IP, 50: Kind.PPP_HDLC, 51: Kind.PPPOE, 101: Kind.IP, 104: Kind.CHDLC,
        105: Kind.WIFI, 108: Kind.LOOP, 113: Kind.SLL, 119: Kind.PRISM, 127: Kind.RADIOTAP, 163: Kind.AVS, 192: Kind.PPI,
        228: Kind.IPV4, 229: Kind.IPV6, 239: Kind.NFLOG, 276: Kind.SLL2,
        8: Kind.SLIP, 107: Kind.FRAME_RELAY, 204: Kind.PPP_DIRECTION, 281: Kind.BROADCOM_TAG,
        6: Kind.TOKEN_RING, 10: Kind.FDDI, 100: Kind.LLC, 109: Kind.ENC, 117: Kind.PFLOG, 149: Kind.PKTAP, 258: Kind.PKTAP,
    }
)  # fmt: skip

_ETHERTYPES = {
    0x0800: Kind.IPV4, 0x86DD: Kind.IPV6, 0x8100: Kind.VLAN, 0x88A8: Kind.VLAN, 0x9100: Kind.VLAN, 0x9200: Kind.VLAN,
    0x8847: Kind.MPLS, 0x8848: Kind.MPLS, 0x8864: Kind.PPPOE, 0x880B: Kind.PPP, 0x894F: Kind.NSH, 0x88E7: Kind.PBB, 0x8909: Kind.TAG6, 0x6558: Kind.ETHERNET,
    0x88BE: Kind.ERSPAN2, 0x22EB: Kind.ERSPAN3, 0x883E: Kind.WCCP, 0x8903: Kind.FABRICPATH, 0x8926: Kind.TAG4, 0x892F: Kind.TAG4, 0xF1C1: Kind.TAG4, 0x893F: Kind.TAG6,
    0x0806: Kind.ARP, 0x8035: Kind.ARP, 0x88CC: Kind.LLDP, 0x8863: Kind.CONTROL, 0x888E: Kind.CONTROL, 0x8809: Kind.CONTROL, 0x9000: Kind.CONTROL,
    0x6001: Kind.CONTROL, 0x6002: Kind.CONTROL, 0x8899: Kind.CONTROL, 0x893A: Kind.CONTROL, 0x88E5: Kind.CONTROL, 0x88F7: Kind.CONTROL,
}  # fmt: skip
_PPP_PROTOCOLS = {0x0021: Kind.IPV4, 0x0057: Kind.IPV6, 0x0281: Kind.MPLS, 0x0283: Kind.MPLS}
_NFLOG_PAYLOAD = 9
# Network protocols by their id (ISO/IEC TR 9577; RFC 2427; RFC 1973 for PPP). 0x08 and 0x81 to 0x83 are Q.933, ISO's own routing.
_NLPIDS = {0xCC: Kind.IPV4, 0x8E: Kind.IPV6, 0xCF: Kind.PPP, 0x08: Kind.CONTROL, 0x81: Kind.CONTROL, 0x82: Kind.CONTROL, 0x83: Kind.CONTROL}
_AVS_MAGIC = 0x01102180  # 80 21 10 01, read the other way round
_FAMILIES = {2: Kind.IPV4, 10: Kind.IPV6, 23: Kind.IPV6, 24: Kind.IPV6, 28: Kind.IPV6, 30: Kind.IPV6}


def _table(known: dict[int, Kind], other: Kind) -> np.ndarray:
    table = np.full(65536, other, np.int64)
    table[list(known)] = list(known.values())
    return table


ETHERTYPES = _table(_ETHERTYPES, Kind.UNKNOWN_TYPE)
ETHERTYPES[:1536] = Kind.LLC  # a length, not a type (IEEE 802.3, 3.2.6)
_PPP = _table(_PPP_PROTOCOLS, Kind.CONTROL)
_NLPID = _table(_NLPIDS, Kind.UNKNOWN_TYPE)

_TYPE = big(("type", "u2"))
_TAG = big(("tci", "u2"), ("type", "u2"))
_SHIM = big(("entry", "u4"))
_SESSION = big(("version", "u1"), ("code", "u1"), ("session", "u2"), ("length", "u2"))
_BYTE = big(("value", "u1"))
_TWO = big(("first", "u1"), ("second", "u1"))
_SNAP = big(("dsap", "u1"), ("ssap", "u1"), ("control", "u1"), ("oui_high", "u1"), ("oui_low", "u2"), ("type", "u2"))
_WORD = np.dtype([("value", "<u4")])
_OUI = big(("id", "u1"), ("oui_high", "u1"), ("oui_low", "u2"), ("type", "u2"))
_ADDRESS = big(("bytes", "u1", (4,)))
_INNER = big(("first", "u1"), ("tos", "u1"), ("v4_length", "u2"), ("v6_length", "u2"), ("rest", "V6"), ("type", "u2"), ("gap", "V2"), ("type_behind", "u2"))
_PPI = np.dtype([("pad", "V2"), ("length", "<u2"), ("link", "<u4")])
_PKTAP = np.dtype([("length", "<u4"), ("record", "<u4"), ("link", "<u4")])


def advance(peel: Peel, rows: Rows, size: int, kinds: np.ndarray | Kind) -> None:
    """Step over ``size`` bytes to what comes next; kinds that are only reasons end the packet there."""
    peel.at[rows] += size
    peel.kind[rows] = kinds


@handles(*REASONS)
def _reason(peel: Peel, rows: Rows) -> None:
    for kind, reason in REASONS.items():
        peel.drop(rows[peel.kind[rows] == kind], reason)


@handles(Kind.ETHERNET, whole=True)
def ethernet(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 14)
    advance(peel, rows, 14, ETHERTYPES[peel.gather(rows, _TYPE, 12)["type"]])


@handles(Kind.ETHERTYPE)
def ethertype(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 2)
    advance(peel, rows, 2, ETHERTYPES[peel.gather(rows, _TYPE)["type"]])


@handles(Kind.VLAN)
def vlan(peel: Peel, rows: Rows) -> None:
    """IEEE 802.1Q: tag control information, then the next EtherType."""
    rows = peel.room(rows, 4)
    tag = peel.gather(rows, _TAG)
    _label_vlan(peel, rows, tag["tci"].astype(np.int64))
    advance(peel, rows, 4, ETHERTYPES[tag["type"]])


def tagged(peel: Peel, tags: np.ndarray) -> None:
    """The outermost tag where it came beside the bytes (``Frames.vlan``): named as if it stood in them."""
    rows = np.flatnonzero(tags >= 0)
    _label_vlan(peel, rows, tags[rows])


def _label_vlan(peel: Peel, rows: Rows, tci: np.ndarray) -> None:
    number = tci & 0x0FFF
    # VLAN 0 only carries a priority.
    real = number > 0
    peel.label(rows[real], "vlan", number[real])


# Headers of a fixed size that say nothing of use: (bytes stepped over, bytes that must be there, what comes next).
_FIXED = {
    Kind.TAG4: (4, 6, Kind.ETHERTYPE),  # Cisco's VN-tag, HSR (IEC 62439-3), redundancy (IEEE 802.1CB, 7.8)
    Kind.TAG6: (6, 8, Kind.ETHERTYPE),  # Cisco meta data (TrustSec), bridge port extension (IEEE 802.1BR, 7.5)
    Kind.SLIP: (16, 17, Kind.IP),  # BSD's view of SLIP: direction, and the header as it was compressed
    Kind.PPP_DIRECTION: (1, 1, Kind.PPP),  # what pppd records: a byte that says who sent it
    Kind.BROADCOM_TAG: (16, 18, Kind.ETHERTYPE),  # the port of a switch built into a Linux machine: addresses, four bytes of tag
    Kind.FABRICPATH: (2, 2, Kind.ETHERNET),  # Cisco FabricPath: a tree and a time to live, then the frame of a host
}


@handles(*_FIXED)
def fixed(peel: Peel, rows: Rows) -> None:
    """Step over a header of which only the size matters. All rows are of one kind."""
    size, least, following = _FIXED[Kind(int(peel.kind[rows[0]]))]
    advance(peel, peel.room(rows, least), size, following)


@handles(Kind.MPLS)
def mpls(peel: Peel, rows: Rows) -> None:
    """RFC 3032: label entries up to the bottom of the stack, then what the next nibble looks like (RFC 4385, 4928)."""
    rows = peel.room(rows, 5)
    entry = peel.gather(rows, _SHIM)["entry"]
    advance(peel, rows, 4, Kind.MPLS)
    bottom = rows[(entry & 0x100) != 0]
    # Labels go one way and are chosen by who receives them (RFC 3031, 3.1), and the way back has as many as it likes: in
    # the path they would tear conversations apart.
    peel.label(bottom, "mpls")
    _under_labels(peel, bottom)


def _under_labels(peel: Peel, rows: Rows) -> None:
    """What the bottom label carries: an IP packet if its first nibble and its length say so, else a pseudowire's frame.

    A control word of four bytes, the first nibble 0, may precede the frame; so may a MAC address begin. Where the type
    of the frame can only stand behind the word, it is one.
    """
    head = peel.gather(rows, _INNER)
    first, left = head["first"], peel.wire_end[rows] - peel.at[rows]
    plain, behind = (~np.isin(ETHERTYPES[head[name]], (Kind.UNKNOWN_TYPE, Kind.LLC)) for name in ("type", "type_behind"))
    size = np.where(first >> 4 == 4, head["v4_length"], head["v6_length"].astype(np.int64) + 40)
    # Padding may follow a packet; where a known EtherType says that this is an address, only an exact length outweighs it.
    packet = ((first >> 4 == 6) | (first >= 0x45) & (first < 0x50)) & np.where(plain, size == left, size <= left)
    peel.kind[rows] = np.where(packet, np.where(first >> 4 == 4, Kind.IPV4, Kind.IPV6), Kind.ETHERNET)
    word = (first >> 4 == 0) & (behind | ~plain | (left < 18))
    peel.at[rows[word]] += 4


@handles(Kind.PPPOE)
def pppoe(peel: Peel, rows: Rows) -> None:
    """RFC 2516: only session data (code 0) carries PPP."""
    rows = peel.room(rows, 8)
    head = peel.gather(rows, _SESSION)
    good = (head["version"] == 0x11) & (head["code"] == 0)
    rows = peel.require(rows, good, "pppoe discovery")
    peel.label(rows, "pppoe", head["session"][good].astype(np.int64))
    advance(peel, rows, 6, Kind.PPP)


@handles(Kind.PPP)
def ppp(peel: Peel, rows: Rows) -> None:
    """RFC 1661: a protocol field of two bytes, or one (odd) when compressed; HDLC address and control may precede it."""
    rows = peel.room(rows, 4)
    first = peel.gather(rows, _TYPE)["type"]
    framed = rows[first == 0xFF03]
    peel.at[framed] += 2
    first = peel.gather(rows, _TYPE)["type"]
    short = (first & 0x0100) != 0
    kinds = _PPP[np.where(short, first >> 8, first)]
    advance(peel, rows, 2, kinds)
    peel.at[rows[short]] -= 1


@handles(Kind.PPP_HDLC)
def ppp_hdlc(peel: Peel, rows: Rows) -> None:
    """RFC 1662 framing, or Cisco's where the address is 0x0F or 0x8F."""
    rows = peel.room(rows, 4)
    first = peel.gather(rows, _BYTE)["value"]
    cisco = (first == 0x0F) | (first == 0x8F)
    peel.kind[rows] = np.where(cisco, Kind.CHDLC, Kind.PPP)


@handles(Kind.CHDLC)
def chdlc(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 4)
    advance(peel, rows, 4, ETHERTYPES[peel.gather(rows, _TYPE, 2)["type"]])


@handles(Kind.LLC)
def llc(peel: Peel, rows: Rows) -> None:
    """IEEE 802.2; SNAP (RFC 1042) says an EtherType, everything else is spanning tree and its like."""
    rows = peel.room(rows, 8, "llc")
    head = peel.gather(rows, _SNAP)
    # OUI 0 is RFC 1042, 0x0000f8 Apple's bridge tunnel; Cisco's control protocols have another.
    snap = (head["dsap"] == 0xAA) & (head["ssap"] == 0xAA) & (head["oui_high"] == 0) & np.isin(head["oui_low"], (0, 0xF8))
    kinds = ETHERTYPES[head["type"]]
    good = snap & (kinds != Kind.LLC)
    rows = peel.require(rows, good, "llc")
    advance(peel, rows, 8, kinds[good])


@handles(Kind.SLL)
def sll(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 16)
    advance(peel, rows, 16, ETHERTYPES[peel.gather(rows, _TYPE, 14)["type"]])


@handles(Kind.SLL2)
def sll2(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 20)
    advance(peel, rows, 20, ETHERTYPES[peel.gather(rows, _TYPE)["type"]])


@handles(Kind.NULL, Kind.LOOP)
def loopback(peel: Peel, rows: Rows) -> None:
    """BSD loopback: an address family of the capturing host's byte order (NULL) or of the network's (LOOP); some serial drivers say so of Cisco's HDLC."""
    rows = peel.room(rows, 4)
    value = peel.gather(rows, _WORD)["value"]
    family = np.where(value > 0xFFFF, value.byteswap(), value)
    kinds = np.full(len(rows), Kind.UNKNOWN_TYPE, np.int64)
    for number, kind in _FAMILIES.items():
        kinds[family == number] = kind
    serial = np.isin(value & 0xFFFF, (0x0F, 0x8F)) & (value >> 16 != 0)
    kinds[serial] = ETHERTYPES[(value[serial] >> 16).astype(np.uint16).byteswap()]
    advance(peel, rows, 4, kinds)


@handles(Kind.RADIOTAP)
def radiotap(peel: Peel, rows: Rows) -> None:
    _measured(peel, rows, np.dtype([("pad", "V2"), ("length", "<u2")]), 8)


@handles(Kind.PBB)
def backbone(peel: Peel, rows: Rows) -> None:
    """Provider backbone bridging (IEEE 802.1ah): four bytes of service tag, then the customer's Ethernet frame."""
    rows = peel.room(rows, 4)
    tag = peel.gather(rows, _SHIM)["entry"]
    peel.label(rows, "isid", (tag & 0xFFFFFF).astype(np.int64))
    advance(peel, rows, 4, Kind.ETHERNET)


@handles(Kind.NFLOG)
def nflog(peel: Peel, rows: Rows) -> None:
    """Netfilter's log: fields of type and length in the host's byte order up to the one that holds the packet."""
    for row in rows.tolist():
        at, end = int(peel.at[row]) + 4, int(peel.end[row])
        kind = Kind.UNKNOWN_TYPE
        for _ in range(64):
            if at + 4 > end:
                break
            size, number = int.from_bytes(peel.buffer[at : at + 2], "little"), int.from_bytes(peel.buffer[at + 2 : at + 4], "little") & 0x7FFF
            if number == _NFLOG_PAYLOAD or size < 4:
                kind = Kind.IP if size >= 4 else kind
                break
            at += size + (-size & 3)
        peel.at[row] = min(at + 4, end)
        peel.kind[row] = kind


@handles(Kind.PPI)
def ppi(peel: Peel, rows: Rows) -> None:
    """Per-packet information names the link type of what it precedes."""
    rows = peel.room(rows, 8)
    links = np.zeros(len(peel.kind), np.int64)
    links[rows] = peel.gather(rows, _PPI)["link"]
    rows = _measured(peel, rows, _PPI, 8)
    _of_links(peel, rows, links[rows])


@handles(Kind.PKTAP)
def pktap(peel: Peel, rows: Rows) -> None:
    """Apple's tap: its own length, a record type (1 is a packet), the link type of the packet; in the host's byte order."""
    rows = peel.room(rows, 108)
    head = peel.gather(rows, _PKTAP)
    good = (head["length"] >= 108) & (head["record"] == 1) & (peel.at[rows] + head["length"] <= peel.end[rows])
    rows, head = peel.require(rows, good, "no packet in the tap's header"), head[good]
    peel.at[rows] += head["length"].astype(np.int64)
    _of_links(peel, rows, head["link"].astype(np.int64))


def _of_links(peel: Peel, rows: Rows, links: np.ndarray) -> None:
    """Go on as each row's own link type says; another header that names a link type is none of them."""
    for link in np.unique(links).tolist():
        kind = LINKS.get(link, Kind.UNKNOWN_TYPE)
        peel.kind[rows[links == link]] = Kind.UNKNOWN_TYPE if kind in (Kind.PPI, Kind.PKTAP) else kind


@handles(Kind.ENC)
def enc(peel: Peel, rows: Rows) -> None:
    """OpenBSD's view of decrypted IPsec: address family, SPI, flags, then IP."""
    rows = peel.room(rows, 13)
    advance(peel, rows, 12, Kind.IP)


@handles(Kind.PFLOG)
def pflog(peel: Peel, rows: Rows) -> None:
    """OpenBSD's packet filter log: its own length, to be rounded up to four bytes, then IP."""
    rows = peel.room(rows, 4)
    size = (peel.gather(rows, _BYTE)["value"].astype(np.int64) + 3) & ~3
    good = (size >= 48) & (peel.at[rows] + size < peel.end[rows])
    rows, size = peel.require(rows, good, "truncated header"), size[good]
    peel.at[rows] += size
    peel.kind[rows] = Kind.IP


@handles(Kind.FDDI)
def fddi(peel: Peel, rows: Rows) -> None:
    """Frame control, two addresses, LLC (RFC 1188)."""
    rows = peel.room(rows, 13)
    rows = peel.require(rows, (peel.gather(rows, _BYTE)["value"] & 0xF0) == 0x50, "link control")
    advance(peel, rows, 13, Kind.LLC)


@handles(Kind.TOKEN_RING)
def token_ring(peel: Peel, rows: Rows) -> None:
    """Access control, frame control, two addresses, a route where the source's first bit is set, LLC (RFC 1042)."""
    rows = peel.room(rows, 16)
    rows = peel.require(rows, (peel.gather(rows, _BYTE, 1)["value"] & 0xC0) == 0x40, "link control")
    routed = (peel.gather(rows, _BYTE, 8)["value"] & 0x80) != 0
    route = (peel.gather(rows, _BYTE, 14)["value"] & 0x1F).astype(np.int64)
    peel.at[rows] += 14 + np.where(routed, route, 0)
    peel.kind[rows] = Kind.LLC


@handles(Kind.PRISM)
def prism(peel: Peel, rows: Rows) -> None:
    """Also AVS, which took its link type over; either may be in the byte order of the host that captured."""
    rows = peel.room(rows, 8)
    code = peel.gather(rows, _WORD)["value"]
    newer = code == _AVS_MAGIC
    peel.kind[rows[newer]] = Kind.AVS
    swapped = ~newer & (code > 0xFFFF)
    _measured(peel, rows[swapped], big(("code", "u4"), ("length", "u4")), 8)
    _measured(peel, rows[~newer & ~swapped], np.dtype([("code", "<u4"), ("length", "<u4")]), 8)


@handles(Kind.AVS)
def avs(peel: Peel, rows: Rows) -> None:
    _measured(peel, rows, big(("magic", "u4"), ("length", "u4")), 8)


def _measured(peel: Peel, rows: Rows, dtype: np.dtype[np.void], least: int) -> Rows:
    """A capture header that says its own length, then 802.11. The rows that had one."""
    rows = peel.room(rows, least)
    length = peel.gather(rows, dtype)["length"].astype(np.int64)
    good = (length >= least) & (peel.at[rows] + length <= peel.end[rows])
    rows, length = peel.require(rows, good, "truncated header"), length[good]
    peel.at[rows] += length
    peel.kind[rows] = Kind.WIFI
    return rows


@handles(Kind.FRAME_RELAY)
def frame_relay(peel: Peel, rows: Rows) -> None:
    """An address of two to four bytes, each but the last even (Q.922), then UI and a network protocol's id (RFC 2427), or Cisco's EtherType."""
    rows = peel.room(rows, 6)
    last = (peel.gather(rows, _ADDRESS)["bytes"] & 1) != 0
    good = ~last[:, 0] & last[:, 1:].any(axis=1)
    rows = peel.require(rows, good, "bad frame relay address")
    peel.at[rows] += 2 + last[good, 1:].argmax(axis=1)
    mark = peel.gather(rows, _TYPE)["type"]
    unnumbered = mark >> 8 == 0x03
    # One byte of padding may bring what follows to an even place.
    peel.at[rows] += np.where(unnumbered, np.where(mark == 0x0300, 2, 1), 0)
    peel.kind[rows] = np.where(unnumbered, Kind.NLPID, Kind.ETHERTYPE)


@handles(Kind.NLPID)
def nlpid(peel: Peel, rows: Rows) -> None:
    """A network protocol's id, or SNAP's (0x80): an OUI and a type, of which RFC 2427 has bridged Ethernet without (7) and with (1) its check."""
    rows = peel.room(rows, 2)
    ids = peel.gather(rows, _BYTE)["value"]
    plain = ids != 0x80
    advance(peel, rows[plain], 1, _NLPID[ids[plain]])
    rows = peel.room(rows[~plain], 6)
    head = peel.gather(rows, _OUI)
    routed = (head["oui_high"] == 0) & (head["oui_low"] == 0)
    bridged = (head["oui_high"] == 0) & (head["oui_low"] == 0x80C2) & np.isin(head["type"], (1, 7))
    advance(peel, rows, 6, np.select([routed, bridged], [ETHERTYPES[head["type"]], Kind.ETHERNET], Kind.UNKNOWN_TYPE))
