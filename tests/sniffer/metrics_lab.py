"""What the tests of the metrics share: certificates, web configurations, a client, a real Prometheus."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USER, PASSWORD = "prometheus", "Canary-4f9c-Password!"
# The lowest cost there is: the tests are not about how long it takes. The salt is fixed, since names of tests come of it.
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode()


def needs(program: str) -> str:
    """The path of a program; skips where it is not installed, and fails where it must be."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1":
            pytest.fail(f"{program} is not installed, and CLEARTAP_REQUIRE_LIVE=1")
        pytest.skip(f"{program} is not installed (Debian: prometheus)")
    return found


class Authority:
    """Makes certificates, and writes them as PEM files into a directory."""

    def __init__(self, where: Path, name: str = "ca") -> None:
        self.where = where
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        certificate = self._build(self._name, self._key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = where / f"{name}.crt"
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _build(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=7))
        )  # fmt: skip

    def issue(self, name: str, san: str = "") -> tuple[Path, Path]:
        """Certificate and key of one end."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(san)] if san else [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = self._build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        cert_file, key_file = self.where / f"{name}.crt", self.where / f"{name}.key"
        cert_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key_file.write_bytes(key.private_bytes(*form))
        return cert_file, key_file


def basic(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    """The header of basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def get(url: str, headers: dict[str, str] | None = None, context: ssl.SSLContext | None = None, method: str = "GET") -> tuple[int, Any, bytes]:
    """Status, headers and the body, unpacked."""
    asked = urllib.request.Request(url, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        answer = opener.open(asked, timeout=15)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip" and body:
            body = gzip.decompress(body)
        return answer.status, answer.headers, body


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Prometheus:
    """A real one on loopback, asked over its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = json.loads(get(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))[2])
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def number(self, expression: str) -> float | None:
        """The one value, or None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> list[dict[str, Any]]:
        alerts = json.loads(get(f"{self.url}/api/v1/alerts")[2])["data"]["alerts"]
        return [alert for alert in alerts if alert["state"] == "firing"]


@contextmanager
def prometheus(where: Path, config: str):
    """Prometheus with a configuration, until the end of the block."""
    program = needs("prometheus")
    port = free_port()
    file = where / "prometheus.yml"
    file.write_text(config)
    with (where / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={file}", f"--storage.tsdb.path={where / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log, cwd=where,
        )  # fmt: skip
        try:
            server = Prometheus(f"http://127.0.0.1:{port}")
            until(lambda: process.poll() is not None or _ready(server.url), "Prometheus to be ready")
            assert process.poll() is None, (where / "prometheus.log").read_text()
            yield server
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str) -> bool:
    try:
        return get(f"{url}/-/ready")[0] == 200
    except OSError:
        return False


def until(condition, what: str, seconds: float = 30):
    """What a condition becomes when it is true; fails when it stays false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s for {what}")
