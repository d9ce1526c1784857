"""The end of a process by a fault of our own: told by its kind and place, never with the values it happened on."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from types import TracebackType

from sniffer.errors import CleartapError
from sniffer.outputs.text import clean


class Boundary:
    """A ``with`` block round a whole process, its threads included. An exception's text may hold bytes from the wire: it is not shown."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> Boundary:
        self._hook, threading.excepthook = threading.excepthook, self._thread
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        threading.excepthook = self._hook
        if kind is None or not issubclass(kind, Exception) or issubclass(kind, CleartapError):
            return
        _tell(self._what, kind, value, trace)
        os._exit(70)  # EX_SOFTWARE

    def _thread(self, ended: threading.ExceptHookArgs) -> None:
        name = ended.thread.name if ended.thread is not None else "a thread"
        _tell(f"{self._what}, {clean(name)}", ended.exc_type, ended.exc_value, ended.exc_traceback)


def _tell(what: str, kind: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
    places = "".join(traceback.format_tb(trace))
    missing = f" ({value.name})" if isinstance(value, ImportError) else ""
    print(f"cleartap: {what} ended by a fault of its own: {kind.__name__}{missing}\n{places}", file=sys.stderr, end="", flush=True)
