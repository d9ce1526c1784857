"""The errors of cleartap.

CleartapError
├── CaptureError   a capture cannot be read, or ends early
├── Malformed      bytes are not what the dissector took them for
├── StateError     the state database cannot be opened, read or written
│   ├── StateFull     no room on its disk: the same can be tried again when there is
│   └── StateCorrupt  it is damaged: to be set aside
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


class StateError(CleartapError):
    """The state database cannot be used: which file and why, in one line. What was to be written was not."""


class StateFull(StateError):
    """There is no room on the state's disk. Nothing of the transaction was written; it may be tried again as it is."""


class StateCorrupt(StateError):
    """The state database is damaged. ``State.renew`` sets it aside and begins a new one."""
