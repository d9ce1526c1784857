"""Decoding against packets crafted with scapy: every encapsulation, nested, cut, fragmented; dpkt as a second opinion."""

from __future__ import annotations

import random
import struct

import dpkt
import numpy as np
import pytest
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.l2 import ARP, LLC, SNAP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from sniffer.capture.frames import PAD, Frames
from sniffer.decode import Decoder
from sniffer.decode.packets import Packets

DATA = b"USER alice\r\n"
INNER = IP(src="10.1.1.1", dst="10.1.1.2") / TCP(sport=4000, dport=21, seq=7, ack=9, flags="PA") / Raw(DATA)
INNER6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=4000, dport=21, seq=7) / Raw(DATA)
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = E / IP(src="192.0.2.1", dst="192.0.2.2")
NULL4 = struct.pack("<I", 2)


def frames(packets: list[bytes | Packet], link: int = 1, snaplen: int = 1 << 16) -> Frames:
    raw = [bytes(p) for p in packets]
    cut = [r[:snaplen] for r in raw]
    sizes = np.array([len(c) for c in cut], np.int64)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)[:-1]))
    n = len(raw)
    return Frames(b"".join(cut) + bytes(PAD), offsets, sizes, np.array([len(r) for r in raw], np.int64), np.arange(n, dtype=np.int64) * 1000, np.full(n, link, np.int64), np.arange(1, n + 1, dtype=np.int64), "lab")


def subframe(data: bytes | Packet, *, last: bool = False) -> bytes:
    """A frame of an A-MSDU: addresses, length, LLC; padded to four bytes but for the last."""
    body = b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(data)
    raw = bytes.fromhex("020000000002020000000001") + struct.pack(">H", len(body)) + body
    return raw if last else raw + bytes(-len(raw) % 4)


def decode(*packets: bytes | Packet, link: int = 1, snaplen: int = 1 << 16) -> tuple[Packets, Decoder]:
    decoder = Decoder()
    return decoder.decode(frames(list(packets), link, snaplen)), decoder


def payload(packets: Packets, i: int = 0) -> bytes:
    at, size = int(packets.at[i]), int(packets.size[i])
    return bytes(packets.buffer[at : at + size])


