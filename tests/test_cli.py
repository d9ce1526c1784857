"""The command line as people use it, and as they misuse it."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from sniffer import cli
from tests.streams import PCAPS

ROOT = PCAPS.parent
FTP = PCAPS / "ftp" / "accepted.pcap"
SCHEMA = json.loads((ROOT / "sniffer/outputs/schema.json").read_text())


def cleartap(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "sniffer.cli", *map(str, arguments)], input=stdin, capture_output=True, cwd=ROOT, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def rows(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def spent() -> float:
    """Processor seconds of all processes begun here and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_at_once():
    """Processor seconds, for the wall clock measures the neighbours too."""
    best = 9.0
    for _ in range(5):
        start = spent()
        done = cleartap("--help")
        best = min(best, spent() - start)
        assert done.returncode == 0
        assert "scan" in done.stdout
    assert best < 0.2


@pytest.mark.parametrize("path", sorted(PCAPS.glob("*/*.pcap*")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_json_lines_keep_the_schema(path: Path):
    from sniffer.outputs import jsonl
    from tests.test_captures import session

    validator = jsonschema.Draft202012Validator(SCHEMA)
    for reveal in (False, True):
        for line in jsonl.lines(session(path), reveal=reveal):
            validator.validate(json.loads(line))


def test_exit_codes(tmp_path: Path):
    assert cleartap("scan", FTP).returncode == 1
    assert cleartap("scan", "--fail-on", "never", FTP).returncode == 0
    assert cleartap("scan", PCAPS / "ssh" / "public-key.pcap").returncode == 0
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(FTP.read_bytes()[:-40])
    done = cleartap("scan", "--format", "jsonl", cut)
    assert done.returncode == 3
    assert "cut off" in done.stderr
    assert any(r["type"] == "finding" for r in rows(done))


@pytest.mark.parametrize("arguments", [(), ("scan",), ("frobnicate",), ("scan", "--format", "xml", "x"), ("scan", "--fail-on", "sometimes", "x"), ("scan", "--filter", "port banana", str(FTP)), ("scan", "--jobs", "0", str(FTP)), ("scan", "--jobs", "many", str(FTP))])
def test_wrong_usage_is_2(arguments):
    done = cleartap(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_wrong_number_of_jobs_is_told_in_words():
    """argparse would name the function that reads it."""
    assert "a number from 1 to 64 is wanted, not '0'" in cleartap("scan", "--jobs", "0", FTP).stderr


def test_unreadable_input_is_3_and_one_clear_line(tmp_path: Path):
    empty, text, nothing = tmp_path / "empty", tmp_path / "notes.txt", tmp_path / "missing"
    empty.touch()
    text.write_text("these are my notes\n")
    (tmp_path / "folder").mkdir()
    for path, says in ((empty, "empty"), (text, "not a capture"), (nothing, "no such file"), (tmp_path / "folder", "no capture")):
        done = cleartap("scan", path)
        assert done.returncode == 3, done.stdout
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr


def test_one_bad_file_among_good_ones_loses_nothing(tmp_path: Path):
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"no capture at all")
    done = cleartap("scan", "--format", "jsonl", FTP, bad)
    assert done.returncode == 3
    assert any(r["type"] == "finding" for r in rows(done))
    assert "bad.pcap" in done.stderr


def test_standard_input_and_compression():
    data = FTP.read_bytes()
    for stdin in (data, gzip.compress(data)):
        done = cleartap("scan", "--format", "jsonl", "--fail-on", "never", "-", stdin=stdin)
        assert [r["rule"] for r in rows(done) if r["type"] == "finding"] == ["credential/ftp"]


def test_rotated_files_are_one_capture(tmp_path: Path):
    """A login whose USER lies in one file and whose PASS lies in the next, named so that the names sort the wrong way."""
    import dpkt

    with FTP.open("rb") as stream:
        packets = list(dpkt.pcap.Reader(stream))
    half = next(i for i, (_, frame) in enumerate(packets) if b"USER" in frame) + 1
    for name, part in (("b.pcap", packets[:half]), ("a.pcap", packets[half:])):
        with (tmp_path / name).open("wb") as stream:
            writer = dpkt.pcap.Writer(stream)
            for when, frame in part:
                writer.writepkt(frame, when)
    found = [r for r in rows(cleartap("scan", "--format", "jsonl", tmp_path)) if r["type"] == "finding"]
    assert [(r["username"], r["outcome"], Path(r["source"]).name) for r in found] == [("alice-ftp", "accepted", "a.pcap")]


def test_filter_reads_only_what_matches():
    assert not [r for r in rows(cleartap("scan", "--format", "jsonl", "--filter", "not port 21", FTP)) if r["type"] == "finding"]
    assert [r for r in rows(cleartap("scan", "--format", "jsonl", "--filter", "host 192.0.2.10 and port 21", FTP)) if r["type"] == "finding"]


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(f"{sys.executable} -m sniffer.cli scan --format jsonl {PCAPS} | head -n 1", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


SCANS = [("scan", "--format", "jsonl", FTP), ("scan", FTP), ("channels", "--format", "csv", FTP)]


@pytest.mark.parametrize("arguments", [*SCANS, ("protocols",), ("rules", "--format", "jsonl")])
def test_a_full_disk_behind_standard_output_is_one_line_and_not_a_finding(arguments):
    command = [sys.executable, "-m", "sniffer.cli", *map(str, arguments)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (2, "cleartap: No space left on device\n")


@pytest.mark.parametrize("arguments", SCANS)
def test_a_full_disk_is_one_line_and_not_a_finding(arguments):
    done = cleartap(*arguments, "-o", "/dev/full")
    assert (done.returncode, done.stderr) == (2, "cleartap: No space left on device\n")


def test_an_output_that_cannot_be_opened_is_told_before_anything_is_read(tmp_path):
    done = cleartap("scan", "-o", tmp_path / "none" / "x", tmp_path / "missing.pcap")
    assert (done.returncode, done.stderr) == (2, f"cleartap: {tmp_path}/none/x: No such file or directory\n")


@pytest.mark.parametrize("command", ["scan", "channels"])
def test_no_capture_is_written_over(tmp_path, command):
    mine = tmp_path / "mine.pcap"
    mine.write_bytes(FTP.read_bytes())
    done = cleartap(command, "-o", mine, mine)
    assert (done.returncode, done.stderr) == (2, f"cleartap: {mine}: is a capture, and is not written over\n")
    assert mine.read_bytes() == FTP.read_bytes()


def test_what_cannot_be_read_from_the_disk_is_one_line():
    done = cleartap("scan", "/proc/self/mem")
    assert (done.returncode, done.stderr) == (3, "cleartap: /proc/self/mem: Input/output error\n")


def test_csv_of_both():
    findings = cleartap("scan", "--format", "csv", FTP).stdout.splitlines()
    assert findings[0].startswith("id,severity,rule")
    assert len(findings) == 2
    channels = cleartap("channels", "--format", "csv", FTP).stdout.splitlines()
    assert channels[0].startswith("id,client,server")
    assert any(",ftp," in line for line in channels)


def test_listings():
    for command in ("protocols", "rules"):
        assert cleartap(command).returncode == 0
        assert all(json.loads(line) for line in cleartap(command, "--format", "jsonl").stdout.splitlines())
    assert {r["name"] for r in rows(cleartap("protocols", "--format", "jsonl"))} >= {"ftp", "http", "tls"}


def test_console_tells_what_was_found_and_what_was_not_seen():
    done = cleartap("scan", FTP)
    assert "FTP password sent in the clear" in done.stdout
    assert "alice-ftp" in done.stdout
    assert "accepted" in done.stdout
    assert "channels" in done.stdout
    assert "coverage" in done.stdout
    assert "\x1b" not in done.stdout


def test_library_call():
    import sniffer

    result = sniffer.scan(FTP, key=b"k" * 32)
    assert [f.username for f in result.findings] == ["alice-ftp"]
    assert str(result.channels[0].encryption) == "cleartext"
    assert sorted(sniffer.__all__) == sniffer.__all__
    for name in sniffer.__all__:
        assert getattr(sniffer, name).__doc__


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_one_command_alone_is_declared_as_among_all(name: str, capsys):
    """Only the command that was named is declared: its help must be that of the whole command line."""
    said = []
    for parser in (cli.parser(), cli.parser(name)):
        with pytest.raises(SystemExit):
            parser.parse_args([name, "--help"])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
