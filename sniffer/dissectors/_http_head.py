"""Heads of HTTP/1 messages (RFC 9112, sections 2 to 5): start lines and fields, found rather than parsed."""

from __future__ import annotations

import re

# Sources of Icecast call the protocol ICE and are answered in HTTP.
REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) +(\S[^ \r\n]*+(?: +(?!(?:HTTP/1\.[0-9]|ICE/1\.0)\r?\n)[^ \r\n]++)*) +(?:HTTP/1\.[0-9]|ICE/1\.0)\r?\n")
STATUS = re.compile(rb"HTTP/1\.[0-9] +([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
# Methods registered with IANA and those in use: the probe wants one of these, later any token will do.
METHODS = frozenset(
    b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH MKACTIVITY "
    b"CHECKOUT MERGE ACL BIND UNBIND REBIND LINK UNLINK MKCALENDAR MKWORKSPACE ORDERPATCH UPDATE LABEL CHECKIN UNCHECKOUT "
    b"VERSION-CONTROL BASELINE-CONTROL SUBSCRIBE UNSUBSCRIBE POLL NOTIFY BITS_POST CCM_POST RPC_IN_DATA RPC_OUT_DATA PURGE DEBUG TRACK "
    b"M-SEARCH SOURCE".split()
)  # fmt: skip
# Where after lost bytes a message may begin again.
_RESUMING = rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|PROPFIND) "
RESUME = re.compile(rb"(?:" + _RESUMING + rb"[^\r\n]{1,4096} HTTP/1\.[01]\r?\n|HTTP/1\.[01] [1-5][0-9]{2}[ \r])")
LONGEST_RESUME = 4096 + 24  # bytes, by its pattern
# … and the beginning of a request that is not all there; of what is shorter than this nothing can be told yet.
BEGUN = re.compile(_RESUMING + rb"[^\r\n]*\r?\Z")
LONGEST_BEGUN = len("HTTP/1.1 200")


def end_of_head(data: bytes, at: int) -> tuple[int, int]:
    """(where the empty line begins, where the body begins), or (-1, -1). Bare line feeds are taken too (RFC 9112, 2.2)."""
    end = data.find(b"\r\n\r\n", at)
    if end >= 0:
        # A bare one may stand before it.
        bare = data.find(b"\n\n", at, end)
        return (end + 2, end + 4) if bare < 0 else (bare + 1, bare + 2)
    bare = data.find(b"\n\n", at)
    if bare >= 0:
        return bare + 1, bare + 2
    mixed = data.find(b"\n\r\n", at)
    return (mixed + 1, mixed + 3) if mixed >= 0 else (-1, -1)


# The fields that frame a message and its body, found in one pass: a search for each costs more than the parse.
_FRAMING = re.compile(rb"\n(content-length|content-type|content-encoding|transfer-encoding|server|upgrade|set-cookie):[ \t]*([^\r\n]*)")


class Head:
    """One head. ``low`` is its lower-case form, in which names are looked for; ``start`` its stream offset."""

    __slots__ = ("_framing", "data", "low", "start")

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.low = data.lower()
        self.start = start
        self._framing: dict[bytes, bytes] | None = None

    def find(self, name: bytes) -> tuple[int, int]:
        """Where the value of the first field of a name (lower case) stands, or (-1, -1)."""
        return self._value(self.low.find(b"\n" + name + b":"), len(name))

    def get(self, name: bytes) -> bytes | None:
        start, end = self.find(name)
        return self.data[start:end] if start >= 0 else None

    @property
    def framing(self) -> dict[bytes, bytes]:
        """The fields that frame the message, by name, all in lower case; of several of one name the first. Blanks may follow."""
        found = self._framing
        if found is None:
            found = self._framing = dict(reversed(_FRAMING.findall(self.low)))
        return found

    def every(self, name: bytes) -> list[tuple[int, int]]:
        """Where each value of a name stands."""
        found: list[tuple[int, int]] = []
        mark = b"\n" + name + b":"
        at = self.low.find(mark)
        while at >= 0 and len(found) < 64:
            found.append(self._value(at, len(name)))
            at = self.low.find(mark, at + 1)
        return found

    def _value(self, at: int, size: int) -> tuple[int, int]:
        if at < 0:
            return -1, -1
        start = at + size + 2
        end = self.data.find(b"\n", start)
        # Obsolete folding: a line that begins with white space goes on with the value (RFC 9112, 5.2).
        while end >= 0 and self.data[end + 1 : end + 2] in (b" ", b"\t"):
            end = self.data.find(b"\n", end + 1)
        end = len(self.data) if end < 0 else end
        raw = self.data[start:end]
        left = len(raw) - len(raw.lstrip(b" \t"))
        return start + left, start + len(raw.rstrip(b" \t\r"))

    def fields(self) -> list[tuple[bytes, int, int]]:
        """(name in lower case, value's start, value's end) of every field."""
        found: list[tuple[bytes, int, int]] = []
        at = self.data.find(b"\n")
        while at >= 0 and len(found) < 256:
            end = self.low.find(b"\n", at + 1)
            colon = self.low.find(b":", at + 1, end if end >= 0 else len(self.low))
            if colon > 0:
                start, stop = self._value(at, colon - at - 1)
                found.append((self.low[at + 1 : colon].rstrip(b" \t"), start, stop))
            at = end
        return found


def content_length(value: bytes) -> int | None:
    """The declared length; None where it is none. Repeated equal values are one, differing ones count as the first."""
    if not value.isdigit():
        value = value.split(b",")[0].strip()
    return int(value) if value.isdigit() and len(value) < 19 else None


def tokens(value: bytes | None) -> list[str]:
    """A comma-separated list in lower case."""
    return [t.strip().lower().decode("latin-1") for t in (value or b"").split(b",") if t.strip()]


def media_type(value: bytes | None) -> tuple[str, str | None]:
    """Media type and charset of a Content-Type."""
    if not value:
        return "", None
    kind, _, rest = value.partition(b";")
    found = re.search(rb"charset *= *\"?([A-Za-z0-9_.:-]{1,40})", rest, re.I)
    return kind.strip().lower().decode("latin-1")[:120], found[1].decode() if found else None
