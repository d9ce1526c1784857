"""Rows as a watch would record them, made from a number: the same number gives the same row."""

from __future__ import annotations

from sniffer.alert import Alert
from sniffer.alert import State as AlertState
from sniffer.channels import Channel
from sniffer.events import Certificate, Crack, Encryption, Outcome
from sniffer.findings import Category, Finding, Rule, Severity
from sniffer.outputs.sink import Item
from sniffer.secret import Secret

CANARY = "Canary-77b1-Password!"
SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
DAY = 86_400 * SECOND
RULE = Rule("credential/ftp", Category.CREDENTIAL, "FTP password sent in the clear", Severity.HIGH)
CERTIFICATE = Certificate("CN=db.example", "CN=Example CA", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00", "rsa 2048", False, ("db.example", "10.0.0.9"), "sha256WithRSAEncryption")


def host(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def finding(number: int, **changed: object) -> Finding:
    fields: dict[str, object] = {
        "id": f"f{number:015x}",
        "rule": RULE,
        "severity": Severity.HIGH,
        "confidence": 0.99,
        "title": RULE.title,
        "protocol": "ftp",
        "transport": "tcp",
        "client": (host(number), 51234),
        "server": ("192.0.2.9", 21),
        "path": ("vlan:10",),
        "secret": Secret(CANARY),
        "fingerprint": f"k1:{number:024x}",
        "mechanism": "PASS",
        "username": f"user{number}",
        "realm": None,
        "outcome": Outcome.UNKNOWN,
        "where": "PASS argument",
        "frame": 12,
        "source": "eth1",
        "channel": f"c{number:015x}",
        "remedy": "Use SFTP, or FTPS with AUTH TLS required.",
        "first_seen": NOW,
        "last_seen": NOW,
        "crack": None,
        "facts": {},
        "count": 1,
    }
    return Finding(**{**fields, **changed})  # type: ignore[arg-type]


def hashed(number: int, **changed: object) -> Finding:
    return finding(number, **{"secret": Secret(CANARY, "hash"), "crack": Crack("netntlmv2", 5600, Secret(f"user::{CANARY}", "hash")), **changed})


def channel(number: int, **changed: object) -> Channel:
    fields: dict[str, object] = {
        "client": host(number),
        "server": "192.0.2.9",
        "port": 5432,
        "transport": "tcp",
        "protocol": "postgresql",
        "tier": "database",
        "path": ("vlan:10", "vxlan:77"),
        "sessions": 1,
        "client_bytes": 1234,
        "server_bytes": 99_999,
        "first": NOW,
        "last": NOW + SECOND,
        "verdicts": {Encryption.CLEARTEXT: (1, "server answered SSLRequest with N")},
    }
    return Channel(**{**fields, **changed})  # type: ignore[arg-type]


def tls_channel(number: int, **changed: object) -> Channel:
    tls = {"version": "TLS 1.2", "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "group": "x25519", "sni": "db.example", "alpn": "h2", "ja4": "t13d1516h2_8daaf6152771_e5627efa2ab1", "certificate": CERTIFICATE, "resumed": False}
    facts = {"verdicts": {Encryption.ENCRYPTED: (1, "TLS 1.2")}, "tls": tls, "upgraded": True, "product": "PostgreSQL 15.4", "findings": {Severity.MEDIUM: 1}}
    return channel(number, **{**facts, **changed})


def alert(number: int, revision: int = 1, state: AlertState = AlertState.FIRING, **changed: object) -> Alert:
    fields: dict[str, object] = {
        "id": f"a{number:015x}",
        "revision": revision,
        "state": state,
        "rule": RULE.id,
        "severity": "high",
        "category": "credential",
        "title": RULE.title,
        "sensor": "lab",
        "protocol": "ftp",
        "transport": "tcp",
        "client": host(number),
        "server": "192.0.2.9",
        "port": 21,
        "tier": "files",
        "network": "",
        "path": ("vlan:10",),
        "channel": f"c{number:015x}",
        "count": revision,
        "findings": 1,
        "first_seen": NOW,
        "last_seen": NOW + revision * SECOND,
        "remedy": "Use SFTP.",
        "references": ("CWE-319",),
        "finding": {"id": f"f{number:015x}", "secret": {"mask": "•••• (16+ chars)", "kind": "password"}},
    }
    return Alert(**{**fields, **changed})  # type: ignore[arg-type]


def item(number: int, kind: str = "alert", size: int = 0, **body: object) -> Item:
    return Item(f"{kind[0]}{number}", kind, {"number": number, "padding": "x" * size, **body})
