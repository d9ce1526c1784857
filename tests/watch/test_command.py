"""``cleartap watch`` on what needs no privilege: a capture file, a FIFO, standard input, pcap-over-IP; signals; usage."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench.lab import ROOT, until
from tests.streams import PCAPS
from tests.test_captures import session
from tests.test_privacy import forms
from tests.watch.running import Watch

DEMO = PCAPS / "demo.pcap"
OUTPUT = '[[output]]\nname = "file"\ntype = "file"\npath = "{path}"\n'


def scanned(path: Path) -> set[str]:
    done = subprocess.run([sys.executable, "-m", "sniffer.cli", "scan", "--format", "jsonl", "--fail-on", "never", str(path)], capture_output=True, text=True, cwd=ROOT, check=True)
    return {row["rule"] + row["server"]["ip"] for row in map(json.loads, done.stdout.splitlines()) if row["type"] == "finding"}


def recorded(watch: Watch) -> set[str]:
    return {row["rule"] + row["server"]["ip"] for (text,) in watch.rows("SELECT record FROM findings") for row in [json.loads(text)]}


def test_a_capture_file_gives_what_scan_gives(folder):
    watch = Watch(folder, str(DEMO), config=OUTPUT.format(path=folder / "state" / "out.jsonl")).start()
    assert watch.process.wait(30) == 0, watch.log()
    assert recorded(watch) == scanned(DEMO)
    lines = [json.loads(line) for line in (folder / "state" / "out.jsonl").read_text().splitlines()]
    findings = [line["id"] for line in lines if line["type"] == "finding"]
    assert sorted(findings) == sorted(id for (id,) in watch.rows("SELECT id FROM findings"))
    assert {line["state"] for line in lines if line["type"] == "alert"} == {"firing"}
    assert "435 packets read, 0 dropped" in watch.log()


def test_no_value_of_any_finding_is_anywhere(folder):
    """Of nine protocols: in the state and its log of writes, in the log, the metrics, the file output."""
    whole = session(DEMO)
    values = {found.secret.reveal() for found in whole.findings} | {found.crack.line.reveal() for found in whole.findings if found.crack}
    wanted = {form for value in values if len(value) >= 8 for form in forms(value) if len(form) >= 8}
    assert len(wanted) > 60
    with Watch(folder, "--hold", str(DEMO), config=OUTPUT.format(path=folder / "state" / "out.jsonl")) as watch:
        assert until(lambda: watch.metric("cleartap_findings_total") == len(whole.findings))
        said = [watch.get("/metrics")[1], *(path.read_bytes().decode("latin-1") for path in (folder / "state").iterdir())]
        assert watch.stop() == 0
    said += [watch.log(), *(path.read_bytes().decode("latin-1") for path in (folder / "state").iterdir())]
    assert any("credential/ftp" in text for text in said)
    for number, text in enumerate(said):
        assert not any(form in text for form in wanted), f"a value is in output {number}"


def test_nothing_is_left_in_the_temporary_folder(folder):
    scratch = folder / "tmp"
    scratch.mkdir()
    scratch.chmod(0o1777)
    watch = Watch(folder, str(PCAPS / "ftp" / "accepted.pcap"), env={"TMPDIR": str(scratch)}).start()
    assert watch.process.wait(30) == 0, watch.log()
    assert list(scratch.iterdir()) == []


def test_read_twice_it_counts_twice_and_tells_once(folder):
    out = folder / "state" / "out.jsonl"
    for _ in range(2):
        watch = Watch(folder, str(DEMO), config=OUTPUT.format(path=out)).start()
        assert watch.process.wait(30) == 0, watch.log()
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines() if '"type":"finding"' in line]
    assert len(ids) == len(set(ids))
    assert {count for (count,) in watch.rows("SELECT count FROM findings WHERE rule = 'credential/ftp'")} == {2}
    # What the ledger itself says of a channel is told once, also over a restart.
    assert {count for (count,) in watch.rows("SELECT count FROM findings WHERE rule = 'channel/encryption-refused'")} == {1}
    assert watch.rows("SELECT reason FROM intervals") == [("stopped",)]
    assert "before this start (stopped)" in watch.log()
    assert ("capture/unwatched",) in watch.rows("SELECT rule FROM alerts")


def test_counters_of_the_state_go_on_over_a_restart(folder):
    out = folder / "state" / "out.jsonl"
    for _ in range(2):
        watch = Watch(folder, str(PCAPS / "ftp" / "accepted.pcap"), config=OUTPUT.format(path=out)).start()
        assert watch.process.wait(30) == 0, watch.log()
    with Watch(folder, "--hold", str(PCAPS / "ftp" / "accepted.pcap"), config=OUTPUT.format(path=out)) as watch:
        # At the first scrape, or Prometheus would take all that went before for new.
        assert watch.metric("cleartap_sink_sent_total") >= len(out.read_text().splitlines()) > 0
        intervals = watch.rows("SELECT until - start FROM intervals")
        assert len(intervals) == 2
        assert watch.metric("cleartap_unwatched_seconds_total") == pytest.approx(sum(n for (n,) in intervals) / 1e9)
        assert watch.stop() == 0


def test_hold_serves_metrics_after_the_end(folder):
    with Watch(folder, "--hold", str(DEMO)) as watch:
        assert until(lambda: watch.metric("cleartap_capture_packets_total") == 435)
        assert until(lambda: watch.metric('cleartap_findings_total{rule="credential/ftp"}') == 1)
        assert watch.metric('cleartap_stage_seconds_total{stage="flows"}') > 0
        assert watch.metric("cleartap_channels") > 10
        assert watch.get("/-/healthy")[0] == 200
        assert until(lambda: watch.get("/-/ready")[0] == 200), watch.get("/-/ready")
        assert watch.stop() == 0
        assert "summary" in watch.log()


def test_standard_input(folder):
    with DEMO.open("rb") as capture:
        watch = Watch(folder, "-", stdin=subprocess.PIPE).start()
        watch.wait("watching standard input")
        watch.process.stdin.write(capture.read())
        watch.process.stdin.close()
    assert watch.process.wait(30) == 0, watch.log()
    assert recorded(watch) == scanned(DEMO)


def test_a_fifo_is_heard_within_two_seconds_while_its_writer_goes_on(folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    data = (PCAPS / "ftp" / "accepted.pcap").read_bytes()
    with Watch(folder, str(pipe)) as watch, pipe.open("wb", buffering=0) as writer:
        writer.write(data)
        begun = time.monotonic()
        watch.wait("credential/ftp", 10)
        assert time.monotonic() - begun < 2
        writer.close()
        assert watch.process.wait(30) == 0, watch.log()


def test_a_filter_holds_for_streams_too(folder):
    watch = Watch(folder, "--filter", "port 21", str(DEMO)).start()
    assert watch.process.wait(30) == 0, watch.log()
    assert {port for (port,) in watch.rows("SELECT port FROM channels")} == {21}


def test_a_cut_capture_is_told_and_gives_3(folder):
    cut = folder / "cut.pcap"
    cut.write_bytes(DEMO.read_bytes()[:-40])
    watch = Watch(folder, str(cut)).start()
    assert watch.process.wait(30) == 3, watch.log()
    assert "cut off" in watch.log()


class Server:
    """Sends captures to whoever connects, one a connection."""

    def __init__(self, *captures: bytes) -> None:
        self._captures = captures
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        for data in self._captures:
            connection, _ = self.socket.accept()
            with connection:
                connection.sendall(data)
        self.socket.close()


def test_pcap_over_ip_reconnects(folder):
    server = Server((PCAPS / "ftp" / "accepted.pcap").read_bytes(), (PCAPS / "pop3" / "accepted.pcap").read_bytes())
    with Watch(folder, f"tcp://127.0.0.1:{server.port}") as watch:
        watch.wait("credential/ftp")
        watch.wait("credential/pop3")
        server.thread.join()
        assert until(lambda: watch.get("/-/ready")[0] == 503), "a lost server is not ready"
        assert watch.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_everything_told(folder, number):
    """What is pending when the signal comes, a login without its answer, is told by the workers' last report."""
    data = (PCAPS / "ftp" / "accepted.pcap").read_bytes()
    at = data.index(b"230 ")  # the answer to PASS, and its record's head, are held back
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    with Watch(folder, str(pipe)) as watch, pipe.open("wb", buffering=0) as writer:
        writer.write(data[: at - 70])
        assert until(lambda: watch.metric("cleartap_capture_packets_total") > 3)
        # To the whole group, as a terminal and systemd do: the workers leave the stop to their parent.
        os.killpg(watch.process.pid, number)
        assert watch.process.wait(30) == 0, watch.log()
    assert "credential/ftp" in watch.log()
    assert [rule for (rule,) in watch.rows("SELECT rule FROM findings WHERE rule = 'credential/ftp'")] == ["credential/ftp"]
    assert watch.rows("SELECT clean FROM watch") == [(1,)]


