"""Servers to log in to, as scripts for the server's namespace of a ``Span``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.lab import SERVER, Span, end, until


class Server(NamedTuple):
    """A Python script that serves at the address in its first argument, and the TCP port it takes."""

    port: int
    script: str


FTP = Server(21, r"""
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            word = line.split()[0].upper()
            self.wfile.write({b"USER": b"331 password\r\n", b"PASS": b"230 in\r\n", b"QUIT": b"221 bye\r\n"}.get(word, b"200 ok\r\n"))
            if word == b"QUIT":
                return
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server((sys.argv[1], 21), Handler).serve_forever()
""")  # fmt: skip


@contextmanager
def serving(span: Span, folder: Path, *servers: Server) -> Iterator[None]:
    """Servers that answer by the time the block begins; what they say goes to ``folder/servers``."""
    log = folder / "servers"
    started = [span.start(span.server, sys.executable, "-c", server.script, SERVER, log=log) for server in servers]
    try:
        for server in servers:
            probe = f"import socket; socket.create_connection(('{SERVER}', {server.port}), 1)"
            # Asked from the server's own side: it does not cross the mirrored port.
            if not until(lambda probe=probe: span.exec(span.server, sys.executable, "-c", probe, check=False).returncode == 0):
                raise RuntimeError(log.read_text())
        yield
    finally:
        for process in started:
            end(process)