ENCAPSULATIONS: dict[str, tuple[int, bytes | Packet, tuple[str, ...]]] = {
    "ethernet": (1, E / INNER, ()),
    "ethernet padded": (1, bytes(E / INNER) + bytes(20), ()),
    "802.1Q": (1, E / Dot1Q(vlan=10) / INNER, ("vlan:10",)),
    "802.1Q priority only": (1, E / Dot1Q(vlan=0) / INNER, ()),
    "QinQ": (1, E / Dot1AD(vlan=100) / Dot1Q(vlan=10) / INNER, ("vlan:100", "vlan:10")),
    "MPLS": (1, E / MPLS(label=16, s=0) / MPLS(label=17, s=1) / INNER, ("mpls",)),
    "MPLS pseudowire": (1, E / MPLS(label=18, s=1) / Raw(bytes(4) + bytes(E / INNER)), ("mpls",)),
    "PPPoE": (1, E / PPPoE(sessionid=5) / PPP() / INNER, ("pppoe:5",)),
    "SNAP": (1, Ether(src=E.src, dst=E.dst, type=8 + len(INNER)) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER, ()),
    "TrustSec tag": (1, bytes(E)[:12] + b"\x89\x09\x01\x01\x00\x01\x00\x05" + b"\x08\x00" + bytes(INNER), ()),
    "SLL": (113, CookedLinux(proto=0x0800) / INNER, ()),
    "SLL with a tag": (113, CookedLinux(proto=0x8100) / Raw(b"\0\x0a\x08\0" + bytes(INNER)), ("vlan:10",)),
    "SLL2": (276, b"\x08\0" + bytes(18) + bytes(INNER), ()),
    "NULL": (0, NULL4 + bytes(INNER), ()),
    "NULL of the other byte order": (0, struct.pack(">I", 2) + bytes(INNER), ()),
    "NULL IPv6": (0, struct.pack("<I", 30) + bytes(INNER6), ()),
    "NULL that is HDLC": (0, b"\x0f\0\x08\0" + bytes(INNER), ()),
    "LOOP": (108, struct.pack(">I", 2) + bytes(INNER), ()),
    "raw": (101, INNER, ()),
    "raw IPv6": (101, INNER6, ()),
    "raw 12": (12, INNER, ()),
    "IPV4": (228, INNER, ()),
    "IPV6": (229, INNER6, ()),
    "PPP": (9, b"\x00\x21" + bytes(INNER), ()),
    "PPP with address and control": (9, b"\xff\x03\x00\x21" + bytes(INNER), ()),
    "PPP compressed": (9, b"\x21" + bytes(INNER), ()),
    "PPP in HDLC": (50, b"\xff\x03\x00\x57" + bytes(INNER6), ()),
    "Cisco HDLC": (104, b"\x0f\x00\x08\x00" + bytes(INNER), ()),
    "802.11": (105, Dot11(type=2, subtype=0, FCfield=1) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER, ()),
    "802.11 QoS": (105, bytes(Dot11(type=2, subtype=8, FCfield=2))[:24] + b"\0\0" + bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "radiotap": (127, RadioTap() / Dot11(type=2, subtype=0, FCfield=1) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER, ()),
    "IPv6": (1, E / INNER6, ()),
    "IPv6 extensions": (1, E / IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / IPv6ExtHdrDestOpt() / TCP(sport=4000, dport=21, seq=7) / Raw(DATA), ()),
    "IPv6 atomic fragment": (1, E / IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(offset=0, m=0) / TCP(sport=4000, dport=21, seq=7) / Raw(DATA), ()),
    "IPv4 options": (1, E / IP(src="10.1.1.1", dst="10.1.1.2", options=[b"\x01\x01\x01\x01"]) / TCP(sport=4000, dport=21, seq=7) / Raw(DATA), ()),
    "GRE": (1, OUTER / GRE() / INNER, ("gre",)),
    "GRE with all fields": (1, OUTER / GRE(chksum_present=1, key_present=1, seqnum_present=1) / INNER, ("gre",)),
    "GRE Ethernet": (1, OUTER / GRE(proto=0x6558) / E / INNER, ("gre",)),
    "PPTP": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=47) / Raw(b"\x30\x81\x88\x0b\0\x40\0\1\0\0\0\1\0\0\0\2" + b"\xff\x03\x00\x21" + bytes(INNER)), ("gre",)),
    "ERSPAN I": (1, OUTER / GRE(proto=0x88BE) / E / INNER, ("erspan",)),
    "ERSPAN II": (1, OUTER / GRE(proto=0x88BE, seqnum_present=1) / Raw(b"\x10\0\0\x64" + bytes(4)) / E / INNER, ("erspan:100",)),
    "ERSPAN II with a tag inside": (1, OUTER / GRE(proto=0x88BE, seqnum_present=1) / Raw(b"\x10\0\0\x07" + bytes(4)) / E / Dot1Q(vlan=3) / INNER, ("erspan:7", "vlan:3")),
    "ERSPAN III": (1, OUTER / GRE(proto=0x22EB, seqnum_present=1) / Raw(b"\x20\0\0\x64" + bytes(4) + b"\0\0\0\0" + bytes(E / INNER)), ("erspan:100",)),
    "ERSPAN III platform": (1, OUTER / GRE(proto=0x22EB, seqnum_present=1) / Raw(b"\x20\0\0\x64" + bytes(4) + b"\0\0\0\1" + bytes(8) + bytes(E / INNER)), ("erspan:100",)),
    "VXLAN": (1, OUTER / UDP(sport=999, dport=4789) / VXLAN(vni=5000, flags=8) / E / INNER, ("vxlan:5000",)),
    "VXLAN over IPv6": (1, E / IPv6(src="2001:db8:1::1", dst="2001:db8:1::2") / UDP(sport=999, dport=8472) / VXLAN(vni=6, flags=8) / E / INNER6, ("vxlan:6",)),
    "GENEVE": (1, OUTER / UDP(sport=999, dport=6081) / GENEVE(vni=7, proto=0x6558) / E / INNER, ("geneve:7",)),
    "GENEVE bare IP": (1, OUTER / UDP(sport=999, dport=6081) / GENEVE(vni=7, proto=0x0800) / INNER, ("geneve:7",)),
    "VXLAN in GENEVE": (1, OUTER / UDP(sport=9, dport=6081) / GENEVE(vni=1, proto=0x6558) / OUTER / UDP(sport=9, dport=4789) / VXLAN(vni=2, flags=8) / E / INNER, ("geneve:1", "vxlan:2")),
    "VLAN in VXLAN in GRE": (1, E / Dot1Q(vlan=9) / IP() / GRE() / IP() / UDP(sport=9, dport=4789) / VXLAN(vni=2, flags=8) / E / Dot1Q(vlan=3) / INNER, ("vlan:9", "gre", "vxlan:2", "vlan:3")),
    "IP in IP": (1, OUTER / INNER, ("ipip",)),
    "6in4": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=41) / INNER6, ("6in4",)),
    "4in6": (1, E / IPv6(nh=4) / INNER, ("ipip",)),
    "Teredo": (1, OUTER / UDP(sport=3544, dport=3544) / INNER6, ("teredo",)),
    "Teredo with an origin": (1, OUTER / UDP(sport=3544, dport=50000) / Raw(bytes(8) + bytes(INNER6)), ("teredo",)),
    "GTP-U": (1, OUTER / UDP(sport=2152, dport=2152) / Raw(b"\x30\xff" + struct.pack(">HI", len(INNER), 77) + bytes(INNER)), ("gtp",)),
    "GTP-U with an extension": (1, OUTER / UDP(sport=2152, dport=2152) / Raw(b"\x34\xff" + struct.pack(">HI", len(INNER) + 8, 77) + b"\0\0\0\x85" + b"\x01\x00\x09\x00" + bytes(INNER)), ("gtp",)),
    "TZSP": (1, OUTER / UDP(sport=9, dport=37008) / Raw(b"\x01\x00\x00\x01" + b"\x0a\x01\x05" + b"\x00" + b"\x01" + bytes(E / INNER)), ("tzsp",)),
    "PKTAP": (258, struct.pack("<III", 108, 1, 1) + bytes(96) + bytes(E / INNER), ()),
    "PKTAP under the number users have": (149, struct.pack("<III", 156, 1, 12) + bytes(144) + bytes(INNER), ()),
    "PPI Ethernet": (192, struct.pack("<BBHI", 0, 0, 8, 1) + bytes(E / INNER), ()),
    "PPI 802.11": (192, struct.pack("<BBHI", 0, 0, 8, 105) + bytes(Dot11(type=2, subtype=0, FCfield=1) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "AVS under Prism's number": (119, b"\x80\x21\x10\x01\0\0\0\x40" + bytes(56) + bytes(Dot11(type=2, subtype=0, FCfield=1) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "Prism of a big-endian host": (119, b"\0\0\0\x44\0\0\0\x90" + bytes(136) + bytes(Dot11(type=2, subtype=0, FCfield=1) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "OpenBSD enc": (109, struct.pack("<I", 2) + bytes(8) + bytes(INNER), ()),
    "OpenBSD pflog": (117, b"\x3d\x02\0\0" + bytes(60) + bytes(INNER), ()),
    "FDDI": (10, b"\x50" + bytes(12) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(INNER), ()),
    "token ring": (6, b"\x10\x40" + bytes(12) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(INNER), ()),
    "token ring with a route": (6, b"\x10\x40" + bytes(6) + b"\x80" + bytes(5) + b"\x06\x30\0\1\0\2" + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(INNER), ()),
    "ATM with LLC": (100, b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(INNER), ()),
    "802.11 QoS padded": (105, bytes(Dot11(type=2, subtype=8, FCfield=2))[:24] + bytes(4) + bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "802.11 called an aggregate, but plain": (105, bytes(Dot11(type=2, subtype=8, FCfield=2))[:24] + b"\x80\0" + bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER), ()),
    "802.11 aggregate": (105, bytes(Dot11(type=2, subtype=8, FCfield=2))[:24] + b"\x80\0" + bytes(12) + struct.pack(">H", 8 + len(INNER)) + bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / INNER) + bytes(40), ()),
    "frame relay": (107, b"\x18\x41\x03\xcc" + bytes(INNER), ()),
    "frame relay with a long address, IPv6": (107, b"\x18\x40\x02\x05\x03\x8e" + bytes(INNER6), ()),
    "frame relay with SNAP": (107, b"\x18\x41\x03\0\x80\0\0\0\x08\0" + bytes(INNER), ()),
    "frame relay, bridged": (107, b"\x18\x41\x03\0\x80\0\x80\xc2\0\x07" + bytes(E / INNER), ()),
    "frame relay with PPP": (107, b"\x18\x41\x03\xcf\x00\x21" + bytes(INNER), ()),
    "frame relay as Cisco's": (107, b"\x18\x41\x08\0" + bytes(INNER), ()),
    "SLIP": (8, b"\0" + bytes(15) + bytes(INNER), ()),
    "PPP with a direction": (204, b"\1\xff\x03\x00\x21" + bytes(INNER), ()),
    "Broadcom switch tag": (281, bytes(E)[:12] + b"\0\0\0\3\x81\0\0\x0a\x08\0" + bytes(INNER), ("vlan:10",)),
    "VN-tag": (1, bytes(E)[:12] + b"\x89\x26\0\0\0\0\x81\0\0\x0a\x08\0" + bytes(INNER), ("vlan:10",)),
    "HSR": (1, bytes(E)[:12] + b"\x89\x2f\0\x60\0\1\x08\0" + bytes(INNER), ()),
    "802.1CB": (1, bytes(E)[:12] + b"\xf1\xc1\0\0\0\1\x08\0" + bytes(INNER), ()),
    "802.1BR": (1, bytes(E)[:12] + b"\x89\x3f\0\0\0\1\0\0\x08\0" + bytes(INNER), ()),
    "FabricPath": (1, bytes(E)[:12] + b"\x89\x03\x00\x60" + bytes(E / Dot1Q(vlan=10) / INNER), ("vlan:10",)),
    "Juniper Ethernet": (178, b"MGC\1" + bytes(E / INNER), ()),
    "Juniper Ethernet with extensions": (178, b"MGC\x80\0\x06\3\1\1\4\1\0" + bytes(E / Dot1Q(vlan=10) / INNER), ("vlan:10",)),
    "Juniper without a link layer": (178, b"MGC\3\0\0\0\2" + bytes(INNER6), ()),
    "Juniper PPPoE": (167, b"MGC\0" + bytes(E / PPPoE(sessionid=5) / PPP() / INNER), ("pppoe:5",)),
    "Juniper PPPoE over ATM": (168, b"MGC\0\x88\x64" + bytes(PPPoE(sessionid=5) / PPP() / INNER), ("pppoe:5",)),
    "Juniper PPP": (179, b"MGC\0\x00\x21" + bytes(INNER), ()),
    "Juniper frame relay": (180, b"MGC\0\x18\x41\x03\xcc" + bytes(INNER), ()),
    "Juniper HDLC": (181, b"MGC\0\x0f\0\x08\0" + bytes(INNER), ()),
    "Juniper MLPPP": (130, b"MGC\0\0\1\xff\x03\x00\x21" + bytes(INNER), ()),
    "Juniper MLPPP of link services": (130, b"MGC\0\x54\1\0\0\x00\x57" + bytes(INNER6), ()),
    "Juniper MLPPP of adaptive services": (130, b"MGC\0\x47\0\0\0\0\x10\0\x08" + bytes(INNER6), ()),
    "Juniper MLPPP of adaptive services, MPLS": (130, b"MGC\0\x47\0\0\0\0\x20\0\x08" + bytes(MPLS(label=16, s=1) / INNER), ("mpls",)),
    "Juniper MLPPP of the routing engine": (130, b"MGC\0\x47\0\0\0\x0c\0\0\x08\x00\x21" + bytes(INNER), ()),
    "Juniper MLFR": (131, b"MGC\0\0\1\x03\xcc" + bytes(INNER), ()),
    "Juniper MFR": (134, b"MGC\0\0\0\0\1\x03\x8e" + bytes(INNER6), ()),
    "Juniper MFR of adaptive services": (134, b"MGC\0\x47\0\0\0\0\0\0\x08" + bytes(INNER), ()),
    "Juniper GGSN as tcpdump has it": (133, b"MGC\0\1\x08\2\0\0\7\0\0" + bytes(INNER), ()),
    "Juniper GGSN as Wireshark has it": (133, b"MGC\0\6\0\7\0" + bytes(INNER6), ()),
    "Juniper services": (136, b"MGC\0" + bytes(8) + bytes(INNER), ()),
    "Juniper monitor": (164, b"MGC\0" + bytes(8) + bytes(INNER6), ()),
    "Juniper ATM1": (137, b"MGC\0\0\0\0\1\xaa\xaa\x03\0\0\0\x08\0" + bytes(INNER), ()),
    "Juniper ATM1, Cisco's": (137, b"MGC\0\0\0\0\1\x03\xcc" + bytes(INNER), ()),
    "Juniper ATM2, routed": (135, b"MGC\1" + bytes(8) + b"\xfe\xfe\x03\xcc" + bytes(INNER), ()),
    "Juniper ATM2, IP alone": (135, b"MGC\1" + bytes(8) + bytes(INNER), ()),
    "GTP version 0": (1, OUTER / UDP(sport=3386, dport=3386) / Raw(b"\x1e\xff" + struct.pack(">HHH", len(INNER), 1, 5) + b"\xff\xff\xff\xff" + bytes(8) + bytes(INNER)), ("gtp",)),
    "L2TPv3": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + bytes(E / INNER)), ("l2tp",)),
    "L2TPv3 with a cookie": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + b"cook" + bytes(E / Dot1Q(vlan=10) / INNER6)), ("l2tp", "vlan:10")),
    "L2TPv3 with a long cookie": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + b"cookcook" + bytes(E / Dot1AD(vlan=11) / Dot1Q(vlan=10) / INNER)), ("l2tp", "vlan:11", "vlan:10")),
    "L2TPv3 with a long cookie and a sublayer": (1, E / IPv6(src="2001:db8:1::1", dst="2001:db8:1::2", nh=115) / Raw(b"\0\0\0\7" + b"cookcook" + b"\x40\0\0\1" + bytes(E / INNER)), ("l2tp",)),
    "L2TPv3 with PPP": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + b"\xff\x03\x00\x21" + bytes(INNER)), ("l2tp",)),
    "L2TPv3 with HDLC": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + b"\0\0\0\0" + b"\x0f\0\x86\xdd" + bytes(INNER6)), ("l2tp",)),
    "L2TPv3 with IP": (1, E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(b"\0\0\0\7" + b"cook" + bytes(INNER)), ("l2tp",)),
    "L2TPv3 over UDP": (1, OUTER / UDP(sport=1701, dport=1701) / Raw(b"\0\3\0\0" + b"\0\0\0\7" + b"cook" + bytes(E / INNER)), ("l2tp",)),
    "MPLS pseudowire without a control word": (1, E / MPLS(label=18, s=1) / Ether(src=E.src, dst="00:1b:21:00:00:01") / INNER, ("mpls",)),
    "MPLS pseudowire to an address that begins with 4": (1, E / MPLS(label=18, s=1) / Ether(src=E.src, dst="4c:34:88:00:00:01") / INNER, ("mpls",)),
    "MPLS pseudowire to an address that begins with 6": (1, E / MPLS(label=18, s=1) / Ether(src=E.src, dst="60:57:18:ff:00:01") / INNER, ("mpls",)),
    "MPLS control word before an address of zeros": (1, E / MPLS(label=18, s=1) / Raw(b"\0\0\0\7" + bytes(Ether(src=E.src, dst="00:00:0c:00:00:01") / INNER)), ("mpls",)),
    "L2TP": (1, OUTER / UDP(sport=1701, dport=1701) / Raw(b"\x00\x02\0\1\0\7" + b"\xff\x03\x00\x21" + bytes(INNER)), ("l2tp",)),
    "L2TP with all fields": (1, OUTER / UDP(sport=50000, dport=1701) / Raw(b"\x4a\x02" + struct.pack(">HHHHHH", 18 + len(INNER), 1, 7, 0, 0, 2) + b"\0\0" + b"\x00\x21" + bytes(INNER)), ("l2tp",)),
    "L2TP answered to a client's own port": (1, OUTER / UDP(sport=1701, dport=50000) / Raw(b"\x40\x02" + struct.pack(">HHH", 12 + len(INNER), 1, 7) + b"\xff\x03\x00\x21" + bytes(INNER)), ("l2tp",)),
    "LISP": (1, OUTER / UDP(sport=61000, dport=4341) / Raw(b"\x80\0\0\1\0\0\0\1" + bytes(INNER)), ("lisp",)),
    "VXLAN-GPE with NSH": (1, OUTER / UDP(sport=9, dport=4790) / Raw(b"\x0c\0\0\x04\0\0\x05\0" + b"\x00\x02\x02\x03" + struct.pack(">I", 12 << 8 | 255) + bytes(E / INNER)), ("vxlan:5", "nsh:12")),
    "WCCP": (1, OUTER / GRE(proto=0x883E) / Raw(bytes(4) + bytes(INNER)), ("gre",)),
    "NSH": (1, bytes(E)[:12] + b"\x89\x4f" + b"\x00\x02\x02\x03" + struct.pack(">I", 12 << 8 | 255) + bytes(E / INNER), ("nsh:12",)),
}


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_the_inner_packet_is_found(name):
    link, packet, path = ENCAPSULATIONS[name]
    packets, decoder = decode(packet, link=link)
    assert len(packets) == 1, decoder.undecoded
    assert (packets.protocol[0], packets.sport[0], packets.dport[0], packets.seq[0]) == (6, 4000, 21, 7)
    assert payload(packets) == DATA
    assert packets.missing[0] == 0
    assert decoder.paths[int(packets.path[0])] == path
    if packets.src_high[0]:
        assert int(packets.src_high[0]) << 64 | int(packets.src_low[0]) == int.from_bytes(bytes.fromhex("20010db8000000000000000000000001"), "big")
    else:
        assert int(packets.src_low[0]) == 0xFFFF << 32 | 0x0A010101


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_cut_at_every_byte(name):
    """Whatever the snap length, nothing raises, no payload lies outside the frame, and what is missing is counted."""
    link, packet, _ = ENCAPSULATIONS[name]
    whole = len(bytes(packet))
    for snaplen in range(1, whole):
        batch = frames([packet], link, snaplen)
        decoder = Decoder()
        packets = decoder.decode(batch)
        found = len(packets) + sum(decoder.undecoded.values())
        # Of an aggregate the frames cut off are counted besides the first.
        assert found == 1 or (name == "802.11 aggregate" and found == 2)
        if len(packets) and packets.protocol[0] == 6:
            assert int(packets.at[0]) + int(packets.size[0]) <= snaplen or packets.size[0] == 0
            assert packets.size[0] + packets.missing[0] == len(DATA)


