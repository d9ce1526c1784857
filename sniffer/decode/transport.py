"""TCP (RFC 9293), UDP (RFC 768), SCTP ports (RFC 9260), and every other IP protocol whole."""

from __future__ import annotations

import numpy as np

from sniffer.decode.peel import Column, Kind, Peel, Rows, big, handles

_TCP = big(("sport", "u2"), ("dport", "u2"), ("seq", "u4"), ("ack", "u4"), ("offset", "u1"), ("flags", "u1"))
_UDP = big(("sport", "u2"), ("dport", "u2"), ("length", "u2"), ("sum", "u2"))
_ZEROS = big(("high", "u4"), ("low", "u2"))
# From the 40 bytes of IPv4 and TCP to the 46 that an Ethernet frame holds at least.
_PADDING = 6
_ACK = 0x10
_PORTS = big(("sport", "u2"), ("dport", "u2"))

# UDP ports behind which a tunnel may be; its own header then decides.
TUNNEL_PORTS = {4789: Kind.VXLAN, 8472: Kind.VXLAN, 4790: Kind.VXLAN, 6081: Kind.GENEVE, 2152: Kind.GTP, 3544: Kind.TEREDO, 37008: Kind.TZSP, 5072: Kind.AYIYA, 1701: Kind.L2TP, 3386: Kind.GTP0, 4341: Kind.LISP}
_TUNNELS = np.zeros(65536, np.int64)
_TUNNELS[list(TUNNEL_PORTS)] = list(TUNNEL_PORTS.values())


def _payload(peel: Peel, rows: Rows, at: Column, end: Column, wire_end: Column) -> None:
    peel.payload[rows] = at
    peel.payload_end[rows] = end
    peel.payload_wire_end[rows] = wire_end
    peel.kind[rows] = Kind.DONE


@handles(Kind.TCP)
def tcp(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 14)
    head = peel.gather(rows, _TCP)
    size = (head["offset"] >> 4).astype(np.int64) << 2
    good = size >= 20
    if not good.all():
        peel.drop(rows[~good], "bad tcp header")
        rows, head, size = rows[good], head[good], size[good]
    peel.sport[rows], peel.dport[rows] = head["sport"], head["dport"]
    peel.seq[rows], peel.ack[rows], peel.flags[rows] = head["seq"], head["ack"], head["flags"]
    at, end = peel.at[rows] + size, peel.end[rows]
    padded = (end - at == _PADDING) & (head["flags"] == _ACK)
    if padded.any():
        _without_padding(peel, rows[padded], at[padded])
        end = peel.end[rows]
    _payload(peel, rows, at, end, peel.wire_end[rows])


def _without_padding(peel: Peel, rows: Rows, at: Column) -> None:
    """Some senders count Ethernet's padding into the IP length: a bare acknowledgement then seems to carry six zeros."""
    peel.at[rows] = at
    empty = (peel.gather(rows, _ZEROS)["high"] == 0) & (peel.gather(rows, _ZEROS)["low"] == 0)
    peel.end[rows[empty]] = peel.wire_end[rows[empty]] = at[empty]


@handles(Kind.UDP)
def udp(peel: Peel, rows: Rows) -> None:
    """The UDP length bounds the payload; 0, or one beyond the packet, leaves it to the IP length."""
    rows = peel.room(rows, 8)
    head = peel.gather(rows, _UDP)
    at, length = peel.at[rows], head["length"].astype(np.int64)
    wire_end = np.where(length >= 8, np.minimum(at + length, peel.wire_end[rows]), peel.wire_end[rows])
    end = np.minimum(peel.end[rows], wire_end)
    peel.sport[rows], peel.dport[rows] = head["sport"], head["dport"]
    peel.seq[rows] = peel.ack[rows] = peel.flags[rows] = 0
    peel.at[rows] = at + 8
    peel.end[rows], peel.wire_end[rows] = end, wire_end
    _payload(peel, rows, at + 8, end, wire_end)
    tunnel = _TUNNELS[head["dport"]]
    back = _TUNNELS[head["sport"]]
    tunnel = np.where((tunnel == 0) & ((back == Kind.TEREDO) | (back == Kind.AYIYA) | (back == Kind.L2TP)), back, tunnel)
    if tunnel.any():
        some = tunnel > 0
        peel.kind[rows[some]] = tunnel[some]


@handles(Kind.PORTS)
def ports(peel: Peel, rows: Rows) -> None:
    rows = peel.room(rows, 4)
    head = peel.gather(rows, _PORTS)
    peel.sport[rows], peel.dport[rows] = head["sport"], head["dport"]
    _payload(peel, rows, peel.at[rows], peel.end[rows], peel.wire_end[rows])


@handles(Kind.PLAIN)
def plain(peel: Peel, rows: Rows) -> None:
    peel.sport[rows] = peel.dport[rows] = 0
    _payload(peel, rows, peel.at[rows], peel.end[rows], peel.wire_end[rows])
