"""Captures in, decoded batches out, with the counts of what was read: what reading by one process and by several share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sniffer.capture import capture_set, open_capture
from sniffer.cycles import rare_collections
from sniffer.decode import Decoder
from sniffer.errors import CaptureError
from sniffer.summary import Summary

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterable, Iterator

    from sniffer.capture.frames import Frames, Reader
    from sniffer.channels import Channel
    from sniffer.decode.packets import Packets
    from sniffer.findings import Finding

    Digest = Callable[[list[Finding], list[Channel]], Any]

# The stages that are timed.
DECODE, FLOWS = "decode", "flows, dissectors, detectors"


@dataclass(slots=True)
class Share:
    """What one process found of a capture. Where there is a ``digest``, it stands for findings and channels."""

    findings: list[Finding]
    channels: list[Channel]
    summary: Summary
    digest: Any = None


class Reading(ABC):
    """Reads captures as one ordered set; then there are ``findings``, ``channels`` and the ``summary``.

    ``keep`` is asked of each decoded batch which packets to read (a capture filter). If ``digest`` is given, each process
    that finds something makes that of its findings and channels (whole lines to be printed, say), and in place of these
    there are ``digests``. Used under ``with``, since several processes may be at it.
    """

    # Where the blocks of a capture go, if not into the reader's own memory.
    place: Callable[[], mmap.mmap] | None = None

    def __init__(self, keep: Callable[..., object] | None = None, digest: Digest | None = None) -> None:
        self.decoder = Decoder()
        self.keep = keep
        self.summary = Summary()
        self.stages = {DECODE: 0.0, FLOWS: 0.0}
        self.digests: list[Any] = []
        self._digest = digest

    @property
    @abstractmethod
    def findings(self) -> Iterable[Finding]:
        """In order of the time they were first seen."""

    @property
    @abstractmethod
    def channels(self) -> list[Channel]:
        """The ledger."""

    @abstractmethod
    def follow(self, packets: Packets, paths: dict[int, tuple[str, ...]], now: int) -> None:
        """Take packets up to the time ``now`` (nanoseconds since the epoch); ``paths`` names their encapsulations."""

    @abstractmethod
    def finish(self) -> None:
        """The end of the capture: everything pending is told."""

    def close(self) -> None:  # noqa: B027  (most have nothing to do)
        """Reading is over, however it ended. What was found stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scan(self, paths: Iterable[str], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures by name as one ordered set. What cannot be read is named in ``summary.problems``; CaptureError
        if that is all there is.
        """
        errors: list[CaptureError] = []
        names = capture_set(list(paths))

        def readers() -> Iterator[Reader]:
            for name in names:
                try:
                    yield open_capture(name, self.place)
                except CaptureError as error:
                    errors.append(error)

        self.run(readers(), progress)
        if errors and len(errors) == len(names):
            raise errors[0]
        self.summary.problems.extend(map(str, errors))

    def run(self, readers: Iterable[Reader], progress: Callable[[Reader], None] | None = None) -> None:
        """Read captures one after the other; flows that cross from one into the next stay whole."""
        start = time.perf_counter()
        with rare_collections():
            for reader in readers:
                self.summary.sources.append(reader.name)
                for frames in reader.batches():
                    self.feed(frames)
                    if progress is not None:
                        progress(reader)
                if reader.problem:
                    self.summary.problems.append(reader.problem)
            self.finish()
        self.summary.seconds = time.perf_counter() - start

    def feed(self, frames: Frames) -> None:
        """Take one batch through all stages."""
        if not len(frames):
            return
        summary = self.summary
        summary.frames += len(frames)
        summary.bytes += int(frames.size.sum())
        first, last = int(frames.time.min()), int(frames.time.max())
        summary.first = min(summary.first or first, first)
        summary.last = max(summary.last, last)
        before = time.perf_counter()
        packets = self.decoder.decode(frames)
        if self.keep is not None:
            packets = self.keep(packets)  # type: ignore[assignment]
        decoded = time.perf_counter()
        self.follow(packets, self.decoder.paths, int(packets.time[-1]) if len(packets) else last)
        self.stages[DECODE] += decoded - before
        self.stages[FLOWS] += time.perf_counter() - decoded
