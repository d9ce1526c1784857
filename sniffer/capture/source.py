"""What a live capture is: batches as they come, counters that add up, and a word when something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sniffer.capture.frames import Frames

ANY = "any"


@dataclass(slots=True)
class Counters:
    """Since the source was opened."""

    packets: int = 0  # read
    bytes: int = 0  # of these, on the wire
    dropped: int = 0  # by the kernel, because nobody had read in time
    freezes: int = 0  # times the ring was full


class LiveSource(Protocol):
    """A live capture. ``problem`` is None, or says in one line why nothing comes; it may come and go."""

    name: str

    @property
    def problem(self) -> str | None: ...

    def fileno(self) -> int:
        """Readable when ``read`` has something; to wait on together with others."""

    def read(self, wait: float) -> Frames | None:
        """The next batch, or None when ``wait`` seconds brought nothing. It is valid until the next call."""

    def counters(self) -> Counters:
        """Packets offered = ``packets`` + ``dropped`` once all that had come was read."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RingSettings:
    """How to watch an interface. ``interface`` may be ``any``; ``filter`` is a tcpdump expression.

    ``fanout_group``: None for no sharing, -1 for a new group, else the number of the group to join. Members share the packets of the
    interface by host pair. ``ring_bytes`` is for each.
    """

    interface: str
    filter: str = ""
    snaplen: int = 262_144
    ring_bytes: int = 64 << 20
    promiscuous: bool = True
    fanout_group: int | None = None
    fanout_size: int = 1
