"""Tunnels: GRE (RFC 2784, 2890, 2637), ERSPAN, VXLAN (RFC 7348), GENEVE (RFC 8926), GTP, Teredo (RFC 4380), LISP, TZSP, NSH."""

from __future__ import annotations

import struct

import numpy as np

from sniffer.decode.link import ETHERTYPES
from sniffer.decode.peel import Kind, Peel, Rows, big, handles

_GRE = big(("flags", "u2"), ("protocol", "u2"))
_ERSPAN = big(("version", "u2"), ("session", "u2"))
_VXLAN = big(("flags", "u1"), ("more", "u1"), ("protocol", "u2"), ("vni", "u4"))
_GENEVE = big(("options", "u1"), ("flags", "u1"), ("protocol", "u2"), ("vni", "u4"))
_GTP = big(("flags", "u1"), ("type", "u1"), ("length", "u2"), ("teid", "u4"), ("extra", "V3"), ("next", "u1"))
_GTP0 = big(("flags", "u1"), ("type", "u1"), ("length", "u2"), ("rest", "V16"), ("first", "u1"))
_BYTE = big(("value", "u1"))
_NSH = big(("version", "u2"), ("rest", "u1"), ("next", "u1"), ("path", "u4"))

_LISP = big(("header", "V8"), ("first", "u1"), ("tos", "u1"), ("v4_length", "u2"), ("v6_length", "u2"))

_ERSPAN_TYPES = (0x88BE, 0x22EB)
# GTP extension headers (3GPP TS 29.281) and TZSP tags walked for one packet; more is no honest packet.
MAX_EXTENSIONS = 8


@handles(Kind.GRE)
def gre(peel: Peel, rows: Rows) -> None:
    """Version 0 with optional checksum, key and sequence number; version 1 is PPTP's with PPP inside."""
    rows = peel.room(rows, 4)
    head = peel.gather(rows, _GRE)
    flags, protocol = head["flags"].astype(np.int64), head["protocol"].astype(np.int64)
    version = flags & 7
    plain = (version == 0) & ((flags & 0x4000) == 0)
    pptp = (version == 1) & (protocol == 0x880B)
    good = plain | pptp
    rows = peel.require(rows, good, "gre of an unknown kind")
    flags, protocol, pptp = flags[good], protocol[good], pptp[good]
    size = 4 + np.where(flags & 0x8000, 4, 0) + np.where(flags & 0x2000, 4, 0) + np.where(flags & 0x1000, 4, 0)
    size += np.where(pptp & ((flags & 0x0080) != 0), 4, 0)
    kinds = np.where(pptp, Kind.PPP, ETHERTYPES[protocol])
    erspan = np.isin(protocol, _ERSPAN_TYPES)
    # ERSPAN without a sequence number is type I: no header of its own.
    kinds[(protocol == 0x88BE) & ((flags & 0x1000) == 0)] = Kind.ERSPAN1
    good = peel.at[rows] + size <= peel.end[rows]
    rows = peel.require(rows, good, "truncated header")
    kinds, size, erspan = kinds[good], size[good], erspan[good]
    peel.label(rows[~erspan], "gre")
    peel.at[rows] += size
    empty = peel.at[rows] == peel.end[rows]
    peel.kind[rows] = np.where(empty, Kind.CONTROL, kinds)


@handles(Kind.ERSPAN1)
def erspan1(peel: Peel, rows: Rows) -> None:
    peel.label(rows, "erspan")
    peel.kind[rows] = Kind.ETHERNET


@handles(Kind.ERSPAN2)
def erspan2(peel: Peel, rows: Rows) -> None:
    """Type II: version 1, VLAN, session id, index; eight bytes (draft-foschiano-erspan)."""
    rows = peel.room(rows, 8)
    head = peel.gather(rows, _ERSPAN)
    peel.label(rows, "erspan", (head["session"] & 0x3FF).astype(np.int64))
    peel.at[rows] += 8
    peel.kind[rows] = Kind.ETHERNET


@handles(Kind.ERSPAN3)
def erspan3(peel: Peel, rows: Rows) -> None:
    """Type III: twelve bytes, and eight more of platform data if the last bit says so; the frame type may be IP."""
    rows = peel.room(rows, 12)
    head = peel.gather(rows, _ERSPAN)
    tail = peel.gather(rows, _ERSPAN, 8)["session"].astype(np.int64)
    peel.label(rows, "erspan", (head["session"] & 0x3FF).astype(np.int64))
    peel.at[rows] += 12 + np.where(tail & 1, 8, 0)
    peel.kind[rows] = np.where((tail >> 11 & 0x1F) == 2, Kind.IP, Kind.ETHERNET)


def _not_a_tunnel(peel: Peel, rows: Rows) -> None:
    """The port was a coincidence: the datagram stays what it is."""
    peel.kind[rows] = Kind.DONE


def _long_enough(peel: Peel, rows: Rows, size: int) -> Rows:
    """The rows with so many bytes captured; the others stay what they are."""
    long = peel.end[rows] - peel.at[rows] >= size
    _not_a_tunnel(peel, rows[~long])
    return rows[long]


