"""The receivers and their deliveries; whether one of them does not take what it is sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sniffer.delivery import Delivery
from sniffer.errors import StateError
from sniffer.outputs.open import open_sink
from sniffer.outputs.text import clean
from sniffer.watch.recorder import Said, alert_item
from sniffer.watch.status import SinkStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from sniffer.alert import Alert
    from sniffer.config import Config
    from sniffer.outputs.sink import Sink
    from sniffer.state import SinkStats

# A receiver that has things waiting and took none for so long (seconds) is wedged: long enough for its restart.
WEDGED_AFTER = 60.0
# What a stop gives the receivers to take what waits (seconds).
LAST_DELIVERIES = 10.0


def open_sinks(config: Config) -> list[Sink]:
    """All receivers of a configuration. Reads secret files, so it is done with the privileges of the start. UsageError."""
    return [open_sink(output, config.sensor, resend_minutes=config.alerts.resend_minutes) for output in config.outputs]


def needs_anew(running: Config, wanted: Config) -> bool:
    """Whether receivers are to be opened again though their own settings are the same: Alertmanager is told with each
    alert how long it is to be believed, which follows from ``[alerts] resend_minutes``.
    """
    return running.alerts.resend_minutes != wanted.alerts.resend_minutes and any(output.type == "alertmanager" for output in wanted.outputs)


class Receivers:
    """Delivers from the state's queues; ``stats`` as they stood at the last look."""

    def __init__(self, path: str | os.PathLike[str], sinks: Sequence[Sink], firing: Callable[[], Sequence[Alert]]) -> None:
        self._path, self._firing = path, firing
        self.sinks = list(sinks)
        self._remind()
        self.stats: dict[str, SinkStats] = {}
        self._delivery = Delivery(path, sinks)
        self._failures: dict[str, int] = {}  # when it last took something
        self._moved: dict[str, tuple[int, float]] = {}  # sent, and since when no more

    def start(self) -> None:
        self._delivery.start()
        self.look()

    def wake(self) -> None:
        self._delivery.wake()

    def stop(self, timeout: float) -> bool:
        """Deliver for so long (seconds), then end. Whether all ended."""
        return self._delivery.stop(timeout)

    def finish(self, hurry: Callable[[], bool]) -> int:
        """Deliver what can be for a bounded time, or until there is ``hurry``, then end; how many items are left."""
        deadline = time.monotonic() + LAST_DELIVERIES
        self._delivery.wake()
        while time.monotonic() < deadline and not hurry():
            self.look()
            if not any(stat.queued for stat in self.stats.values()) or self.failing():
                break
            time.sleep(0.1)
        self._delivery.stop(1.0)
        self.look()
        return sum(stat.queued for stat in self.stats.values())

    def replace(self, sinks: Sequence[Sink], timeout: float) -> None:
        """Other receivers from here on; what waits for one that is gone stays queued."""
        self._delivery.stop(timeout)
        self.sinks = list(sinks)
        self._remind()
        self._delivery = Delivery(self._path, sinks)
        self._delivery.start()

    def _remind(self) -> None:
        """Receivers that have to know what fires (Alertmanager's) are told what fired before they were opened."""
        keen = [remember for sink in self.sinks if (remember := getattr(sink, "remember", None)) is not None]
        try:
            items = [alert_item(alert) for alert in self._firing()] if keen else []
        except StateError:
            return  # the recorder says so
        for remember in keen:
            remember(items)

    def look(self) -> None:
        """Ask how they stand."""
        try:
            self.stats = self._delivery.stats()
        except StateError:
            return  # the recorder says so
        now = time.monotonic()
        for name, stat in self.stats.items():
            sent, since = self._moved.get(name, (-1, now))
            if stat.sent != sent or not stat.queued:
                since = now
                self._failures[name] = stat.failures
            self._moved[name] = (stat.sent, since)

    def wedged(self) -> list[str]:
        """Receivers that have taken nothing for a while though something waits; also those whose thread is gone."""
        now = time.monotonic()
        stuck = [name for name, (_, since) in self._moved.items() if name in self.stats and now - since >= WEDGED_AFTER]
        return sorted({*stuck, *self._delivery.dead()})

    def forgive(self, seconds: float) -> None:
        """For so long nobody sent anything: that wedges no receiver."""
        self._moved = {name: (sent, since + seconds) for name, (sent, since) in self._moved.items()}

    def failing(self) -> bool:
        """Whether all that waits, waits for receivers whose last attempts failed."""
        waiting = [(name, stat) for name, stat in self.stats.items() if stat.queued]
        return all(stat.failures > self._failures.get(name, 0) for name, stat in waiting)

    def conditions(self) -> list[Said]:
        """How each stands, for alerting."""
        wedged = set(self.wedged())
        return [Said("sink/undelivered", name, name in wedged, f"{name}, {stat.queued:,} waiting: {clean(stat.last_error, 200)}") for name, stat in self.stats.items()]

    def problems(self) -> dict[str, str | None]:
        """What is wrong with each, None for nothing."""
        wedged = set(self.wedged())
        return {f"output {name}": f"output {name} takes nothing of what waits: {stat.last_error or 'no answer'}" if name in wedged else None for name, stat in self.stats.items()}

    def shown(self) -> list[SinkStatus]:
        wedged = set(self.wedged())
        return [SinkStatus(name, stat.queued, stat.sent, stat.lost, stat.last_error if name in wedged or (stat.queued and stat.last_error) else "") for name, stat in self.stats.items()]