def test_all_at_once_as_one_by_one():
    """A mixed batch gives what each frame gives alone."""
    rng = random.Random(5)
    ethernet = [(n, p) for n, (link, p, _) in ENCAPSULATIONS.items() if link == 1] * 8
    rng.shuffle(ethernet)
    packets, decoder = decode(*(p for _, p in ethernet))
    assert len(packets) == len(ethernet)
    for i, (name, _) in enumerate(ethernet):
        assert payload(packets, i) == DATA
        path = decoder.paths[int(packets.path[i])]
        assert path == ENCAPSULATIONS[name][2]


def test_paths_keep_tenants_apart():
    packets, _ = decode(E / Dot1Q(vlan=1) / INNER, E / Dot1Q(vlan=2) / INNER, E / INNER)
    assert len(set(packets.path.tolist())) == 3


@pytest.mark.parametrize("port", [4789, 6081, 2152, 3544, 37008])
def test_a_datagram_to_a_tunnel_port_is_no_tunnel_by_that(port):
    rng = random.Random(port)
    for _ in range(200):
        data = rng.randbytes(rng.randint(0, 80))
        packets, decoder = decode(OUTER / UDP(sport=9, dport=port) / Raw(data))
        if len(packets) and packets.protocol[0] == 17 and packets.dport[0] == port:
            assert payload(packets) == data
        else:
            assert data[:1] in (b"\x08", b"\x30", b"\x32", b"\x34", b"\x00", b"\x01", b"\x6f", b"\x60")


