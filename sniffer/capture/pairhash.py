"""One number for the packets of two hosts, either way, tagged or inside tunnels: a classic BPF program (linux/filter.h)."""

from __future__ import annotations

from sniffer.capture import bpf
from sniffer.capture.bpf import (
    ADD,
    AND,
    BY_X,
    IND_B,
    IND_H,
    IND_W,
    JEQ,
    JSET,
    LD_H,
    LD_IMM,
    LD_MEM,
    LD_W,
    LDX_IMM,
    LDX_MEM,
    LSH,
    MUL,
    RET_A,
    RSH,
    ST,
    STX,
    TAX,
    TXA,
    XOR,
    Assembler,
)

# Tunnels in tunnels: a cloud's mirror is VXLAN inside the load balancer's GENEVE; then the tenant's own may follow.
DEPTH = 3
# Tags and labels before IP: QinQ behind the tag that the kernel took off; operators stack four labels.
TAGS, LABELS = 3, 4

_IPV4, _IPV6, _ETHERNET, _PPPOE = 0x0800, 0x86DD, 0x6558, 0x8864
_VLAN, _MPLS = (0x8100, 0x88A8, 0x9100), (0x8847, 0x8848)
_ERSPAN2, _ERSPAN3 = 0x88BE, 0x22EB
_UDP, _GRE, _IPIP, _IP6 = 17, 47, 4, 41
_VXLAN, _VXLAN_LINUX, _GENEVE = 4789, 8472, 6081
# Scratch memory.
_ONE, _OTHER, _HASH, _KIND, _FLAGS, _BASE = range(6)
# Odd constants with well-mixed bits (golden ratio; the finalizers of MurmurHash3).
_K1, _K2, _K3 = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35


def program() -> bpf.Program:
    """A number that is the same for all packets between two hosts, either way; inside tunnels the innermost two.

    Fragments of a tunnel's packets are told by the tunnel's ends, for only the first shows more. 0 for what is not IP.
    """
    a = Assembler()
    # What arrives begins behind its link header, what leaves begins with it.
    a.emit(LD_W, bpf.AD_PKTTYPE)
    a.jump_if(JEQ, bpf.PACKET_OUTGOING, "leaves")
    a.emit(LDX_IMM, 0)
    a.emit(LD_W, bpf.AD_PROTOCOL)
    a.jump("type0")
    a.label("leaves")
    a.emit(LD_W, bpf.AD_HATYPE)
    a.jump_if(JEQ, bpf.ARPHRD_ETHER, "framed")
    a.jump_if(JEQ, bpf.ARPHRD_LOOPBACK, "framed")
    a.emit(LDX_IMM, 0)
    a.emit(LD_W, bpf.AD_PROTOCOL)
    a.jump("type0")
    a.label("framed")
    a.emit(LDX_IMM, 14)
    a.emit(LD_H, 12)
    for depth in range(DEPTH):
        _layer(a, depth)
    # Past the last layer: what was found there is left unread.
    for name in ("ethernet", "type", "ipv4", "ipv6"):
        a.label(f"{name}{DEPTH}")
    a.label("done")
    a.emit(LD_MEM, _HASH)
    a.emit(RET_A)
    return _with_memory(a.assemble())


def _with_memory(code: bpf.Program) -> bpf.Program:
    """The kernel refuses programs that may read memory nobody wrote; 0 is also the answer for what is not IP."""
    return [(LD_IMM, 0, 0, 0), (ST, 0, 0, _HASH), *code]


def _layer(a: Assembler, depth: int) -> None:
    """Entered at ``ethernet`` (X at a frame), ``type`` (A an EtherType, X behind it), ``ipv4`` or ``ipv6`` (X at it)."""
    if depth:
        a.label(f"ethernet{depth}")
        a.emit(IND_H, 12)
        _skip(a, 14)
    a.label(f"type{depth}")
    _tags(a, depth)
    a.label(f"network{depth}")
    a.jump_if(JEQ, _IPV4, f"ipv4{depth}")
    a.jump_if(JEQ, _IPV6, f"ipv6{depth}")
    for kind in _MPLS:
        a.jump_if(JEQ, kind, f"mpls{depth}")
    a.jump_if(JEQ, _ETHERNET, f"ethernet{depth + 1}")
    a.jump_if(JEQ, _PPPOE, f"pppoe{depth}")
    a.jump("done")
    _labels(a, depth)
    _pppoe(a, depth)
    _ipv4(a, depth)
    _ipv6(a, depth)
    _transport(a, depth)


