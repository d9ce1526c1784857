"""What load balancers put in front of a client's first bytes, so that the server learns who it is: HAProxy's PROXY protocol, versions 1 and 2."""

from __future__ import annotations

import re

# Section 2.1: one line of at most 107 bytes.
_LINE = re.compile(rb"PROXY (?:TCP4|TCP6|UNKNOWN)(?: [^\r\n]{0,92})?\r\n")
# Section 2.2: twelve bytes that no protocol begins with, version and command, family, and the size of what follows.
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_COMMANDS = (0x20, 0x21)


def header_size(data: bytes) -> int:
    """Bytes that such a header takes at the beginning of ``data``; 0 where there is none, or not all of one."""
    if data.startswith(b"PROXY "):
        found = _LINE.match(data)
        return found.end() if found else 0
    if data.startswith(_SIGNATURE) and len(data) >= _FIXED and data[12] in _COMMANDS:
        size = _FIXED + int.from_bytes(data[14:16], "big")
        return size if size <= len(data) else 0
    return 0
