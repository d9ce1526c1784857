"""OCSF 1.8: Data Security Finding (2006) where data crossed in the clear, Detection Finding (2004) where a channel is
at fault without data, Network Activity (4001) for a row of the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sniffer.outputs.community import community_id, protocol_number
from sniffer.outputs.version import version
from sniffer.outputs.view import address, of, present, vlan

if TYPE_CHECKING:
    from sniffer.outputs.sink import Item
    from sniffer.outputs.view import View

OCSF_VERSION = "1.8.0"
DATA_SECURITY_FINDING, DETECTION_FINDING, NETWORK_ACTIVITY = 2006, 2004, 4001
_CREATE, _UPDATE, _CLOSE = 1, 2, 3
_ACTIVITIES = {_CREATE: "Create", _UPDATE: "Update", _CLOSE: "Close"}
_TRAFFIC = 6
_SEVERITIES = {"info": (1, "Informational"), "low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}
# data_security.category_id. Whatever lets somebody in is security data; cards and accounts are financial.
_PERSONAL, _FINANCIAL, _SECURITY = (1, "Personal"), (3, "Financial"), (6, "Security")
_FINANCIAL_KINDS = frozenset({"card", "iban", "cvv", "pin", "expiry", "track"})
_DATA = frozenset({"credential", "hash", "token", "pii"})
_UNKNOWN_DIRECTION = 0


def event(item: Item, sensor: str = "") -> dict[str, Any]:
    """One item as an OCSF event. Fields that are unknown are left out; what OCSF has no place for is in ``unmapped``."""
    seen = of(item, sensor)
    if seen.kind == "channel":
        return present({**_common(seen, NETWORK_ACTIVITY, _TRAFFIC), **_traffic(seen)})
    kind = DATA_SECURITY_FINDING if seen.category in _DATA else DETECTION_FINDING
    activity = _CLOSE if seen.resolved else _UPDATE if seen.revision > 1 else _CREATE
    details = _data(seen) if kind == DATA_SECURITY_FINDING else _evidence(seen)
    return present({**_common(seen, kind, activity), **_finding(seen, activity), **details})


def _common(seen: View, kind: int, activity: int) -> dict[str, Any]:
    number, caption = _SEVERITIES.get(seen.severity, (0, "Unknown"))
    return {
        "category_uid": kind // 1000,
        "class_uid": kind,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "severity_id": number,
        "severity": caption,
        "time": _milliseconds(seen.last),
        "start_time": _milliseconds(seen.first),
        "end_time": _milliseconds(seen.last),
        "count": seen.count or None,
        "message": seen.line,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": seen.key,
            "event_code": seen.rule,
            "log_name": seen.kind,
            "product": {"name": "cleartap", "vendor_name": "cleartap", "version": version()},
            "reporter": {"name": seen.sensor},
            "labels": list(seen.references),
        },
    }


def _finding(seen: View, activity: int) -> dict[str, Any]:
    return {
        "activity_name": _ACTIVITIES[activity],
        "is_alert": not seen.resolved,
        "status_id": 4 if seen.resolved else 1,
        "status": "Resolved" if seen.resolved else "New",
        **_confidence(seen.confidence),
        "finding_info": {
            "uid": seen.id,
            "title": seen.title,
            "desc": seen.remedy,
            "types": [seen.category] if seen.category else [],
            "analytic": {"uid": seen.rule, "name": seen.title or seen.rule, "type_id": 1, "type": "Rule", "category": seen.category} if seen.rule else {},
            "first_seen_time": _milliseconds(seen.first),
            "last_seen_time": _milliseconds(seen.last),
            "created_time": _milliseconds(seen.first),
            "related_events_count": seen.findings or None,
            "data_sources": ["network traffic"],
        },
        "unmapped": {
            "protocol": seen.protocol,
            "transport": seen.transport,
            "mechanism": seen.mechanism,
            "outcome": seen.outcome,
            "secret": {"mask": seen.mask, "fingerprint": seen.fingerprint, "kind": seen.secret},
            "channel": seen.channel,
            "path": list(seen.path),
            "tier": seen.tier,
            "source": seen.source,
            "frame": seen.frame or None,
            "revision": seen.revision or None,
        },
    }


def _confidence(value: float) -> dict[str, Any]:
    if not value:
        return {}
    number, caption = (3, "High") if value >= 0.8 else (2, "Medium") if value >= 0.5 else (1, "Low")
    return {"confidence_id": number, "confidence": caption, "confidence_score": round(value * 100)}


def _data(seen: View) -> dict[str, Any]:
    number, caption = _SECURITY if seen.category != "pii" else _FINANCIAL if seen.secret in _FINANCIAL_KINDS else _PERSONAL
    return {
        "src_endpoint": _endpoint(seen.client, seen.client_port),
        "dst_endpoint": _server(seen),
        "actor": {"user": _user(seen)},
        "data_security": {
            "category_id": number,
            "category": caption,
            "data_lifecycle_state_id": 2,
            "data_lifecycle_state": "Data in-Transit",
            "detection_system_id": 99,
            "detection_system": "Passive network sensor",
            "detection_pattern": seen.where,
            "pattern_match": seen.mask,
        },
    }


def _evidence(seen: View) -> dict[str, Any]:
    evidence = present({"src_endpoint": _endpoint(seen.client, seen.client_port), "dst_endpoint": _server(seen), "connection_info": _connection(seen), "user": _user(seen)})
    return {
        "evidences": [evidence] if evidence else [],
        "remediation": {"desc": seen.remedy, "references": list(seen.references)} if seen.remedy else {},
    }


def _traffic(seen: View) -> dict[str, Any]:
    tls = {"version": seen.tls["version"], "cipher": seen.tls.get("cipher"), "sni": seen.tls.get("sni")} if "version" in seen.tls else {}
    total = seen.client_bytes + seen.server_bytes
    return {
        "activity_name": "Traffic",
        "app_name": seen.protocol,
        "src_endpoint": _endpoint(seen.client, 0),
        "dst_endpoint": _server(seen),
        "connection_info": _connection(seen),
        "is_src_dst_assignment_known": True,
        "traffic": {"bytes": total, "bytes_out": seen.client_bytes, "bytes_in": seen.server_bytes},
        "tls": tls,
        "unmapped": {"id": seen.id, "encryption": seen.encryption, "why": seen.why, "tier": seen.tier, "path": list(seen.path)},
    }


def _connection(seen: View) -> dict[str, Any]:
    if not seen.transport:
        return {}
    ip = address(seen.server)
    return {
        "direction_id": _UNKNOWN_DIRECTION,
        "protocol_name": seen.transport,
        "protocol_num": protocol_number(seen.transport) or None,
        "protocol_ver_id": (6 if ":" in ip else 4) if ip else None,
        "community_uid": community_id(seen.transport, seen.client, seen.client_port, seen.server, seen.server_port),
    }


def _endpoint(host: str, port: int) -> dict[str, Any]:
    ip = address(host)
    return {"ip": ip, "name": "" if ip else host, "port": port or None} if host else {}


def _server(seen: View) -> dict[str, Any]:
    end = _endpoint(seen.server, seen.server_port)
    return {**end, "svc_name": seen.protocol, "vlan_uid": vlan(seen), "zone": seen.network} if end else {}


def _user(seen: View) -> dict[str, Any]:
    return {"name": seen.username, "domain": seen.realm} if seen.username else {}


def _milliseconds(nanoseconds: int) -> int:
    return nanoseconds // 1_000_000
