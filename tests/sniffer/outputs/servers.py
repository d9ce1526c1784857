"""Receivers for the tests of outputs, on loopback: rsyslogd, Alertmanager, an HTTP server that answers as told, and a CA."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def program(name: str, package: str) -> str:
    """The path of a program that must be there in CI; elsewhere the test is skipped with the reason."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        text = f"{name} is not installed (Debian: {package})"
        if os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1":
            pytest.fail(text)
        pytest.skip(text)
    return found


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def until(true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait for something to become true; whether it did."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def listens(port: int) -> bool:
    """Whether something listens on 127.0.0.1, without a connection it might log."""
    return f" 0100007F:{port:04X} 00000000:0000 0A " in Path("/proc/net/tcp").read_text()


class Authority:
    """A certificate authority of one test, which writes PEM files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cleartap test CA")])
        made = self._certificate(self._name, self._key.public_key(), 1).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
        made = made.add_extension(usage, critical=True).add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.file = self._write("ca.pem", made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        start = now - datetime.timedelta(days=2)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(now + datetime.timedelta(days=days))
        )  # fmt: skip

    def _write(self, name: str, text: bytes) -> str:
        path = self.folder / name
        path.write_bytes(text)
        path.chmod(0o600)
        return str(path)

    def issue(self, name: str, hosts: tuple[str, ...] = ("127.0.0.1", "localhost"), days: int = 1) -> tuple[str, str]:
        """Certificate and key files; ``days`` below zero: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        made = self._certificate(subject, key.public_key(), days).add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        held = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        signed = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.pem", signed), self._write(f"{name}.key", held)

    def server_context(self, name: str = "server", **kw: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, **kw))  # type: ignore[arg-type]
        return context


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent and answers as told: ``answers`` first, then 200."""

    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    stall: threading.Event = field(default_factory=threading.Event)  # set: requests are answered
    hang_up: bool = False  # close after each answer without saying so

    def __enter__(self) -> Receiver:
        receiver = self
        self.stall.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append(Request(self.command, self.path, dict(self.headers.items()), body))
                receiver.stall.wait(10)
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")
                self.close_connection = receiver.hang_up

            do_GET = do_POST = _answer

            def log_message(self, *_: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = False

            def get_request(self) -> tuple[socket.socket, object]:
                connection, where = super().get_request()
                connection.settimeout(5)
                return connection, where

            def handle_error(self, *_: object) -> None: ...

            def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
                if receiver.context is not None:
                    try:
                        request = receiver.context.wrap_socket(request, server_side=True)
                    except OSError:
                        return
                try:
                    super().finish_request(request, client_address)
                finally:
                    request.close()

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stall.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}/hook?token=hidden"


class Daemon:
    """A program that runs while the test does."""

    def __init__(self, command: list[str], folder: Path, ready: Callable[[], object]) -> None:
        self.command, self.folder, self.ready = command, folder, ready
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder)
        process = self.process
        assert until(lambda: self.ready() or process.poll() is not None), self.log.read_text()
        assert process.poll() is None, self.log.read_text()

    def stop(self, *, kill: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(kill=True)


class Rsyslog(Daemon):
    """rsyslogd with a TCP and a UDP input, or with TLS that asks clients for a certificate of the CA."""

    FIELDS = ("pri", "timestamp", "hostname", "app-name", "msgid", "msg")
    TEMPLATE = (
        'template(name="t" type="list" option.jsonf="on") {'
        + "".join(f'property(outname="{n}" name="{n}" format="jsonf")' for n in FIELDS).replace('"timestamp" format', '"timestamp" dateFormat="rfc3339" format')
        + 'property(outname="data" name="$!rfc5424-sd" format="jsonf")}'
    )

    def __init__(self, folder: Path, authority: Authority | None = None, *, client_certificate: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.port, self.output = free_port(), folder / "received"
        lines = ['module(load="mmpstrucdata")']
        if authority is None:
            lines += ['module(load="imtcp")', 'module(load="imudp")', f'input(type="imudp" address="127.0.0.1" port="{self.port}" ruleset="r")']
        else:
            certificate, key = authority.issue("rsyslog")
            mode = "x509/certvalid" if client_certificate else "anon"
            lines += [
                f'global(defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{authority.file}" defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")',
                f'module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="{mode}")',
            ]
        lines += [
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="r")',
            self.TEMPLATE,
            'global(parser.escapeControlCharactersOnReceive="on" workDirectory="' + str(folder) + '")',
            f'ruleset(name="r") {{ action(type="mmpstrucdata") action(type="omfile" file="{self.output}" template="t" flushOnTXEnd="on") }}',
            f'action(type="omfile" file="{folder / "own"}")',
        ]
        config = folder / "rsyslog.conf"
        config.write_text("\n".join(lines) + "\n")
        super().__init__([program("rsyslogd", "rsyslog rsyslog-gnutls"), "-n", "-f", str(config), "-i", str(folder / "pid")], folder, lambda: listens(self.port))

    def received(self) -> list[dict[str, object]]:
        """What came, as rsyslog itself took it apart."""
        text = self.output.read_text() if self.output.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def own(self) -> str:
        path = self.folder / "own"
        return self.log.read_text() + (path.read_text() if path.exists() else "")


class Alertmanager(Daemon):
    """Alertmanager that tells a webhook at once."""

    def __init__(self, folder: Path, webhook: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        config = folder / "alertmanager.yml"
        config.write_text(
            "route: {receiver: test, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
            f"receivers: [{{name: test, webhook_configs: [{{url: '{webhook}', send_resolved: true}}]}}]\n"
        )
        command = [program("prometheus-alertmanager", "prometheus-alertmanager"), f"--config.file={config}", f"--storage.path={folder / 'data'}"]
        super().__init__([*command, f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="], folder, lambda: listens(self.port))
