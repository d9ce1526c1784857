"""The parent: hears the workers, records, tells, measures; starts, reloads and stops."""

from __future__ import annotations

import select
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.config import NEEDS_RESTART, changed
from sniffer.errors import StateCorrupt, StateError, UsageError
from sniffer.metrics import Endpoint, Metrics
from sniffer.outputs.text import clean
from sniffer.state import State
from sniffer.watch.accounts import Accounts
from sniffer.watch.crew import Crew
from sniffer.watch.journal import Journal
from sniffer.watch.notify import Notifier
from sniffer.watch.opening import give_up, reachable
from sniffer.watch.receivers import Receivers, needs_anew, open_sinks
from sniffer.watch.recorder import Recorder, Said
from sniffer.watch.signals import Signals
from sniffer.watch.standing import Clocks, Pulse
from sniffer.watch.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sniffer.channels import Channel
    from sniffer.config import Config
    from sniffer.outputs.sink import Sink
    from sniffer.watch.crew import Place
    from sniffer.watch.messages import Message
    from sniffer.watch.sources import SourcePlan
    from sniffer.watch.standing import Missed
    from sniffer.watch.view import View

# How long one wait for workers and signals lasts, and how often all else is looked at (seconds).
WAIT, TICK = 0.25, 0.5
PRUNE_EVERY = 300.0
# What a stop gives the workers to tell their last (seconds). With ``receivers.LAST_DELIVERIES`` below the 45 s of the
# service's TimeoutStopSec.
LAST_REPORTS = 15.0
# An interface that was removed cannot be opened again without privileges: after so long (seconds) of nothing but that we
# end, for whoever started us to start us again.
GONE_AFTER = 60.0
# The main loop turns several times a second; after so long without (seconds) it is not well.
STANDSTILL = 30.0
EXIT_CLEAN, EXIT_UNREADABLE, EXIT_AT_ONCE = 0, 3, 130


