"""The worker processes: started through a fork server, heard over socket pairs, started again when they die."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import time
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer import transport
from sniffer.capture import privileges
from sniffer.watch import worker
from sniffer.watch.messages import STOP, Message, Plan
from sniffer.watch.pipe import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import ForkServerProcess

    from sniffer.watch.sources import SourcePlan

# A worker that dies at once is started again ever more slowly (seconds), so that a fault at the start is no busy loop.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
# One that lived so long is taken to have been well.
WELL_AFTER = 60.0
# What sniffer.watch.preload looks for; not imported from there, for that would load everything here.
DROP = "CLEARTAP_FORK_SERVER"
# A worker tells how it stands twice a second. One of which nothing is heard for so long (seconds) hangs: a fault of ours, or
# stopped from outside. It is killed and replaced; the longest honest silence is a flood's last report, some ten seconds.
HUNG_AFTER = 60.0
# Messages taken from one worker before the next is heard.
AT_ONCE = 4


@dataclass(slots=True)
class Place:
    """One worker's place: who holds it, and how often it had to be filled again."""

    number: int
    sources: tuple[SourcePlan, ...]
    generation: int = -1
    process: ForkServerProcess | None = None
    end: socket.socket | None = None
    inbox: Inbox | None = None
    since: float = 0.0
    heard: float = 0.0
    received: int = 0
    due: float = 0.0  # when it is to be filled again
    pause: float = FIRST_PAUSE
    done: bool = False
    last: Message | None = field(default=None, repr=False)


class Crew:
    """All workers. ``restarts`` counts those that died and were replaced."""

    def __init__(self, shares: Sequence[tuple[SourcePlan, ...]], key: bytes, filter: str = "", *, strict: bool = False) -> None:
        self._key, self._filter, self._strict = key, filter, strict
        self.places = [Place(number, sources) for number, sources in enumerate(shares)]
        self.restarts = 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["sniffer.watch.preload"])
        self._stopping = False

    def prepare(self, *, drop: bool) -> None:
        """Start the fork server. With ``drop`` it keeps no privilege, and so none of the workers has any."""
        _no_tracker()
        if drop:
            os.environ[DROP] = "1"
        try:
            forkserver.ensure_running()
        finally:
            os.environ.pop(DROP, None)
        if drop and os.geteuid() == 0:
            # Its socket lies in a directory of root's alone: it is to be reached by the account that root becomes.
            place, owner = Path(get_temp_dir()), privileges.account()
            for each in (*place.iterdir(), place):
                os.chown(each, *owner)

    def start(self) -> None:
        """Start all workers."""
        for place in self.places:
            self._fill(place)

    def ends(self) -> list[socket.socket]:
        """What to wait on."""
        return [place.end for place in self.places if place.end is not None]

    @property
    def alive(self) -> int:
        return sum(place.end is not None for place in self.places)

    @property
    def done(self) -> bool:
        """Whether all have read everything there was, or none is left of a crew that was told to stop."""
        return all(place.done or (self._stopping and place.end is None) for place in self.places)

    def untold(self) -> list[Place]:
        """Places whose workers live and have not told their last."""
        return [place for place in self.places if place.end is not None and not place.done]

    def hear(self, take: Callable[[Message], None], lost: Callable[[Place], None]) -> None:
        """Take what has come; tell of workers that died, and fill their places again when it is time."""
        for place in self.places:
            if place.inbox is None:
                continue
            for data in place.inbox.take(AT_ONCE):
                message: Message = transport.loads(data)
                place.last = message
                place.done = place.done or message.last
                take(message)
            self._look(place)
            if place.inbox.closed:
                self._leave(place)
                if not place.done:
                    place.done = not all(source.again for source in place.sources)
                    lost(place)
        now = time.monotonic()
        for place in self.places:
            if place.end is None and not place.done and not self._stopping and now >= place.due:
                self.restarts += 1
                self._fill(place)

    def _look(self, place: Place) -> None:
        """Kill a worker that hangs; its end of the pipe then says that it is gone."""
        assert place.inbox is not None
        now = time.monotonic()
        if place.inbox.received != place.received:
            place.received, place.heard = place.inbox.received, now
        elif now - place.heard > HUNG_AFTER and place.process is not None:
            place.heard = now
            place.process.kill()

    def forgive(self) -> None:
        """We did not listen ourselves: what was not heard meanwhile tells of no hang."""
        now = time.monotonic()
        for place in self.places:
            place.heard = now

    def stop(self) -> None:
        """Tell all to read no more and to send what is left; ``hear`` on until ``done``."""
        self._stopping = True
        for end in self.ends():
            try:
                end.send(STOP)
            except OSError:
                pass  # it is dead, or so far behind that it will hear of its parent's end

    def close(self) -> None:
        """End all at once."""
        self._stopping = True
        for place in self.places:
            process = place.process
            if process is not None and process.is_alive():
                process.kill()
            self._leave(place)

    def tidy(self) -> None:
        """Remove the fork server's socket: the process that is about to end does so without running what tidies up."""
        shutil.rmtree(get_temp_dir(), ignore_errors=True)

    def pids(self) -> list[int]:
        return [place.process.pid for place in self.places if place.process is not None and place.process.pid is not None]

    def _fill(self, place: Place) -> None:
        place.generation += 1
        mine, its = socket.socketpair()
        plan = Plan(place.number, place.generation, self._key, place.sources, self._filter, self._strict)
        process = self._context.Process(target=worker.main, args=(plan, its), name=f"cleartap-worker-{place.number}", daemon=True)
        try:
            process.start()
        except (OSError, EOFError):  # no room for one more process, or the fork server died of that; tried again, as after a death
            mine.close()
            place.since = time.monotonic()
            self._leave(place)
            return
        finally:
            its.close()
        place.process, place.end, place.inbox = process, mine, Inbox(mine)
        place.since = place.heard = time.monotonic()
        place.received = 0

    def _leave(self, place: Place) -> None:
        """Let go of a worker that is gone."""
        now = time.monotonic()
        place.pause = FIRST_PAUSE if now - place.since > WELL_AFTER else min(place.pause * 2, LONGEST_PAUSE)
        place.due = now + place.pause
        if place.end is not None:
            place.end.close()
        if place.process is not None:
            place.process.join(2.0)
            if place.process.is_alive():  # it closed its end and yet lives: nothing more is to be had of it
                place.process.kill()
                place.process.join(2.0)
            place.process.close()
        place.process = place.end = place.inbox = None


def _no_tracker() -> None:
    """Keep multiprocessing from starting its resource tracker, a process that would keep the privileges of the start.

    It removes semaphores and shared memory whose owners died; we have none. It is taken for running while its pipe can be
    written to, and is sent nothing but probes.
    """
    tracker = vars(resource_tracker._resource_tracker)
    if tracker["_fd"] is None:
        tracker["_fd"] = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
