"""The configuration of ``cleartap watch``: TOML 1.0, overridden by the environment, overridden by the command line."""

from __future__ import annotations

from sniffer.config.reading import NEEDS_RESTART, changed, load
from sniffer.config.settings import (
    OUTPUT_TYPES,
    SEVERITIES,
    TIERS,
    AlertSettings,
    CaptureSettings,
    Config,
    Expected,
    MetricsSettings,
    Network,
    OutputSettings,
    SeverityOverride,
    StateSettings,
    Threshold,
)

__all__ = [
    "NEEDS_RESTART",
    "OUTPUT_TYPES",
    "SEVERITIES",
    "TIERS",
    "AlertSettings",
    "CaptureSettings",
    "Config",
    "Expected",
    "MetricsSettings",
    "Network",
    "OutputSettings",
    "SeverityOverride",
    "StateSettings",
    "Threshold",
    "changed",
    "load",
]