def _ip_behind(peel: Peel, rows: Rows, good: np.ndarray, name: str, size: int) -> None:
    """Where ``good``, an IP packet comes after ``size`` bytes of the tunnel ``name``; the others stay what they are."""
    _not_a_tunnel(peel, rows[~good])
    rows = rows[good]
    peel.label(rows, name)
    peel.at[rows] += size
    peel.kind[rows] = Kind.IP


@handles(Kind.VXLAN)
def vxlan(peel: Peel, rows: Rows) -> None:
    """RFC 7348, with the flag bits of the group-policy (0x80) and generic-protocol (0x04, next protocol) extensions."""
    rows = _long_enough(peel, rows, 8 + 14)
    head = peel.gather(rows, _VXLAN)
    flags, protocol = head["flags"].astype(np.int64), head["protocol"].astype(np.int64)
    generic = (flags & 0x04) != 0
    known = ((flags & 0x08) != 0) & ((flags & 0x33) == 0) & ((head["vni"] & 0xFF) == 0) | generic & ((flags & 0xF3) == 0) & ((flags & 0x08) != 0)
    inner = np.where(generic, np.where(protocol == 1, Kind.IPV4, np.where(protocol == 2, Kind.IPV6, np.where(protocol == 4, Kind.NSH, Kind.ETHERNET))), Kind.ETHERNET)
    _not_a_tunnel(peel, rows[~known])
    rows = rows[known]
    peel.label(rows, "vxlan", (head["vni"][known] >> 8).astype(np.int64))
    peel.at[rows] += 8
    peel.kind[rows] = inner[known]


@handles(Kind.GENEVE)
def geneve(peel: Peel, rows: Rows) -> None:
    rows = _long_enough(peel, rows, 8 + 20)
    head = peel.gather(rows, _GENEVE)
    size = 8 + (head["options"] & 0x3F).astype(np.int64) * 4
    inner = ETHERTYPES[head["protocol"]]
    good = ((head["options"] >> 6) == 0) & ((head["flags"] & 0x3F) == 0) & (inner != Kind.UNKNOWN_TYPE) & (inner != Kind.LLC) & (peel.at[rows] + size <= peel.end[rows])
    _not_a_tunnel(peel, rows[~good])
    rows = rows[good]
    peel.label(rows, "geneve", (head["vni"][good] >> 8).astype(np.int64))
    peel.at[rows] += size[good]
    peel.kind[rows] = inner[good]


@handles(Kind.GTP)
def gtp(peel: Peel, rows: Rows) -> None:
    """GTPv1-U G-PDU (3GPP TS 29.281): optional fields if any of E, S, PN is set, then extension headers, then IP."""
    rows = _long_enough(peel, rows, 12)
    head = peel.gather(rows, _GTP)
    flags = head["flags"].astype(np.int64)
    fits = peel.at[rows] + 8 + head["length"] <= peel.wire_end[rows]
    good = ((flags & 0xF0) == 0x30) & (head["type"] == 255) & fits
    _not_a_tunnel(peel, rows[~good])
    rows, head, flags = rows[good], head[good], flags[good]
    # Each end chooses the id it receives by (TS 29.281, 5.1): in the path it would tear conversations apart.
    peel.label(rows, "gtp")
    optional = (flags & 7) != 0
    peel.at[rows] += np.where(optional, 12, 8)
    extended = rows[((flags & 4) != 0) & (head["next"] != 0)]
    if len(extended):
        _gtp_extensions(peel, extended, head["next"][((flags & 4) != 0) & (head["next"] != 0)])
    peel.kind[rows] = np.where(peel.kind[rows] == Kind.DROPPED, Kind.DROPPED, Kind.IP)


def _gtp_extensions(peel: Peel, rows: Rows, following: np.ndarray) -> None:
    for _ in range(MAX_EXTENSIONS):
        if not len(rows):
            return
        short = peel.at[rows] >= peel.end[rows]
        peel.drop(rows[short], "truncated header")
        rows = rows[~short]
        size = np.maximum(peel.gather(rows, _BYTE)["value"].astype(np.int64), 1) * 4
        fits = peel.at[rows] + size <= peel.end[rows]
        rows, size = peel.require(rows, fits, "truncated header"), size[fits]
        peel.at[rows] += size
        following = peel.gather(rows, _BYTE, -1)["value"]
        rows = rows[following != 0]
    peel.drop(rows, "nesting too deep")


@handles(Kind.GTP0)
def gtp0(peel: Peel, rows: Rows) -> None:
    """GTP version 0 T-PDU (3GPP TS 09.60, 6 and 9): twenty bytes, then the user's packet. Signalling, PPP and X.25 stay what they are.

    Its tunnel id holds the subscriber's number (IMSI), and stays out of the path for that.
    """
    rows = _long_enough(peel, rows, 20 + 20)
    head = peel.gather(rows, _GTP0)
    good = ((head["flags"] & 0xF0) == 0x10) & (head["type"] == 255) & np.isin(head["first"] >> 4, (4, 6))
    good &= peel.at[rows] + 20 + head["length"] <= peel.wire_end[rows]
    _ip_behind(peel, rows, good, "gtp", 20)


