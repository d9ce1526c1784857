"""One flow from its packets to what is said of it."""

from __future__ import annotations

import pytest

from sniffer.session import Session
from tests.sniffer.flows.lab import ACK, SYN, Segment, packets
from tests.sniffer.flows.test_tracker import conversation

USER, SECRET = "alice-proxied", "Secret-4711"
SMTP = [
    (1, b"220 mail.example.org ESMTP\r\n"),
    (0, b"EHLO client.example.org\r\n"),
    (1, b"250-mail.example.org\r\n250 AUTH PLAIN\r\n"),
    (0, b"AUTH PLAIN AGFsaWNlLXByb3hpZWQAU2VjcmV0LTQ3MTE=\r\n"),
    (1, b"235 2.7.0 Authentication successful\r\n"),
]
HTTP = [(0, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2UtcHJveGllZDpTZWNyZXQtNDcxMQ==\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS = {
    "line": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    "unknown": b"PROXY UNKNOWN\r\n",
    "binary": SIGNATURE + b"\x21\x11\0\x0c" + bytes((192, 0, 2, 1, 192, 0, 2, 2)) + b"\xdc\x04\x01\xbb",
    "binary, local": SIGNATURE + b"\x20\0\0\0",
}


def read(turns: list[tuple[int, bytes]]) -> Session:
    session = Session(b"k" * 32, strict=True)
    session.follow(packets(conversation(turns)), {0: ()}, 2_000_000_000)
    session.finish()
    return session


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("turns", [SMTP, HTTP], ids=["smtp", "http"])
def test_what_a_load_balancer_puts_in_front_hides_no_login(turns, header, alone):
    first = [(0, header)] if alone or turns[0][0] else []
    rest = turns if first else [(0, header + turns[0][1]), *turns[1:]]
    session = read([*first, *rest])
    assert [(found.username, found.secret.reveal()) for found in session.findings] == [(USER, SECRET)]


@pytest.mark.parametrize("line", [b"PROXY\r\n", b"PROXY TCP4 " + b"x" * 200 + b"\r\n", SIGNATURE + b"\x31\0\0\0", SIGNATURE + b"\x21\x11\xff\xff"])
def test_what_only_looks_like_a_load_balancers_header_is_data(line):
    session = read([(0, line + HTTP[0][1]), HTTP[1]])
    assert [row.client_bytes for row in session.channels] == [len(line + HTTP[0][1])]


@pytest.mark.parametrize("columns", [True, False])
def test_packets_made_without_counting_the_syn_lose_no_byte(columns):
    made = [Segment(0, 0, flags=SYN), Segment(1, 0, flags=SYN | ACK), Segment(0, 0, HTTP[0][1]), Segment(1, 0, HTTP[1][1])]
    session = Session(b"k" * 32, strict=True, columns=columns)
    session.follow(packets(made), {0: ()}, 2_000_000_000)
    session.finish()
    assert [(found.username, str(found.outcome)) for found in session.findings] == [(USER, "accepted")]
    assert session.summary.reassembly == {"data at the SYN's own number": 2}


@pytest.mark.parametrize("columns", [True, False])
def test_a_login_that_waits_for_its_answer_outlives_a_broken_format(columns):
    session = Session(b"k" * 32, strict=True, columns=columns)
    for time, turns in enumerate((SMTP[:-1], [*SMTP[:-1], (1, b"x" * 100_000)])):
        session.follow(packets(conversation(turns, port=40000 + time, fin=False)), {0: ()}, 2_000_000_000)
    session.finish()
    assert [(found.username, found.secret.reveal(), str(found.outcome), found.count) for found in session.findings] == [(USER, SECRET, "unknown", 2)]
    assert session.summary.anomalies.total() == 1


def test_a_websocket_is_as_open_as_the_http_before_it():
    ask = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    session = read([(0, ask), (1, answer), (0, b"\x81\x85" + bytes(range(128, 137))), (1, b"\x82\x7e\x01\x00" + bytes(range(256)))])
    assert [(row.protocol, str(row.encryption), row.why) for row in session.channels] == [("http", "cleartext", "HTTP, RFC 9112 without encryption")]
