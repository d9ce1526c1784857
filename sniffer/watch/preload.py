"""What the fork server imports once, so that a worker starts, and starts again, in milliseconds."""

from __future__ import annotations

import detectors
from sniffer import dissectors
from sniffer.watch import worker

__all__ = ["worker"]

dissectors.registry()
detectors.registry()