@pytest.mark.parametrize("link", [0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 228, 229, 276, 999, 8, 107, 204, 281, 130, 131, 133, 134, 135, 136, 137, 164, 167, 168, 178, 179, 180, 181])
def test_arbitrary_bytes_never_raise(link):
    rng = random.Random(link)
    # Every Juniper header begins alike; without that nothing behind it would be reached.
    magic = b"MGC" if 130 <= link <= 181 and link != 163 else b""
    raw = [magic + rng.randbytes(rng.randint(0, 120)) for _ in range(400)]
    decoder = Decoder()
    batch = frames(raw, link)
    packets = decoder.decode(batch)
    end = dict(zip(batch.number.tolist(), (batch.offset + batch.size).tolist(), strict=True))
    for number, at, size in zip(packets.number.tolist(), packets.at.tolist(), packets.size.tolist(), strict=True):
        assert size == 0 or at + size <= end[number]
    assert len(packets) + sum(decoder.undecoded.values()) + decoder.fragments.total() >= 300


@pytest.mark.parametrize("name", ["vxlan", "random"])
def test_damaged_headers_never_raise(name):
    rng = random.Random(8)
    samples = [bytes(p) for _, p, _ in ENCAPSULATIONS.values()]
    links = [link for link, _, _ in ENCAPSULATIONS.values()]
    for _ in range(300):
        i = rng.randrange(len(samples))
        broken = bytearray(samples[i])
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.getrandbits(8)
        decode(bytes(broken), link=links[i])


