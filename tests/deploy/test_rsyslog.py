"""rsyslog: the receiver's snippet is understood, takes what the syslog output sends over TLS, and nothing from strangers."""

from __future__ import annotations

from pathlib import Path

import pytest

from sniffer.config import OutputSettings
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import Item, Sink, SinkError
from tests.deploy.tools import DEPLOY, debian, free_port, good
from tests.sniffer.outputs.servers import Authority, Daemon, listens, until

PEER = "cleartap.example.org"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def adapted(folder: Path, authority: Authority, port: int) -> Path:
    """The snippet with the test's files and port, and on loopback."""
    certificate, key = authority.issue("rsyslog")
    text = (DEPLOY / "rsyslog" / "cleartap.conf").read_text()
    changes = {
        "/etc/rsyslog.d/cleartap/ca.pem": authority.file,
        "/etc/rsyslog.d/cleartap/server.pem": certificate,
        "/etc/rsyslog.d/cleartap/server-key.pem": key,
        "/var/log/cleartap/received.log": str(folder / "received.log"),
        'port="6514"': f'port="{port}" address="127.0.0.1"',
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "rsyslog.conf"
    path.write_text(text)
    return path


def sink(authority: Authority, port: int, name: str) -> Sink:
    certificate, key = authority.issue(name, hosts=(name,))
    settings = OutputSettings(name="syslog", type="syslog", address=f"127.0.0.1:{port}", transport="tls", ca_file=authority.file, cert_file=certificate, key_file=key, timeout_seconds=5)
    return open_sink(settings, "sensor-1")


def item(number: int) -> Item:
    body = {"type": "finding", "schema": 1, "id": f"f{number}", "rule": "credential/ftp", "severity": "critical", "category": "credential", "title": "FTP password sent in the clear",
            "protocol": "ftp", "transport": "tcp", "client": {"ip": "10.0.0.5", "port": 51234}, "server": {"ip": "10.0.0.9", "port": 21}, "time": "2026-11-23T10:00:00.123456Z"}  # fmt: skip
    return Item(id=f"f{number}", kind="finding", body=body)


def test_is_understood(tmp_path: Path, authority: Authority):
    good(debian("rsyslogd", "rsyslog rsyslog-gnutls"), "-N1", "-f", adapted(tmp_path, authority, 6514))


def test_takes_what_the_sensor_sends(tmp_path: Path, authority: Authority):
    port = free_port()
    config = adapted(tmp_path, authority, port)
    with Daemon([debian("rsyslogd", "rsyslog rsyslog-gnutls"), "-n", "-f", str(config), "-i", str(tmp_path / "pid")], tmp_path, lambda: listens(port)):
        sender = sink(authority, port, PEER)
        sender.send([item(1), item(2)])
        sender.close()
        received = tmp_path / "received.log"
        assert until(lambda: received.exists() and received.read_text().count("\n") == 2), (tmp_path / "daemon.log").read_text()
        assert "credential/ftp" in received.read_text()
        assert received.stat().st_mode & 0o777 == 0o640


def test_takes_nothing_from_a_stranger(tmp_path: Path, authority: Authority):
    port = free_port()
    config = adapted(tmp_path, authority, port)
    with Daemon([debian("rsyslogd", "rsyslog rsyslog-gnutls"), "-n", "-f", str(config), "-i", str(tmp_path / "pid")], tmp_path, lambda: listens(port)):
        sender = sink(authority, port, "stranger.example.org")
        with pytest.raises(SinkError):  # noqa: PT012 - whether the first send or the close learns of it is the peer's timing
            sender.send([item(1)])
            sender.send([item(2)])
            raise SinkError("not told, which is only seen at the receiver")
        sender.close()
        assert not (tmp_path / "received.log").exists()
