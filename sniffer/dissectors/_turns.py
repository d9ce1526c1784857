"""After a gap: where the other side has spoken in between, a message begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sniffer.events import Side

SURE, GUESS, LOST, BEGINS = range(4)


class Footing:
    """Whether each side's stream is read at a message's boundary.

    Bytes right behind a gap are tried (``GUESS``), since gaps are whole packets and packets often whole messages. Where they
    fit no message the side is ``LOST``, and what it says is let go, until it speaks after the other (``BEGINS``).
    """

    __slots__ = ("_speaker", "at")

    def __init__(self) -> None:
        self.at = [SURE, SURE]
        self._speaker = -1

    def turn(self, side: Side) -> bool:
        """``side`` is about to be fed. True if what is held of it is to be let go: a message begins with what comes."""
        if side == self._speaker:
            return False
        self._speaker = side
        if self.at[side] == SURE:
            return False
        self.at[side] = BEGINS
        return True

    def gap(self, side: Side) -> None:
        self.at[side] = GUESS
        self._speaker = side