def test_no_process_is_left(folder):
    with Watch(folder, "--hold", str(DEMO)) as watch:
        watch.wait("credential/ftp")
        group = watch.process.pid
        watch.kill()

        def members() -> list[str]:
            out = []
            for path in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if os.getsid(int(path.name)) == group and "\nState:\tZ" not in (path / "status").read_text():
                        out.append((path / "cmdline").read_bytes().decode())
            return out

        assert until(lambda: not members()), f"outlived their parent: {members()}"


def test_reload_changes_what_can_be_changed_and_says_the_rest(folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    out = folder / "state" / "late.jsonl"
    with Watch(folder, str(pipe)) as watch, pipe.open("wb", buffering=0) as writer:
        data = (PCAPS / "ftp" / "accepted.pcap").read_bytes()
        watch.config_path.write_text('sensor = "another"\n[alerts]\nmin_severity = "critical"\n[[severity]]\nrule = "credential/ftp"\nseverity = "low"\n' + OUTPUT.format(path=out))
        watch.process.send_signal(signal.SIGHUP)
        watch.wait("configuration read again")
        assert "sensor only after a restart" in watch.log()
        writer.write(data)
        watch.wait("low  credential/ftp")
        assert until(lambda: out.exists() and '"severity":"low"' in out.read_text())
        watch.config_path.write_text("nonsense = 1\n")
        watch.process.send_signal(signal.SIGHUP)
        watch.wait("the configuration was not taken")
        assert watch.stop() == 0


def test_a_stream_lost_with_its_worker_gives_3(folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    with Watch(folder, str(pipe)) as watch, pipe.open("wb", buffering=0) as writer:
        writer.write((PCAPS / "ftp" / "accepted.pcap").read_bytes())
        watch.wait("credential/ftp")
        (worker,) = watch.workers()
        os.kill(worker, signal.SIGKILL)
        assert watch.process.wait(20) == 3, watch.log()
        assert "its source is lost" in watch.log()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "nothing to watch"),
        (("-i", "lo", "-"), 2, "not both"),
        (("--filter", "port banana", "-"), 2, "filter"),
        (("no/such/capture.pcap",), 3, "No such file"),
        (("-i", "nosuch0"), 3, "nosuch0"),
        (("tcp://nowhere",), 2, "tcp://HOST:PORT"),
        (("--metrics", "0.0.0.0:0", "pcaps/demo.pcap"), 2, "authentication"),
    ],
)
def test_wrong_usage(folder, arguments, code, says):
    done = subprocess.run([sys.executable, "-m", "sniffer.cli", "watch", "--state", str(folder / "state" / "s.sqlite"), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_only_one_watch_a_state(folder):
    with Watch(folder, "--hold", str(DEMO)) as watch:
        scratch = folder / "tmp"
        scratch.mkdir()
        scratch.chmod(0o1777)
        second = Watch(folder, str(DEMO), env={"TMPDIR": str(scratch)})
        done = subprocess.run(second.command, cwd=ROOT, capture_output=True, text=True, timeout=30, env=second.env, check=False)
        assert done.returncode == 3
        assert "in use" in done.stderr
        assert list(scratch.iterdir()) == []
        assert watch.stop() == 0
