"""What the allocator keeps of memory that was freed."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
# So much freed memory stays the process's own …
KEPT = 64 << 20
# … and only what is larger than this (the most that glibc takes) gets a mapping of its own. By default both are 128 KiB and
# grow slowly: turns and lines then go back to the kernel and come again page by page, which takes a thirtieth of a scan.
MAPPED = 32 << 20


def keep_freed() -> None:
    """Keep freed memory, up to KEPT: for a process that reads much and then ends. Nothing where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, KEPT)
    mallopt(_TOP_PAD, 4 << 20)
    mallopt(_MMAP_THRESHOLD, MAPPED)
