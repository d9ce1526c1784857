"""One flow being read: probe, dissector, upgrades, and where each byte was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.channels import BEARING, Facts
from sniffer.dissectors import Match
from sniffer.dissectors._raw import RAW
from sniffer.errors import Malformed
from sniffer.events import Anomaly, ChallengeResponse, Content, Done, Event, Login, Side, Skip, Span, Token, Upgrade
from sniffer.flows.proxied import header_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sniffer.dissectors import Dissector, Spec
    from sniffer.flows.engine import Engine

# What a probe may see of each side, and what is held of a flow until somebody claims it (both sides together).
PROBE_DEPTH = 1024
MAX_HELD = 16 * 1024
# A tunnel in a tunnel in a tunnel: CONNECT, then SMTP, then STARTTLS makes three.
MAX_UPGRADES = 8
# Turns whose frames are remembered per side: a login is published when the answer comes, some turns after its bytes.
# Character-mode Telnet needs the most: one turn a keystroke, and an answer after the message of the day.
MAX_MARKS = 128
# The last chunk of each side is kept to be read again by whoever takes over after an upgrade, if it is small:
# a hello that was pipelined behind STARTTLS, not a bulk transfer.
MAX_REPLAY = 16 * 1024

SIDES = tuple(Side)

# The events that are for detectors alone: most of all there are.
_SAID = frozenset((ChallengeResponse, Content, Login, Token))

# Offset of the first byte, sizes of the packets, their frames, their times; of a single packet None, its frame, its time.
Mark = tuple[int, "list[int]", "list[int]", "list[int]"] | tuple[int, None, int, int]
Held = tuple[Side, int, bytes, int]
# What a flow that is done holds: the same few empty things for all of them. Nobody adds to them, for nothing is fed to it.
_NOTHING: tuple[list[Mark], list[Mark]] = ([], [])
_NONE_HELD: list[Held] = []
_NO_HEADS: list[bytes] = []
_NO_LAST: list[tuple[int, bytes]] = []


class Flow:
    """Feeds one dissector after the other. ``skip`` and ``done`` tell the tracker what need not be delivered."""

    __slots__ = (
        "candidates", "carrier", "datagram", "dissector", "done", "engine", "excluded", "facts", "flip", "heads",
        "held", "held_bytes", "last", "marks", "midstream", "resume", "row", "skip", "spec", "upgrades",
    )  # fmt: skip

    def __init__(self, engine: Engine, row: int, server_port: int, *, datagram: bool, midstream: bool) -> None:
        self.engine = engine
        engine.live += 1
        self.row = row  # the tracker's slot, for findings to name the ends
        self.datagram = datagram
        self.midstream = midstream
        self.flip = 0  # 1 where the capture made us take the server for the client
        self.spec: Spec | None = None
        self.carrier: Spec | None = None  # the protocol that an upgrade left behind
        self.dissector: Dissector | None = None
        self.candidates = engine.candidates(server_port, datagram)
        self.excluded: tuple[Spec, ...] = ()
        self.heads = [b"", b""]
        self.held: list[Held] = []
        self.held_bytes = 0
        self.last: list[tuple[int, bytes]] = [(0, b""), (0, b"")]
        self.marks: tuple[list[Mark], list[Mark]] = ([], [])
        self.resume: tuple[int, int] | None = None
        self.upgrades = 0
        self.skip = [0, 0]
        self.done = False
        self.facts = Facts()

    # What the tracker calls: raw sides, 0 for the end it took for the client.

    def feed_after_skip(self, raw_side: int, offset: int, data: bytes, mark: Mark) -> None:
        """As ``feed``, but for what of it the dissector asked to skip."""
        skip = self.skip[raw_side]
        if skip < offset + len(data):
            left = max(0, skip - offset)
            self.feed(raw_side, offset + left, data[left:], mark)

    def feed(self, raw_side: int, offset: int, data: bytes, mark: Mark) -> None:
        """The next bytes of one side (or the next datagram)."""
        if self.done:
            return
        marks = self.marks[raw_side]
        marks.append(mark)
        if len(marks) > MAX_MARKS:
            del marks[: MAX_MARKS // 2]
        side = SIDES[raw_side ^ self.flip]
        dissector = self.dissector
        if dissector is None or self.resume is not None:
            self._deliver(side, offset, data)
            return
        if len(data) <= MAX_REPLAY:
            self.last[side] = (offset, data)
        # As in _run, which this would call: most turns go this way.
        try:
            events = dissector.feed(side, offset, data)
            if events:
                self._take(events)
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def gap(self, raw_side: int, offset: int, size: int) -> None:
        """Bytes that were on the wire but not in the capture."""
        side = SIDES[raw_side ^ self.flip]
        end = offset + size
        if self.done or end <= self.skip[raw_side]:
            return
        offset = max(offset, self.skip[raw_side])
        if self.dissector is not None:
            self._run(self.dissector.gap, side, offset, end - offset)
        elif self.held:
            self.held.append((side, offset, b"", end - offset))

    def close(self) -> None:
        """The flow has ended: what is pending is published."""
        if self.dissector is None and not self.done:
            self._settle()
        if self.dissector is not None and not self.done:
            self._run(self.dissector.close)
        self.done = True
        self._release()

    def _release(self) -> None:
        """Nothing more is to come of this flow: it stays in the table for a while, what it held does not."""
        if self.marks is not _NOTHING:
            self.engine.live -= 1
        self.dissector = None
        self.marks, self.held, self.heads, self.last = _NOTHING, _NONE_HELD, _NO_HEADS, _NO_LAST

    def place(self, span: Span) -> tuple[int, int]:
        """Frame number and time of a span's first byte (of the nearest packet still remembered)."""
        marks = self.marks[span.side ^ self.flip]
        for mark in reversed(marks):
            if mark[0] <= span.start:
                return _within(mark, span.start)
        return _within(marks[0], 0) if marks else (0, 0)

    # Inside.

    def _deliver(self, side: Side, offset: int, data: bytes) -> None:
        if self.done:
            return
        if self.resume is not None and offset < self.resume[side]:
            data, offset = data[self.resume[side] - offset :], self.resume[side]
            if not data:
                return
        if self.dissector is None:
            self._probe(side, offset, data)
            return
        if len(data) <= MAX_REPLAY:
            self.last[side] = (offset, data)
        self._run(self.dissector.feed, side, offset, data)

    def _run(self, call: Callable[..., Sequence[Event]], *args: object) -> None:
        """The one boundary round dissectors and detectors: their refusals are counted, their bugs too, and life goes on."""
        try:
            events = call(*args)
            if events:
                self._take(events)
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, Malformed):
            self.engine.bug(self.spec, error)
        elif self.held:
            raise error  # the guess was wrong: _start tries the next
        else:
            self.engine.anomaly(self.spec, str(error))
        dissector, self.dissector = self.dissector, None
        if dissector is not None:
            self._run(dissector.close)  # a login that waits for its answer stays true
        self._stop()

    def _stop(self) -> None:
        self.done = True
        self._release()
        self.engine.unwanted(self.row)

    def _take(self, events: Sequence[Event]) -> None:
        resume, wanted = None, self.engine.wanted
        for event in events:
            kind = type(event)
            if kind in _SAID:
                if kind in wanted:
                    self.engine.publish(self, event)
            elif kind is Skip:
                raw = event.span.side ^ self.flip
                self.skip[raw] = max(self.skip[raw], event.span.end)
                self.engine.skip(self.row, raw, self.skip[raw])
            elif kind is Done:
                self.engine.leave(self)
            elif kind is Anomaly:
                self.engine.anomaly(self.spec, event.reason)  # type: ignore[attr-defined]
            else:
                if kind is Upgrade and event.resume is not None:  # type: ignore[attr-defined]
                    resume = event
                if kind in BEARING:
                    self.facts.take(event)
                if kind in wanted:
                    self.engine.publish(self, event)
        if self.done:
            self._release()
        elif resume is not None:
            self._upgrade(resume)  # type: ignore[arg-type]

    def _upgrade(self, event: Upgrade) -> None:
        """Hand the rest of the stream to a new probe, also what of it came in the chunk just fed."""
        self.upgrades += 1
        old, self.dissector = self.dissector, None
        if old is not None:
            self._run(old.close)
        if self.upgrades > MAX_UPGRADES:
            self.engine.anomaly(self.spec, "too many upgrades in one flow")
            self._stop()
            return
        self.carrier = self.carrier or self.spec
        self.spec = None
        self.resume = event.resume
        self.candidates = self.engine.candidates(0, self.datagram, first=event.to)
        self.excluded = ()
        self.heads, self.held, self.held_bytes = [b"", b""], [], 0
        last, self.last = self.last, [(0, b""), (0, b"")]
        for side in SIDES:
            offset, data = last[side]
            if data:
                self._deliver(side, offset, data)

    def _probe(self, side: Side, offset: int, data: bytes) -> None:
        if not offset and not side and (size := header_size(data)):
            offset, data = size, data[size:]
            if not data:
                return
        self.held.append((side, offset, data, 0))
        self.held_bytes += len(data)
        head = self.heads[side]
        if len(head) < PROBE_DEPTH:
            self.heads[side] = head + data[: PROBE_DEPTH - len(head)]
        spec = self._choose()
        if spec is not None:
            self._start(spec)
        elif not self.candidates or self.held_bytes >= MAX_HELD or min(map(len, self.heads)) >= PROBE_DEPTH:
            self._settle()

    def _choose(self) -> Spec | None:
        client, server = self.heads
        more = []
        for spec in self.candidates:
            match = spec.probe(client, server)
            if match is Match.YES:
                return spec
            if match is Match.MORE:
                more.append(spec)
        self.candidates = tuple(more)
        return None

    def _settle(self) -> None:
        """No probe will say yes any more: the other way round, then the port's word, then raw text."""
        if not self.held:
            return
        if self.midstream and not self.carrier and not self.flip and (spec := self._reversed()):
            self._flip()
            self._start(spec)
            return
        hinted = self.engine.hinted(self.row, self.datagram)
        guess = next((s for s in self.candidates if s in hinted and s not in self.excluded), None)
        self._start(guess or RAW)

    def _reversed(self) -> Spec | None:
        """Who claims a flow joined in the middle if the ends are taken the other way round."""
        client, server = self.heads
        for spec in self.engine.candidates(0, self.datagram):
            if spec not in self.excluded and spec.probe(server, client) is Match.YES:
                return spec
        return None

    def _flip(self) -> None:
        self.flip ^= 1
        self.heads.reverse()
        self.held = [(side.other, offset, data, gap) for side, offset, data, gap in self.held]

    def _start(self, spec: Spec) -> None:
        """Replay what was held to the winner; if it says that it is not its protocol after all, ask the others."""
        factory = spec.datagram if self.datagram else spec.stream
        assert factory is not None
        held = self.held
        self.spec, self.dissector = spec, factory()
        try:
            for i, (side, offset, data, gap) in enumerate(held):
                if self.dissector is None:
                    break
                if data:
                    self.last[side] = (offset, data)
                    self._run(self.dissector.feed, side, offset, data)
                else:
                    self._run(self.dissector.gap, side, offset, gap)
                if self.held is not held:  # upgraded on the way: the rest is for whoever comes next
                    for later, at, more, _ in held[i + 1 :]:
                        self._deliver(later, at, more)
                    return
        except Malformed:
            self._reject(spec)
            return
        self.held, self.heads, self.candidates = [], [b"", b""], ()

    def _reject(self, spec: Spec) -> None:
        self.engine.anomaly(spec, "claimed by the probe, refused by the dissector")
        self.spec, self.dissector = None, None
        self.excluded = (*self.excluded, spec)
        left = self.engine.candidates(0, self.datagram)
        self.candidates = tuple(s for s in left if s not in self.excluded)
        chosen = self._choose()
        if chosen is not None:
            self._start(chosen)
        else:
            self._settle()


def _within(mark: Mark, offset: int) -> tuple[int, int]:
    if mark[1] is None:
        return mark[2], mark[3]
    start, sizes, frames, times = mark
    last = len(frames) - 1
    for i, size in enumerate(sizes):
        start += size
        if offset < start or i == last:
            return frames[i], times[i]
    return frames[last], times[last]
