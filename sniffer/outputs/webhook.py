"""A webhook: POST of JSON, signed with HMAC-SHA256 (RFC 2104) over ``timestamp.body``, one item a request.

A receiver that has the secret calls :func:`verify` with the raw body, or does the same in its own language:

    t, v1 = the two parts of the field ``X-Cleartap-Signature: t=<seconds since the epoch>,v1=<hex>``
    v1 must equal hex(HMAC-SHA256(secret, t + "." + body)), compared in constant time, and t must be recent.

``Idempotency-Key`` is the same whenever one delivery is tried again, so a receiver may drop what it has.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from sniffer.errors import UsageError
from sniffer.outputs import jsonl, slack
from sniffer.outputs.formats import JSON
from sniffer.outputs.http import HttpError, Requester
from sniffer.outputs.net import read_secret
from sniffer.outputs.view import delivery_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

SIGNATURE = "X-Cleartap-Signature"
IDEMPOTENCY = "Idempotency-Key"
# A receiver refuses older ones, so that a recorded request cannot be sent again next week.
TOLERANCE = 300  # seconds
# More than any batch holds.
MAX_REMEMBERED = 1000
_FIELD = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", re.ASCII)


class Memory:
    """What became of single items lately, so that a batch sent again after an error repeats nothing that was answered."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, HttpError | None] = OrderedDict()

    def note(self, item: Item, refusal: HttpError | None = None) -> None:
        """The receiver took it, or refused it for good."""
        self._answers[self._name(item)] = refusal
        while len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)

    def taken(self, item: Item) -> bool:
        return self._answers.get(self._name(item), self) is None

    def refusal(self, item: Item) -> HttpError | None:
        return self._answers.get(self._name(item))

    @staticmethod
    def _name(item: Item) -> bytes:
        """The content counts: a finding keeps its id when it is seen again."""
        return hashlib.sha256(json.dumps([item.kind, item.id, item.body], sort_keys=True).encode()).digest()


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
        self._memory = Memory()

    def send(self, items: Sequence[Item]) -> None:
        """Post all in order, up to the first that is not taken: SinkError, permanent where that one is refused for good."""
        pending = [item for item in items if not self._memory.taken(item)]
        size = slack.MAX_ITEMS if self._form == "slack" else 1  # people read a few messages, programs one object at a time
        for start in range(0, len(pending), size):
            self._deliver(pending[start : start + size])

    def check(self) -> None:
        """Whether the receiver takes a connection; nothing is posted. Raises SinkError."""
        self._requester.check()

    def close(self) -> None:
        self._requester.close()

    def _deliver(self, group: Sequence[Item]) -> None:
        if len(group) == 1 and (refusal := self._memory.refusal(group[0])):
            raise refusal
        try:
            self._post(group)
        except HttpError as error:
            if error.permanent and len(group) == 1:
                self._memory.note(group[0], error)
            raise
        for item in group:
            self._memory.note(item)

    def _post(self, group: Sequence[Item]) -> None:
        record = slack.message(group, self._sensor) if self._form == "slack" else JSON[self._form](group[0], self._sensor)
        body = jsonl.line(record).encode()
        headers = {"Content-Type": "application/json", IDEMPOTENCY: delivery_key(group[0])}
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, body, int(time.time()))
        self._requester.request("POST", self._requester.target, body, headers)

