"""Decoded packets as columns: addresses, ports, TCP header and where the payload lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sniffer.capture.frames import Block

Column = npt.NDArray[np.int64]
Address = npt.NDArray[np.uint64]

TCP, UDP, SCTP = 6, 17, 132


@dataclass(slots=True)
class Packets:
    """Innermost IP packets of a batch in capture order, n of them.

    An address is two uint64 columns (IPv6 in network order; IPv4 as ::ffff:a.b.c.d, that is high 0 and
    low 0xffff_0000_0000 | address). Ports are 0 where the protocol has none.
    """

    buffer: Block  # holds the payloads; longer than the frames' where datagrams were reassembled
    number: Column  # frame number
    time: Column  # nanoseconds since the epoch
    source: str
    src_high: Address
    src_low: Address
    dst_high: Address
    dst_low: Address
    protocol: Column  # IP protocol number of the innermost transport
    sport: Column
    dport: Column
    at: Column  # offset of the payload in the buffer
    size: Column  # captured payload bytes (never counts Ethernet padding)
    missing: Column  # payload bytes the IP length promises beyond those captured (snaplen)
    seq: Column  # TCP sequence and acknowledgement numbers, flags; 0 for others
    ack: Column
    flags: Column
    path: npt.NDArray[np.uint64]  # which encapsulations: 0 for none, else a key of Decoder.paths

    def __len__(self) -> int:
        return len(self.number)
