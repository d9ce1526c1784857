"""What a plain packet loop costs: dpkt reads and decodes every packet, and a dictionary counts bytes a flow. Nothing more."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import dpkt


def main(path: str) -> None:
    flows: Counter[tuple[bytes, bytes, int, int]] = Counter()
    with Path(path).open("rb") as capture:
        for _, frame in dpkt.pcap.Reader(capture):
            packet = dpkt.ethernet.Ethernet(frame).data
            if isinstance(packet, dpkt.ip.IP) and isinstance(packet.data, dpkt.tcp.TCP | dpkt.udp.UDP):
                segment = packet.data
                flows[packet.src, packet.dst, segment.sport, segment.dport] += len(segment.data)
    print(len(flows), sum(flows.values()))


if __name__ == "__main__":
    main(sys.argv[1])
