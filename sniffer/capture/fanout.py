"""Sharing an interface among workers by host pair, also inside tunnels (PACKET_FANOUT with a classic BPF program; packet(7))."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sniffer.capture import bpf
from sniffer.capture.pairhash import program

if TYPE_CHECKING:
    import socket

SOL_PACKET, PACKET_FANOUT, PACKET_FANOUT_DATA = 263, 18, 22
_CBPF, _UNIQUE = 6, 0x2000

# Asks for a group that is not there yet.
NEW_GROUP = -1


def join(sock: socket.socket, group: int) -> int:
    """Join a bound socket to a group, or to a new one (NEW_GROUP), whose number the kernel chooses. Gives the number.

    A group may have the number 0: the first after a boot has it. The members' filters must not be locked yet.
    """
    kind = _CBPF | (_UNIQUE if group == NEW_GROUP else 0)
    sock.setsockopt(SOL_PACKET, PACKET_FANOUT, max(group, 0) | kind << 16)
    bpf.attach(sock, program(), level=SOL_PACKET, option=PACKET_FANOUT_DATA)
    number = group_of(sock)
    if number is None:
        raise OSError(errno.EINVAL, "the socket shares nothing")
    return number


def group_of(sock: socket.socket) -> int | None:
    """The number of a socket's group, None for none."""
    said = int(struct.unpack("=I", sock.getsockopt(SOL_PACKET, PACKET_FANOUT, 4))[0])
    # The kind of group is never 0 for ours; the number may be.
    return said & 0xFFFF if said >> 16 else None
