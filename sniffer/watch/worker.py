"""A worker process: reads its sources, finds, and reports to the parent; never waits for it."""

from __future__ import annotations

import select
import signal
import time
from typing import TYPE_CHECKING, Any

from sniffer import transport
from sniffer.boundary import Boundary
from sniffer.capture.privileges import no_dumps
from sniffer.cycles import rare_collections
from sniffer.decode.filter import compile_filter
from sniffer.watch.merge import Merger
from sniffer.watch.messages import STOP, Link, Message
from sniffer.watch.pipe import Outbox
from sniffer.watch.shedding import Shedder, SheddingSession
from sniffer.watch.standing import Pulse

if TYPE_CHECKING:
    import socket

    from sniffer.capture.frames import Frames
    from sniffer.capture.live import LiveSource
    from sniffer.watch.messages import Plan
    from sniffer.watch.standing import Clocks

# Between reports (seconds): a finding is with the parent within a quarter of the two seconds that are promised.
REPORT_EVERY = 0.5
# How long one wait for packets lasts: the worker hears of its parent's end, or of a stop, that late.
WAIT = 0.1
# Packets that are hardly worth a batch: reading on at once would find even fewer.
LITTLE = 4096
# Batches read between two looks at the clock and the parent, so that a flood does not keep reports from leaving.
MAX_BATCHES = 16
# A batch costs two milliseconds however small it is, so a ring is left to fill for so long (seconds) between reads, as long
# as it is emptier than that: batches grow with the load, and no finding comes noticeably later.
GATHER, ROOMY = 0.05, 0.1
# What a parent that stops is given to take the last report (seconds).
LAST_WORD = 10.0
# Standstills kept until they can be told: each is seconds long, and so is hardly ever more than one between two reports.
MAX_STOOD = 100


