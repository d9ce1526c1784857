"""The end of a process by a fault of our own: told by its kind and place, never with the values it happened on."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

from sniffer.errors import CleartapError


class Boundary:
    """A ``with`` block round a whole process. An exception's text may hold bytes from the wire: it is not shown."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> Boundary:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or not issubclass(kind, Exception) or issubclass(kind, CleartapError):
            return
        places = "".join(traceback.format_tb(trace))
        missing = f" ({value.name})" if isinstance(value, ImportError) else ""
        print(f"cleartap: {self._what} ended by a fault of its own: {kind.__name__}{missing}\n{places}", file=sys.stderr, end="", flush=True)
        os._exit(70)  # EX_SOFTWARE
