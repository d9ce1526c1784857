"""Feeds a dissector as the engine does: scripts of who says what, any cutting, gaps, upgrades."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sniffer.dissectors import Spec
from sniffer.events import Done, Event, Side, Skip, Upgrade


@dataclass(frozen=True)
class Say:
    side: Side
    data: bytes


@dataclass(frozen=True)
class Gap:
    side: Side
    size: int


def client(data: bytes | str) -> Say:
    return Say(Side.CLIENT, data.encode() if isinstance(data, str) else data)


def server(data: bytes | str) -> Say:
    return Say(Side.SERVER, data.encode() if isinstance(data, str) else data)


def _pieces(data: bytes, cut: int | Sequence[int] | None) -> Iterator[bytes]:
    if not cut:
        yield data
        return
    sizes = iter(cut) if not isinstance(cut, int) else None
    at = 0
    while at < len(data):
        size = next(sizes, len(data)) if sizes else cut if isinstance(cut, int) else len(data)
        yield data[at : at + max(1, size)]
        at += max(1, size)


def drive(spec: Spec, script: Iterable[Say | Gap], *, cut: int | Sequence[int] | None = None, datagram: bool = False) -> list[Event]:
    """All events of a script, ``close()`` included. Stops feeding after Done or a granted Upgrade, honours Skip.

    ``cut``: None feeds each Say whole; a number cuts every Say into pieces of that size; a list gives the sizes.
    """
    factory = spec.datagram if datagram else spec.stream
    assert factory is not None
    dissector, events, offset, skip = factory(), [], [0, 0], [0, 0]

    def take(new: Sequence[Event]) -> bool:
        events.extend(new)
        for event in new:
            if isinstance(event, Skip):
                skip[event.span.side] = event.span.end
        return any(isinstance(e, Done) or (isinstance(e, Upgrade) and e.resume is not None) for e in new)

    for step in script:
        if isinstance(step, Gap):
            if take(dissector.gap(step.side, offset[step.side], step.size)):
                break
            offset[step.side] += step.size
            continue
        stop = False
        for piece in _pieces(step.data, None if datagram else cut):
            at = offset[step.side]
            offset[step.side] += len(piece)
            if skip[step.side] > at:
                piece, at = piece[skip[step.side] - at :], min(skip[step.side], offset[step.side])
            if piece and take(dissector.feed(step.side, at, piece)):
                stop = True
                break
        if stop:
            break
    else:
        events.extend(dissector.close())
    return events
