"""The errors of cleartap.

CleartapError
├── CaptureError   a capture cannot be read, or ends early
├── Malformed      bytes are not what the dissector took them for
└── UsageError     wrong words on the command line or in a configuration
"""

from __future__ import annotations


class CleartapError(Exception):
    """Base of all errors that are not bugs."""


class CaptureError(CleartapError):
    """A capture could not be read: what, where, and what to do."""


class Malformed(CleartapError):
    """The input is not this protocol, or breaks it. ``reason`` is a fixed text and holds no bytes from the wire."""


class UsageError(CleartapError):
    """Wrong words on the command line or in a configuration; ends the command with exit code 2."""
