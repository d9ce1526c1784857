"""Servers and clients that log in, as scripts for a namespace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.lab import CLIENT, SERVER, Span, end, until

_FTP = r"""
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
"""
_FTP_CLIENT = r"""
import ftplib, sys
for line in sys.stdin:
    user, password = line.rstrip("\n").split("\t")
    with ftplib.FTP(timeout=10) as ftp:
        ftp.connect(sys.argv[1], 21, source_address=(sys.argv[2], 0))
        ftp.login(user, password)
"""
_HTTP = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        good = self.headers.get("Authorization", "").startswith("Basic ")
        self.send_response(200 if good else 401)
        if not good:
            self.send_header("WWW-Authenticate", 'Basic realm="here"')
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], 80), Handler).serve_forever()
"""

_HTTP_CLIENT = r"""
import base64, http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
connection.request("GET", "/", headers={"Authorization": "Basic " + base64.b64encode(sys.stdin.buffer.read()).decode()})
assert connection.getresponse().status == 200
"""


@contextmanager
def serving(span: Span, folder) -> Iterator[None]:
    """An FTP-like and an HTTP server."""
    servers = [span.start(span.server, sys.executable, "-c", script, SERVER, log=folder / "servers") for script in (_FTP, _HTTP)]
    try:
        for port in (21, 80):
            probe = f"import socket; socket.create_connection(('{SERVER}', {port}), 1)"
            # Asked from the server's own side: it does not cross the mirrored port.
            assert until(lambda probe=probe: span.exec(span.server, sys.executable, "-c", probe, check=False).returncode == 0), (folder / "servers").read_text()
        yield
    finally:
        for server in servers:
            end(server)


def ftp(span: Span, *logins: tuple[str, str], source: str = CLIENT) -> None:
    """Log in and out, one connection each. The password goes through the standard input: command lines are looked into."""
    text = "".join(f"{user}\t{password}\n" for user, password in logins)
    subprocess.run(["ip", "netns", "exec", span.client, sys.executable, "-c", _FTP_CLIENT, SERVER, source], input=text, text=True, check=True, timeout=60)


def http(span: Span, user: str, password: str) -> None:
    subprocess.run(["ip", "netns", "exec", span.client, sys.executable, "-c", _HTTP_CLIENT, SERVER], input=f"{user}:{password}", text=True, check=True, timeout=30)
