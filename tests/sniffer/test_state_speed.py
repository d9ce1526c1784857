"""How fast the state takes rows: ``python -m tests.sniffer.test_state_speed [rows]`` says; the test only that a large report goes through."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sniffer.state import State
from tests.sniffer.state_lab import NOW, channel, finding, item, tls_channel


def test_a_large_report_in_one_transaction(tmp_path: Path):
    with State(tmp_path / "state.db") as state:
        for _ in range(2):
            with state.transaction() as put:
                put.findings([finding(n) for n in range(1200)])
                put.channels([tls_channel(n) for n in range(1200)])
        assert {f.record["count"] for f in state.findings()} == {2}
        assert {c.sessions for c in state.channels()} == {2}


def measure(rows: int) -> None:
    with tempfile.TemporaryDirectory() as where, State(Path(where) / "state.db", max_bytes=8 << 30) as state:
        findings, ledger = [finding(n) for n in range(rows)], [(tls_channel if n % 2 else channel)(n) for n in range(rows)]
        items = [item(n, "finding", 700) for n in range(rows)]

        def run(what: str, write: Callable[[int], object], step: int = 2000) -> None:
            begun = time.perf_counter()
            for start in range(0, rows, step):
                write(start)
            seconds = time.perf_counter() - begun
            print(f"{what:28} {rows / seconds:10,.0f} rows/s")

        def each(method: str, values: list, *names: str) -> Callable[[int], None]:
            def write(start: int) -> None:
                with state.transaction() as put:
                    getattr(put, method)(*names, values[start : start + 2000])

            return write

        run("findings, new", each("findings", findings))
        run("findings, again", each("findings", findings))
        run("channels, new", each("channels", ledger))
        run("channels, merged", each("channels", ledger))
        run("queued for a sink", each("enqueue", items, "siem"))
        begun = time.perf_counter()
        commits = 200
        for n in range(commits):
            with state.transaction() as put:
                put.findings(findings[n : n + 1])
                put.heartbeat(NOW + n)
        print(f"{'one finding a transaction':28} {(time.perf_counter() - begun) / commits * 1000:10.2f} ms each")
        print(f"{'file':28} {state.size / 1e6:10,.0f} MB")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
