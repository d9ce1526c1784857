"""Reports from a worker process to its parent, over a pipe that nobody else holds.

Everywhere else a pickled ``Secret`` is its mask. Between the processes of one run the value has to cross, or nothing could
be revealed and no fingerprint compared; these two functions are the only way, and their bytes are never written to a file.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from sniffer.secret import Secret


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) is Secret:
            return Secret, (value.reveal(), value.kind)
        return NotImplemented


def dumps(value: object) -> bytes:
    """Bytes for :func:`loads` in the process at the other end of the pipe."""
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(value)
    return out.getvalue()


def loads(data: bytes | bytearray) -> Any:
    """The value again. Only for what :func:`dumps` of our own worker wrote."""
    return pickle.loads(data)  # noqa: S301  (our own process at the other end)
