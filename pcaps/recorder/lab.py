"""Two hosts on one wire: network namespaces joined by a veth pair, with tcpdump on the server's end.

The addresses are those of RFC 5737 and RFC 3849. Nothing leaves the namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

CLIENT, SERVER = "192.0.2.10", "192.0.2.20"
CLIENT6, SERVER6 = "2001:db8::10", "2001:db8::20"
# Fixed, so that recording again changes as little as can be.
_MAC = {"client": "02:00:00:00:00:10", "server": "02:00:00:00:00:20"}
_PATIENCE = 20.0


class RecordingError(Exception):
    """A server did not come up, a program is missing, or the capture stayed empty."""


def need(*programs: str) -> None:
    """RecordingError that names what is not installed."""
    missing = [p for p in programs if not (shutil.which(p) or Path(p).exists())]
    if missing:
        raise RecordingError(f"not installed: {', '.join(missing)}")


def version(*command: str) -> str:
    """The first line that a program says of itself, for the truth file."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]


class Lab:
    """The namespaces ``<tag>c`` and ``<tag>s``; ``folder`` is scratch space that both see. Use as a context manager."""

    def __init__(self, out: Path) -> None:
        need("ip", "tcpdump")
        self.out = out
        self.tag = f"ct{os.getpid() % 100000}"
        self.client_ns, self.server_ns = f"{self.tag}c", f"{self.tag}s"
        self.folder = Path(tempfile.mkdtemp(prefix="cleartap-lab-"))
        self.folder.chmod(0o755)
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        for name in (self.client_ns, self.server_ns):
            _run("ip", "netns", "add", name)
            self._stack.callback(_run, "ip", "netns", "del", name)
        wire = [f"{self.tag}x", f"{self.tag}y"]
        _run("ip", "link", "add", wire[0], "type", "veth", "peer", "name", wire[1])
        for link, ns, mac, v4, v6 in (
            (wire[0], self.client_ns, _MAC["client"], CLIENT, CLIENT6),
            (wire[1], self.server_ns, _MAC["server"], SERVER, SERVER6),
        ):
            _run("ip", "link", "set", link, "netns", ns, "name", "eth0", "address", mac)
            _run("ip", "-n", ns, "addr", "add", f"{v4}/24", "dev", "eth0")
            _run("ip", "-n", ns, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
            for device in ("lo", "eth0"):
                _run("ip", "-n", ns, "link", "set", device, "up")
        for ns in (self.client_ns, self.server_ns):
            # Whole frames as on a wire: no 64 KiB segments put together by offload.
            subprocess.run(["ip", "netns", "exec", ns, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"], capture_output=True, check=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def serve(self, *command: str, port: int | None = None, udp: bool = False, env: dict[str, str] | None = None, host: str = SERVER) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server in the foreground in its namespace until the block ends. Waits until ``port`` answers (TCP)."""
        log = (self.folder / "server.log").open("ab")
        process = subprocess.Popen(["ip", "netns", "exec", self.server_ns, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            if port is not None and not udp:
                self.wait(port, process, host)
            else:
                time.sleep(1.0)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
            log.close()

    def wait(self, port: int, process: subprocess.Popen[bytes] | None = None, host: str = SERVER) -> None:
        """Until a TCP port of the server answers; asked from the server's own side, so it is not in the capture."""
        probe = f"import socket,sys; s=socket.create_connection(({host!r},{port}),1)"
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                break
            if subprocess.run(["ip", "netns", "exec", self.server_ns, "python3", "-c", probe], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        tail = (self.folder / "server.log").read_text(errors="replace")[-2000:]
        raise RecordingError(f"nothing listens on port {port}\n{tail}")

    def client(self, *command: str, stdin: str | bytes | None = None, timeout: float = 30, check: bool = False, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a client program in its namespace. Failures are no error unless ``check``: many cases record failures."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        # An empty input is an end of file; None is no terminal either, so nothing ever waits for a person.
        source = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(["ip", "netns", "exec", self.client_ns, *command], capture_output=True, timeout=timeout, check=check, env={**os.environ, **(env or {})}, **source)  # type: ignore[call-overload, no-any-return]

    def connect(self, port: int, *, ipv6: bool = False) -> socket.socket:
        """A TCP connection from the client's namespace, for clients written by hand in a recipe."""
        return _inside(self.client_ns, (SERVER6 if ipv6 else SERVER, port))

    @contextmanager
    def capture(self, name: str, **truth: Any) -> Iterator[None]:
        """Record what crosses the wire during the block as ``<protocol>/<case>.pcap``; ``truth`` goes beside it."""
        path = self.out / f"{name}.pcap"
        path.parent.mkdir(parents=True, exist_ok=True)
        # arp and icmp6 are the namespaces' own housekeeping.
        command = ["ip", "netns", "exec", self.server_ns, "tcpdump", "-i", "eth0", "--immediate-mode", "-U", "-s", "0", "-n", "-Z", "root", "-w", str(path), "tcp or udp"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()  # "listening on …": from here on nothing is missed
        try:
            yield
            time.sleep(0.5)
        finally:
            process.terminate()
            process.wait()
        if path.stat().st_size <= 24:
            raise RecordingError(f"{name}: nothing was captured")
        path.with_suffix(".json").write_text(json.dumps(truth, indent=2, ensure_ascii=False) + "\n")
        path.chmod(0o644)


def login(username: str | None, secret: str, mechanism: str, outcome: str = "accepted", **more: Any) -> dict[str, Any]:
    """A login for the truth: what must be found, and how the server answered."""
    return {"username": username, "secret": secret, "mechanism": mechanism, "outcome": outcome, **more}


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecordingError(f"{' '.join(command)}: {done.stderr.strip()}")


def _inside(namespace: str, address: Sequence[Any]) -> socket.socket:
    """A connected socket made inside a namespace and used outside of it: a socket stays where it was made."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        os.setns(there, os.CLONE_NEWNET) if hasattr(os, "setns") else _setns(there)
        return socket.create_connection((address[0], address[1]), 10)
    finally:
        os.setns(here, os.CLONE_NEWNET) if hasattr(os, "setns") else _setns(here)
        os.close(here)
        os.close(there)


def _setns(handle: int) -> None:
    """setns(2), which ``os`` has from Python 3.12 on."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(handle, 0x40000000):
        raise RecordingError(os.strerror(ctypes.get_errno()))
