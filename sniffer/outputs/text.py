"""Text from the wire made harmless for terminals, tables and spreadsheets."""

from __future__ import annotations

import unicodedata

# Longer than any honest user name or product; what is cut off is marked.
MAX_TEXT = 80
# Control, format (bidirectional overrides, zero width), surrogate, private, unassigned, line and paragraph separators.
_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(value: object, limit: int = MAX_TEXT) -> str:
    r"""Printable on one line: what could steer a terminal or reorder text is shown as \xNN or \uNNNN."""
    text = str(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HOSTILE else c for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cell(value: object) -> str:
    """A spreadsheet cell that no program takes for a formula."""
    text = clean(value, 2000)
    return "'" + text if text[:1] in ("=", "+", "-", "@") or text[:1].isspace() else text


def size(count: float) -> str:
    """Bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def endpoint(host: str, port: int) -> str:
    """``host:port``, IPv6 in brackets, no port where there is none."""
    shown = f"[{host}]" if ":" in host and port else host
    return f"{shown}:{port}" if port else shown
