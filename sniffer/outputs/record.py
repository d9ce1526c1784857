"""Findings, channels and the summary as plain dictionaries: schema 1, the contract from which other formats map."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sniffer.events import Certificate
from sniffer.findings import Category, Severity

if TYPE_CHECKING:
    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.summary import Summary

SCHEMA = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC, microseconds. Times out of datetime's range give its ends."""
    seconds, rest = divmod(nanoseconds // 1000, 1_000_000)
    text = _second(seconds)
    return f"{text}.{rest:06d}Z" if text else "9999-12-31T23:59:59.999999Z"


@lru_cache(8192)
def _second(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    except OverflowError:
        return ""


# Of what is false, these say something: no bytes, nothing found, not self-signed.
_TELLING = (int, float, bool, dict)


def _present(record: dict[str, Any]) -> dict[str, Any]:
    """Unknown fields are left out."""
    return {name: value for name, value in record.items() if value or type(value) in _TELLING}


def finding(found: Finding, *, reveal: bool = False) -> dict[str, Any]:
    """One finding. ``reveal`` adds the value: a password, or the crackers' line of a hash."""
    secret = {"mask": found.secret.mask, "fingerprint": found.fingerprint, "kind": found.secret.kind}
    crack: dict[str, Any] | None = None
    if found.crack is not None:
        crack = _present({"format": found.crack.format, "hashcat": found.crack.hashcat})
    if reveal:
        value = found.secret.reveal()
        if found.crack is not None and crack is not None:
            line = crack["line"] = found.crack.line.reveal()
            # Nearly every line holds the response as it stood; where it is encoded (CRAM-MD5), both are given.
            value = line if value.lower() in line.lower() else value
        secret["value"] = value
    first = timestamp(found.first_seen)
    return _present(
        {
            "type": "finding",
            "schema": SCHEMA,
            "id": found.id,
            "rule": found.rule.id,
            "category": str(found.rule.category),
            "severity": str(found.severity),
            "confidence": round(found.confidence, 2),
            "title": found.title,
            "protocol": found.protocol,
            "transport": found.transport,
            "client": _end(found.client),
            "server": _end(found.server),
            "path": list(found.path),
            "mechanism": found.mechanism,
            "outcome": found.outcome and str(found.outcome),
            "username": found.username,
            "realm": found.realm,
            "secret": _present(secret) if found.rule.category is not Category.CHANNEL else None,
            "crack": crack,
            "facts": found.facts or None,
            "where": found.where,
            "frame": found.frame,
            "time": first,
            "first_seen": first,
            "last_seen": first if found.last_seen == found.first_seen else timestamp(found.last_seen),
            "count": found.count,
            "source": found.source,
            "channel": found.channel,
            "references": list(found.rule.references),
            "remedy": found.remedy,
        }
    )


def _end(end: tuple[str, int]) -> dict[str, Any]:
    return {"ip": end[0], "port": end[1]} if end[1] else {"ip": end[0]}


def channel(row: Channel) -> dict[str, Any]:
    """One row of the ledger. ``tls`` is null where no handshake was seen."""
    verdict = row.encryption
    record: dict[str, Any] = {
        "type": "channel",
        "schema": SCHEMA,
        "id": row.id,
        "client": row.client,
        "server": row.server,
        "port": row.port,
        "transport": row.transport,
        "protocol": row.protocol,
        "tier": row.tier,
        "encryption": str(verdict),
        "why": row.reason(verdict),
        "sessions": row.sessions,
        "bytes": {"client": row.client_bytes, "server": row.server_bytes},
        "findings": _counted(row.findings) if row.findings else {},
        "first_seen": timestamp(row.first),
        "last_seen": timestamp(row.last),
        "tls": _tls(row) if row.tls else None,
    }
    if row.path:
        record["path"] = list(row.path)
    if row.product:
        record["product"] = row.product
    if row.one_sided:
        record["one_sided"] = row.one_sided
    return record


def _counted(findings: dict[Severity, int]) -> dict[str, int]:
    return {str(severity): findings[severity] for severity in sorted(findings, reverse=True)}


def _tls(row: Channel) -> dict[str, Any]:
    facts = _present({**(row.tls or {}), "upgraded": row.upgraded})
    found = facts.get("certificate")
    if isinstance(found, Certificate):
        facts["certificate"] = certificate(found, row.last)
    return facts


def certificate(found: Certificate, seen: int) -> dict[str, Any]:
    """A certificate as it stood when it was last seen (nanoseconds)."""
    ends = _moment(found.not_after)
    expired = None if ends is None else ends < seen
    return _present(
        {
            "subject": found.subject,
            "issuer": found.issuer,
            "not_before": found.not_before,
            "not_after": found.not_after,
            "key": found.key,
            "signature": found.signature,
            "names": list(found.names),
            "self_signed": found.self_signed,
            "expired": expired,
        }
    )


@lru_cache(4096)
def _moment(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time; None where it is none."""
    try:
        return int((datetime.fromisoformat(text) - _EPOCH) / timedelta(microseconds=1)) * 1000
    except (ValueError, OverflowError, TypeError):
        return None


def summary(total: Summary) -> dict[str, Any]:
    """What was read, what was not, and how much was found."""
    return {
        "type": "summary",
        "schema": SCHEMA,
        "frames": total.frames,
        "bytes": total.bytes,
        "flows": total.flows,
        "attempts": total.attempts,
        "sources": len(total.sources),
        "problems": total.problems,
        "coverage": {
            "dropped": total.dropped,
            "truncated": total.truncated,
            "gaps": total.gaps,
            "gap_bytes": total.gap_bytes,
            "undecoded": sum(total.undecoded.values()),
            "one_sided": total.one_sided,
            "evicted": total.evicted,
            "omitted": total.omitted,
        },
        "undecoded": dict(total.undecoded.most_common()),
        "anomalies": dict(total.anomalies.most_common()),
        "reassembly": dict((total.reassembly + total.fragments).most_common()),
        "bugs": dict(total.bugs.most_common()),
        "findings": {str(s): total.severities[str(s)] for s in reversed(Severity) if total.severities[str(s)]},
        "channels": dict(sorted(total.verdicts.items())),
    }
