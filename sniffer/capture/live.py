"""Live captures of every kind: a ring on Linux, scapy elsewhere, streams of pcap."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from sniffer.capture.overip import connect, open_stream
from sniffer.capture.source import ANY, Counters, LiveSource, RingSettings

__all__ = ["ANY", "HAS_RING", "Counters", "LiveSource", "RingSettings", "is_stream", "open_interface", "open_named"]

HAS_RING = hasattr(socket, "AF_PACKET")
if HAS_RING:
    from sniffer.capture.ring import Ring, open_group, open_socket

    __all__ += ["Ring", "open_group", "open_socket"]


def open_interface(settings: RingSettings) -> LiveSource:
    """Watch an interface alone. CaptureError says why it cannot be; UsageError is for the filter."""
    if HAS_RING:
        return Ring(open_socket(settings), settings)
    from sniffer.capture.portable import Portable

    return Portable(settings)


def is_stream(name: str) -> bool:
    """Whether a name is a stream's: ``-``, ``tcp://host:port``, or the path of a FIFO."""
    if name == "-" or name.startswith("tcp://"):
        return True
    try:
        return "/" in name and stat.S_ISFIFO(Path(name).stat().st_mode)
    except OSError:
        return False


def open_named(name: str) -> LiveSource:
    """Open a stream. CaptureError says why not."""
    return connect(name) if name.startswith("tcp://") else open_stream(name)
