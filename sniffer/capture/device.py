"""Network interfaces of Linux: which link type they give, whether they are up (netdevice(7), linux/if_arp.h)."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass

from sniffer.capture.source import ANY
from sniffer.errors import CaptureError

_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_UP, _RUNNING = 0x01, 0x40
LINKTYPE_SLL2 = 276
# LINKTYPE_ by ARPHRD_, for devices whose frames can be taken whole. Those of all others (ppp, ipip, gre, sit, infiniband
# ...) are taken from the network header on, with a cooked link header before it.
LINKTYPES = {
    1: 1,  # Ethernet
    772: 1,  # loopback has an Ethernet header of zeros
    65534: 101,  # none: tun, WireGuard
    519: 101,  # raw IP: cellular modems
    513: 104,  # Cisco HDLC
    801: 105,  # 802.11
    802: 119,  # 802.11 with a Prism header
    803: 127,  # 802.11 with a radiotap header
}
_LOOPBACK = 772


@dataclass(frozen=True, slots=True)
class Device:
    """An interface as it was when it was looked up. ``index`` 0 is all of them."""

    name: str
    index: int
    hatype: int

    @classmethod
    def of(cls, name: str) -> Device:
        """CaptureError when there is none of that name."""
        if name == ANY:
            return cls(name, 0, 0)
        try:
            index = socket.if_nametoindex(name)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                answer = fcntl.ioctl(sock, _SIOCGIFHWADDR, _request(name))
        except (OSError, ValueError):
            raise CaptureError(f"{name}: no such interface; there are {_names()}") from None
        return cls(name, index, struct.unpack_from("H", answer, 16)[0])

    @classmethod
    def perhaps(cls, name: str) -> Device:
        """The interface of that name, though it may be gone by now."""
        try:
            return cls.of(name)
        except CaptureError:
            return cls(name, -1, 0)

    @property
    def link(self) -> int:
        """LINKTYPE_SLL2 also for ``any``, where each packet has its own."""
        return LINKTYPES.get(self.hatype, LINKTYPE_SLL2)

    @property
    def loopback(self) -> bool:
        return self.hatype == _LOOPBACK

    def problem(self, sock: socket.socket) -> str | None:
        """Why nothing comes from this interface, asked of a socket bound to it."""
        if self.index == 0:
            return None
        try:
            # By the socket: another interface may have taken the name.
            name = sock.getsockname()[0]
            flags = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, _request(name)), 16)[0] if name else None
        except OSError:
            flags = None
        if flags is None:
            return f"{self.name}: the interface is gone"
        if not flags & _UP:
            return f"{self.name}: the interface is down"
        return None if flags & _RUNNING else f"{self.name}: the interface has no carrier"


def _request(name: str) -> bytes:
    """Struct ifreq."""
    encoded = name.encode()
    if not 0 < len(encoded) < 16:
        raise ValueError(name)
    return struct.pack("16s24x", encoded)


def _names() -> str:
    return ", ".join([*(name for _, name in socket.if_nameindex()), ANY])
