"""From one ``[[output]]`` of the configuration to the sink it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sniffer.errors import UsageError

if TYPE_CHECKING:
    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Sink

# What a receiver gets that does not say what it wants: a file everything, people and pagers alerts.
USUAL = {
    "file": frozenset({"finding", "alert", "channel"}),
    "syslog": frozenset({"alert"}),
    "webhook": frozenset({"alert"}),
    "alertmanager": frozenset({"alert"}),
    "mail": frozenset({"alert"}),
}


def wanted(settings: OutputSettings) -> frozenset[str]:
    """The kinds of items a receiver gets. Raises UsageError for a type that does not exist."""
    if settings.type not in USUAL:
        raise UsageError(f"output {settings.name}: type {settings.type} is none of {', '.join(USUAL)}")
    return frozenset(settings.wants) or USUAL[settings.type]


def open_sink(settings: OutputSettings, sensor: str, *, resend_minutes: int = 240) -> Sink:
    """The sink of an output; connects to nothing yet, but reads secret files, certificates and keys.

    Raises UsageError where they cannot be used. ``resend_minutes`` is ``[alerts] resend_minutes``.
    """
    wants = wanted(settings)
    if settings.type == "file":
        from sniffer.outputs.file import FileSink

        return FileSink(settings, sensor, wants)
    if settings.type == "syslog":
        from sniffer.outputs.syslog import SyslogSink

        return SyslogSink(settings, sensor, wants)
    if settings.type == "webhook":
        from sniffer.outputs.webhook import WebhookSink

        return WebhookSink(settings, sensor, wants)
    if settings.type == "alertmanager":
        from sniffer.outputs.alertmanager import AlertmanagerSink

        return AlertmanagerSink(settings, sensor, wants, resend_minutes * 60)
    from sniffer.outputs.mail import MailSink

    return MailSink(settings, sensor, wants)
