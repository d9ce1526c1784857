"""Capture filters: each expression against packets made by hand."""

from __future__ import annotations

import pytest

from sniffer.decode.filter import compile_filter
from sniffer.errors import UsageError
from tests.sniffer.flows.lab import Segment, packets

# 10.0.0.1:40000 → 10.0.0.2:9999, the answer, and a datagram from another port.
SEGMENTS = [Segment(0, 1, b"a"), Segment(1, 1, b"b"), Segment(0, 1, b"c", port=53, protocol=17), Segment(0, 1, b"d", port=0, protocol=1)]


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("host 10.0.0.1", "abcd"),
        ("10.0.0.2", "abcd"),
        ("src host 10.0.0.2", "b"),
        ("dst 10.0.0.2", "acd"),
        ("net 10.0.0.0/8", "abcd"),
        ("net 10.0.0.0/31", "abcd"),
        ("src net 10.0.0.2/32", "b"),
        ("net 192.0.2.0/24", ""),
        ("net 2001:db8::/32", ""),
        ("ip6", ""),
        ("ip", "abcd"),
        ("tcp", "ab"),
        ("udp or icmp", "cd"),
        ("port 9999", "abc"),
        ("tcp port 9999", "ab"),
        ("src port 9999", "b"),
        ("port 53 or 40000", "abc"),
        ("portrange 50-60", "c"),
        ("port domain", "c"),
        ("not tcp", "cd"),
        ("! (tcp or udp)", "d"),
        ("tcp and not src port 9999", "a"),
        ("host 10.0.0.1 and (port 53 or src port 40000)", "ac"),
        ("HOST 10.0.0.1 AND UDP", "c"),
        ("tcp && port 40000 || udp", "abc"),
    ],
)
def test_keeps(expression, kept):
    batch = compile_filter(expression)(packets(SEGMENTS))
    assert "".join(chr(batch.buffer[at]) for at in batch.at.tolist()) == kept


@pytest.mark.parametrize("expression", ["", "port", "port banana", "host", "host 10.0.0.300", "and", "tcp and", "(tcp", "tcp)", "port 99999", "portrange 9-3", "not", "tcp port 80 udp", "(" * 200 + "tcp"])
def test_refuses(expression):
    with pytest.raises(UsageError):
        compile_filter(expression)
