"""docs/mirroring.md: the commands for Linux, run as they stand there, copy both directions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.tools import DOCS, debian, good, lacking, run
from tests.sniffer.outputs.servers import until


def commands() -> str:
    block = re.search(r"^```sh mirror\n(.*?)^```$", (DOCS / "mirroring.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str, str]]:
    """Two hosts on a wire, eth0 to eth0; the first has an eth1 beside it, whose other end is the sensor's."""
    if os.geteuid() != 0:
        lacking("needs root, for network namespaces")
    ip = debian("ip", "iproute2")
    names = tuple(f"cleartap-{os.getpid()}-{n}" for n in ("a", "b", "s"))
    try:
        for name in names:
            made = run(ip, "netns", "add", name)
            if made.returncode:
                lacking(f"no network namespace: {made.stderr.strip()}")
        first, second, sensor = names
        good(ip, "-n", first, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", second)
        good(ip, "-n", first, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", sensor)
        for name, address in ((first, "10.9.0.1/24"), (second, "10.9.0.2/24")):
            good(ip, "-n", name, "address", "add", address, "dev", "eth0")
            good(ip, "-n", name, "link", "set", "eth0", "up")
        good(ip, "-n", first, "link", "set", "eth1", "up")
        good(ip, "-n", sensor, "link", "set", "eth1", "up")
        yield first, second, sensor
    finally:
        for name in names:
            run(ip, "netns", "del", name)


def test_linux_mirror_carries_both_directions(namespaces: tuple[str, str, str]):
    first, _, sensor = namespaces
    debian("tc", "iproute2")
    good("ip", "netns", "exec", first, "sh", "-euc", commands())
    sniff = ["ip", "netns", "exec", sensor, debian("tcpdump", "tcpdump"), "-lnni", "eth1", "-c", "2", "udp"]
    with subprocess.Popen(sniff, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as capture:
        assert capture.stderr is not None
        assert capture.stdout is not None
        assert until(lambda: "listening" in capture.stderr.readline())
        talk = "import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((sys.argv[1],5000))\ns.sendto(b'x',(sys.argv[2],5000))"
        for name, own, other in ((first, "10.9.0.1", "10.9.0.2"), (namespaces[1], "10.9.0.2", "10.9.0.1")):
            good("ip", "netns", "exec", name, "/usr/bin/python3", "-c", talk, own, other)
        try:
            seen, _ = capture.communicate(timeout=10)
        finally:
            capture.kill()
    assert "10.9.0.1.5000 > 10.9.0.2.5000" in seen
    assert "10.9.0.2.5000 > 10.9.0.1.5000" in seen