def test_nesting_is_bounded():
    deep = INNER
    for _ in range(40):
        deep = IP(src="192.0.2.1", dst="192.0.2.2") / deep
    packets, decoder = decode(E / deep)
    assert not len(packets)
    assert decoder.undecoded == {"nesting too deep": 1}


def test_what_is_not_decoded_is_counted_by_reason():
    six = [E / ARP(), Ether(type=0x88CC) / Raw(bytes(30)), Ether(type=0x1234) / Raw(bytes(30)), Ether(type=0x800) / Raw(b"\x45"), Ether(src=E.src, dst=E.dst, type=30) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(30))]
    _, decoder = decode(*six, bytes(E / INNER)[:14] + b"\x44" + bytes(INNER)[1:])
    assert decoder.undecoded == {"arp": 1, "lldp": 1, "unknown ethertype": 1, "llc": 1, "bad ip header": 1, "truncated header": 1}
    _, decoder = decode(bytes(Dot11(type=2, subtype=0, FCfield=0x41)) + bytes(40), link=105)
    assert decoder.undecoded == {"encrypted 802.11": 1}
    _, decoder = decode(b"x" * 50, link=147)
    assert decoder.undecoded == {"unsupported link type 147": 1}


def test_other_protocols_keep_their_packets():
    packets, _ = decode(OUTER / UDP(sport=5, dport=53) / Raw(b"q"), OUTER / ICMP(), E / IP(src="192.0.2.1", dst="192.0.2.2") / SCTP(sport=7, dport=8), OUTER / IP(proto=50))
    assert packets.protocol.tolist()[:3] == [17, 1, 132]
    assert packets.dport.tolist()[:3] == [53, 0, 8]


