"""Values as the database holds them: channels, alerts and records as JSON (RFC 8259, ASCII), never with a secret's value."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from msgspec import structs

from sniffer.alert import Alert
from sniffer.alert import State as AlertState
from sniffer.channels import Channel
from sniffer.errors import StateCorrupt
from sniffer.events import Certificate, Encryption
from sniffer.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLite's integers. The times and sizes of a hostile capture may be larger.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_ALERT = frozenset(f.name for f in fields(Alert))
# Beside an alert's fields: not part of what is told.
_TOLD = "told"
_CERTIFICATE = frozenset(Certificate.__struct_fields__)
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@contextmanager
def sound(path: object = "") -> Iterator[None]:
    """What a damaged file can hold where SQLite sees no fault, as our error. For reading rows, and nothing else."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StateCorrupt(f"{path}: the state database is damaged (a row cannot be read)".removeprefix(": ")) from error


def integer(value: int) -> int:
    """A number that fits a column."""
    return value if _LEAST <= value <= _MOST else _LEAST if value < 0 else _MOST


def dumps(value: object) -> str:
    """JSON in ASCII: any text from the wire, also half a surrogate pair, survives as it is."""
    return _encode(value)


def loads(text: str) -> Any:
    """What ``dumps`` wrote."""
    return json.loads(text)


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A finding's record, or an alert's fields with one inside, without the value that ``--reveal`` would have put there.

    Nobody is to hand such a record to the state. Should somebody, it still does not lie on the disk.
    """
    out = record
    for outer, inner in (("secret", "value"), ("crack", "line")):
        part = record.get(outer)
        if isinstance(part, dict) and inner in part:
            out = {**out, outer: {name: value for name, value in part.items() if name != inner}}
    nested = record.get("finding")
    if isinstance(nested, dict) and (closed := sealed(nested)) is not nested:
        out = {**out, "finding": closed}
    return out


def channel_row(row: Channel, id: str, recorded: int) -> tuple[object, ...]:
    """A channel as the columns of its table, in their order."""
    detail: dict[str, object] = {"verdicts": {str(v): counted for v, counted in row.verdicts.items()}}
    if row.tls:
        found = row.tls.get("certificate")
        detail["tls"] = {**row.tls, "certificate": structs.asdict(found)} if isinstance(found, Certificate) else row.tls
    if row.upgraded:
        detail["upgraded"] = True
    if row.product is not None:
        detail["product"] = row.product
    if row.findings:
        detail["findings"] = {str(int(s)): count for s, count in row.findings.items()}
    return (
        id,
        row.client,
        row.server,
        row.port,
        row.transport,
        row.protocol,
        row.tier,
        dumps(row.path) if row.path else "",
        str(row.encryption),
        integer(row.sessions),
        integer(row.client_bytes),
        integer(row.server_bytes),
        integer(row.first),
        integer(row.last),
        integer(row.one_sided),
        integer(sum(row.findings.values())),
        recorded,
        dumps(detail),
    )


def channel_of(columns: tuple[Any, ...]) -> Channel:
    """The channel again, as it was."""
    _, client, server, port, transport, protocol, tier, path, _, sessions, sent, answered, first, last, one_sided, _, _, text = columns
    detail = loads(text)
    tls = detail.get("tls")
    if tls and isinstance(tls.get("certificate"), dict):
        tls["certificate"] = _certificate(tls["certificate"])
    return Channel(
        client=client,
        server=server,
        port=port,
        transport=transport,
        protocol=protocol,
        tier=tier,
        path=tuple(loads(path)) if path else (),
        sessions=sessions,
        client_bytes=sent,
        server_bytes=answered,
        first=first,
        last=last,
        one_sided=one_sided,
        verdicts={Encryption(v): (count, why) for v, (count, why) in detail["verdicts"].items()},
        tls=tls,
        upgraded=detail.get("upgraded", False),
        product=detail.get("product"),
        findings={Severity(int(s)): count for s, count in detail.get("findings", {}).items()},
    )


def _certificate(record: dict[str, Any]) -> Certificate:
    known = {name: value for name, value in record.items() if name in _CERTIFICATE}
    return Certificate(**{**known, "names": tuple(known.get("names", ()))})


def alert_body(alert: Alert, told: int) -> str:
    """An alert's fields, and when it was last handed out (nanoseconds since the epoch)."""
    return dumps({**sealed({name: getattr(alert, name) for name in _ALERT}), _TOLD: told})


def told_of(text: str) -> int:
    """When it was last handed out; 0 in files of before this was written down."""
    return int(loads(text).get(_TOLD, 0))


def alert_of(text: str) -> Alert:
    """The alert again."""
    record = {name: value for name, value in loads(text).items() if name in _ALERT}
    record.update(state=AlertState(record["state"]), path=tuple(record["path"]), references=tuple(record["references"]))
    return Alert(**record)
