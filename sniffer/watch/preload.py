"""What the fork server imports once, so that a worker starts, and starts again, in milliseconds; then it gives up all privileges."""

from __future__ import annotations

import os

import detectors
from sniffer import dissectors
from sniffer.watch import worker

__all__ = ["DROP", "worker"]

# Set in the environment by whoever starts the fork server as one that is to keep no privilege.
DROP = "CLEARTAP_FORK_SERVER"

# Imported late by dissectors and detectors, which may be after the interpreter's files cannot be read any more.
_LATE = (
    "multiprocessing.popen_forkserver", "multiprocessing.connection", "multiprocessing.resource_sharer", "cryptography.utils",
    "cryptography.hazmat.primitives.asymmetric.ec", "cryptography.hazmat.primitives.asymmetric.rsa", "cryptography.hazmat.primitives.asymmetric.dsa",
    "cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography.hazmat.primitives.asymmetric.ed448", "cryptography.hazmat.primitives.ciphers.aead",
    "brotli", "zstandard", "lz4.frame", "gzip", "zlib", "bz2", "lzma", "html", "csv", "regex", "warnings", "traceback", "_strptime",
    # What a worker imports again of the program that started it all.
    "argparse", "runpy", "sniffer.cli", "encodings.idna", "encodings.utf_16", "encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32", "encodings.latin_1", "encodings.cp1252", "encodings.ascii",
)  # fmt: skip
for _name in _LATE:
    try:
        __import__(_name)
    except ImportError:
        continue

dissectors.prepare()
detectors.prepare()

if os.environ.get(DROP):
    from sniffer.capture import privileges

    privileges.drop()
