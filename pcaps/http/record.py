"""HTTP: nginx with Basic authentication and TLS, a form on Python's own server, spoken to by curl."""

from __future__ import annotations

import json
import sys

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, login, need, version

USER, PASSWORD = "bob", "correct-horse-7"
CLEAR = [{"port": 80, "protocol": "http", "encryption": "cleartext"}]

_NGINX = """
daemon off; master_process off; error_log stderr; pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off; gzip on; gzip_types application/json; gzip_min_length 1;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 80; listen [::]:80; listen 443 ssl; ssl_certificate {pem}; ssl_certificate_key {pem};
    root {folder}/www;
    location /private/ {{ auth_basic "staff"; auth_basic_user_file {folder}/users; }}
    location /chat {{ return 101; }}
  }}
}}
"""

# A login form as small applications have them: 302 and a session cookie, or 401.
_FORM = f"""
import http.server, json, urllib.parse
class Login(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            given = json.loads(body)
            ok = given["password"] == {PASSWORD!r}
        elif kind.startswith("multipart/"):
            ok = {PASSWORD!r}.encode() in body
        else:
            ok = urllib.parse.parse_qs(body.decode())["password"] == [{PASSWORD!r}]
        self.send_response(302 if ok else 401)
        if ok:
            self.send_header("Location", "/home")
            self.send_header("Set-Cookie", "sessionid=7f3c2a9b8e4d4c1fa0b1; HttpOnly; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a): pass
class Dual(http.server.ThreadingHTTPServer):
    import socket
    address_family = socket.AF_INET6
Dual(("::", 80), Login).serve_forever()
"""


def record(lab: Lab) -> None:
    need("nginx", "curl", "htpasswd")
    import subprocess

    folder = lab.folder
    made_by = [version("nginx", "-v"), version("curl", "--version")]
    pem = certificate(folder, "www.example.org")
    private = folder / "www" / "private"
    private.mkdir(parents=True)
    for place in (folder, folder / "www", private):
        place.chmod(0o755)
    (private / "index.html").write_text("<p>figures</p>\n" * 200)
    subprocess.run(["htpasswd", "-cb", str(folder / "users"), USER, PASSWORD], check=True, capture_output=True)
    (folder / "users").chmod(0o644)
    config = folder / "nginx.conf"
    config.write_text("user root;\n" + _NGINX.format(folder=folder, pem=pem))
    with lab.serve("nginx", "-c", str(config), port=80):
        _basic(lab, made_by)
    script = folder / "form.py"
    script.write_text(_FORM)
    with lab.serve(sys.executable, str(script), port=80):
        _forms(lab, [f"http.server of Python {sys.version.split()[0]}", made_by[1]])


def _basic(lab: Lab, made_by: list[str]) -> None:
    url = f"http://{SERVER}/private/"
    with lab.capture("http/basic-accepted", made_by=made_by, logins=[login(USER, PASSWORD, "Basic")], channels=CLEAR):
        lab.client("curl", "-s", "--anyauth", "--compressed", "--user", f"{USER}:{PASSWORD}", url)
    with lab.capture("http/basic-rejected", made_by=made_by, logins=[login(USER, "nope-nope", "Basic", "rejected")], channels=CLEAR):
        lab.client("curl", "-s", "--user", f"{USER}:nope-nope", url)
    with lab.capture("http/basic-ipv6", made_by=made_by, logins=[login(USER, PASSWORD, "Basic")], channels=CLEAR):
        lab.client("curl", "-s", "--user", f"{USER}:{PASSWORD}", f"http://[{SERVER6}]/private/")
    with lab.capture("http/pipelined", made_by=[*made_by, "a client written for the purpose"], logins=[login(USER, PASSWORD, "Basic"), login(USER, "second-try", "Basic", "rejected")], channels=CLEAR):
        _pipeline(lab)
    with lab.capture("http/https", made_by=made_by, logins=[], channels=[{"port": 443, "protocol": "tls", "encryption": "encrypted"}]):
        lab.client("curl", "-sk", "--user", f"{USER}:{PASSWORD}", f"https://{SERVER}/private/")


def _pipeline(lab: Lab) -> None:
    """Two requests in one segment: a good password and a bad one; the answers must be told apart."""
    import base64

    def request(secret: str) -> bytes:
        token = base64.b64encode(f"{USER}:{secret}".encode()).decode()
        return f"GET /private/ HTTP/1.1\r\nHost: www.example.org\r\nAuthorization: Basic {token}\r\n\r\n".encode()

    with lab.connect(80) as wire:
        wire.sendall(request(PASSWORD) + request("second-try"))
        wire.settimeout(1)
        try:
            while wire.recv(65536):
                pass
        except TimeoutError:
            pass


def _forms(lab: Lab, made_by: list[str]) -> None:
    url = f"http://{SERVER}/login"
    optional = [{"username": "sessionid", "mechanism": "cookie"}]
    with lab.capture("http/form-accepted", made_by=made_by, logins=[login(USER, PASSWORD, "form")], optional=optional, channels=CLEAR):
        lab.client("curl", "-s", "-d", f"username={USER}&password={PASSWORD}", url)
    with lab.capture("http/form-rejected", made_by=made_by, logins=[login(USER, "guess me", "form", "rejected")], channels=CLEAR):
        lab.client("curl", "-s", "--data-urlencode", f"username={USER}", "--data-urlencode", "password=guess me", url)
    with lab.capture("http/json-accepted", made_by=made_by, logins=[login(USER, PASSWORD, "json body")], optional=optional, channels=CLEAR):
        lab.client("curl", "-s", "-H", "Content-Type: application/json", "-d", json.dumps({"username": USER, "password": PASSWORD}), url)
    with lab.capture("http/multipart-accepted", made_by=made_by, logins=[login(USER, PASSWORD, "multipart form")], optional=optional, channels=CLEAR):
        lab.client("curl", "-s", "-F", f"username={USER}", "-F", f"password={PASSWORD}", url)