def test_udp_length_bounds_the_payload():
    packets, _ = decode(OUTER / UDP(sport=5, dport=53, len=10) / Raw(b"abcdef"), OUTER / UDP(sport=5, dport=53, len=0) / Raw(b"abcdef"))
    assert [payload(packets, i) for i in (0, 1)] == [b"ab", b"abcdef"]


def test_offloaded_frames_without_a_length():
    big = bytes(E / IP(src="10.1.1.1", dst="10.1.1.2", len=0) / TCP(sport=4000, dport=21, seq=7) / Raw(bytes(70000)))
    packets, _ = decode(big, snaplen=1 << 20)
    assert packets.size.tolist() == [70000]


def test_dpkt_reads_the_same():
    rng = random.Random(9)
    made = []
    for _ in range(500):
        ip = IP(src=".".join(str(rng.randint(1, 254)) for _ in range(4)), dst=".".join(str(rng.randint(1, 254)) for _ in range(4)))
        transport = rng.choice((TCP(sport=rng.randint(1, 65535), dport=rng.randint(1, 20), seq=rng.getrandbits(32), flags=rng.choice(("S", "SA", "PA", "FA"))), UDP(sport=rng.randint(1, 65535), dport=53)))
        made.append(bytes(E / ip / transport / Raw(rng.randbytes(rng.randint(0, 200)))))
    packets, _ = decode(*made)
    for i, raw in enumerate(made):
        ip = dpkt.ethernet.Ethernet(raw).data
        assert int(packets.src_low[i]) & 0xFFFFFFFF == int.from_bytes(ip.src, "big")
        assert (packets.sport[i], packets.dport[i]) == (ip.data.sport, ip.data.dport)
        assert payload(packets, i) == ip.data.data
        if isinstance(ip.data, dpkt.tcp.TCP):
            assert (packets.seq[i], packets.flags[i]) == (ip.data.seq, ip.data.flags)


# Fragments.

BIG = bytes(range(256)) * 12


def pieces(version: int, ident: int = 5) -> list[bytes]:
    if version == 4:
        return [bytes(E / p) for p in fragment(IP(src="10.1.1.1", dst="10.1.1.2", id=ident) / UDP(sport=9, dport=99) / Raw(BIG), fragsize=512)]
    whole = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=ident) / UDP(sport=9, dport=99) / Raw(BIG)
    return [bytes(E / p) for p in fragment6(whole, 600)]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_in_any_order(version):
    rng = random.Random(version)
    for turn in range(20):
        parts = pieces(version, turn)
        rng.shuffle(parts)
        decoder = Decoder()
        out = [decoder.decode(frames([part])) for part in parts]
        assert [len(p) for p in out] == [0] * (len(parts) - 1) + [1]
        assert payload(out[-1]) == BIG
        assert out[-1].dport[0] == 99
        assert decoder.fragments["datagrams reassembled"] == 1


def test_fragments_in_one_batch_with_others():
    parts = pieces(4)
    packets, _ = decode(E / INNER, *parts, E / INNER)
    assert [payload(packets, i) for i in range(3)] == [DATA, BIG, DATA]
    assert packets.number.tolist() == [1, len(parts) + 1, len(parts) + 2]


def test_fragments_repeated_and_overlapping():
    parts = pieces(4)
    packets, decoder = decode(parts[0], parts[0], *parts[1:])
    assert payload(packets) == BIG
    assert decoder.fragments["fragments repeated"] == 1
    evil = bytearray(parts[1])
    evil[-8:] = b"EVILEVIL"
    packets, decoder = decode(parts[0], parts[1], bytes(evil), *parts[2:])
    assert payload(packets) == BIG
    assert decoder.fragments["fragments overlapping"] == 1


def test_overlapping_ipv6_fragments_drop_the_datagram():
    parts = pieces(6)
    evil = bytearray(parts[1])
    evil[-8:] = b"EVILEVIL"
    packets, decoder = decode(parts[0], parts[1], bytes(evil), *parts[2:])
    assert not len(packets)
    assert decoder.fragments["fragments overlapping"] == 1


def test_fragments_are_bounded():
    decoder = Decoder()
    for start in range(0, 10_000, 500):
        batch = [bytes(E / IP(src="10.1.1.1", dst="10.1.1.2", id=i & 0xFFFF, flags="MF", proto=17) / Raw(bytes(64))) for i in range(start, start + 500)]
        decoder.decode(frames(batch))
    assert decoder.fragments["datagrams never whole"] > 5000
    decoder.flush()
    assert decoder.fragments["datagrams never whole"] == 10_000


def test_a_tunnel_inside_fragments():
    inner = UDP(sport=999, dport=4789) / VXLAN(vni=3, flags=8) / E / IP(src="10.1.1.1", dst="10.1.1.2") / TCP(sport=4000, dport=21, seq=7) / Raw(DATA * 100)
    packets, decoder = decode(*(bytes(E / p) for p in fragment(IP(src="192.0.2.1", dst="192.0.2.2") / inner, fragsize=400)))
    assert payload(packets) == DATA * 100
    assert decoder.paths[int(packets.path[0])] == ("vxlan:3",)


