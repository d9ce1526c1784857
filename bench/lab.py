"""A network to watch, made of namespaces: client and server on a switch, whose client port is mirrored to a watch port.

    client (192.0.2.10) ── switch ── server (192.0.2.20)
                              └ mirror (clsact, u32, mirred) ── watch

Nothing leaves the namespaces. Needs root, iproute2 and ethtool.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLIENT, SERVER = "192.0.2.10", "192.0.2.20"
PORT = "mirror0"  # the watch port's name in the watch namespace
_CLONE_NEWNET = 0x40000000
_made = 0


def missing(*programs: str) -> str:
    """Why the lab cannot be built, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in ("ip", "tc", "ethtool", *programs) if not shutil.which(name)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = f"ctp{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"no network namespaces here: {done.stderr.strip()}"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


class Wire:
    """Two namespaces and a pair of veths: what is sent on ``out0`` in ``sender`` arrives at PORT in ``watch``."""

    def __init__(self) -> None:
        global _made
        _made += 1
        self.tag = f"ct{os.getpid() % 100000}x{_made}"
        self.watch, self.sender = f"{self.tag}w", f"{self.tag}o"
        self._stack = ExitStack()

    def namespaces(self) -> tuple[str, ...]:
        return (self.watch, self.sender)

    def __enter__(self) -> Wire:
        for name in self.namespaces():
            run("ip", "netns", "add", name)
            self._stack.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True, check=False)
            run("ip", "-n", name, "link", "set", "lo", "up")
            # Nothing but what the test sends: no neighbour discovery, no router solicitations.
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"], capture_output=True, check=False)
        self.join(self.sender, "out0", self.watch, PORT)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def join(self, one: str, name: str, two: str, other: str) -> None:
        """A veth pair between two namespaces, up, without offloads."""
        ends = (f"{self.tag}p", f"{self.tag}q")
        run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for end, space, wanted in ((ends[0], one, name), (ends[1], two, other)):
            run("ip", "link", "set", end, "netns", space, "name", wanted)
            run("ip", "-n", space, "link", "set", wanted, "up")
            subprocess.run(["ip", "netns", "exec", space, "ethtool", "-K", wanted, "tso", "off", "gso", "off", "gro", "off"], capture_output=True, check=False)

    def exec(self, space: str, *command: str, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in a namespace to its end."""
        return subprocess.run(["ip", "netns", "exec", space, *command], capture_output=True, text=True, timeout=timeout, check=check, stdin=subprocess.DEVNULL)

    @contextmanager
    def started(self, space: str, *command: str, log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program in a namespace during the block; what it says goes to ``log``."""
        process = self.start(space, *command, log=log, env=env)
        try:
            yield process
        finally:
            end(process)

    def start(self, space: str, *command: str, log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            # nsenter replaces itself by the program, so that a signal to the process reaches the program.
            return subprocess.Popen(["nsenter", f"--net=/run/netns/{space}", *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, start_new_session=True)


class Span(Wire):
    """The network above. The sender's namespace is the switch."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = f"{self.tag}c", f"{self.tag}s"

    def namespaces(self) -> tuple[str, ...]:
        return (*super().namespaces(), self.client, self.server)

    def __enter__(self) -> Span:
        super().__enter__()
        switch = self.sender
        self.join(self.client, "eth0", switch, "port1")
        self.join(self.server, "eth0", switch, "port2")
        run("ip", "-n", switch, "link", "add", "switch0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", switch, "link", "set", "switch0", "up")
        for port in ("port1", "port2"):
            run("ip", "-n", switch, "link", "set", port, "master", "switch0")
        for space, address in ((self.client, CLIENT), (self.server, SERVER)):
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        run("tc", "-n", switch, "qdisc", "add", "dev", "port1", "clsact")
        for direction in ("ingress", "egress"):
            run("tc", "-n", switch, "filter", "add", "dev", "port1", direction, "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "out0")
        return self


def end(process: subprocess.Popen[bytes], patience: float = 20) -> int:
    """SIGTERM, then SIGKILL to its whole session."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def until(condition: object, patience: float = 20.0, every: float = 0.1) -> bool:
    """Wait for a callable to give something true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(every)
    return False


def cleartap(*arguments: str) -> Sequence[str]:
    """The command line of the program under test."""
    return (sys.executable, "-m", "sniffer.cli", *arguments)


@contextmanager
def inside(space: str) -> Iterator[None]:
    """This thread, and every process and thread it starts, is in a namespace during the block (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    before, there = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/self/ns/net", f"/run/netns/{space}"))
    try:
        if libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(before, _CLONE_NEWNET)
        os.close(before)
        os.close(there)