def _skip(a: Assembler, size: int) -> None:
    """X onward by ``size``; A stays."""
    a.emit(ST, _KIND)
    a.emit(TXA)
    a.emit(ADD, size)
    a.emit(TAX)
    a.emit(LD_MEM, _KIND)


def _tags(a: Assembler, depth: int) -> None:
    for number in range(TAGS):
        for kind in _VLAN:
            a.jump_if(JEQ, kind, f"tag{depth}.{number}")
        a.jump(f"network{depth}")
        a.label(f"tag{depth}.{number}")
        a.emit(IND_H, 2)
        _skip(a, 4)


def _labels(a: Assembler, depth: int) -> None:
    """MPLS (RFC 3032): to the bottom of the stack, then what the next nibble looks like."""
    a.label(f"mpls{depth}")
    for _ in range(LABELS):
        a.emit(IND_B, 2)
        _skip(a, 4)
        a.jump_if(JSET, 1, f"bottom{depth}")
    a.jump("done")
    a.label(f"bottom{depth}")
    a.emit(IND_B, 0)
    a.emit(RSH, 4)
    a.jump_if(JEQ, 4, f"ipv4{depth}")
    a.jump_if(JEQ, 6, f"ipv6{depth}")
    # A pseudowire's control word (RFC 4385).
    _skip(a, 4)
    a.jump_if(JEQ, 0, f"ethernet{depth + 1}")
    a.jump("done")


def _pppoe(a: Assembler, depth: int) -> None:
    a.label(f"pppoe{depth}")
    a.emit(IND_H, 6)
    _skip(a, 8)
    a.jump_if(JEQ, 0x0021, f"ipv4{depth}")
    a.jump_if(JEQ, 0x0057, f"ipv6{depth}")
    a.jump("done")


def _ipv4(a: Assembler, depth: int) -> None:
    a.label(f"ipv4{depth}")
    _pair(a, (12, 16), 1)
    a.emit(IND_H, 6)
    a.jump_if(JSET, 0x3FFF, "done")
    a.emit(IND_B, 9)
    a.emit(ST, _KIND)
    a.emit(IND_B, 0)
    a.emit(AND, 0x0F)
    a.emit(LSH, 2)
    a.emit(ADD | BY_X)
    a.emit(TAX)
    a.jump(f"transport{depth}")


def _ipv6(a: Assembler, depth: int) -> None:
    """Extension headers are not followed: behind a fragment header only the pair counts, others are rare before a tunnel."""
    a.label(f"ipv6{depth}")
    _pair(a, (8, 24), 4)
    a.emit(IND_B, 6)
    _skip(a, 40)


def _pair(a: Assembler, offsets: tuple[int, int], words: int) -> None:
    """The hash of the two addresses at ``offsets`` from X, of so many words of 32 bits each; X stays."""
    a.emit(STX, _BASE)
    for offset, place in zip(offsets, (_ONE, _OTHER), strict=True):
        for word in range(words):
            a.emit(IND_W, offset + 4 * word)
            if word:
                a.emit(LDX_MEM, place)
                a.emit(ADD | BY_X)
                a.emit(LDX_MEM, _BASE)
            a.emit(MUL, _K1)
            a.emit(ST, place)
    _mix(a)
    a.emit(LDX_MEM, _BASE)


def _mix(a: Assembler) -> None:
    """The hash of two addresses, the same whichever comes first."""
    a.emit(LDX_MEM, _ONE)
    a.emit(LD_MEM, _OTHER)
    a.emit(ADD | BY_X)
    a.emit(MUL, _K1)
    a.emit(ST, _HASH)
    a.emit(LD_MEM, _OTHER)
    a.emit(XOR | BY_X)
    a.emit(MUL, _K2)
    a.emit(LDX_MEM, _HASH)
    a.emit(XOR | BY_X)
    for shift in (15, 13):
        a.emit(TAX)
        a.emit(RSH, shift)
        a.emit(XOR | BY_X)
        a.emit(MUL, _K3)
    a.emit(TAX)
    a.emit(RSH, 16)
    a.emit(XOR | BY_X)
    a.emit(ST, _HASH)


