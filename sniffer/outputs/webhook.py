"""A webhook: POST of JSON, signed with HMAC-SHA256 (RFC 2104) over ``timestamp.body``, one item a request.

A receiver that has the secret calls :func:`verify` with the raw body, or does the same in its own language:

    t, v1 = the two parts of the field ``X-Cleartap-Signature: t=<seconds since the epoch>,v1=<hex>``
    v1 must equal hex(HMAC-SHA256(secret, t + "." + body)), compared in constant time, and t must be recent.

``Idempotency-Key`` is the same whenever one delivery is tried again, so a receiver may drop what it has.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

from sniffer.errors import UsageError
from sniffer.outputs import jsonl, slack
from sniffer.outputs.formats import JSON
from sniffer.outputs.http import HttpError, Requester
from sniffer.outputs.net import read_secret
from sniffer.outputs.sink import SinkError
from sniffer.outputs.view import delivery_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

SIGNATURE = "X-Cleartap-Signature"
IDEMPOTENCY = "Idempotency-Key"
# A receiver refuses older ones, so that a recorded request cannot be sent again next week.
TOLERANCE = 300  # seconds
_FIELD = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", re.ASCII)


class Refused(HttpError):
    """Some items of a batch were refused for good; all others of it were delivered. ``refused``: their ids."""

    def __init__(self, error: HttpError, refused: tuple[str, ...], total: int) -> None:
        super().__init__(f"{error} to {len(refused)} of {total}", error.status, permanent=True)
        self.refused = refused


def sign(secret: bytes, body: bytes, now: int) -> str:
    """The value of the signature field for a body sent at ``now`` (seconds since the epoch)."""
    digest = hmac.new(secret, b"%d." % now + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


def verify(secret: bytes, field: str, body: bytes, now: int, tolerance: int = TOLERANCE) -> bool:
    """Whether a body is ours and recent, in constant time."""
    match = _FIELD.fullmatch(field)
    if match is None:
        return False
    expected = hmac.new(secret, match[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, match[2]) and abs(now - int(match[1])) <= tolerance


class WebhookSink:
    """Posts to ``url``, or to the URL in ``url_file``."""

    def __init__(self, settings: OutputSettings, sensor: str, wants: frozenset[str]) -> None:
        self.name, self.wants = settings.name, wants
        self._sensor, self._form = sensor, settings.format
        what = f"output {settings.name}: "
        url = read_secret(settings.url_file, what + "url_file") if settings.url_file else settings.url
        if settings.format not in (*JSON, "slack"):
            raise UsageError(f"{what}format {settings.format} is none of a webhook")
        self._secret = read_secret(settings.secret_file, what + "secret_file").encode() if settings.secret_file else b""
        self._requester = Requester(settings, url)

    def send(self, items: Sequence[Item]) -> None:
        """Post all in order. What is refused for good is passed over, and told at the end by :class:`Refused`."""
        refused: list[str] = []
        last: HttpError | None = None
        for group in self._groups(items):
            try:
                self._post(group)
            except HttpError as error:
                if not error.permanent:
                    raise
                refused += [item.id for item in group]
                last = error
        if last is not None:
            raise Refused(last, tuple(refused), len(items))

    def check(self) -> None:
        """Whether the receiver takes a connection; nothing is posted. Raises SinkError."""
        self._requester.check()

    def close(self) -> None:
        self._requester.close()

    def _groups(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """What goes into one request each: people read a few messages, programs one object at a time."""
        size = slack.MAX_ITEMS if self._form == "slack" else 1
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _post(self, group: Sequence[Item]) -> None:
        record = slack.message(group, self._sensor) if self._form == "slack" else JSON[self._form](group[0], self._sensor)
        body = jsonl.line(record).encode()
        headers = {"Content-Type": "application/json", IDEMPOTENCY: delivery_key(group[0])}
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, body, int(time.time()))
        self._requester.request("POST", self._requester.target, body, headers)


__all__ = ["IDEMPOTENCY", "SIGNATURE", "TOLERANCE", "Refused", "SinkError", "WebhookSink", "sign", "verify"]
