"""What Prometheus reads: one registry of metrics with closed label sets, and the HTTP endpoint that serves it."""

from __future__ import annotations

from sniffer.metrics.endpoint import Endpoint
from sniffer.metrics.registry import Metrics

__all__ = ["Endpoint", "Metrics"]
