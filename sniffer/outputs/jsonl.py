"""JSON Lines: findings, channels and the summary, one object a line (schema in ``schema.json``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from sniffer.outputs import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.session import Session


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def line(row: dict[str, Any]) -> str:
    """One object as one line, without its end. ASCII only: no terminal, log or line-splitter can be led astray by what
    the wire holds. The quick encoder leaves other characters as they are: then the other one escapes them.
    """
    try:
        text = orjson.dumps(row)
    except (TypeError, orjson.JSONEncodeError):  # numbers beyond 64 bits, lone surrogates
        return _encode(row)
    return text.decode() if text.isascii() else _encode(row)


def lines(session: Session, *, reveal: bool = False) -> Iterable[str]:
    """A whole session."""
    findings, channels = list(session.findings), session.channels
    for found in findings:
        yield line(record.finding(found, reveal=reveal))
    for row in channels:
        yield line(record.channel(row))
    yield line(record.summary(session.summary, findings, channels))


def write(session: Session, out: TextIO, *, reveal: bool = False) -> None:
    out.writelines(text + "\n" for text in lines(session, reveal=reveal))
