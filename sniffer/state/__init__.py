"""What a watch remembers: one SQLite file (WAL) that survives its process, and a queue in it for each receiver."""

from __future__ import annotations

from sniffer.state.queue import SinkStats
from sniffer.state.reader import Acknowledgement, Interval, Reader, Recorded, Tally
from sniffer.state.retention import Pruned
from sniffer.state.store import State, Transaction, acknowledge, retract

__all__ = ["Acknowledgement", "Interval", "Pruned", "Reader", "Recorded", "SinkStats", "State", "Tally", "Transaction", "acknowledge", "retract"]
