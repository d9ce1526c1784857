"""The installation's fingerprint key: made once, 0600, so that the same secret is seen as the same from run to run."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_SIZE = 32


def key_path() -> Path:
    """``$CLEARTAP_KEY_FILE``, or ``cleartap/fingerprint.key`` in the XDG state directory."""
    named = os.environ.get("CLEARTAP_KEY_FILE")
    if named:
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "cleartap" / "fingerprint.key"


def fingerprint_key() -> bytes:
    """The key, made if there is none. Where none can be kept, one for this run only."""
    try:
        path = key_path()
        try:
            key = path.read_bytes()
            if len(key) == _SIZE:
                return key
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = secrets.token_bytes(_SIZE)
        return _keep(path, key)
    except (OSError, RuntimeError):  # read-only home, or no home at all
        return secrets.token_bytes(_SIZE)


def _keep(path: Path, key: bytes) -> bytes:
    """Write the key beside its place and link it there: of two first runs at once one wins, and both use its key."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, key)
    finally:
        os.close(handle)
    try:
        os.link(temporary, path)
    except FileExistsError:
        other = path.read_bytes()
        key = other if len(other) == _SIZE else key
    finally:
        temporary.unlink()
    return key
