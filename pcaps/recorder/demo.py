"""``pcaps/demo.pcap``: recorded cases put together as an afternoon in a small office, for ``./run demo``."""

from __future__ import annotations

import struct
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import PcapReader, wrpcap

# (case, client, server): who is who in the office.
CASES = (
    ("ftp/accepted", "10.20.0.11", "10.20.1.21"),
    ("http/form-accepted", "10.20.0.12", "10.20.1.80"),
    ("http/basic-rejected", "10.20.0.13", "10.20.1.80"),
    ("http/https", "10.20.0.12", "10.20.1.81"),
    ("smtp/starttls-declined", "10.20.0.14", "10.20.1.25"),
    ("smtp/starttls", "10.20.0.15", "10.20.1.25"),
    ("imap/cram-md5", "10.20.0.14", "10.20.1.25"),
    ("pop3/stls-refused", "10.20.0.16", "10.20.1.26"),
    ("postgresql/ssl-refused", "10.20.1.80", "10.20.1.54"),
    ("postgresql/tls", "10.20.1.81", "10.20.1.55"),
    ("mysql/identified-by", "10.20.1.80", "10.20.1.33"),
    ("redis/auth-accepted", "10.20.1.80", "10.20.1.63"),
    ("telnet/accepted", "10.20.0.17", "10.20.1.1"),
    ("snmp/v2c", "10.20.0.18", "10.20.1.1"),
    ("snmp/v3-priv", "10.20.0.18", "10.20.1.2"),
    ("ssh/public-key", "10.20.0.17", "10.20.1.2"),
    ("tls/tls1_0", "10.20.0.19", "10.20.1.90"),
    ("tls/tls1_3", "10.20.0.19", "10.20.1.91"),
    ("dns/udp", "10.20.0.11", "10.20.1.53"),
)
_START = 1_790_000_000.0
_PAUSE = 20.0


def make(pcaps: Path) -> Path:
    """Write the demo capture; gives its path."""
    out: list[Packet] = []
    now = _START
    for case, client, server in CASES:
        with PcapReader(str(pcaps / f"{case}.pcap")) as reader:
            packets = list(reader)
        first = float(packets[0].time)
        for packet in packets:
            made = _readdressed(packet, client, server)
            if made is not None:
                made.time = now + float(packet.time) - first
                out.append(made)
        now += _PAUSE
    path = pcaps / "demo.pcap"
    wrpcap(str(path), out)
    return path


def _readdressed(packet: Packet, client: str, server: str) -> Packet | None:
    """The same segment between other hosts; an IPv6 one becomes IPv4."""
    inner = packet.payload
    transport = inner.payload
    if not isinstance(transport, TCP | UDP):
        return None
    to_server = packet.dst.endswith(":20")
    ends = (client, server) if to_server else (server, client)
    raw = bytearray(bytes(transport))
    if isinstance(transport, TCP):
        body = TCP(bytes(raw))
    else:
        body = UDP(bytes(raw[: struct.unpack_from("!H", raw, 4)[0]]))
    del body.chksum
    macs = {end: f"02:00:{':'.join(f'{int(part):02x}' for part in end.split('.'))}" for end in ends}
    return Ether(src=macs[ends[0]], dst=macs[ends[1]]) / IP(src=ends[0], dst=ends[1]) / body
