"""Elastic Common Schema 8: findings and alerts as ``event.kind: alert``, channels as ``event``; our own fields under ``cleartap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sniffer.outputs.community import community_id
from sniffer.outputs.record import timestamp
from sniffer.outputs.version import version
from sniffer.outputs.view import address, of, present, vlan

if TYPE_CHECKING:
    from sniffer.outputs.sink import Item
    from sniffer.outputs.view import View

ECS_VERSION = "8.17.0"
# Elastic Security's own numbers for its four severities; info stands below them.
_SEVERITY = {"info": 1, "low": 21, "medium": 47, "high": 73, "critical": 99}


def event(item: Item, sensor: str = "") -> dict[str, Any]:
    """One item as an ECS document. Fields that are unknown are left out."""
    seen = of(item, sensor)
    return present(
        {
            "@timestamp": timestamp(seen.last),
            "message": seen.line,
            "ecs": {"version": ECS_VERSION},
            "tags": ["cleartap", *seen.references],
            "event": _event(seen),
            "rule": {"id": seen.rule, "name": seen.title if seen.rule else "", "category": seen.category if seen.rule else "", "ruleset": "cleartap" if seen.rule else ""},
            "source": {**_end(seen.client, seen.client_port), "bytes": seen.client_bytes or None},
            "destination": {**_end(seen.server, seen.server_port), "bytes": seen.server_bytes or None},
            "network": _network(seen),
            "observer": {"name": seen.sensor, "vendor": "cleartap", "product": "cleartap", "type": "sensor", "version": version()},
            "user": {"name": seen.username, "domain": seen.realm if seen.username else ""},
            "related": {"ip": [ip for ip in dict.fromkeys((address(seen.client), address(seen.server))) if ip], "user": [seen.username] if seen.username else []},
            "tls": {"version": seen.tls.get("version", "").removeprefix("TLS "), "cipher": seen.tls.get("cipher"), "client": {"server_name": seen.tls.get("sni")}},
            "cleartap": _own(seen),
        }
    )


def _event(seen: View) -> dict[str, Any]:
    return {
        "kind": "event" if seen.kind == "channel" else "alert",
        "category": ["network"],
        "type": ["connection", "info"] if seen.kind == "channel" else ["info"],
        "module": "cleartap",
        "dataset": f"cleartap.{seen.kind}",
        "provider": "cleartap",
        "id": seen.key,
        "code": seen.rule,
        "action": f"alert-{'resolved' if seen.resolved else 'firing'}" if seen.kind == "alert" else f"{seen.kind}-seen",
        "severity": _SEVERITY.get(seen.severity),
        "start": timestamp(seen.first),
        "end": timestamp(seen.last),
    }


def _end(host: str, port: int) -> dict[str, Any]:
    return {"address": host, "ip": address(host), "port": port or None}


def _network(seen: View) -> dict[str, Any]:
    ip = address(seen.server)
    return {
        "transport": seen.transport,
        "protocol": seen.protocol,
        "type": ("ipv6" if ":" in ip else "ipv4") if ip else "",
        "vlan": {"id": vlan(seen)},
        "community_id": community_id(seen.transport, seen.client, seen.client_port, seen.server, seen.server_port),
    }


def _own(seen: View) -> dict[str, Any]:
    return {
        "id": seen.id,
        "revision": seen.revision or None,
        "severity": seen.severity,
        "confidence": seen.confidence or None,
        "count": seen.count or None,
        "findings": seen.findings or None,
        "secret": {"mask": seen.mask, "fingerprint": seen.fingerprint, "kind": seen.secret},
        "mechanism": seen.mechanism,
        "outcome": seen.outcome,
        "where": seen.where,
        "source": seen.source,
        "frame": seen.frame or None,
        "channel": {"id": seen.channel, "encryption": seen.encryption, "why": seen.why},
        "path": list(seen.path),
        "tier": seen.tier,
        "network": seen.network,
        "remedy": seen.remedy,
    }
