"""Community ID 1.0: the flow hash by which Zeek, Suricata and others name the same connection."""

from __future__ import annotations

import base64
import hashlib
import struct
from ipaddress import ip_address

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}


def protocol_number(transport: str) -> int:
    """IANA's number of a transport; 0 if it is none with ports."""
    return _PROTOCOLS.get(transport, 0)


def community_id(transport: str, client: str, client_port: int, server: str, server_port: int, seed: int = 0) -> str:
    """The identifier, the same for both directions; "" where an address or a port is not known."""
    number = protocol_number(transport)
    try:
        ends = sorted([(ip_address(client).packed, client_port), (ip_address(server).packed, server_port)])
    except ValueError:
        return ""
    if not (number and client_port and server_port):
        return ""
    (low, low_port), (high, high_port) = ends
    hashed = struct.pack(">H", seed) + low + high + struct.pack(">BBHH", number, 0, low_port, high_port)
    return "1:" + base64.b64encode(hashlib.sha1(hashed, usedforsecurity=False).digest()).decode()
