"""A watch to measure or to test: the real command in a process of its own, with its log, key and state in one folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Self

from bench.lab import ROOT, cleartap, until
from sniffer.capture import privileges


def folder_for_all(purpose: str) -> Path:
    """A scratch folder that whatever account the watch becomes can reach, with a ``state`` folder of that account's own."""
    folder = Path(tempfile.mkdtemp(prefix=f"cleartap-{purpose}-"))
    folder.chmod(0o755)
    state = folder / "state"
    state.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(state, *privileges.account())
    return folder


class Watch:
    """``cleartap watch``, which may be started again on the same state after it has ended."""

    def __init__(self, folder: Path, *arguments: str, name: str = "state", env: dict[str, str] | None = None, stdin: int | None = None) -> None:
        self.folder = folder
        self.log_path, self.state_path = folder / f"{name}.log", folder / "state" / f"{name}.sqlite"
        self.command = cleartap("watch", "--state", str(self.state_path), *arguments)
        self.env = {**os.environ, "CLEARTAP_KEY_FILE": str(folder / "key"), **(env or {})}
        self.stdin = stdin
        self.begins = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=self.stdin or subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=ROOT, start_new_session=True)
        return self

    def start_reading(self, patience: float = 30) -> Self:
        """Start it and wait until it watches. RuntimeError with what it said where it does not in so many seconds."""
        if not self.start().says("watching ", patience):
            raise RuntimeError(self.log())
        return self

    def log(self) -> str:
        """What this run has said."""
        return self.log_path.read_bytes()[self.begins :].decode(errors="replace")

    def says(self, text: str, patience: float) -> bool:
        """Whether the log holds it within so many seconds; an end of the process ends the waiting."""
        until(lambda: text in self.log() or self.process.poll() is not None, patience, 0.02)
        return text in self.log()

    def rows(self, query: str) -> list[tuple]:
        """What a query of its state gives, running or not."""
        with closing(sqlite3.connect(f"file:{self.state_path}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query).fetchall()
