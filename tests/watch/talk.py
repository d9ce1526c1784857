"""Clients that log in, as scripts for a namespace, and the servers they log in to."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from bench import talk
from bench.lab import CLIENT, SERVER, Span
from bench.talk import FTP, Server

_FTP_CLIENT = r"""
import ftplib, sys
for line in sys.stdin:
    user, password = line.rstrip("\n").split("\t")
    with ftplib.FTP(timeout=10) as ftp:
        ftp.connect(sys.argv[1], 21, source_address=(sys.argv[2], 0))
        ftp.login(user, password)
"""
_HTTP = Server(80, r"""
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
""")  # fmt: skip
_HTTP_CLIENT = r"""
import base64, http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
connection.request("GET", "/", headers={"Authorization": "Basic " + base64.b64encode(sys.stdin.buffer.read()).decode()})
assert connection.getresponse().status == 200
"""


def serving(span: Span, folder: Path) -> AbstractContextManager[None]:
    """An FTP-like and an HTTP server."""
    return talk.serving(span, folder, FTP, _HTTP)


def ftp(span: Span, *logins: tuple[str, str], source: str = CLIENT) -> None:
    """Log in and out, one connection each. The password goes through the standard input: command lines are looked into."""
    text = "".join(f"{user}\t{password}\n" for user, password in logins)
    subprocess.run(["ip", "netns", "exec", span.client, sys.executable, "-c", _FTP_CLIENT, SERVER, source], input=text, text=True, check=True, timeout=60)


def http(span: Span, user: str, password: str) -> None:
    subprocess.run(["ip", "netns", "exec", span.client, sys.executable, "-c", _HTTP_CLIENT, SERVER], input=f"{user}:{password}", text=True, check=True, timeout=30)
