"""What the ledger itself reports: channels that should be encrypted and are not, certificates past their date."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sniffer.events import Encryption, Side, Span
from sniffer.findings import Candidate, Category, Rule, Severity
from sniffer.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sniffer.channels import Channel

_REFERENCES = ("CWE-319", "PCI-DSS-4.2.1", "PCI-DSS-12.3.3")

STRIPPED = Rule("channel/encryption-stripped", Category.CHANNEL, "Encryption was removed on the way", Severity.HIGH, references=_REFERENCES, remedy="Find the device that rewrites the session, and require TLS in the client.")
REFUSED = Rule("channel/encryption-refused", Category.CHANNEL, "The server refused encryption", Severity.MEDIUM, references=_REFERENCES, remedy="Give the server a certificate and turn TLS on.")
DECLINED = Rule("channel/encryption-declined", Category.CHANNEL, "The client did not take the encryption offered", Severity.MEDIUM, references=_REFERENCES, remedy="Require TLS in the client and on the server.")
LOGIN_ONLY = Rule("channel/login-only-encryption", Category.CHANNEL, "Only the login is encrypted, the data is readable", Severity.MEDIUM, references=_REFERENCES, remedy="Require encryption for the whole session.")
CLEARTEXT = Rule("channel/cleartext-backend", Category.CHANNEL, "A back-end channel is readable", Severity.LOW, references=_REFERENCES)
EXPIRED = Rule("channel/expired-certificate", Category.CHANNEL, "The certificate had expired", Severity.MEDIUM, references=("CWE-298", "PCI-DSS-4.2.1.1"), remedy="Renew the certificate.")

RULES = (STRIPPED, REFUSED, DECLINED, LOGIN_ONLY, CLEARTEXT, EXPIRED)

_BY_VERDICT = {
    Encryption.STRIPPED: STRIPPED,
    Encryption.REFUSED: REFUSED,
    Encryption.DECLINED: DECLINED,
    Encryption.LOGIN_ONLY: LOGIN_ONLY,
}
# Tiers whose servers are talked to by other servers: their channels are to be encrypted also behind the firewall.
_BACKEND = frozenset({"database", "directory", "messaging", "management"})
_NOWHERE = Span(Side.CLIENT, 0, 0)


def posture_candidates(channel: Channel) -> Iterator[Candidate]:
    """The ledger's own findings on one channel."""
    rules = [_BY_VERDICT[v] for v, (sessions, _) in channel.verdicts.items() if sessions > 0 and v in _BY_VERDICT]
    if not rules and channel.tier in _BACKEND and channel.encryption in (Encryption.CLEARTEXT, Encryption.MIXED):
        rules.append(CLEARTEXT)
    certificate = channel.certificate
    if certificate is not None and certificate.not_after and datetime.fromisoformat(certificate.not_after) < datetime.fromtimestamp(channel.last / 1e9, UTC):
        rules.append(EXPIRED)
    for rule in rules:
        yield Candidate(rule=rule, secret=Secret("", "none"), span=_NOWHERE, where=channel.why)