def _transport(a: Assembler, depth: int) -> None:
    """X behind the IP header, its protocol in memory."""
    a.label(f"transport{depth}")
    a.emit(LD_MEM, _KIND)
    a.jump_if(JEQ, _UDP, f"udp{depth}")
    a.jump_if(JEQ, _GRE, f"gre{depth}")
    a.jump_if(JEQ, _IPIP, f"ipv4{depth + 1}")
    a.jump_if(JEQ, _IP6, f"ipv6{depth + 1}")
    a.jump("done")
    _udp(a, depth)
    _gre(a, depth)


def _udp(a: Assembler, depth: int) -> None:
    """VXLAN (RFC 7348) and GENEVE (RFC 8926) by port, and by what their headers must hold."""
    a.label(f"udp{depth}")
    a.emit(IND_H, 2)
    a.jump_if(JEQ, _VXLAN, f"vxlan{depth}")
    a.jump_if(JEQ, _VXLAN_LINUX, f"vxlan{depth}")
    a.jump_if(JEQ, _GENEVE, f"geneve{depth}")
    a.jump("done")
    a.label(f"vxlan{depth}")
    a.emit(IND_B, 8)
    a.emit(AND, 0x3B)
    _skip(a, 16)
    a.jump_if(JEQ, 0x08, f"ethernet{depth + 1}")
    a.jump("done")
    a.label(f"geneve{depth}")
    a.emit(IND_H, 10)
    a.emit(ST, _FLAGS)
    a.emit(IND_B, 8)
    a.emit(AND, 0x3F)
    a.emit(LSH, 2)
    a.emit(ADD, 16)
    a.emit(ADD | BY_X)
    a.emit(TAX)
    a.emit(LD_MEM, _FLAGS)
    a.jump_if(JEQ, _ETHERNET, f"ethernet{depth + 1}")
    a.jump(f"type{depth + 1}")


def _gre(a: Assembler, depth: int) -> None:
    """RFC 2784, 2890: four bytes, four more each for checksum, key and sequence number; ERSPAN's own header behind it."""
    a.label(f"gre{depth}")
    a.emit(IND_H, 0)
    a.emit(ST, _FLAGS)
    a.jump_if(JSET, 0x4007, "done")  # source routes; other versions
    a.emit(IND_H, 2)
    _skip(a, 4)
    a.emit(ST, _ONE)
    a.emit(STX, _BASE)
    # The bits of C, K and S, moved to where each counts 4.
    a.emit(LD_MEM, _FLAGS)
    for bit, away in ((0x8000, 13), (0x2000, 11), (0x1000, 10)):
        a.emit(LD_MEM, _FLAGS)
        a.emit(AND, bit)
        a.emit(RSH, away)
        a.emit(LDX_MEM, _BASE)
        a.emit(ADD | BY_X)
        a.emit(ST, _BASE)
    a.emit(LDX_MEM, _BASE)
    a.emit(LD_MEM, _ONE)
    a.jump_if(JEQ, _ETHERNET, f"ethernet{depth + 1}")
    a.jump_if(JEQ, _ERSPAN2, f"erspan{depth}")
    a.jump_if(JEQ, _ERSPAN3, f"erspan3{depth}")
    a.jump(f"type{depth + 1}")
    a.label(f"erspan{depth}")
    a.emit(LD_MEM, _FLAGS)
    # Type I has no sequence number and no header of its own; type II's has eight bytes.
    a.emit(AND, 0x1000)
    a.emit(RSH, 9)
    a.emit(ADD | BY_X)
    a.emit(TAX)
    a.jump(f"ethernet{depth + 1}")
    a.label(f"erspan3{depth}")
    a.emit(IND_B, 11)
    a.emit(AND, 1)
    a.emit(LSH, 3)
    a.emit(ADD, 12)
    a.emit(ADD | BY_X)
    a.emit(TAX)
    a.jump(f"ethernet{depth + 1}")
