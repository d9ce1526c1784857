"""What keeps secrets in memory out of files: no core dumps, no debugger of another user (setrlimit(2), prctl(2))."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core file of this process or what it starts, and no ptrace or /proc/PID/mem by others. Where a part is not
    to be had (not Linux) the rest still holds.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