def test_an_extension_header_behind_an_ipv6_fragment():
    """RFC 8200, 4.5: what is fragmented may begin with destination options."""
    whole = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=5) / IPv6ExtHdrDestOpt() / UDP(sport=5, dport=161) / Raw(bytes(2000))
    packets, _ = decode(*(E / part for part in fragment6(whole, 1200)))
    assert [(int(p), int(s)) for p, s in zip(packets.dport, packets.size, strict=True)] == [(161, 2000)]


def test_l2tp_control_is_no_tunnel():
    control = b"\xc8\x02\x00\x0c\0\1\0\0\0\0\0\0"
    packets, _ = decode(OUTER / UDP(sport=1701, dport=1701) / Raw(control))
    assert (packets.dport.tolist(), payload(packets)) == ([1701], control)


def test_what_a_tap_holds_besides_packets_is_counted():
    _, decoder = decode(struct.pack("<III", 108, 0, 1) + bytes(140), link=258)
    assert decoder.undecoded == {"no packet in the tap's header": 1}
    _, decoder = decode(struct.pack("<BBHI", 0, 0, 8, 192) + bytes(60), link=192)
    assert decoder.undecoded == {"unknown ethertype": 1}
    for link in (195, 189, 247):
        _, decoder = decode(bytes(60), link=link)
        assert decoder.undecoded == {f"unsupported link type {link}": 1}


def test_padding_that_the_ip_length_counts_is_no_data():
    packets, _ = decode(*(E / IP(src="10.1.1.1", dst="10.1.1.2") / TCP(sport=4000, dport=21, seq=7, flags=flags) / Raw(data) for flags, data in (("A", bytes(6)), ("PA", bytes(6)), ("A", b"\0\0\0\0\0x"))))
    assert packets.size.tolist() == [0, 6, 6]
    assert packets.missing.tolist() == [0, 0, 0]


# Several packets in one frame.

QOS = bytes(Dot11(type=2, subtype=8, FCfield=2))[:24] + b"\x80\0"


def message(number: int, size: int = 3) -> Packet:
    return IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=4000 + number, dport=514) / Raw(bytes([number]) * size)


def test_every_frame_of_an_80211_aggregate_is_a_packet_of_its_own():
    whole = QOS + subframe(message(1)) + subframe(message(2, 4)) + subframe(message(3, 5), last=True)
    packets, decoder = decode(QOS + subframe(message(0), last=True), whole, whole + b"\xde\xad\xbe\xef", QOS + subframe(message(4), last=True), link=105)
    assert packets.number.tolist() == [1, 2, 2, 2, 3, 3, 3, 4]
    assert packets.time.tolist() == [0, 1000, 1000, 1000, 2000, 2000, 2000, 3000]
    assert packets.sport.tolist() == [4000, 4001, 4002, 4003, 4001, 4002, 4003, 4004]
    assert [payload(packets, i) for i in range(8)] == [b"\0\0\0", b"\1\1\1", b"\2\2\2\2", b"\3" * 5, b"\1\1\1", b"\2\2\2\2", b"\3" * 5, b"\4\4\4"]
    assert not decoder.undecoded


def test_an_80211_aggregate_of_very_many_frames_is_bounded():
    packets, decoder = decode(QOS + subframe(message(1)) * 300, link=105, snaplen=1 << 20)
    assert len(packets) == 261
    assert decoder.undecoded == {"802.11 aggregate of too many frames": 1}


def test_an_80211_aggregate_cut_or_damaged_is_counted():
    whole = QOS + subframe(message(1)) + subframe(message(2)) + subframe(message(3), last=True)
    for snaplen in range(len(QOS) + 22, len(whole)):
        packets, decoder = decode(whole, link=105, snaplen=snaplen)
        second = len(QOS) + len(subframe(message(1)))
        third = second + len(subframe(message(2)))
        assert decoder.undecoded["802.11 aggregate cut short"] == (snaplen < third + 22)
        for i, (at, size, missing) in enumerate(zip(packets.at.tolist(), packets.size.tolist(), packets.missing.tolist(), strict=True)):
            assert size + missing == 3, i
            assert size == 0 or at + size <= snaplen
    broken = bytearray(whole)
    broken[second + 12 : second + 14] = b"\xff\xff"
    packets, decoder = decode(bytes(broken), link=105)
    assert packets.sport.tolist() == [4001]
    assert decoder.undecoded == {"802.11 aggregate damaged": 1}


def test_the_frames_of_an_80211_aggregate_fail_one_by_one():
    arp = subframe(message(2)).replace(b"\xaa\xaa\x03\0\0\0\x08\0", b"\xaa\xaa\x03\0\0\0\x08\x06")
    packets, decoder = decode(QOS + subframe(message(1)) + arp + subframe(message(3), last=True), link=105)
    assert packets.sport.tolist() == [4001, 4003]
    assert decoder.undecoded == {"arp": 1}


def test_fragments_in_an_80211_aggregate():
    parts = fragment(IP(src="10.1.1.1", dst="10.1.1.2", id=5) / UDP(sport=9, dport=99) / Raw(BIG), fragsize=512)
    packets, decoder = decode(QOS + b"".join(subframe(part) for part in parts), link=105)
    assert payload(packets) == BIG
    assert decoder.fragments["datagrams reassembled"] == 1


