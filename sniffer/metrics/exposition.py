"""Numbers to text: Prometheus' text format 0.0.4 and OpenMetrics 1.0.0, by prometheus_client with a registry of its own."""

from __future__ import annotations

import threading
import time
import unicodedata
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Sample

from sniffer.metrics.catalogue import CATALOGUE, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# No name of ours is longer; an interface's has 15 characters at most.
_MAX_LABEL = 128
# Samples after which the interpreter is let go of. A sample takes 5 to 10 µs to write, and the watcher would otherwise wait
# the 5 ms of the switch interval; with smaller pieces a busy watcher would take more turns of 5 ms before the scrape is done.
_HOLD = 64


class Exposition:
    """A collector over a function that copies all numbers at once."""

    def __init__(self, snapshot: Callable[[], Mapping[str, Mapping[tuple[str, ...], float]]]) -> None:
        self._snapshot = snapshot
        # One scrape at a time: two that render at once would only take the interpreter from the watcher for longer.
        self._one = threading.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """The metrics without their numbers, so that registering collects nothing."""
        return map(_metric, CATALOGUE)

    def collect(self) -> Iterator[Metric]:
        """All metrics as they stand together."""
        values = self._snapshot()
        written = count(1)
        for family in CATALOGUE:
            metric = _metric(family)
            named = partial(Sample, family.name)
            samples = (named(dict(zip(family.labels, map(_clean, labels), strict=True)), value) for labels, value in values[family.name].items())
            metric.samples = _Paced(samples, written)
            yield metric

    def render(self, *, openmetrics: bool) -> bytes:
        """All metrics in one of the two formats."""
        with self._one:
            return generate_openmetrics(self.registry) if openmetrics else generate_latest(self.registry)  # type: ignore[no-untyped-call]


class _Paced(list[Sample]):
    """Samples that let go of the interpreter now and then while they are written."""

    def __init__(self, samples: Iterable[Sample], written: Iterator[int]) -> None:
        super().__init__(samples)
        self._written = written

    def __iter__(self) -> Iterator[Sample]:
        for sample in super().__iter__():
            yield sample
            if not next(self._written) % _HOLD:
                time.sleep(0)


def _metric(family: Family) -> Metric:
    suffix = {"counter": "_total", "info": "_info"}.get(family.kind, "")
    return Metric(family.name.removesuffix(suffix), family.help, family.kind)


def _clean(value: str) -> str:
    """A label value without control characters, surrogates and directional marks, and not without end."""
    if value.isascii() and value.isprintable() and len(value) <= _MAX_LABEL:
        return value
    return "".join("?" if unicodedata.category(c)[0] == "C" else c for c in value[:_MAX_LABEL])
