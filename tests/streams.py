"""The streams inside the recorded captures, as scripts for dissectors: one a flow, turn by turn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sniffer.capture import open_capture
from sniffer.decode import Decoder
from sniffer.dissectors import Match, Spec
from sniffer.events import Event, Side
from sniffer.flows.engine import Engine
from sniffer.flows.table import Table
from sniffer.flows.tracker import Tracker
from tests.drive import Gap, Say

PCAPS = Path(__file__).parent.parent / "pcaps"

Script = list[Say | Gap]


class _Tap:
    """Writes down what the engine feeds."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def feed(self, side: Side, offset: int, data: bytes) -> list[Event]:
        self.script.append(Say(side, data))
        return []

    def gap(self, side: Side, offset: int, size: int) -> list[Event]:
        self.script.append(Gap(side, size))
        return []

    def close(self) -> list[Event]:
        return []


@cache
def scripts(path: Path) -> list[tuple[bool, Script]]:
    """(datagram?, script) of every flow of a capture that carries payload."""
    found: list[tuple[bool, Script]] = []

    def tap(datagram: bool) -> _Tap:
        found.append((datagram, []))
        return _Tap(found[-1][1])

    spec = Spec(name="tap", title="tap", ports=(), probe=lambda c, s: Match.YES, stream=lambda: tap(False), datagram=lambda: tap(True))
    table = Table()
    tracker = Tracker(table, Engine(table, lambda flow, event: None, strict=True, specs=(spec,)))
    decoder = Decoder()
    for frames in open_capture(str(path)).batches():
        tracker.feed(decoder.decode(frames))
    tracker.finish()
    return [(datagram, script) for datagram, script in found if script]


def captures(protocol: str) -> list[Path]:
    """The recorded captures of a protocol."""
    return sorted((PCAPS / protocol).glob("*.pcap*"))


@cache
def speaking(spec: Spec) -> list[tuple[bool, Script]]:
    """The flows in a protocol's captures that its probe claims."""
    out = []
    for path in captures(spec.name):
        for datagram, script in scripts(path):
            factory = spec.datagram if datagram else spec.stream
            if factory is not None and spec.probe(*heads(script)) is Match.YES:
                out.append((datagram, script))
    return out


def heads(script: Script, depth: int = 1024) -> tuple[bytes, bytes]:
    """What a probe would see."""
    sides = [b"", b""]
    for step in script:
        if isinstance(step, Gap):
            break
        sides[step.side] += step.data
    return sides[0][:depth], sides[1][:depth]