def test_an_80211_aggregate_inside_fragments_gives_one_packet():
    """Whoever makes room for a batch's packets counts on each taking bytes of it."""
    inner = UDP(sport=999, dport=37008) / Raw(b"\x01\x00\x00\x12\x01" + QOS + subframe(message(1)) * 40)
    packets, decoder = decode(*(bytes(E / p) for p in fragment(IP(src="192.0.2.1", dst="192.0.2.2") / inner, fragsize=400)))
    assert packets.sport.tolist() == [4001]
    assert decoder.undecoded == {"802.11 aggregate in fragments": 1}


# Tunnels whose ids belong to one direction.

ONE_WAY = {
    "GTP-U": lambda n, inner: OUTER / UDP(sport=2152, dport=2152) / Raw(b"\x30\xff" + struct.pack(">HI", len(inner), n) + bytes(inner)),
    "L2TP": lambda n, inner: OUTER / UDP(sport=1701, dport=1701) / Raw(b"\x00\x02\0\1" + struct.pack(">H", n) + b"\xff\x03\x00\x21" + bytes(inner)),
    "L2TPv3": lambda n, inner: E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115) / Raw(struct.pack(">I", n) + bytes(E / inner)),
    "MPLS": lambda n, inner: E / MPLS(label=n, s=1) / inner,
    "MPLS with a label more": lambda n, inner: E / MPLS(label=n, s=1) / inner if n == 1 else E / MPLS(label=9, s=0) / MPLS(label=n, s=1) / inner,
}


@pytest.mark.parametrize("name", ONE_WAY)
def test_ids_of_one_direction_do_not_tear_a_conversation_apart(name):
    """GTP, L2TP, MPLS: each end chooses the id by which it receives, so a request and its answer have different ones."""
    answer = IP(src="10.1.1.2", dst="10.1.1.1") / TCP(sport=21, dport=4000, seq=9, ack=19, flags="PA") / Raw(DATA)
    packets, _ = decode(ONE_WAY[name](1, INNER), ONE_WAY[name](2, answer))
    assert packets.sport.tolist() == [4000, 21]
    assert packets.path[0] == packets.path[1] != 0


# L2TPv3: nothing in the packet says how long its header is.

L2TP3 = E / IP(src="192.0.2.1", dst="192.0.2.2", proto=115)


def test_l2tpv3_of_an_unknown_kind_is_counted():
    rng = random.Random(3)
    made = [L2TP3 / Raw(b"\0\0\0\7" + rng.randbytes(rng.randint(0, 200))) for _ in range(2000)]
    made += [OUTER / UDP(sport=1701, dport=1701) / Raw(b"\0\3\0\0\0\0\0\7" + rng.randbytes(rng.randint(0, 200))) for _ in range(2000)]
    # An IP packet that is announced, but is longer or shorter than what there is.
    made += [L2TP3 / Raw(b"\0\0\0\7" + bytes(E / INNER) + bytes(20)), L2TP3 / Raw(b"\0\0\0\7" + bytes(E / INNER)[:-1])]
    packets, decoder = decode(*made)
    assert not len(packets)
    assert decoder.undecoded == {"l2tpv3 of an unknown kind": len(made)}


def test_l2tpv3_control_stays_what_it_is():
    control = b"\xc8\x03\0\x0c\0\0\0\1\0\0\0\0"
    packets, decoder = decode(L2TP3 / Raw(bytes(4) + control), OUTER / UDP(sport=1701, dport=1701) / Raw(control), OUTER / UDP(sport=1701, dport=1701) / Raw(b"\0\3\0\0\0\0\0\0" + control))
    assert packets.protocol.tolist() == [115, 17, 17]
    assert packets.dport.tolist() == [0, 1701, 1701]
    assert not decoder.undecoded


def test_l2tpv3_carries_padded_frames_and_arp():
    short = IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=5, dport=53) / Raw(b"q")
    packets, decoder = decode(L2TP3 / Raw(b"\0\0\0\7cook" + bytes(E / short).ljust(60, b"\0")), L2TP3 / Raw(b"\0\0\0\7cookcook" + bytes(E / ARP()).ljust(60, b"\0")))
    assert [payload(packets, i) for i in range(len(packets))] == [b"q"]
    assert decoder.undecoded == {"arp": 1}


def test_gtp_version_0_signalling_stays_what_it_is():
    head = struct.pack(">HHH", 40, 1, 5) + b"\xff\xff\xff\xff" + bytes(8)
    ppp = b"\x1e\xff" + head + b"\xff\x03\x00\x21" + bytes(36)
    made = [b"\x1e\x10" + head + bytes(INNER), ppp, b"\x0e\xff" + head + bytes(INNER), b"\x1e\xff" + head[:10]]
    packets, _ = decode(*(OUTER / UDP(sport=3386, dport=3386) / Raw(data) for data in made))
    assert [payload(packets, i) for i in range(len(packets))] == made


def test_what_juniper_headers_hold_besides_packets_is_counted():
    made = {
        (178, b"MGX\0" + bytes(E / INNER)): "bad juniper header",
        (178, b"MGC\x80\xff\xff" + bytes(E / INNER)): "truncated header",
        (134, b"MGC\0\xc0\1" + bytes(60)): "multilink fragment",
        (130, b"MGC\0\x47\0\0\0\0\x30\0\x08" + bytes(40)): "link control",
        (135, b"MGC\0" + bytes(7) + b"\x10" + bytes(52)): "link control",
        (133, b"MGC\0" + bytes(60)): "unknown ethertype",
        (107, b"\x18\x40\x02\x04" + bytes(40)): "bad frame relay address",
    }
    for (link, raw), reason in made.items():
        packets, decoder = decode(raw, link=link)
        assert not len(packets)
        assert decoder.undecoded == {reason: 1}
