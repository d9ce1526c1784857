"""Of the ledger only what the gauges need: channels by verdict and tier, cleartext services, certificates' expiry."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sniffer.channels import MAX_CHANNELS
from sniffer.events import Encryption
from sniffer.metrics.catalogue import ENCRYPTIONS, OTHER, TIERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sniffer.channels import Channel

# Verdicts under which what is said can be read by whoever listens.
_READABLE = frozenset({Encryption.CLEARTEXT, Encryption.DECLINED, Encryption.REFUSED, Encryption.STRIPPED, Encryption.LOGIN_ONLY})

Service = tuple[str, int, str]  # server, port, protocol
End = tuple[str, int]  # server, port


class _Known(NamedTuple):
    """What was counted of one channel, to take it back when it changes."""

    bucket: tuple[str, ...]
    service: Service
    clear: int  # its sessions in the clear
    certified: bool


class Inventory:
    """Channels by id, at most ``limit``: beyond it the one longest unheard of is forgotten, and counted in ``forgotten``.

    Not safe for threads by itself. About 0.5 KB a channel.
    """

    def __init__(self, limit: int = MAX_CHANNELS) -> None:
        self.buckets: dict[tuple[str, ...], float] = {(e, t): 0 for e in ENCRYPTIONS for t in TIERS}
        self.forgotten = 0
        self._limit = limit
        self._bucket = {bucket: bucket for bucket in self.buckets}  # one tuple for all channels in a bucket
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._services: OrderedDict[Service, int] = OrderedDict()  # sessions in the clear; last heard of last
        self._sessions = 0  # of all services
        self._certificates: dict[End, tuple[float, int]] = {}  # expiry, and when it was seen
        self._holders: Counter[End] = Counter()  # channels with a certificate, by server
        self._soonest: list[tuple[float, End]] = []  # sorted

    def put(self, rows: Iterable[Channel]) -> None:
        """Take channels as they now stand, whole, oldest first."""
        for row in rows:
            self._put(int(row.id[1:], 16), row)
        while len(self._known) > self._limit:
            self._forget(next(iter(self._known)))
            self.forgotten += 1

    def forget(self, ids: Iterable[str]) -> None:
        """Channels that are no longer kept."""
        for name in ids:
            self._forget(int(name[1:], 16))

    def _put(self, key: int, row: Channel) -> None:
        encryption = row.encryption
        service = (row.server, row.port, row.protocol)
        clear = sum(n for verdict, (n, _) in row.verdicts.items() if n > 0 and verdict in _READABLE)
        before = self._known.pop(key, None)
        certified = self._certify((row.server, row.port), row, before is not None and before.certified)
        known = _Known(self._bucket[encryption.value, row.tier if row.tier in TIERS else OTHER], service, clear, certified)
        if before is not None:
            self.buckets[before.bucket] -= 1
        self.buckets[known.bucket] += 1
        self._known[key] = known
        added = clear - (before.clear if before else 0)
        # A channel that has become encrypted no longer keeps its server at the top of those heard in the clear.
        self._count(service, added, heard=added > 0 or encryption in _READABLE)

    def _count(self, service: Service, added: int, *, heard: bool = False) -> None:
        if not added and not heard:
            return
        self._sessions += added
        sessions = self._services.get(service, 0) + added
        if not sessions:
            self._services.pop(service, None)
            return
        self._services[service] = sessions
        if heard:
            self._services.move_to_end(service)

    def _forget(self, key: int) -> None:
        known = self._known.pop(key, None)
        if known is None:
            return
        self.buckets[known.bucket] -= 1
        self._count(known.service, -known.clear)
        if known.certified:
            end = known.service[:2]
            self._holders[end] -= 1
            if not self._holders[end]:
                del self._holders[end]
                self._unlist(end, self._certificates.pop(end)[0])

    def _certify(self, end: End, row: Channel, already: bool) -> bool:
        """Note the certificate last seen at a server; whether the channel has one."""
        expiry = _expiry(row)
        if expiry is None:
            return already
        self._holders[end] += not already
        before = self._certificates.get(end)
        if before is None or row.last >= before[1]:
            self._certificates[end] = (expiry, row.last)
            if before is None or before[0] != expiry:
                if before is not None:
                    self._unlist(end, before[0])
                insort(self._soonest, (expiry, end))
        return True

    def _unlist(self, end: End, expiry: float) -> None:
        del self._soonest[bisect_left(self._soonest, (expiry, end))]

    def services(self, top: int) -> tuple[dict[Service, int], int, int]:
        """Those last heard in the clear with their sessions; how many more there are, and the sessions of these."""
        names = list(islice(reversed(self._services), top))
        found = {name: self._services[name] for name in names}
        return found, len(self._services) - len(found), self._sessions - sum(found.values())

    def certificates(self, top: int) -> tuple[dict[End, float], int]:
        """Those that expire first, in seconds since the epoch; how many more there are."""
        found = {end: expiry for expiry, end in self._soonest[:top]}
        return found, len(self._soonest) - len(found)


def _expiry(row: Channel) -> float | None:
    certificate = row.certificate
    if certificate is None or not certificate.not_after:
        return None
    try:
        when = datetime.fromisoformat(certificate.not_after)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):  # a date no calendar holds: the certificate is the peer's
        return None