@handles(Kind.TEREDO)
def teredo(peel: Peel, rows: Rows) -> None:
    """RFC 4380: optional authentication and origin indications, then an IPv6 packet that must fill the datagram."""
    for row in rows.tolist():
        at, end = int(peel.at[row]), int(peel.end[row])
        data = bytes(peel.buffer[at : min(end, at + 600)])
        if data[:2] == b"\0\1" and len(data) >= 13:
            data, at = data[13 + data[2] + data[3] :], at + 13 + data[2] + data[3]
        if data[:2] == b"\0\0" and len(data) >= 8:
            data, at = data[8:], at + 8
        whole = len(data) >= 40 and data[0] >> 4 == 6 and at + 40 + struct.unpack_from("!H", data, 4)[0] == int(peel.wire_end[row])
        peel.kind[row] = Kind.IPV6 if whole else Kind.DONE
        if whole:
            peel.at[row] = at
            peel.label(np.array([row]), "teredo")


@handles(Kind.AYIYA)
def ayiya(peel: Peel, rows: Rows) -> None:
    """Anything In Anything (draft-massar-v6ops-ayiya): lengths of identity and signature, then IPv6."""
    for row in rows.tolist():
        at, end = int(peel.at[row]), int(peel.end[row])
        head = bytes(peel.buffer[at : min(end, at + 8)])
        size = 8 + (1 << (head[0] >> 4)) + (head[1] >> 4) * 4 if len(head) == 8 else 0
        whole = bool(size) and head[3] == 41 and head[2] & 0x0F == 1 and at + size + 40 <= end and peel.buffer[at + size] >> 4 == 6
        peel.kind[row] = Kind.IPV6 if whole else Kind.DONE
        if whole:
            peel.at[row] = at + size
            peel.label(np.array([row]), "ayiya")


@handles(Kind.TZSP)
def tzsp(peel: Peel, rows: Rows) -> None:
    """TaZmen Sniffer Protocol: version, type, encapsulated protocol, tagged fields up to the end tag."""
    for row in rows.tolist():
        at, end = int(peel.at[row]), int(peel.end[row])
        data = bytes(peel.buffer[at : min(end, at + 600)])
        kind = {1: Kind.ETHERNET, 18: Kind.WIFI, 119: Kind.PRISM, 127: Kind.RADIOTAP}.get(int.from_bytes(data[2:4], "big")) if data[:1] == b"\1" and data[1:2] in (b"\0", b"\1") else None
        place = _after_tags(data) if kind is not None else None
        peel.kind[row] = Kind.DONE if place is None or kind is None else kind
        if place is not None:
            peel.at[row] = at + place
            peel.label(np.array([row]), "tzsp")


def _after_tags(data: bytes) -> int | None:
    place = 4
    for _ in range(4 * MAX_EXTENSIONS):
        if place >= len(data):
            return None
        tag = data[place]
        if tag == 1:
            return place + 1
        place += 1 if tag == 0 else 2 + (data[place + 1] if place + 1 < len(data) else len(data))
    return None


@handles(Kind.NSH)
def nsh(peel: Peel, rows: Rows) -> None:
    """Network service header (RFC 8300): its length in words, then what its next protocol says."""
    rows = peel.room(rows, 8)
    head = peel.gather(rows, _NSH)
    size = (head["version"] & 0x3F).astype(np.int64) * 4
    inner = np.select([head["next"] == 1, head["next"] == 2, head["next"] == 3], [Kind.IPV4, Kind.IPV6, Kind.ETHERNET], Kind.UNKNOWN_TYPE)
    good = (size >= 8) & (peel.at[rows] + size <= peel.end[rows])
    rows = peel.require(rows, good, "truncated header")
    peel.label(rows, "nsh", (head["path"][good] >> 8).astype(np.int64))
    peel.at[rows] += size[good]
    peel.kind[rows] = inner[good]


@handles(Kind.LISP)
def lisp(peel: Peel, rows: Rows) -> None:
    """LISP data (RFC 9300, 5.1): eight bytes, then an IP packet that fills the datagram."""
    rows = _long_enough(peel, rows, 8 + 20)
    head = peel.gather(rows, _LISP)
    left = peel.wire_end[rows] - peel.at[rows] - 8
    version = head["first"] >> 4
    good = (version == 4) & (head["v4_length"] == left) | (version == 6) & (head["v6_length"].astype(np.int64) + 40 == left)
    _ip_behind(peel, rows, good, "lisp", 8)


@handles(Kind.WCCP)
def wccp(peel: Peel, rows: Rows) -> None:
    """What a router redirects in GRE to a cache: version 2 puts four bytes before the IP packet."""
    rows = peel.room(rows, 5)
    second = peel.gather(rows, _BYTE)["value"] >> 4 != 4
    peel.at[rows] += np.where(second, 4, 0)
    peel.kind[rows] = Kind.IPV4
