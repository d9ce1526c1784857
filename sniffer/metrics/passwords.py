"""HTTP basic authentication (RFC 7617) against bcrypt hashes: verdicts kept under a keyed hash, failed tries delayed."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Seconds a failed try waits for its answer. With at most MAX_WAITING at once this bounds guessing to 4 a second.
FAILED_DELAY = 1.0
# Tries at once that are not known to be right, in all and from one address: bcrypt takes 60 ms of a core at cost 10.
MAX_WAITING = 4
MAX_WAITING_EACH = 2
# Verdicts kept; right and wrong ones apart, so that guesses push out no right one.
MAX_VERDICTS = 256
# A user's name and password together in base64.
_MAX_HEADER = 2048
# bcrypt reads no more of a password; this is what Prometheus' own tools compare too.
_BCRYPT_BYTES = 72
# For names that are not known, so that they take as long as those that are: a hash of cost 10 that nothing fits.
_NOBODY = b"$2b$10$abcdefghijklmnopqrstuuKOAiyUyWOqwzVBNWKJDtoKQmFHLEvP6"


class Verdict(Enum):
    """What becomes of a request."""

    RIGHT = auto()
    WRONG = auto()
    BUSY = auto()  # too many tries at once: this one was not looked at


class Users:
    """The users of one web configuration. ``wait`` sleeps, and may be cut short when the endpoint stops."""

    def __init__(self, hashes: Mapping[str, bytes], wait: Callable[[float], object]) -> None:
        self._hashes = dict(hashes)
        self._wait = wait
        self._key = secrets.token_bytes(32)
        self._verdicts: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._one = threading.Lock()  # one computation of bcrypt at a time: the other core is the watcher's

    def check(self, header: str | None, address: str) -> Verdict:
        """The verdict on an ``Authorization`` header. One that is missing costs nothing; a wrong one takes a second."""
        given = _credentials(header)
        if given is None:
            return Verdict.WRONG
        name, password = given
        digest = hmac.digest(self._key, len(name).to_bytes(4, "big") + name + password, "sha256")
        if self._kept(digest) is True:
            return Verdict.RIGHT
        with self._slot(address) as free:
            if not free:
                return Verdict.BUSY
            return self._slowly(digest, name, password)

    def _slowly(self, digest: bytes, name: bytes, password: bytes) -> Verdict:
        with self._one:
            right = self._kept(digest)
            if right is None:
                right = self._compare(name.decode("utf-8", "replace"), password)
                self._keep(digest, right)
        if right:
            return Verdict.RIGHT
        self._wait(FAILED_DELAY)
        return Verdict.WRONG

    def _compare(self, name: str, password: bytes) -> bool:
        import bcrypt

        known = self._hashes.get(name)
        try:
            return bcrypt.checkpw(password[:_BCRYPT_BYTES], known or _NOBODY) and known is not None
        except ValueError:  # a hash of the right form that holds none
            return False

    def _kept(self, digest: bytes) -> bool | None:
        with self._lock:
            return next((right for right, kept in self._verdicts.items() if digest in kept), None)

    def _keep(self, digest: bytes, right: bool) -> None:
        with self._lock:
            kept = self._verdicts[right]
            kept[digest] = None
            if len(kept) > MAX_VERDICTS:
                kept.popitem(last=False)

    @contextmanager
    def _slot(self, address: str) -> Iterator[bool]:
        with self._lock:
            free = self._waiting.total() < MAX_WAITING and self._waiting[address] < MAX_WAITING_EACH
            if free:
                self._waiting[address] += 1
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._waiting[address] -= 1
                    if not self._waiting[address]:
                        del self._waiting[address]


def _credentials(header: str | None) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _MAX_HEADER:
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
