"""Peeling layers off a whole batch at once: two columns, where the next header is and what kind it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sniffer.capture.frames import Block, Frames

Column = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

# Paths (stacks of encapsulations) that keep a name. A mirror carries a few thousand VLANs and VNIs at the most; the
# rest still decodes, without a name.
MAX_PATHS = 65_536
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(29)


# Stands for every row of a batch: a slice costs a fraction of as many indices. Given to those handlers alone that are
# declared to take it, which ask for ``numbers`` where they need the indices.
ALL: Any = slice(None)


class Kind(IntEnum):
    """What stands at ``Peel.at``. Each has one function that advances all packets of that kind by one header."""

    DONE = 0
    DROPPED = auto()
    ETHERNET = auto()
    ETHERTYPE = auto()  # two bytes of EtherType, then its payload
    VLAN = auto()
    MPLS = auto()
    PPPOE = auto()
    PPP = auto()
    PPP_HDLC = auto()
    CHDLC = auto()
    LLC = auto()
    SLL = auto()
    SLL2 = auto()
    NULL = auto()
    LOOP = auto()
    IP = auto()  # version 4 or 6, told by the first nibble
    IPV4 = auto()
    IPV6 = auto()
    IPV6_EXTENSION = auto()
    FRAGMENT = auto()
    RADIOTAP = auto()
    PRISM = auto()
    AVS = auto()
    PPI = auto()
    WIFI = auto()
    TAG4 = auto()  # so many bytes of tag, then two of EtherType
    TAG6 = auto()
    NSH = auto()
    GRE = auto()
    ERSPAN1 = auto()
    ERSPAN2 = auto()
    ERSPAN3 = auto()
    TCP = auto()
    UDP = auto()
    PORTS = auto()  # SCTP, DCCP: two ports in front
    PLAIN = auto()  # an IP protocol without ports
    VXLAN = auto()
    GENEVE = auto()
    GTP = auto()
    TEREDO = auto()
    TZSP = auto()
    AYIYA = auto()
    NFLOG = auto()
    PBB = auto()
    PKTAP = auto()
    ENC = auto()
    PFLOG = auto()
    FDDI = auto()
    TOKEN_RING = auto()
    L2TP = auto()
    LISP = auto()
    WCCP = auto()
    L2TP3 = auto()  # a session id, then what no field announces
    GTP0 = auto()
    FABRICPATH = auto()
    BROADCOM_TAG = auto()
    FRAME_RELAY = auto()
    NLPID = auto()  # one byte that names a network protocol (ISO/IEC TR 9577)
    SLIP = auto()
    PPP_DIRECTION = auto()
    JUNIPER_ETHERNET = auto()
    JUNIPER_PPP = auto()
    JUNIPER_CHDLC = auto()
    JUNIPER_FRAME_RELAY = auto()
    JUNIPER_ETHERTYPE = auto()
    JUNIPER_MLPPP = auto()
    JUNIPER_MLFR = auto()
    JUNIPER_MFR = auto()
    JUNIPER_GGSN = auto()
    JUNIPER_SERVICES = auto()
    JUNIPER_ATM1 = auto()
    JUNIPER_ATM2 = auto()
    # Not to be decoded further; each is a reason.
    ARP = auto()
    LLDP = auto()
    CONTROL = auto()
    UNKNOWN_TYPE = auto()


REASONS = {
    Kind.ARP: "arp",
    Kind.LLDP: "lldp",
    Kind.CONTROL: "link control",
    Kind.UNKNOWN_TYPE: "unknown ethertype",
}


class Peel:
    """The state of a batch. Columns have one entry a frame; handlers get ``rows``, the indices they are to advance.

    Where frames hold several packets each (``more``), further entries follow; ``frame`` then says whose each is.
    """

    def __init__(self, frames: Frames, paths: dict[int, tuple[str, ...]], undecoded: Counter[str]) -> None:
        count = len(frames)
        self.buffer: Block = frames.buffer
        self.frames_end = len(frames.buffer)  # from here on lie datagrams put together from fragments
        self.frame: Column | None = None
        self.time = frames.time
        self.paths = paths
        self.undecoded = undecoded
        self.at = frames.offset.copy()
        self.end = frames.offset + frames.size  # of the bytes captured
        self.wire_end = frames.offset + frames.wire  # of the bytes that were on the wire, as if all were in the buffer
        self.kind = np.zeros(count, np.int64)
        self.path = np.zeros(count, np.uint64)
        self.src_high = np.zeros(count, np.uint64)
        self.src_low = np.zeros(count, np.uint64)
        self.dst_high = np.zeros(count, np.uint64)
        self.dst_low = np.zeros(count, np.uint64)
        self.protocol = np.zeros(count, np.int64)
        self.sport = np.zeros(count, np.int64)
        self.dport = np.zeros(count, np.int64)
        self.seq = np.zeros(count, np.int64)
        self.ack = np.zeros(count, np.int64)
        self.flags = np.zeros(count, np.int64)
        self.payload = np.zeros(count, np.int64)
        self.payload_end = np.zeros(count, np.int64)
        self.payload_wire_end = np.zeros(count, np.int64)

    def gather(self, rows: Rows, dtype: np.dtype[np.void], skip: int | Column = 0) -> npt.NDArray[np.void]:
        """The structure at ``at + skip`` of each row, in one call."""
        size = dtype.itemsize
        windows: npt.NDArray[np.void] = np.ndarray((len(self.buffer) - size + 1,), f"V{size}", buffer=self.buffer, strides=(1,))
        found: npt.NDArray[np.void] = windows[self.at[rows] + skip].view(dtype)
        return found

    def room(self, rows: Rows, size: int, reason: str = "truncated header") -> Rows:
        """The rows with at least ``size`` captured bytes left; the others are dropped for ``reason``."""
        enough = self.end[rows] - self.at[rows] >= size
        if enough.all():
            return rows
        rows = self.numbers(rows)
        self.drop(rows[~enough], reason)
        return rows[enough]

    def numbers(self, rows: Rows) -> Rows:
        """Rows as indices also where they are ALL."""
        return np.arange(len(self.kind)) if rows is ALL else rows

    def more(self, rows: Rows) -> Rows:
        """Further packets of the frames of ``rows``, as copies of these; their indices.

        They must lie in bytes of their own before ``frames_end``: who makes room for a batch's packets counts on a
        least size of each.
        """
        count = len(self.kind)
        if self.frame is None:
            self.frame = np.arange(count)
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                setattr(self, name, np.concatenate((column, column[rows])))
        return np.arange(count, len(self.kind))

    def drop(self, rows: Rows, reason: str) -> None:
        if len(rows):
            self.kind[rows] = Kind.DROPPED
            self.undecoded[reason] += len(rows)

    def require(self, rows: Rows, good: npt.NDArray[np.bool_], reason: str) -> Rows:
        """The rows where ``good``; the others are dropped for ``reason``."""
        if good.all():
            return rows
        self.drop(rows[~good], reason)
        return rows[good]

    def label(self, rows: Rows, name: str, numbers: Column | None = None) -> None:
        """Add an encapsulation to the path: ``name``, or ``name:number`` where it has one."""
        if not len(rows):
            return
        salt = np.uint64(abs(hash(name)) & 0xFFFF_FFFF) << np.uint64(32)
        step = np.full(len(rows), salt) if numbers is None else salt ^ numbers.astype(np.uint64)
        old = self.path[rows]
        new = (old ^ step) * _MIX
        new ^= new >> _SHIFT
        new |= np.uint64(1)
        self.path[rows] = new
        first = np.zeros(1, np.int64) if (new == new[0]).all() else np.unique(new, return_index=True)[1]
        for i in first.tolist():
            key = int(new[i])
            if key not in self.paths and len(self.paths) < MAX_PATHS:
                text = name if numbers is None else f"{name}:{int(numbers[i])}"
                self.paths[key] = (*self.paths.get(int(old[i]), ()), text)


Handler = Callable[[Peel, Rows], None]
HANDLERS: dict[Kind, Handler] = {}
LINKS: dict[int, Kind] = {}
WHOLE: set[int] = set()


def handles(*kinds: Kind, whole: bool = False) -> Callable[[Handler], Handler]:
    """Register the function that advances packets of these kinds; ``whole``: its rows may be ALL."""

    def register(handler: Handler) -> Handler:
        for kind in kinds:
            HANDLERS[kind] = handler
            if whole:
                WHOLE.add(kind)
        return handler

    return register


def big(*fields: tuple[str, str] | tuple[str, str, tuple[int]]) -> np.dtype[np.void]:
    """A structure in network byte order."""
    return np.dtype(list(fields)).newbyteorder(">")