class Watcher:
    """One run. What needs privileges has been opened by whoever makes it; ``run`` gives them up first.

    ``reread`` gives the configuration anew (UsageError: what is wrong with it). With ``hold`` it goes on serving metrics
    when every source has ended.
    """

    def __init__(
        self, config: Config, shares: Sequence[tuple[SourcePlan, ...]], sinks: Sequence[Sink], key: bytes, view: View,
        *, reread: Callable[[], Config], filter: str = "", hold: bool = False, clocks: Clocks | None = None,
    ) -> None:  # fmt: skip
        self._config, self._key, self._view, self._reread, self._hold = config, key, view, reread, hold
        self.status = Status(started=time.time())
        sources = {source.name: source for share in shares for source in share}
        severities = [(entry.rule or "*", entry.severity) for entry in config.severities]
        self.metrics = Metrics(list(sources), [sink.name for sink in sinks], top=config.metrics.top, severities=severities)
        self._accounts = Accounts(list(sources.values()), len(shares), self.status, self.metrics)
        self._crew = Crew(shares, key, filter)
        self._sinks = list(sinks)
        self._endpoint: Endpoint | None = None
        if config.metrics.listen:
            self._endpoint = Endpoint(self.metrics, config.metrics.listen, config.metrics.web_config, self.healthy, self.ready)
        self._notifier = Notifier()
        self._turned = self._there = time.monotonic()
        self._clocks = clocks or Clocks()
        self._pulse = Pulse(self._clocks)
        self._ticked = self._pruned = 0.0
        self._problems: dict[str, str | None] = {}
        self._bugs: set[str] = set()
        self._watching = self._sourceless = False
        self._undo = ExitStack()

    # What the endpoint asks, from its threads.

    def healthy(self) -> str | None:
        """None, or why not."""
        return "the main loop stands still" if time.monotonic() - self._turned > STANDSTILL else None

    def ready(self) -> str | None:
        """None when every link is open, the state can be written and no receiver is wedged; else the first reason why not."""
        if not self._watching:
            return "not watching yet, or no more"
        if self._crew.alive < len(self._crew.places) and not self._crew.done:
            return "a worker is down"
        problem = next((f"{link.name}: {link.problem}" for link in self.status.links.values() if link.problem), None)
        if problem or self._journal.trouble:
            return clean(problem or self._journal.trouble, 200)
        wedged = self._receivers.wedged()
        return f"not taking what is sent: {', '.join(wedged)}" if wedged else None

    # The run.

    def run(self) -> int:
        """Watch until stopped, or until every source has ended; the exit code."""
        with Signals() as signals, self._undo:
            self._undo.callback(self._crew.tidy)
            self._give_up()
            self._begin()
            code = self._loop(signals)
        self._view.close(self.status)
        return code

    def _give_up(self) -> None:
        """No privilege from here on, in this process and all it starts."""
        if reachable():
            give_up()
            self._crew.prepare(drop=True)
            return
        # The account that is left cannot start this interpreter: the fork server is started before, and gives up by itself.
        self._crew.prepare(drop=True)
        give_up()
        self._view.note("the interpreter or this program lies where only root can read: install it elsewhere, or workers may fail where they import something late", bad=True)

    def _begin(self) -> None:
        """Open the state, tell what was not watched, start everything."""
        config = self._config
        self._notifier.opening()
        limits = {output.name: output.queue_mb << 20 for output in config.outputs}
        self._state = State(config.state.path, sensor=config.sensor, retention_days=config.state.retention_days, max_bytes=config.state.max_mb << 20, limits=limits, real=self._clocks.real)
        self._undo.callback(self._state.close)
        self._undo.callback(self._crew.close)
        try:
            known = self._remember()
        except StateCorrupt:  # SQLite saw no fault in it, and a row of it cannot be read all the same
            self._state.renew()
            known = self._remember()
        self.metrics.channels(known)
        self._journal = Journal(self._state, self._recorder, self._accounts, self.metrics, self.status, self._view)
        self._unwatched()
        self._notices()
        self._receivers = Receivers(self._state.path, self._sinks, self._state.alerts)
        self._receivers.start()
        self._measure()  # what goes on from an earlier run does not begin at 0 at the first scrape
        if self._endpoint is not None:
            self._undo.callback(self._endpoint.stop)
            self._endpoint.start()
            host, port = self._endpoint.address
            self._view.note(f"metrics on {self._endpoint.scheme}://{host}:{port}/metrics")
        self._crew.start()
        self._watching = True
        self._view.note(f"watching {', '.join(self.status.links)} with {len(self._crew.places)} worker(s)")
        self._notifier.say("READY=1", f"STATUS=watching {', '.join(self.status.links)}")

    def _remember(self) -> list[Channel]:
        self._recorder = Recorder(self._state, self._config, self._sinks, self._key)
        return self._recorder.remember()

    def _notices(self) -> None:
        while self._state.notices:
            self._view.note(self._state.notices.pop(0), bad=True)

    def _unwatched(self) -> None:
        for interval in self._state.begin(time.time_ns()):
            seconds = (interval.until - interval.start) / 1e9
            self.status.unwatched += seconds
            text = f"not watched for {seconds:,.1f} s before this start ({interval.reason})"
            self._view.note(text, bad=interval.reason != "stopped")
            self._journal.say(Said("capture/unwatched", "start", True, text))

    def _loop(self, signals: Signals) -> int:
        while not signals.stops:
            self._turn(signals)
            if signals.reread:
                signals.reread = False
                self._reload()
            if (self._crew.done and not self._hold) or self._gone():
                break
        return self._stop(signals)

    def _stop(self, signals: Signals) -> int:
        """The last reports, their record, their delivery. A second signal ends it at once."""
        self._watching = False
        self._notifier.say("STOPPING=1")
        self._crew.stop()
        most, deadline = max(signals.stops, 1), time.monotonic() + LAST_REPORTS
        while not self._crew.done and time.monotonic() < deadline:
            self._turn(signals)
            if signals.stops > most:
                return EXIT_AT_ONCE
        for place in self._crew.untold():
            self._accounts.died(place.number)
            self._view.note(f"worker {place.number} was not done after {LAST_REPORTS:.0f} s; what it had read since its last report is lost", bad=True)
        self._crew.close()
        self._accounts.tick(0, self._crew.restarts)
        self._links()
        self._journal.commit(self._receivers, force=True)
        if self._recorder.trouble:
            self._view.note(f"not recorded: {len(self._recorder.pending):,} findings ({self._recorder.trouble})", bad=True)
        left = self._receivers.finish(lambda: signals.stops > most)
        self.status.sinks = self._receivers.shown()
        if signals.stops > most:
            return EXIT_AT_ONCE
        if left:
            self._view.note(f"{left:,} items wait for their receivers; they are delivered after the next start", bad=True)
        try:
            self._state.stopped(time.time_ns())
        except StateError as error:
            self._view.note(str(error), bad=True)
        broken = self._sourceless or any(link.problem for link in self.status.links.values())
        return EXIT_UNREADABLE if self._recorder.trouble or (broken and not signals.stops) else EXIT_CLEAN

    def _turn(self, signals: Signals) -> None:
        """Wait, hear, record, look after the rest."""
        poll = select.poll()
        poll.register(signals.fileno(), select.POLLIN)
        for end in self._crew.ends():
            poll.register(end, select.POLLIN)
        poll.poll(WAIT * 1000)
        signals.clear()
        self._turned = time.monotonic()
        missed = self._pulse.beat()
        if missed is not None:
            self._missed(missed)
        self._crew.hear(self._take, self._lost)
        if self._turned - self._ticked >= TICK:
            self._ticked = self._turned
            self._tick()

    def _missed(self, missed: Missed) -> None:
        """We did not run for a while. What crossed while the machine slept nobody saw; whether workers stood still as we did, they say."""
        self._crew.forgive()
        self._accounts.forgive(missed.stood)
        self._receivers.forgive(missed.stood / 1e9)
        self._recorder.alerting.skip(missed.stood)  # what the clock gained while it slept the recorder sees itself
        if missed.slept:
            self._accounts.slept(missed.until - missed.slept, missed.until)
            self._unseen(missed.slept, "machine slept", "sleep")

    def _unseen(self, nanoseconds: int, reason: str, key: str) -> None:
        text = f"not watched for {nanoseconds / 1e9:,.1f} s ({reason})"
        self._view.note(text, bad=True)
        self._journal.say(Said("capture/unwatched", key, True, text))

    def _take(self, message: Message) -> None:
        self._accounts.take(message)
        for start, until, reason in self._accounts.stood(message):
            self._unseen(until - start, reason, "standstill")
        self._recorder.take(message.report)
        for place in message.report.summary.bugs.keys() - self._bugs:
            self._bugs.add(place)  # as many as there are lines of ours
            self._view.note(f"a fault of cleartap's own, survived and counted from here on without a word: {place}", bad=True)

    def _lost(self, place: Place) -> None:
        self._accounts.died(place.number)
        self._sourceless = self._sourceless or place.done
        what = "is started again" if not place.done else "had what cannot be read again: its source is lost"
        self._view.note(f"worker {place.number} died and {what}; what it had read since its last report is lost", bad=True)

    def _tick(self) -> None:
        """Everything that is due twice a second."""
        self._accounts.tick(self._crew.alive, self._crew.restarts, self._config.alerts.silent_minutes)
        self._links()
        self._receivers.look()
        self._journal.say(*self._accounts.conditions(), *self._receivers.conditions())
        self._journal.commit(self._receivers)
        self._measure()
        self.status.sinks = self._receivers.shown()
        self.status.alerts = sum(self._recorder.alerting.firing().values())
        self.status.channels = self._recorder.channels
        self.status.backlog = len(self._recorder.pending)
        self._view.refresh(self.status)
        self._notifier.beat(self.status.line())
        if self._turned - self._pruned >= PRUNE_EVERY:
            self._prune()

    def _measure(self) -> None:
        self.metrics.sinks(self._receivers.stats)
        self.metrics.alerts(self._recorder.alerting.firing(), self._recorder.alerting.let_go)
        self.metrics.pending(len(self._recorder.pending))
        self.metrics.state(self._state.size, self._recorder.errors)
        try:
            self.metrics.unwatched(self._state.unwatched)
        except StateError:
            return  # the next commit says why

    def _links(self) -> None:
        """Say of each link and receiver, and of the endpoint, when something is wrong with it, and when it is well again."""
        problems = {name: link.problem for name, link in self.status.links.items()}
        problems.update(self._receivers.problems())
        if self._endpoint is not None:
            problems["the metrics' web configuration"] = self._endpoint.problem
        for name, problem in problems.items():
            if problem != self._problems.get(name):
                self._view.note(problem or f"{name}: well again", bad=problem is not None)
                self._problems[name] = problem

    def _gone(self) -> bool:
        """Whether all interfaces have been removed, for good as far as we are concerned."""
        if not all((link.problem or "").endswith("the interface is gone") for link in self.status.links.values()):
            self._there = self._turned
        return self._turned - self._there > GONE_AFTER

    def _prune(self) -> None:
        self._pruned = self._turned
        try:
            gone = self._state.prune(time.time_ns())
        except StateError:
            return  # the next commit says why
        self._notices()
        self.metrics.forget(gone.ids)
        self._recorder.forget(gone.ids)
        if gone.total:
            self._view.note(f"let go by age or size: {gone.findings:,} findings, {gone.channels:,} channels, {gone.alerts:,} alerts")

    def _reload(self) -> None:
        """SIGHUP: what can be changed while it runs is changed, the rest is said."""
        try:
            wanted = self._reread()
            names = changed(self._config, wanted)
            sinks = open_sinks(wanted) if "output" in names or needs_anew(self._config, wanted) else self._sinks
        except UsageError as error:
            self._view.note(f"the configuration was not taken: {error}", bad=True)
            return
        self.metrics.may_have([(entry.rule or "*", entry.severity) for entry in wanted.severities])
        self._config = replace(wanted, **{name: getattr(self._config, name) for name in NEEDS_RESTART})
        if sinks is not self._sinks:
            self._exchange(sinks)
        self._recorder.configure(self._config, sinks)
        later = [name for name in names if name in NEEDS_RESTART]
        now = [name for name in names if name not in NEEDS_RESTART]
        self._view.note(f"configuration read again: {', '.join(now) or 'nothing'} changed" + (f"; {', '.join(later)} only after a restart" if later else ""), bad=bool(later))

    def _exchange(self, sinks: Sequence[Sink]) -> None:
        """Other receivers; of those that are gone nobody is to be alarmed any more."""
        gone = {sink.name for sink in self._sinks} - {sink.name for sink in sinks}
        self._receivers.replace(sinks, 5.0)
        self._sinks = list(sinks)
        self._state.limits = {output.name: output.queue_mb << 20 for output in self._config.outputs}
        self._journal.say(*(Said("sink/undelivered", name, False) for name in gone))
        self.metrics.retire(gone)
