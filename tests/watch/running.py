"""A watch under test: the real command in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bench import watch
from bench.lab import missing
from bench.watch import folder_for_all

PATIENCE = 20.0


def place() -> Path:
    """A folder that the account which root becomes can reach and write: pytest's own are closed to it."""
    return folder_for_all("test")


def require(*programs: str) -> None:
    """Skip, saying why; fail where live tests are required."""
    why = missing(*programs)
    if why and os.environ.get("CLEARTAP_REQUIRE_LIVE"):
        pytest.fail(f"live tests are required: {why}")
    if why:
        pytest.skip(why)


class Watch(watch.Watch):
    """A watch with a configuration and an endpoint for its metrics. Ended at the end of a ``with`` block."""

    def __init__(self, folder: Path, *arguments: str, config: str = "", env: dict[str, str] | None = None, stdin: int | None = None) -> None:
        self.config_path = folder / "cleartap.toml"
        if config or not self.config_path.exists():
            self.config_path.write_text(f'sensor = "test"\n{config}')
            self.config_path.chmod(0o644)
        super().__init__(folder, "--config", str(self.config_path), "--metrics", "127.0.0.1:0", *arguments, env=env, stdin=stdin)

    def __enter__(self) -> Watch:
        self.start()
        self.wait("watching ")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def wait(self, text: str, patience: float = PATIENCE) -> None:
        """Until the log says it."""
        assert self.says(text, patience), f"not said: {text}\n{self.log()}"

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


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

