"""The ledger: one row per channel (client, server, port, transport, protocol) with an encryption verdict."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from ipaddress import IPv6Address
from operator import attrgetter
from socket import inet_ntoa
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from sniffer.events import Certificate, Encryption, Event, Greeting, Posture, Tls, Upgrade

if TYPE_CHECKING:
    from sniffer.dissectors import Spec
    from sniffer.findings import Severity

# Rows kept; what comes beyond is counted. About 1 KB a row.
MAX_CHANNELS = 200_000

_MAPPED = 0xFFFF << 32
_TRANSPORTS = {6: "tcp", 17: "udp", 132: "sctp", 50: "esp", 51: "ah", 47: "gre", 89: "ospf", 88: "eigrp", 112: "vrrp", 103: "pim"}
# Worst first: the verdict shown when sessions of one channel differ without any being encrypted.
_WORST = (
    Encryption.STRIPPED,
    Encryption.REFUSED,
    Encryption.DECLINED,
    Encryption.LOGIN_ONLY,
    Encryption.CLEARTEXT,
)
_TLS_FIELDS = tuple(name for name in Tls.__struct_fields__ if name != "span")


def address(high: int, low: int) -> str:
    """An address of two 64-bit halves as text (IPv4 is held as ::ffff:a.b.c.d)."""
    if not high and low >> 32 == 0xFFFF:
        return inet_ntoa((low & 0xFFFFFFFF).to_bytes(4, "big"))
    return str(IPv6Address(high << 64 | low))


# The events that bear on the ledger.
BEARING = frozenset((Posture, Upgrade, Tls, Greeting))


class Facts:
    """What a flow's dissectors said that bears on its verdict."""

    __slots__ = ("greeting", "plain", "posture", "status", "tls")

    def __init__(self) -> None:
        self.plain = False  # upgraded to another protocol that does not encrypt either
        self.status: set[str] | None = None  # of upgrades to encryption
        self.posture: Posture | None = None
        self.tls: dict[str, object] | None = None
        self.greeting: Greeting | None = None

    def take(self, event: Event) -> None:
        """Note what matters of an event."""
        kind = type(event)
        if kind is Posture:
            # The innermost protocol speaks last; a plain "cleartext" does not cover a more exact word.
            if self.posture is None or event.encryption is not Encryption.CLEARTEXT or self.posture.encryption is Encryption.UNKNOWN:  # type: ignore[attr-defined]
                self.posture = event  # type: ignore[assignment]
        elif kind is Upgrade:
            if event.to in ("tls", "gss"):  # type: ignore[attr-defined]
                self.status = (self.status or set()) | {event.status}  # type: ignore[attr-defined]
            elif event.to and event.status == "granted":  # type: ignore[attr-defined]
                self.plain = True
        elif kind is Tls:
            self.tls = self.tls or {}
            for name in _TLS_FIELDS:
                if (value := getattr(event, name)) is not None:
                    self.tls[name] = value
        elif kind is Greeting:
            self.greeting = event  # type: ignore[assignment]

    def verdict(self, spec: Spec | None) -> tuple[Encryption, str]:
        """The encryption of one flow and the reason; ``spec`` is the outermost protocol."""
        posture, status = self.posture, self.status or set()
        if self.plain and posture is not None and posture.encryption is Encryption.UNKNOWN:
            posture = None  # frames of a WebSocket look like nothing, and are as open as the HTTP before them
        if posture is not None and posture.encryption is not Encryption.CLEARTEXT:
            if posture.encryption is Encryption.ENCRYPTED and "granted" in status:
                return Encryption.ENCRYPTED, f"upgraded in band; {posture.why}"
            return posture.encryption, posture.why
        if posture is not None and (self.tls is not None or (spec is not None and spec.encrypted)):
            return Encryption.CLEARTEXT, posture.why  # a NULL cipher is not encryption
        if self.tls is not None and "granted" in status:
            return Encryption.UNKNOWN, "encryption granted, handshake not completed"
        if "granted" in status and posture is None:
            return Encryption.UNKNOWN, "encryption granted, nothing seen of it"
        if "refused" in status:
            return Encryption.REFUSED, "the client asked for encryption and the server refused"
        if "offered" in status and "asked" not in status:
            return Encryption.DECLINED, "the server offered encryption and the client did not take it"
        if spec is None:
            return Encryption.UNKNOWN, "nothing of it was read"
        if spec.encrypted:
            return Encryption.UNKNOWN, "handshake not completed"
        if spec.name == "unknown":
            return Encryption.UNKNOWN, posture.why if posture else "protocol not recognised"
        return Encryption.CLEARTEXT, posture.why if posture else f"{spec.title} without encryption"


