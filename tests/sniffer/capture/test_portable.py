"""Capture by scapy, on the system it must also work on."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from sniffer.capture.portable import Portable
from sniffer.capture.source import RingSettings
from sniffer.errors import CaptureError
from tests.sniffer.capture import lab
from tests.sniffer.capture.lab import datagram, decoded, ethernet, frames, namespace, sender, tag, veth


def portable() -> closing[Portable]:
    return closing(Portable(RingSettings("m1")))


def test_frames_with_their_tags():
    with namespace():
        veth()
        with portable() as source:
            with sender() as tx:
                before = time.time_ns()
                tx.send(ethernet(0x0800, datagram(b"one")))
                tx.send(ethernet(0x8100, tag(10, 0x0800, datagram(b"two"))))
                got = frames(source, 2)
                assert [(number, data) for number, _, data, _ in got] == [
                    (1, ethernet(0x0800, datagram(b"one"))),
                    (2, ethernet(0x8100, tag(10, 0x0800, datagram(b"two")))),
                ]
                assert all(before - 10**9 < moment < time.time_ns() + 10**9 for _, moment, _, _ in got)
                tx.send(ethernet(0x8100, tag(10, 0x0800, datagram(b"three"))))
                assert decoded(source, 1) == [(("vlan:10",), 1000, 53, b"three")]
            assert source.counters().packets == 3
            assert source.problem is None


def test_it_waits_no_longer_than_asked_and_gathers_what_comes():
    with namespace():
        veth()
        with portable() as source:
            start = time.monotonic()
            assert source.read(0.1) is None
            assert time.monotonic() - start < 1
            with sender() as tx:
                for _ in range(50):
                    tx.send(ethernet(0x0800, datagram()))
                time.sleep(0.05)
                batch = source.read(1)
                assert batch is not None
                assert len(batch) == 50


def test_an_interface_that_goes_down():
    with namespace():
        veth()
        with portable() as source:
            lab.run("ip link set m1 down")
            lab.until(lambda: source.read(0.05) is None and source.problem)
            assert source.problem is not None
            assert source.problem.startswith("m1: ")


def test_a_socket_that_cannot_be_waited_for_keeps_nobody_busy(monkeypatch):
    def broken(*_):
        raise OSError("gone")

    with namespace():
        veth()
        with portable() as source:
            monkeypatch.setattr(source._sock, "select", broken)
            start = time.monotonic()
            assert source.read(0.2) is None
            assert time.monotonic() - start >= 0.2
            assert "gone" in source.problem


def test_no_such_interface():
    with namespace(), pytest.raises(CaptureError, match="nowhere0"):
        Portable(RingSettings("nowhere0"))
