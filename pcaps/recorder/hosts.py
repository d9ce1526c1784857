"""What several recipes need of a host: a user that exists for a while, a certificate."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcaps.recorder.lab import RecordingError, need


@contextmanager
def system_user(name: str, password: str) -> Iterator[Path]:
    """A local account with a password, gone after the block; gives its home."""
    need("useradd", "chpasswd", "userdel")
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True, capture_output=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True, capture_output=True)
        yield Path("/home") / name
    finally:
        subprocess.run(["pkill", "-u", name], check=False)
        subprocess.run(["userdel", "--remove", "--force", name], check=False, capture_output=True)


def certificate(folder: Path, name: str, *extra: str) -> Path:
    """A self-signed certificate and its key in one PEM file (RSA 2048 unless ``extra`` says otherwise)."""
    need("openssl")
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = extra or ("-newkey", "rsa:2048")
    done = subprocess.run(["openssl", "req", "-x509", "-nodes", *kind, "-keyout", str(key), "-out", str(pem), "-days", "365", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecordingError(done.stderr)
    pem.write_text(pem.read_text() + key.read_text())
    key.chmod(0o644)
    pem.chmod(0o644)
    return pem
