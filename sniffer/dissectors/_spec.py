"""What a protocol tells the engine about itself: one ``SPEC`` constant at the foot of each dissector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sniffer.events import Event, Side


class Match(Enum):
    """A probe's answer. YES and NO are final: more bytes never turn them."""

    YES = "yes"
    NO = "no"
    MORE = "more"


class Dissector(Protocol):
    """A sans-IO state machine for one flow: bytes in, events out. It never blocks, sleeps, reads or logs.

    ``offset`` is the position of ``data[0]`` in that side's stream. Over TCP any cutting of the stream may come;
    over UDP one call is one datagram. Sequences are returned, never generators. Raises Malformed only.
    """

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]: ...

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]: ...

    def close(self) -> Sequence[Event]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One protocol. ``stream`` makes its dissector over TCP, ``datagram`` over UDP; either may be None.

    ``probe(client_bytes, server_bytes)`` sees the first bytes of each side (either may be empty: the capture may be
    one-sided) and must decide by content. ``ports`` are a hint that breaks ties, never a proof.
    """

    name: str  # public contract: the ``protocol`` of findings and channels
    title: str  # as people say it, with the standard: "FTP control channel, RFC 959"
    ports: tuple[int, ...]
    probe: Callable[[bytes, bytes], Match]
    stream: Callable[[], Dissector] | None = None
    datagram: Callable[[], Dissector] | None = None
    tier: str = "client"  # what the server is: "client" (serves end users), "database", "directory", "mail",
    #                       "management", "messaging", "infrastructure"
    encrypted: bool = False  # the protocol encrypts by itself (TLS, SSH, QUIC)
    remedy: str = ""  # one sentence for the person who must mend a cleartext finding