@lru_cache(1 << 15)
def _id(client: str, server: str, port: int, transport: str, protocol: str, path: tuple[str, ...]) -> str:
    """Made once: whoever watches asks for it several times a report."""
    text = "|".join((client, server, str(port), transport, protocol, *path))
    return "c" + hashlib.sha256(text.encode()).hexdigest()[:15]


class Channel(Struct):
    """One row of the ledger. Times are nanoseconds since the epoch."""

    client: str
    server: str
    port: int
    transport: str
    protocol: str
    tier: str
    path: tuple[str, ...] = ()
    sessions: int = 0
    client_bytes: int = 0
    server_bytes: int = 0
    first: int = 0
    last: int = 0
    one_sided: int = 0
    verdicts: dict[Encryption, tuple[int, str]] = field(default_factory=dict)  # sessions and reason of each
    tls: dict[str, object] | None = None
    upgraded: bool = False
    product: str | None = None
    findings: dict[Severity, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return _id(self.client, self.server, self.port, self.transport, self.protocol, self.path)

    @property
    def encryption(self) -> Encryption:
        """All sessions together: mixed when some were encrypted and some were not."""
        if len(self.verdicts) == 1:
            return next(iter(self.verdicts))
        known = [v for v, (sessions, _) in self.verdicts.items() if sessions > 0 and v is not Encryption.UNKNOWN]
        if not known:
            return Encryption.UNKNOWN
        if len(known) == 1:
            return known[0]
        if Encryption.ENCRYPTED in known:
            return Encryption.MIXED
        return next(v for v in _WORST if v in known)

    @property
    def why(self) -> str:
        return self.reason(self.encryption)

    def reason(self, verdict: Encryption) -> str:
        """Why ``verdict``, which is the channel's ``encryption``."""
        if verdict is Encryption.MIXED:
            parts = sorted(((n, str(v)) for v, (n, _) in self.verdicts.items() if n > 0), reverse=True)
            return ", ".join(f"{n} {v}" for n, v in parts)
        return self.verdicts[verdict][1] if verdict in self.verdicts else "nothing of it was read"

    @property
    def certificate(self) -> Certificate | None:
        found = (self.tls or {}).get("certificate")
        return found if isinstance(found, Certificate) else None

    def merge(self, other: Channel) -> None:
        """Add another row for the same ends: one whose protocol could not be read, or what came later."""
        self.sessions += other.sessions
        self.client_bytes += other.client_bytes
        self.server_bytes += other.server_bytes
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.one_sided += other.one_sided
        for verdict, (count, why) in other.verdicts.items():
            self.count(verdict, why, count)
        if other.tls:
            self.tls = {**(self.tls or {}), **other.tls}
            self.upgraded = self.upgraded or other.upgraded
        self.product = other.product or self.product
        for severity, count in other.findings.items():
            self.found(severity, count)

    def found(self, severity: Severity, count: int = 1) -> None:
        self.findings[severity] = self.findings.get(severity, 0) + count

    def count(self, verdict: Encryption, why: str, sessions: int = 1) -> None:
        """Add sessions of a verdict; a negative number takes back what was counted before more was known."""
        before, first_why = self.verdicts.get(verdict, (0, why))
        self.verdicts[verdict] = (before + sessions, first_why or why)

    def learn(self, facts: Facts) -> None:
        """Keep what the handshake showed; the latest session's word stands."""
        if facts.tls:
            self.tls = {**(self.tls or {}), **facts.tls}
            self.upgraded = self.upgraded or "granted" in (facts.status or ())
        if facts.greeting:
            self.product = " ".join(filter(None, (facts.greeting.product, facts.greeting.version)))


# How rows are listed.
IN_ORDER = attrgetter("first", "client", "server", "port", "protocol")


class Ended(NamedTuple):
    """A flow that ended, or that goes on: its row of the flow table in plain numbers."""

    row: int  # the table's
    client_high: int
    client_low: int
    server_high: int
    server_low: int
    client_port: int
    server_port: int
    protocol: int
    path: tuple[str, ...]
    first: int
    last: int
    packets: tuple[int, int]
    bytes: tuple[int, int]


class Told(NamedTuple):
    """What the ledger has counted of a flow that went on."""

    verdict: Encryption
    bytes: tuple[int, int]


class Ledger:
    """Channels by their ends. Bounded: rows beyond MAX_CHANNELS are counted in ``omitted``."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], Channel] = {}
        self._names: dict[tuple[int, int], str] = {}
        self.omitted = 0

    def name(self, high: int, low: int) -> str:
        """An address as text, made once."""
        key = (high, low)
        text = self._names.get(key)
        if text is None:
            if len(self._names) >= MAX_CHANNELS:
                self._names.clear()
            text = self._names[key] = address(high, low)
        return text

    def row(self, ended: Ended, spec: Spec | None, *, flipped: bool = False) -> Channel | None:
        """The channel of a flow, made if it is new; None when the ledger is full."""
        name = spec.name if spec else "unknown"
        if flipped:
            client, server, port = (ended.server_high, ended.server_low), (ended.client_high, ended.client_low), ended.client_port
        else:
            client, server, port = (ended.client_high, ended.client_low), (ended.server_high, ended.server_low), ended.server_port
        key = (client, server, port, ended.protocol, name, ended.path)
        channel = self._rows.get(key)
        if channel is None:
            if len(self._rows) >= MAX_CHANNELS:
                self.omitted += 1
                return None
            channel = self._rows[key] = Channel(
                client=self.name(*client),
                server=self.name(*server),
                port=port,
                transport=_TRANSPORTS.get(ended.protocol, f"ip-{ended.protocol}"),
                protocol=name,
                tier=spec.tier if spec else "unknown",
                path=ended.path,
                first=ended.first,
                last=ended.last,
            )
        return channel

    def end(self, ended: Ended, spec: Spec | None, facts: Facts | None, *, flipped: bool = False, told: Told | None = None) -> None:
        """Count a flow that ended and in which something was said; ``told`` is what of it was counted while it went on."""
        channel = self.row(ended, spec, flipped=flipped)
        if channel is not None:
            self._count(channel, ended, spec, facts, flipped, told)
            channel.one_sided += not all(ended.packets)

    def goes_on(self, ended: Ended, spec: Spec | None, facts: Facts | None, *, flipped: bool = False, told: Told | None = None) -> Told | None:
        """Count a flow that is not over; what is to be handed to the next call or to ``end``. None when the ledger is full."""
        channel = self.row(ended, spec, flipped=flipped)
        return None if channel is None else self._count(channel, ended, spec, facts, flipped, told)

    @staticmethod
    def _count(channel: Channel, ended: Ended, spec: Spec | None, facts: Facts | None, flipped: bool, told: Told | None) -> Told:
        sent = (ended.bytes[0] - told.bytes[0], ended.bytes[1] - told.bytes[1]) if told else ended.bytes
        channel.client_bytes += sent[flipped]
        channel.server_bytes += sent[not flipped]
        channel.first, channel.last = min(channel.first, ended.first), max(channel.last, ended.last)
        if facts is not None:
            verdict, why = facts.verdict(spec)
            channel.learn(facts)
        elif ended.protocol == 50:
            verdict, why = Encryption.ENCRYPTED, "IPsec ESP, RFC 4303"
        else:
            verdict, why = Encryption.UNKNOWN, "nothing of it was read"
        if told is None:
            channel.sessions += 1
            channel.count(verdict, why)
        elif told.verdict is not verdict:
            channel.count(told.verdict, "", -1)
            channel.count(verdict, why)
        return Told(verdict, ended.bytes)

    def take(self) -> list[Channel]:
        """All rows as they stand; the ledger forgets them."""
        rows = list(self._rows.values())
        self._rows.clear()
        return rows

    def channels(self) -> list[Channel]:
        """All rows, those of unread sessions folded into the one row for the same ends that could be read."""
        by_ends: dict[tuple[object, ...], list[Channel]] = {}
        for row in self._rows.values():
            by_ends.setdefault((row.client, row.server, row.port, row.transport, row.path), []).append(row)
        out = []
        for rows in by_ends.values():
            unread = [row for row in rows if row.protocol == "unknown"]
            if len(rows) == 2 and len(unread) == 1:
                (read,) = (row for row in rows if row.protocol != "unknown")
                whole = replace(read, verdicts=dict(read.verdicts), findings=dict(read.findings))
                whole.merge(unread[0])
                rows = [whole]
            out.extend(rows)
        return sorted(out, key=IN_ORDER)
