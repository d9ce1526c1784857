"""A 64-bit key per packet, the same for both directions of a flow."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sniffer.decode.packets import Packets

Keys = npt.NDArray[np.uint64]

# Odd multipliers drawn per process: nobody on the network can aim two flows at one key.
_M1, _M2, _M3, _M4, _M5 = (np.uint64(secrets.randbits(64) | 1) for _ in range(5))
_SHIFT = np.uint64(32)


def _endpoint(high: Keys, low: Keys, port: npt.NDArray[np.int64], wide: bool) -> Keys:
    mixed = (low ^ (port.astype(np.uint64) << np.uint64(48))) * _M1
    if wide:
        mixed ^= high * _M2
    mixed ^= mixed >> _SHIFT
    mixed *= _M3
    return mixed


def keys(packets: Packets) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """The key of each packet, and its direction: whether it goes from the endpoint that sorts higher.

    64 bits under per-process random multipliers: among a million flows two share a key with probability 3e-8.
    """
    wide = bool(packets.src_high.any() or packets.dst_high.any())
    source = _endpoint(packets.src_high, packets.src_low, packets.sport, wide)
    target = _endpoint(packets.dst_high, packets.dst_low, packets.dport, wide)
    key = (source + target) * _M4
    key ^= source ^ target
    key ^= key >> _SHIFT
    key *= _M5
    key ^= packets.protocol.astype(np.uint64)
    key ^= packets.path
    return key, source > target
