"""Items for the tests of outputs: as recorded from real captures, and as hostile as the wire can make them."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from sniffer.alert import Alert, State
from sniffer.config import OutputSettings
from sniffer.outputs.sink import Item

CANARY = "Canary-4f9c-Password!"
FIRST, LAST = 1_790_000_000_123_456_000, 1_790_000_600_000_000_000

FINDING: dict[str, Any] = {
    "type": "finding", "schema": 1, "id": "f0123456789abcde", "rule": "credential/ftp", "category": "credential", "severity": "critical",
    "confidence": 0.99, "title": "FTP password sent in the clear", "protocol": "ftp", "transport": "tcp",
    "client": {"ip": "10.0.0.5", "port": 51234}, "server": {"ip": "10.0.0.9", "port": 21}, "path": ["vlan:10"], "mechanism": "PASS",
    "outcome": "accepted", "username": "alice", "secret": {"mask": "•••• (8–11 chars)", "fingerprint": "k1:" + "9f" * 12, "kind": "password"},
    "where": "PASS argument", "frame": 12, "time": "2026-09-21T13:33:20.123456Z", "first_seen": "2026-09-21T13:33:20.123456Z",
    "last_seen": "2026-09-21T13:43:20.000000Z", "count": 3, "source": "eth1", "channel": "c0123456789abcde",
    "references": ["CWE-319", "PCI-DSS-4.2.1"], "remedy": "Use SFTP, or FTPS with AUTH TLS required.",
}  # fmt: skip
CHANNEL: dict[str, Any] = {
    "type": "channel", "schema": 1, "id": "c0123456789abcde", "client": "10.0.0.5", "server": "2001:db8::9", "port": 5432, "transport": "tcp",
    "protocol": "postgresql", "tier": "database", "encryption": "declined", "why": "server answered SSLRequest with N", "sessions": 12,
    "bytes": {"client": 1234, "server": 99999}, "findings": {"critical": 1},
    "tls": {"version": "TLS 1.2", "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "sni": "db.example", "upgraded": False},
    "first_seen": "2026-09-21T13:33:20.123456Z", "last_seen": "2026-09-21T13:43:20.000000Z",
}  # fmt: skip


def settings(type: str, **fields: Any) -> OutputSettings:
    return OutputSettings(name=f"the {type}", type=type, **{"timeout_seconds": 5, **fields})


def finding(**fields: Any) -> Item:
    body = {**FINDING, **fields}
    return Item(body["id"], "finding", body)


def channel(**fields: Any) -> Item:
    body = {**CHANNEL, **fields}
    return Item(body["id"], "channel", body)


def alert(**fields: Any) -> Item:
    """An alert as it is queued: the fields of :class:`Alert`."""
    found = fields.pop("finding", FINDING)
    made = Alert(
        **{
            "id": "a0123456789abcde", "revision": 1, "state": State.FIRING, "rule": "credential/ftp", "severity": "critical",
            "category": "credential", "title": "FTP password sent in the clear", "sensor": "office-1", "protocol": "ftp", "transport": "tcp",
            "client": "10.0.0.5", "server": "10.0.0.9", "port": 21, "tier": "management", "network": "lan", "path": ("vlan:10",),
            "channel": "c0123456789abcde", "count": 3, "findings": 2, "first_seen": FIRST, "last_seen": LAST,
            "remedy": "Use SFTP.", "references": ("CWE-319",), "finding": found, **fields,
        }
    )  # fmt: skip
    return Item(made.id, "alert", dataclasses.asdict(made))


def coverage() -> Item:
    """An alert about cleartap itself: no client, no server, no finding."""
    nothing = {"protocol": "", "transport": "", "client": "", "server": "", "port": 0, "tier": "", "network": "", "path": (), "channel": ""}
    return alert(id="a00000000000link", rule="coverage/silent-link", category="coverage", severity="high", title="eth1 shows nothing", finding={}, references=(), count=0, findings=0, **nothing)


def leaking(kind: str = "finding") -> Item:
    """A finding as --reveal would write it, which never should get here."""
    secret = {**FINDING["secret"], "value": CANARY}
    crack = {"format": "netntlmv2", "hashcat": 5600, "line": f"alice::{CANARY}"}
    if kind == "alert":
        return alert(finding={**FINDING, "secret": secret, "crack": crack})
    return finding(secret=secret, crack=crack)


# Whatever the wire may say: controls, separators of every format, mentions, lone surrogates, right-to-left overrides.
NASTY = ["\r\n", "\n", "\x00", "\x1b[2J", "]", '"', "\\", "|", "=", "<!channel>", "<@U1>", "&", "&lt;", "\u202e", "\ud800", "\r\nBcc: x@example.org\r\n\r\n", "é", "€", "𝄞", "`", "*", " a=b", "\u2028", "{{ . }}", "%s"]
wire = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8)), max_size=8).map("".join)


@st.composite
def hostile(draw: st.DrawFn) -> Item:
    """A finding, an alert or a channel with hostile text wherever text comes from the wire."""
    kind = draw(st.sampled_from(["finding", "alert", "channel"]))
    if kind == "channel":
        return channel(client=draw(wire), why=draw(wire), protocol=draw(wire), tls={"version": draw(wire), "sni": draw(wire)})
    fields = {name: draw(wire) for name in ("username", "realm", "where", "title", "mechanism")}
    found = {**FINDING, **fields, "path": [draw(wire)], "secret": {**FINDING["secret"], "mask": draw(wire)}}
    return alert(title=fields["title"], client=draw(wire), finding=found) if kind == "alert" else finding(**found)
