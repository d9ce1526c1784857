"""Capture files: opens what is named, tells formats by content, puts rotated files in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.capture.blocks import Input
from sniffer.capture.pcap import MAGICS, PcapReader
from sniffer.capture.pcapng import PcapngReader
from sniffer.errors import CaptureError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Sequence

    from sniffer.capture.frames import Reader

__all__ = ["capture_set", "is_capture", "open_capture"]

_NEVER = 1 << 62
_PCAPNG = b"\x0a\x0d\x0d\x0a"
# What people take for a capture, by its first bytes.
_OTHERS = (
    (b"{", "JSON"), (b"PK\x03\x04", "a ZIP archive"), (b"\x7fELF", "a program"), (b"<", "XML or HTML"), (b"#", "text"),
    (b"snoop\0\0\0", "a Solaris snoop file; convert it with editcap"), (b"\x54\x52\x41\x43", "a Sniffer trace; convert it with editcap"),
    (b"\x7f\x44\x54\x52", "a Sniffer trace; convert it with editcap"), (b"RTSS", "a NetMon trace; convert it with editcap"),
    (b"GMBU", "a NetMon trace; convert it with editcap"), (b"7z\xbc\xaf", "a 7z archive"),
)  # fmt: skip


def open_capture(path: str | os.PathLike[str], place: Callable[[], mmap.mmap] | None = None) -> Reader:
    """A reader for one capture; ``-`` is standard input. CaptureError says in one line why it cannot be read.

    ``place`` is asked for the memory of each block (``window.SIZE`` bytes), where it is not to be the reader's own.
    """
    source = Input(os.fspath(path), place)
    head = source.head
    if head[:4] in MAGICS:
        return PcapReader(source)
    if head[:4] == _PCAPNG:
        return PcapngReader(source)
    source.close()
    if not head:
        raise CaptureError(f"{source.name}: {source.damage or 'is empty'}")
    what = next((name for magic, name in _OTHERS if head.startswith(magic)), "neither pcap nor pcapng")
    inside = f" inside {source.compression}" if source.compression else ""
    raise CaptureError(f"{source.name}: not a capture ({what}{inside})")


def capture_set(paths: Sequence[str]) -> list[str]:
    """Files and directories as one ordered set.

    A directory stands for the captures in it and below; what in it is no capture is passed over. More than one file
    are ordered by the time of their first packet, so that flows which cross rotated files stay whole. CaptureError
    for a directory without captures.
    """
    found: list[str] = []
    for path in paths:
        if path != "-" and Path(path).is_dir():
            inside = [str(p) for p in sorted(Path(path).rglob("*")) if p.is_file() and is_capture(p)]
            if not inside:
                raise CaptureError(f"{path}: holds no capture")
            found.extend(inside)
        else:
            found.append(path)
    if len(found) > 1 and "-" not in found:
        found.sort(key=_begins)
    return found


def is_capture(path: Path) -> bool:
    """Whether a file can be read as a capture."""
    try:
        open_capture(path).close()
    except CaptureError:
        return False
    return True


def _begins(path: str) -> int:
    """When a capture's first packet was seen; captures that cannot be read come last and say so when their turn comes."""
    try:
        reader = open_capture(path)
    except CaptureError:
        return _NEVER
    try:
        first = next(reader.batches(), None)
        return int(first.time[0]) if first is not None else _NEVER
    finally:
        reader.close()
