"""JSON Lines: findings, channels and the summary, one object a line (schema in ``schema.json``)."""

from __future__ import annotations

import json
import marshal
import re
from itertools import islice
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from sniffer.channels import IN_ORDER
from sniffer.collect import in_order
from sniffer.outputs import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.reading import Reading


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def line(row: dict[str, Any]) -> str:
    """One object as one line, without its end. ASCII only: no terminal, log or line-splitter can be led astray by what
    the wire holds. The quick encoder leaves other characters as they are: then they are escaped.
    """
    try:
        text = orjson.dumps(row).decode()
    except (TypeError, orjson.JSONEncodeError):  # numbers beyond 64 bits, lone surrogates
        return _encode(row)
    return text if text.isascii() else _WIDE.sub(_escaped, text)


# Lines written in one call: each call takes as long as making a line.
_AT_ONCE = 1000
_WIDE = re.compile(r"[^\0-\x7f]+")


def _escaped(found: re.Match[str]) -> str:
    """As RFC 8259, section 7, has it."""
    return encode_basestring_ascii(found[0])[1:-1]


# Findings and channels as lines, each with what it is put in order by.
_Lines = tuple[list[tuple[tuple[Any, ...], str]], list[tuple[tuple[Any, ...], str]]]


def digest(findings: list[Finding], channels: list[Channel], *, reveal: bool = False) -> bytes:
    """What a process that shares a capture with others sends them instead of its findings and channels, for ``lines``."""
    made: _Lines = (
        [(in_order(found), line(record.finding(found, reveal=reveal))) for found in findings],
        [(IN_ORDER(row), line(record.channel(row))) for row in channels],
    )
    return marshal.dumps(made)  # a quarter of pickle's time, between processes of one interpreter


def lines(session: Reading, *, reveal: bool = False) -> Iterable[str]:
    """A whole session."""
    parts: list[_Lines] = [marshal.loads(part) for part in session.digests or [digest(list(session.findings), session.channels, reveal=reveal)]]  # noqa: S302
    for kind in (0, 1):
        yield from (text for _, text in sorted((row for part in parts for row in part[kind]), key=itemgetter(0)))
    yield line(record.summary(session.summary))


def write(session: Reading, out: TextIO, *, reveal: bool = False) -> None:
    texts = iter(lines(session, reveal=reveal))
    while some := list(islice(texts, _AT_ONCE)):
        out.write("\n".join((*some, "")))
