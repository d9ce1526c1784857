"""Opening AF_PACKET sockets with a ring: bound, shared, filtered and locked, in the order that lets nothing slip by (packet(7))."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from contextlib import ExitStack

from sniffer.capture import bpf, fanout
from sniffer.capture.device import Device
from sniffer.capture.source import ANY, RingSettings
from sniffer.errors import CaptureError

SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _VERSION, _IGNORE_OUTGOING = 1, 5, 10, 23
_TPACKET_V3 = 2
_MR_PROMISC = 1
_ETH_P_ALL = 3

# A block must hold the largest frame the stack makes (BIG TCP: half a MiB), and there must be many: on a quiet link each
# interval fills one with next to nothing, so their number is how long a reader may be away.
BLOCK = 512 << 10
MIN_BLOCKS = 4
# Milliseconds until the kernel hands over a block that is not full.
RETIRE_AFTER = 50
# Bytes of each block that the kernel leaves to the readers.
_PRIVATE = 64


def open_socket(settings: RingSettings) -> socket.socket:
    """A socket that captures from now on, with its ring, filter and share. Needs CAP_NET_RAW.

    CaptureError says why not; UsageError is for the filter. To share an interface among workers see ``open_group``.
    """
    with ExitStack() as opened:
        sock = opened.enter_context(_prepare(settings))
        _arm(sock, settings)
        opened.pop_all()
    return sock


def open_group(settings: RingSettings) -> list[socket.socket]:
    """``settings.fanout_size`` sockets that share one interface; none hears anything before all have joined."""
    socks: list[socket.socket] = []
    group: int | None = fanout.NEW_GROUP
    with ExitStack() as opened:
        for _ in range(settings.fanout_size):
            sock = opened.enter_context(_prepare(settings, group))
            socks.append(sock)
            group = fanout.group_of(sock)
        for sock in socks:
            _arm(sock, settings)
        opened.pop_all()
    return socks


def geometry(ring_bytes: int) -> int:
    """How many blocks a ring of about that size has."""
    return max(MIN_BLOCKS, ring_bytes // BLOCK)


def _prepare(settings: RingSettings, group: int | None = None) -> socket.socket:
    """Bound and sharing, but deaf: a filter that takes nothing stands from before the bind until the real one."""
    name = settings.interface
    device = Device.of(name)
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise CaptureError(f"{name}: no permission to capture: run as root or with CAP_NET_RAW") from None
    try:
        bpf.attach(sock, bpf.accept(0))
        sock.setsockopt(SOL_PACKET, _VERSION, _TPACKET_V3)
        if device.loopback:
            # What loopback sends comes in again.
            sock.setsockopt(SOL_PACKET, _IGNORE_OUTGOING, 1)
        _make_ring(sock, settings)
        _bind(sock, device.index)
        if settings.promiscuous and device.index:
            sock.setsockopt(SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8x", device.index, _MR_PROMISC, 0))
        wanted = settings.fanout_group if group is None else group
        if wanted is not None:
            fanout.join(sock, wanted)
    except OSError as error:
        sock.close()
        raise CaptureError(f"{name}: cannot be watched: {_why(error, settings)}") from None
    return sock


def _why(error: OSError, settings: RingSettings) -> str:
    if error.errno == errno.ENOMEM:
        return f"no memory for a ring of {settings.ring_bytes >> 20} MiB"
    return error.strerror or "the system refused"


def _arm(sock: socket.socket, settings: RingSettings) -> None:
    """The filter, for good."""
    device = Device.of(settings.interface)
    program = bpf.compile_expression(settings.filter, device.link, settings.snaplen, settings.interface)
    if settings.interface == ANY:
        program = bpf.without_loopback_copies(program)
    try:
        bpf.attach(sock, program)
        bpf.lock(sock)
    except OSError as error:
        raise CaptureError(f"{settings.interface}: the filter was refused: {error.strerror}") from None


def _make_ring(sock: socket.socket, settings: RingSettings) -> None:
    blocks, frame = geometry(settings.ring_bytes), 2048
    request = struct.pack("=7I", BLOCK, blocks, frame, BLOCK // frame * blocks, RETIRE_AFTER, _PRIVATE, 0)
    sock.setsockopt(SOL_PACKET, _RX_RING, request)


def _bind(sock: socket.socket, index: int) -> None:
    """By number: Python's own bind knows interfaces by name only, and ``any`` has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), index, 0, 0, 0)
    if libc.bind(sock.fileno(), address, len(address)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
