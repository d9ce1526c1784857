"""JA4 against the worked example of its specification."""

from __future__ import annotations

from sniffer.dissectors._ja4 import ja4
from sniffer.dissectors._tls_hello import ClientHello

SUITES = (0x5A5A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035)
EXTENSIONS = (0x1A1A, 0x001B, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B, 0xFF01, 0x000B, 0x000A, 0x0015, 0x2A2A)
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def test_the_example_of_the_specification():
    hello = ClientHello(0x0303, b"", SUITES, EXTENSIONS, versions=(0x6A6A, 0x0304, 0x0303), signatures=SIGNATURES, alpn=(b"h2", b"http/1.1"))
    assert ja4(hello, "t") == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_nothing_offered():
    assert ja4(ClientHello(0x0301, b"", (), ()), "q") == "q10i000000_000000000000_000000000000"


def test_a_name_and_nothing_else_leaves_the_third_part_empty():
    """The name and the protocols are not in what is hashed, and nothing is hashed of nothing."""
    assert ja4(ClientHello(0x0303, b"", (0x002F,), (0x0000, 0x0010), alpn=(b"h2",)), "t").endswith("_000000000000")
