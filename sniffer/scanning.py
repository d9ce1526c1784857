"""The library call: captures in, findings and channels out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sniffer.installation import fingerprint_key
from sniffer.session import Session

if TYPE_CHECKING:
    from sniffer.channels import Channel
    from sniffer.findings import Finding
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
    instead of the installation's. ``jobs`` is how many processes read (they are forked: not from a program with threads,
    and not where there is no fork). Raises CaptureError when nothing can be read, UsageError for a wrong filter; what is
    cut short is read as far as it goes and named in ``summary.problems``.
    """
    keep = None
    if filter:
        from sniffer.decode.filter import compile_filter

        keep = compile_filter(filter)
    session = Session(fingerprint_key() if key is None else key, keep=keep, jobs=jobs)
    session.scan([os.fspath(path) for path in paths])
    return Result(list(session.findings), session.channels, session.summary)
