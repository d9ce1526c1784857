"""A watch under test: the real command in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from bench.lab import ROOT, missing, until
from sniffer.capture import privileges

PATIENCE = 20.0


def place() -> Path:
    """A folder that the account which root becomes can reach and write: pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="cleartap-test-"))
    folder.chmod(0o755)
    state = folder / "state"
    state.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(state, *privileges.account())
    return folder


def require(*programs: str) -> None:
    """Skip, saying why; fail where live tests are required."""
    why = missing(*programs)
    if why and os.environ.get("CLEARTAP_REQUIRE_LIVE"):
        pytest.fail(f"live tests are required: {why}")
    if why:
        pytest.skip(why)


class Watch:
    """``cleartap watch`` with its log, state and metrics. Ended at the end of a ``with`` block."""

    def __init__(self, folder: Path, *arguments: str, config: str = "", env: dict[str, str] | None = None, stdin: int | None = None) -> None:
        self.folder = folder
        self.log_path, self.state_path, self.config_path = folder / "log", folder / "state" / "state.sqlite", folder / "cleartap.toml"
        if config or not self.config_path.exists():
            self.config_path.write_text(f'sensor = "test"\n{config}')
            self.config_path.chmod(0o644)
        self.command = [sys.executable, "-m", "sniffer.cli", "watch", "--config", str(self.config_path), "--state", str(self.state_path), "--metrics", "127.0.0.1:0", *arguments]
        self.env = {**os.environ, "CLEARTAP_KEY_FILE": str(folder / "key"), **(env or {})}
        self.stdin = stdin
        self.begins = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Watch:
        self.begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=self.stdin or subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=ROOT, start_new_session=True)
        return self

    def __enter__(self) -> Watch:
        self.start()
        self.wait("watching ")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def log(self) -> str:
        """What this run has said."""
        return self.log_path.read_bytes()[self.begins :].decode(errors="replace")

    def wait(self, text: str, patience: float = PATIENCE) -> None:
        """Until the log says it."""
        assert until(lambda: text in self.log() or self.process.poll() is not None, patience, 0.05), f"not said: {text}\n{self.log()}"
        assert text in self.log(), f"ended without saying {text!r}:\n{self.log()}"

    def stop(self, how: int = signal.SIGTERM, patience: float = 40) -> int:
        self.process.send_signal(how)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            pytest.fail(f"did not stop:\n{self.log()}")

    def kill(self) -> None:
        """kill -9 of the parent alone."""
        self.process.kill()
        self.process.wait()

    @property
    def port(self) -> int:
        found = re.search(r"metrics on \S+:(\d+)/metrics", self.log())
        assert found, self.log()
        return int(found.group(1))

    def get(self, path: str) -> tuple[int, str]:
        """An answer of the endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric over all its series that hold the rest of the name."""
        family, _, labels = name.partition("{")
        wanted = [part for part in labels.rstrip("}").split(",") if part]
        lines = [line for line in self.get("/metrics")[1].splitlines() if re.match(rf"{family}[ {{]", line) and all(part in line for part in wanted)]
        assert lines, f"no {name}"
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def workers(self) -> list[int]:
        """The processes that read."""
        out = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[1]) in self._forkservers():
                    out.append(int(path.parent.name))
            except OSError:
                continue
        return out

    def _forkservers(self) -> set[int]:
        out = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"forkserver" in (path.parent / "cmdline").read_bytes():
                    out.add(int(path.parent.name))
            except OSError:
                continue
        return out

    def rows(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(f"file:{self.state_path}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

