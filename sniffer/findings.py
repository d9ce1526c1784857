"""What is reported: candidates from detectors, findings after policy, deduplication and redaction."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct, field

from sniffer.events import Crack, Outcome, Span
from sniffer.secret import Secret


class Severity(IntEnum):
    """Ordered: a comparison with ``--fail-on`` is a comparison of numbers."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()


class Category(StrEnum):
    """What kind of thing was found."""

    CREDENTIAL = "credential"  # a reusable secret
    HASH = "hash"  # challenge–response material
    TOKEN = "token"  # bearer, session cookie, API key, JWT, private key
    PII = "pii"
    CHANNEL = "channel"


class Rule(Struct, frozen=True):
    """A rule's public face. ``id`` is a contract: ``category/subject``."""

    id: str
    category: Category
    title: str
    severity: Severity
    confidence: float = 0.95
    references: tuple[str, ...] = ("CWE-319", "PCI-DSS-4.2.1")
    remedy: str = ""  # empty: the protocol's own


class Candidate(Struct, frozen=True, kw_only=True):
    """What a detector says: not yet a finding, since policy, deduplication and redaction come after."""

    rule: Rule
    secret: Secret
    span: Span
    mechanism: str = ""
    username: str | None = None
    realm: str | None = None
    outcome: Outcome | None = None
    where: str = ""
    severity: Severity | None = None  # where it differs from the rule's
    confidence: float | None = None
    title: str | None = None
    crack: Crack | None = None
    facts: dict[str, object] = field(default_factory=dict)  # validator facts without values: brand, issuer, expiry
    count: int = 1


class Context(Struct, frozen=True):
    """Where an event comes from, as far as a detector may know it."""

    protocol: str
    title: str
    tier: str
    remedy: str


class Finding(Struct, kw_only=True):
    """A reported fact, the same secret on the same channel counted once. Times are nanoseconds since the epoch."""

    id: str
    rule: Rule
    severity: Severity
    confidence: float
    title: str
    protocol: str
    transport: str
    client: tuple[str, int]
    server: tuple[str, int]
    path: tuple[str, ...]
    secret: Secret
    fingerprint: str | None
    mechanism: str
    username: str | None
    realm: str | None
    outcome: Outcome | None
    where: str
    frame: int | None
    source: str
    channel: str
    remedy: str
    first_seen: int
    last_seen: int
    crack: Crack | None = None
    facts: dict[str, object] = field(default_factory=dict)
    count: int = 1
