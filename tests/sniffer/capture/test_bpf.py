"""Filter expressions: what libpcap compiles, moved to where the bytes are, taken by the kernel, counting what it should."""

from __future__ import annotations

import re
import socket
import subprocess

import pytest

from sniffer.capture import bpf
from sniffer.errors import UsageError
from tests.sniffer.capture import lab
from tests.sniffer.capture.files import pcap
from tests.sniffer.capture.lab import datagram, ethernet, ipv4, ipv6, namespace, ring, sender, udp, veth

EXPRESSIONS = ["udp port 53", "host 10.0.0.1 and not port 53", "ip6", "tcp or udp dst portrange 50-60", "net 10.1.0.0/16", "arp", "icmp", "greater 200", "udp[8] = 0x78"]
FRAMES = [
    ethernet(0x0800, datagram()),
    ethernet(0x0800, datagram(dport=54)),
    ethernet(0x0800, datagram(src="10.1.2.3", dport=80)),
    ethernet(0x0800, datagram(b"y" * 300, sport=55)),
    ethernet(0x86DD, ipv6("2001:db8::1", "2001:db8::2", 17, udp(53, 1000, b"z" * 30))),
    ethernet(0x0800, ipv4("10.0.0.1", "10.0.0.2", 6, b"\0\x50\1\2" + bytes(8) + b"\x50\2\0\0\0\0\0\0")),
    ethernet(0x0800, ipv4("10.0.0.1", "10.0.0.2", 1, b"\x08" + bytes(31))),
    ethernet(0x0806, bytes(46)),
]


@pytest.mark.parametrize("expression", ["tcp prot 80", "host", "port 99999", "a\0b", "tcp port 80 and", "tcp[99:99"])
def test_what_is_not_understood_is_said(expression):
    with pytest.raises(UsageError, match=r"^filter: .+ in '"):
        bpf.compile_expression(expression, 1, 65535)


@pytest.mark.parametrize("expression", ["", "  "])
def test_no_expression_takes_everything(expression):
    assert bpf.compile_expression(expression, 1, 100) == bpf.accept(100)


@pytest.mark.parametrize("link", [1, 101, 104, 105, 119, 127, 276])
def test_every_kind_of_device_can_be_filtered(link):
    program = bpf.compile_expression("tcp port 80", link, 4096)
    assert {k for code, _, _, k in program if code == bpf.RET} == {0, 4096}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        bpf.attach(sock, program)
        assert bpf.installed(sock.fileno()) == program


def test_the_kernel_takes_what_tcpdump_takes(tmp_path):
    """On one interface and on all at once, frame for frame, with tcpdump as the oracle."""
    lab.require("tcpdump")
    (tmp_path / "a.pcap").write_bytes(pcap([(10**18 + i, frame) for i, frame in enumerate(FRAMES)]))
    with namespace():
        veth()
        for expression in EXPRESSIONS:
            said = subprocess.run(["tcpdump", "-nr", f"{tmp_path}/a.pcap", "--count", expression], check=True, capture_output=True, text=True)
            expected = int(re.match(r"(\d+) packet", said.stdout)[1])  # type: ignore[index]
            with ring("m1", filter=expression, ring_bytes=1) as one, sender() as tx:
                for frame in FRAMES:
                    tx.send(frame)
                assert len(lab.drain(one)) == expected, expression
            if "greater" in expression:
                continue  # counts the link header
            with ring("any", filter=expression, ring_bytes=1) as every, sender() as tx:
                for frame in FRAMES:
                    tx.send(frame)
                # Sent and received.
                assert len(lab.drain(every)) == 2 * expected, expression


def test_a_program_for_cooked_packets_reads_behind_the_header():
    program = bpf.compile_expression("udp port 53", bpf.LINKTYPE_SLL2, 4096)
    assert program[0] == (bpf.LD_H, 0, 0, bpf.AD_PROTOCOL)
    reads = [k for code, _, _, k in program if code & 7 in (0, 1) and code & 0xE0 in (0x20, 0x40, 0xA0)]
    assert all(k >= bpf.NET for k in reads)


def test_jumps_reach_far():
    a = bpf.Assembler()
    a.emit(bpf.LD_IMM, 7)
    a.jump_if(bpf.JEQ, 7, "end")
    for _ in range(1000):
        a.emit(bpf.ADD, 1)
    a.label("end")
    a.emit(bpf.RET_A)
    program = a.assemble()
    assert program[1:3] == [(bpf.JEQ, 0, 1, 7), (bpf.JA, 0, 0, 1000)]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        bpf.attach(theirs, program)
        ours.send(b"0123456789")
        # A filter's answer is how many bytes are kept.
        assert theirs.recv(100) == b"0123456"