class Worker:
    """The loop. One message is under way at most; what comes up meanwhile the session keeps, merged and bounded."""

    def __init__(self, plan: Plan, parent: socket.socket, clocks: Clocks | None = None) -> None:
        self._plan = plan
        self._parent = parent
        self._outbox = Outbox(parent)
        keep = compile_filter(plan.filter) if plan.filter else None
        self.session = SheddingSession(plan.key, strict=plan.strict)
        self.session.keep = keep
        self._sources: list[LiveSource] = [source.open() for source in plan.sources]
        self._rings: list[Any] = [source for source in self._sources if hasattr(source, "fill")]
        self._opened = [source.counters().packets for source in self._sources]
        self._last = [0] * len(self._sources)
        self._captured = 0.0  # processor seconds of reading
        self._merger = Merger()
        self._shedder = Shedder()
        self._clock = Clock()
        self._reported = 0.0
        self._stop = False
        self._pulse = Pulse(clocks)
        self._stood: list[tuple[int, int]] = []

    def run(self) -> None:
        """Until the parent says stop or is gone, or every source has ended."""
        while not self._told_to_stop():
            ended = all(getattr(source, "ended", False) for source in self._sources)
            if ended:
                break
            self._feel()
            if not self._batches():
                self.session.tick(self._clock.now())
            self._report_when_due()
            if self._rings and max(ring.fill for ring in self._rings) < ROOMY:
                time.sleep(GATHER)
        self._finish()

    def _feel(self) -> None:
        """Note when we stood still. That the machine slept the parent sees itself, once for all."""
        missed = self._pulse.beat()
        if missed is not None and missed.stood and len(self._stood) < MAX_STOOD:
            self._stood.append((missed.until - missed.stood, missed.until))

    def _batches(self) -> bool:
        """Read until nothing is there, or for a while; False when nothing came at all."""
        for turn in range(MAX_BATCHES):
            frames = self._next(WAIT if turn == 0 else 0.0)
            if frames is None:
                return turn > 0
            self._clock.saw(int(frames.time[-1]))
            self.session.feed(frames)
            if time.monotonic() - self._reported >= REPORT_EVERY or len(frames) < LITTLE:
                break
        return True

    def _next(self, wait: float) -> Frames | None:
        """What one read of each source brings, in order of time."""
        if len(self._sources) == 1:
            return self._take(0, wait)
        if wait:
            self._await(wait)
        now = time.time_ns()
        batches = [frames for i in range(len(self._sources)) if (frames := self._take(i, 0.0)) is not None]
        return self._merger.put(batches, now)

    def _await(self, wait: float) -> None:
        poll = select.poll()
        for source in self._sources:
            if not getattr(source, "ended", False) and (handle := source.fileno()) >= 0:
                poll.register(handle, select.POLLIN)
        poll.poll(wait * 1000)

    def _take(self, i: int, wait: float) -> Frames | None:
        before = time.thread_time()
        frames = self._sources[i].read(wait)
        self._captured += time.thread_time() - before
        if frames is None or not len(frames):
            return None
        self._last[i] = max(self._last[i], int(frames.time[-1]))
        return frames

    def _told_to_stop(self) -> bool:
        try:
            word = self._parent.recv(16)
        except BlockingIOError:
            return self._stop
        except OSError:
            word = b""
        # Nothing: the parent is gone, and nobody is left to report to.
        self._stop = self._stop or not word or STOP in word
        return self._stop

    # Reports.

    def _report_when_due(self) -> None:
        now = time.monotonic()
        if self._outbox.busy:
            self._outbox.push()
        if self._outbox.busy or now - self._reported < REPORT_EVERY:
            return
        self._reported = now
        self._outbox.put(transport.dumps(self._message()))

    def _message(self, *, last: bool = False) -> Message:
        links = [self._link(i) for i in range(len(self._sources))]
        late, step = self._clock.late(), 0
        # Only a ring loses what is not read in time; from a pipe the writer waits, or does the losing.
        fills = [link.fill for link, source in zip(links, self._sources, strict=True) if hasattr(source, "fill")]
        if not fills:
            late = 0.0
        else:
            step = self._shedder.look(time.monotonic(), dropped=sum(link.counters.dropped for link in links), fill=max(fills), late=late)
        self.session.step = step
        report = self.session.report(self._clock.now())
        report.stages["capture"], self._captured = self._captured, 0.0
        stood, self._stood = tuple(self._stood), []
        return Message(self._plan.number, self._plan.generation, report, links, step, late, time.time_ns(), last, stood)

    def _link(self, i: int) -> Link:
        source = self._sources[i]
        ended = bool(getattr(source, "ended", False))
        return Link(source.name, source.counters(), self._opened[i], self._last[i], source.problem, ended, float(getattr(source, "fill", 0.0)))

    def _finish(self) -> None:
        """Every flow ends; the last report is handed over, waiting for the parent now that nothing is captured."""
        self._feel()
        self._empty()
        held = self._merger.flush()
        if held is not None:
            self.session.feed(held)
        self.session.end()
        deadline = time.monotonic() + LAST_WORD
        try:
            self._drain(deadline)
            if not self._outbox.busy:
                self._outbox.put(transport.dumps(self._message(last=True)))
                self._drain(deadline)
        except OSError:
            pass  # the parent is gone
        for source in self._sources:
            source.close()

    def _empty(self) -> None:
        """What rings hold already crossed the wire while this watched."""
        for _ in range(MAX_BATCHES if self._rings else 0):
            frames = self._next(0.0)
            if frames is None:
                break
            self.session.feed(frames)

    def _drain(self, deadline: float) -> None:
        while self._outbox.busy and time.monotonic() < deadline:
            select.select((), (self._parent,), (), 0.5)
            self._outbox.push()


class Clock:
    """Packet time, going on while no packet comes."""

    def __init__(self) -> None:
        self._seen = time.time_ns()
        self._at = time.monotonic_ns()
        self._any = False
        self._late = 0

    def saw(self, when: int) -> None:
        """A packet of this time has just been read."""
        self._seen = max(self._seen, when) if self._any else when
        self._at, self._any = time.monotonic_ns(), True
        self._late = max(self._late, time.time_ns() - when)

    def now(self) -> int:
        return self._seen + time.monotonic_ns() - self._at

    def late(self) -> float:
        """The longest that a batch was read after its last packet, in seconds, since the last call."""
        late, self._late = self._late / 1e9, 0
        return late


def main(plan: Plan, parent: socket.socket) -> None:
    """The worker process. Signals are the parent's affair: it says when to stop, and its end ends this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    no_dumps()
    with Boundary(f"worker {plan.number}"), rare_collections():
        try:
            Worker(plan, parent).run()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the parent is gone, and with it all that this could be told to
