"""Mail: one digest a batch as plain text (RFC 5322), over SMTP with TLS (RFC 8314, or STARTTLS of RFC 3207, then required)."""

from __future__ import annotations

import hashlib
import smtplib
from collections import Counter
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING

from sniffer.errors import UsageError
from sniffer.outputs.net import read_secret, reason, split_address, tls_context
from sniffer.outputs.record import timestamp
from sniffer.outputs.sink import SinkError
from sniffer.outputs.text import clean, endpoint
from sniffer.outputs.view import View, delivery_key, of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

TLS_PORT = 465  # here TLS comes first (RFC 8314, 3.3); on all others STARTTLS does
# Told one by one in a digest; of the rest the mail says how many there are, worst first.
MAX_TOLD = 200
MAX_SUBJECT = 120
_RANK = {"critical": 4, "high": 3, "medium": 2, "low": 1}


def digest(items: Sequence[Item], sensor: str, sender: str, recipients: Sequence[str], now: datetime) -> EmailMessage:
    """The mail. Its Message-ID is made of the items' names, so that a second copy is seen as one."""
    seen = sorted((of(item, sensor) for item in items), key=lambda view: (view.resolved, -_RANK.get(view.severity, 0), view.first))
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _address(sender)
    mail["To"] = [_address(recipient) for recipient in recipients]
    mail["Subject"] = subject(seen, sensor)
    mail["Date"] = format_datetime(now)
    name = hashlib.sha256("\n".join(delivery_key(item) for item in items).encode("utf-8", "replace")).hexdigest()[:32]
    mail["Message-ID"] = f"<{name}@{_address(sender).domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation answers
    mail.set_content(body(seen, sensor), cte="quoted-printable")
    return mail


def subject(seen: Sequence[View], sensor: str) -> str:
    """How many of which severity, and the worst of them."""
    counts = Counter("resolved" if each.resolved else each.severity or "info" for each in seen)
    said = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda kv: -_RANK.get(kv[0], 0)))
    return clean(f"[cleartap {sensor}] {said}: {seen[0].title}" if seen else f"[cleartap {sensor}]", MAX_SUBJECT)


def body(seen: Sequence[View], sensor: str) -> str:
    """The digest's text, each line made harmless on its own."""
    parts = [f"cleartap on {clean(sensor)} reports {len(seen):,}."]
    parts += [_entry(each) for each in seen[:MAX_TOLD]]
    if len(seen) > MAX_TOLD:
        parts.append(f"... and {len(seen) - MAX_TOLD:,} more.")
    return "\n\n".join(parts) + "\n"


def _entry(seen: View) -> str:
    facts = {
        "rule": seen.rule, "secret": seen.mask, "fingerprint": seen.fingerprint, "where": seen.where, "tier": seen.tier, "network": seen.network,
        "path": " ".join(seen.path), "channel": seen.channel, "first seen": timestamp(seen.first), "last seen": timestamp(seen.last),
        "times": seen.count or "", "remedy": seen.remedy, "references": ", ".join(seen.references), "id": seen.id,
    }  # fmt: skip
    lines = [f"{(seen.severity or '-').upper()}: {seen.line}"]
    return "\n".join(lines + [f"  {name + ':':<12} {clean(value, 300)}" for name, value in facts.items() if value != ""])


def _address(text: str) -> Address:
    """An address of the configuration. Raises UsageError."""
    shown, spec = parseaddr(text)
    if not text.isprintable():
        raise UsageError(f"{clean(text)!r} is no mail address")
    try:
        return Address(display_name=clean(shown), addr_spec=clean(spec, 320))
    except (ValueError, IndexError) as error:  # what the header registry raises for what is no address
        raise UsageError(f"{clean(text)!r} is no mail address") from error


class MailSink:
    """Sends through one server; connects for each digest, since there are few.

    With ``transport = "tcp"`` a server without STARTTLS is used as it is, but never logged in to.
    """

    def __init__(self, settings: OutputSettings, sensor: str, wants: frozenset[str]) -> None:
        self.name, self.wants = settings.name, wants
        self._sensor, self._sender, self._recipients = sensor, settings.sender, settings.recipients
        for each in (settings.sender, *settings.recipients):
            _address(each)
        self._encrypted, self._timeout = settings.transport != "tcp", float(settings.timeout_seconds)
        self._host, self._port = split_address(settings.address, 587)
        self._context = tls_context(settings)
        self._username = settings.username
        self._password = read_secret(settings.password_file, f"output {settings.name}: password_file") if settings.password_file else ""

    def send(self, items: Sequence[Item]) -> None:
        """One mail for all. Permanent only if the server refuses the mail itself; it counts as sent if one recipient gets it."""
        if not items:
            return
        mail = digest(items, self._sensor, self._sender, self._recipients, datetime.now(UTC))
        server = self._connect()
        try:
            server.send_message(mail)
        except smtplib.SMTPDataError as error:
            raise self._error(f"refused the mail with {error.smtp_code}", permanent=error.smtp_code >= 500) from None
        except smtplib.SMTPRecipientsRefused:
            raise self._error("refused every recipient") from None
        except (OSError, ValueError) as error:
            raise self._error(_why(error)) from None
        finally:
            _quit(server)

    def check(self) -> None:
        """Whether the server takes a connection, TLS and the login. Raises SinkError."""
        _quit(self._connect())

    def close(self) -> None:
        """Nothing is kept open between digests."""

    def _connect(self) -> smtplib.SMTP:
        try:
            if self._encrypted and self._port == TLS_PORT:
                server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=self._context)
            else:
                server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        except (OSError, ValueError) as error:
            raise self._error(_why(error)) from None
        try:
            self._prepare(server)
        except (OSError, ValueError) as error:
            _quit(server)
            raise self._error(_why(error)) from None
        except SinkError:
            _quit(server)
            raise
        return server

    def _prepare(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        secure = isinstance(server, smtplib.SMTP_SSL)
        if not secure and (self._encrypted or server.has_extn("starttls")):
            if not server.has_extn("starttls"):
                raise self._error("offers no STARTTLS, and nothing is sent in the clear")
            server.starttls(context=self._context)
            secure = True
        if self._username:
            if not secure:
                raise self._error("offers no STARTTLS, and no password is sent in the clear")
            server.login(self._username, self._password)

    def _error(self, why: str, *, permanent: bool = False) -> SinkError:
        return SinkError(f"mail server {endpoint(clean(self._host), self._port)}: {why}", permanent=permanent)


def _why(error: Exception) -> str:
    """SMTP errors by their code: the server's words may repeat what was sent."""
    if isinstance(error, smtplib.SMTPResponseException):
        what = "refused the login" if isinstance(error, smtplib.SMTPAuthenticationError) else "answered"
        return f"{what} with {error.smtp_code}"
    return reason(error)


def _quit(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except OSError:
        pass
    finally:
        server.close()
