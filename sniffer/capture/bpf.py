"""Classic BPF for sockets: tcpdump expressions compiled by libpcap, an assembler with labels, attaching (linux/filter.h)."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from typing import TYPE_CHECKING

from sniffer.errors import UsageError

if TYPE_CHECKING:
    import socket

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
Program = list[Instruction]

# What the kernel takes at the most (BPF_MAXINSNS).
MAX_INSTRUCTIONS = 4096
SO_ATTACH_FILTER, SO_GET_FILTER, SO_LOCK_FILTER = 26, 26, 44
_SOL_SOCKET = 1

LD_W, LD_H, LD_B = 0x20, 0x28, 0x30  # absolute
IND_W, IND_H, IND_B = 0x40, 0x48, 0x50  # relative to X
LD_IMM, LDX_IMM, LD_MEM, LDX_MEM, ST, STX = 0x00, 0x01, 0x60, 0x61, 0x02, 0x03
ADD, MUL, AND, LSH, RSH, XOR = 0x04, 0x24, 0x54, 0x64, 0x74, 0xA4
BY_X = 0x08  # added to an arithmetic code: the operand is X
JA, JEQ, JSET = 0x05, 0x15, 0x45
RET, RET_A = 0x06, 0x16
TAX, TXA = 0x07, 0x87

# Loads from these offsets ask the kernel about the packet instead of reading it.
_AD = 0x1_0000_0000 - 0x1000
AD_PROTOCOL, AD_PKTTYPE, AD_HATYPE = _AD, _AD + 4, _AD + 28
# And from these on, the network header and what follows, whatever stands before it.
NET = 0x1_0000_0000 - 0x10_0000
PACKET_OUTGOING = 4
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772

LINKTYPE_SLL, LINKTYPE_SLL2 = 113, 276
_SLL_SIZE = 16
_SLL_FIELDS = {0: AD_PKTTYPE, 2: AD_HATYPE, 14: AD_PROTOCOL}
# LINKTYPE_ and DLT_ differ for raw IP (pcap/dlt.h).
_DLT = {101: 12}
# The kernel takes the outer tag off the bytes, and only libpcap on an open interface knows what to ask instead.
_ASKS_THE_KERNEL = re.compile(r"\b(vlan|inbound|outbound|ifindex)\b")


class Assembler:
    """Builds a program; jumps go forward to labels by name, however far."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str | None]] = []
        self._labels: dict[str, int] = {}

    def emit(self, code: int, constant: int = 0) -> None:
        self._code.append((code, constant, None))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def jump(self, label: str) -> None:
        self._code.append((JA, 0, label))

    def jump_if(self, test: int, constant: int, label: str) -> None:
        """Two instructions: a conditional jump reaches 255 instructions, an unconditional one any."""
        self._code.append((test, constant, ""))
        self.jump(label)

    def assemble(self) -> Program:
        program: Program = []
        for at, (code, constant, label) in enumerate(self._code):
            if label == "":
                program.append((code, 0, 1, constant))
            elif label is not None:
                program.append((code, 0, 0, self._labels[label] - at - 1))
            else:
                program.append((code, 0, 0, constant & 0xFFFF_FFFF))
        return program


def accept(size: int) -> Program:
    """Everything, ``size`` bytes of it; 0 is nothing."""
    return [(RET, 0, 0, size)]


def compile_expression(expression: str, link: int, snaplen: int, interface: str = "") -> Program:
    """A tcpdump expression for frames of LINKTYPE ``link``, cut to ``snaplen``. UsageError says what libpcap says.

    What only an open interface can answer (``vlan``, ``inbound``) is compiled on ``interface``, which needs the right
    to capture. For LINKTYPE_LINUX_SLL2 the program reads from the network header on, so it does for any device.
    """
    if not expression.strip():
        return accept(snaplen)
    import pcapy

    anywhere = link == LINKTYPE_SLL2
    try:
        if interface and _ASKS_THE_KERNEL.search(expression):
            program = _compiled_on(interface, expression)
            # libpcap has made it for packets without a link header already.
            program = _moved(program, 0) if anywhere else program
        else:
            kind = LINKTYPE_SLL if anywhere else _DLT.get(link, link)
            program = [tuple(i) for i in pcapy.compile(kind, snaplen, expression, 1, 0xFFFF_FFFF).get_bpf()]
            program = _moved(program, _SLL_SIZE) if anywhere else program
    except (pcapy.PcapError, ValueError) as error:
        raise UsageError(f"filter: {error} in {expression!r}") from None
    return [(code, jt, jf, min(k, snaplen) if code == RET and k else k) for code, jt, jf, k in program]


def _compiled_on(interface: str, expression: str) -> Program:
    """What libpcap installs for an expression on an interface that it has open for that long."""
    import pcapy

    handle = pcapy.create(interface)
    try:
        handle.activate()
        handle.setfilter(expression)
        return installed(handle.getfd())
    finally:
        handle.close()


def _moved(program: Program, header: int) -> Program:
    """A program for packets behind a cooked header of that size, to read where their network header is instead."""
    return [(code, jt, jf, _moved_offset(code, k, header)) for code, jt, jf, k in program]


def _moved_offset(code: int, k: int, header: int) -> int:
    reads = code & 0x07 in (0, 1) and code & 0xE0 in (0x20, 0x40, 0xA0)
    if not reads or k >= _AD:
        return k
    if k >= header:
        return NET + k - header
    if code & 0xE0 == 0x20 and k in _SLL_FIELDS:
        return _SLL_FIELDS[k]
    raise UsageError("filter: link-layer addresses cannot be matched where devices of several kinds are watched")


def without_loopback_copies(program: Program) -> Program:
    """Do not take what the loopback device sends: it comes in again, once each."""
    head: Program = [(LD_W, 0, 0, AD_HATYPE), (JEQ, 0, 3, ARPHRD_LOOPBACK), (LD_W, 0, 0, AD_PKTTYPE), (JEQ, 0, 1, PACKET_OUTGOING), (RET, 0, 0, 0)]
    return head + program


def attach(sock: socket.socket, program: Program, *, level: int = _SOL_SOCKET, option: int = SO_ATTACH_FILTER) -> None:
    """Hand a program to the kernel (struct sock_fprog). OSError where it refuses."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *i) for i in program))
    sock.setsockopt(level, option, struct.pack("HP", len(program), ctypes.addressof(code)))


def lock(sock: socket.socket) -> None:
    """From now on nobody can change or remove the filter, whoever holds the socket."""
    sock.setsockopt(_SOL_SOCKET, SO_LOCK_FILTER, 1)


def installed(fd: int) -> Program:
    """The filter attached to a socket. The kernel counts this option's length in instructions."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(MAX_INSTRUCTIONS * 8)
    count = ctypes.c_uint(MAX_INSTRUCTIONS)
    if libc.getsockopt(fd, _SOL_SOCKET, SO_GET_FILTER, code, ctypes.byref(count)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return _instructions(code.raw[: 8 * count.value])


def _instructions(code: bytes) -> Program:
    return [(c, t, f, k) for c, t, f, k in struct.iter_unpack("HBBI", code)]
