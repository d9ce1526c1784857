"""What nobody claims: whether it looks readable, and its text for the detectors if it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.dissectors._sealed import TEXT, sealed
from sniffer.dissectors._spec import Match, Spec
from sniffer.events import Content, Done, Encryption, Event, Posture, Side, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

# Text is handed on in pieces of this size, so that what lies across two packets is still seen whole …
_PIECE = 64 * 1024
# … and no more than this of each side: whoever moves bulk over an unknown protocol is named in the ledger anyway.
_MAX_TEXT = 2 << 20
_SAMPLE = 1024


def readable(sample: bytes) -> bool:
    """Whether bytes are mostly printable ASCII or UTF-8."""
    if not sample:
        return False
    if len(sample.translate(None, TEXT)) <= len(sample) * 0.12:
        return True
    try:
        text = sample[: len(sample) - 4].decode("utf-8") if len(sample) > 8 else sample.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return sum(c.isprintable() or c in "\r\n\t" for c in text) >= len(text) * 0.9


def looks(sample: bytes) -> str:
    """The ledger's words for a flow that no dissector claims."""
    if readable(sample):
        return "protocol not recognised; looks readable"
    if sealed(sample):
        return "protocol not recognised; looks encrypted or compressed"
    return "protocol not recognised; binary"


class Raw:
    """Collects readable bytes of an unknown protocol and says what they look like."""

    __slots__ = ("_given", "_said", "_start", "_text")

    def __init__(self) -> None:
        self._text = [b"", b""]
        self._start = [0, 0]
        self._given = [0, 0]
        self._said = False

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        if not self._said:
            self._said = True
            events.append(Posture(span=Span(side, offset, offset + len(data)), encryption=Encryption.UNKNOWN, why=looks(data[:_SAMPLE])))
        if not readable(data[:_SAMPLE]):
            events.extend(self._give(side))
            self._given[side] += len(data)
        else:
            events.extend(self._give(side.other))
            if not self._text[side]:
                self._start[side] = offset
            self._text[side] += data
            if len(self._text[side]) >= _PIECE:
                events.extend(self._give(side))
        if max(self._given) > _MAX_TEXT:
            events.append(Done(span=Span(side, offset, offset + len(data))))
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        return self._give(side)

    def close(self) -> Sequence[Event]:
        return [*self._give(Side.CLIENT), *self._give(Side.SERVER)]

    def _give(self, side: Side) -> list[Event]:
        text, self._text[side] = self._text[side], b""
        self._given[side] += len(text)
        if not text:
            return []
        start = self._start[side]
        return [Content(span=Span(side, start, start + len(text)), data=text, media="text/plain", where="unrecognised protocol")]


def _never(client: bytes, server: bytes) -> Match:
    return Match.NO


RAW = Spec(
    name="unknown",
    title="unrecognised protocol",
    ports=(),
    probe=_never,
    stream=Raw,
    datagram=Raw,
    remedy="Find out what this is, and carry it over TLS.",
)
