"""The library call: captures in, findings and channels out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sniffer.installation import fingerprint_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sniffer.channels import Channel
    from sniffer.findings import Finding
    from sniffer.reading import Digest, Reading
    from sniffer.session import Session
    from sniffer.summary import Summary


@dataclass(frozen=True, slots=True)
class Result:
    """What a scan found. ``summary`` says over how much, and what of it could not be read."""

    findings: list[Finding]
    channels: list[Channel]
    summary: Summary


def scan(*paths: str | os.PathLike[str], filter: str | None = None, key: bytes | None = None, jobs: int = 1) -> Result:
    """Read capture files and directories as one ordered set.

    ``filter`` is an expression such as ``"host 10.0.0.5 and port 21"``. ``key`` (bytes) is used for fingerprints
    instead of the installation's. ``jobs`` over 1 is how many processes follow flows, for which this one reads (they are
    forked: not from a program with threads, and not where there is no fork). Raises CaptureError when nothing can be read, UsageError for a wrong filter; what is
    cut short is read as far as it goes and named in ``summary.problems``.
    """
    keep = None
    if filter:
        from sniffer.decode.filter import compile_filter

        keep = compile_filter(filter)
    with reading_with(fingerprint_key() if key is None else key, jobs=jobs, keep=keep) as reading:
        reading.scan([os.fspath(path) for path in paths])
    return Result(list(reading.findings), reading.channels, reading.summary)


def reading_with(key: bytes, *, jobs: int = 1, keep: Callable[..., object] | None = None, digest: Digest | None = None, strict: bool = False) -> Reading:
    """Reading by this process alone, or with ``jobs`` others; see Reading and Session for the rest."""

    def make(keep: Callable[..., object] | None = None) -> Session:
        from sniffer.session import Session

        return Session(key, strict=strict, keep=keep, digest=digest)

    if jobs == 1:
        return make(keep)
    from sniffer.team import Team  # without dissectors and rules, which the others load meanwhile

    return Team(jobs, make, keep=keep, digest=digest)
