"""The file sink: permissions, rotation, symlinks, cut lines, a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from tests.sniffer.outputs.items import alert, channel, finding, settings

ROOT = Path(__file__).parents[3]


def lines(path: Path) -> list[dict]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "findings.jsonl"


@pytest.fixture
def sink(path: Path):
    made = open_sink(settings("file", path=str(path)), "office-1")
    yield made
    made.close()


def test_appends_for_the_owner_alone(sink, path):
    old = os.umask(0)
    try:
        sink.send([finding(), alert(), channel()])
        sink.send([finding(count=9)])
    finally:
        os.umask(old)
    assert [(row["type"], row["id"][0]) for row in lines(path)] == [("finding", "f"), ("alert", "a"), ("channel", "c"), ("finding", "f")]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sink.wants == {"finding", "alert", "channel"}


@pytest.mark.parametrize("form", ["native", "ecs", "ocsf", "cef", "plain"])
def test_formats(path, form):
    sink = open_sink(settings("file", path=str(path), format=form, wants=("alert",)), "office-1")
    sink.send([finding(), alert()])
    sink.close()
    assert path.read_text().count("\n") == 2
    assert sink.wants == {"alert"}


def test_each_line_is_one_write(sink, path, monkeypatch):
    written = []
    real = os.write
    monkeypatch.setattr("sniffer.outputs.file.os.write", lambda handle, data: written.append(data) or real(handle, data))
    sink.send([finding(), alert()])
    assert len(written) == 2
    assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in written)


def test_a_batch_is_on_the_disk(sink, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr("sniffer.outputs.file.os.fsync", lambda handle: synced.append(handle) or real(handle))
    sink.send([finding(), alert()])
    sink.send([finding()])
    assert len(synced) == 3  # the directory once, each batch once


def test_follows_a_rotation_by_renaming(sink, path):
    sink.send([finding()])
    path.rename(path.with_suffix(".1"))
    sink.send([alert()])
    assert [row["type"] for row in lines(path.with_suffix(".1"))] == ["finding"]
    assert [row["type"] for row in lines(path)] == ["alert"]
    path.unlink()
    sink.send([channel()])
    assert [row["type"] for row in lines(path)] == ["channel"]


def test_follows_a_rotation_by_truncating(sink, path):
    sink.send([finding()])
    os.truncate(path, 0)
    sink.send([alert()])
    assert [row["type"] for row in lines(path)] == ["alert"]  # and no hole of zeros in front


def test_follows_no_symlink(sink, path, tmp_path):
    target = tmp_path / "target"
    target.write_text("mine\n")
    path.symlink_to(target)
    with pytest.raises(SinkError, match=r"symbolic links"):
        sink.send([finding()])
    with pytest.raises(SinkError):
        sink.check()
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    with pytest.raises(SinkError):
        sink.send([finding()])
    assert target.read_text() == "mine\n"
    assert not (tmp_path / "nothing").exists()
    path.unlink()
    sink.send([finding()])
    # Swapped in while the file is open: the next batch sees it.
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(SinkError):
        sink.send([finding()])
    assert target.read_text() == "mine\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "missing folder"])
def test_writes_to_regular_files_only(sink, path, kind, tmp_path):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        sink = open_sink(settings("file", path=str(tmp_path / "no" / "file")), "s")
    with pytest.raises(SinkError) as caught:
        sink.send([finding()])
    assert not caught.value.permanent
    with pytest.raises(SinkError):
        sink.check()


def test_a_line_cut_by_a_crash_stays_alone(path, sink):
    path.write_text('{"type":"finding","cu')
    sink.send([alert()])
    text = path.read_text().splitlines()
    assert text[0] == '{"type":"finding","cu'
    assert json.loads(text[1])["type"] == "alert"


@pytest.mark.parametrize("what", ["short", "none"])
def test_nothing_of_a_batch_without_room(sink, path, monkeypatch, what):
    sink.send([finding()])
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if b'"finding"' in data[:20]:
            return real(handle, data)
        if what == "none":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data[:10])

    with monkeypatch.context() as patched:
        patched.setattr("sniffer.outputs.file.os.write", full)
        with pytest.raises(SinkError, match=r"room|space") as caught:
            sink.send([finding(), alert(), finding()])
    assert not caught.value.permanent
    assert [row["type"] for row in lines(path)] == ["finding"]
    sink.send([alert()])
    assert [row["type"] for row in lines(path)] == ["finding", "alert"]


FULL = """
import os, sys
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from tests.sniffer.outputs.items import finding, settings
path = sys.argv[1] + "/findings.jsonl"
sink = open_sink(settings("file", path=path), "s")
sent = 0
try:
    while True:
        sink.send([finding()] * 3)
        sent += 3
except SinkError as error:
    print(sent, error)
data = open(path, "rb").read()
assert data.endswith(b"\\n") and data.count(b"\\n") == sent, (data.count(b"\\n"), sent)
os.truncate(path, 0)
sink.send([finding()])
print("again", open(path, "rb").read().count(b"\\n"))
"""


def test_a_really_full_disk(tmp_path):
    """A tmpfs of 64 KiB in a mount namespace of its own."""
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"', "sh", str(tmp_path), sys.executable, FULL]
    probe = unshare and subprocess.run([unshare, "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, check=False)
    if not probe or probe.returncode:
        reason = f"no mount namespace to be had: {probe.stderr.decode().strip() if probe else 'no unshare'}"
        if os.environ.get("CLEARTAP_REQUIRE_LIVE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    sent, again = done.stdout.splitlines()
    assert int(sent.split()[0]) > 10
    assert "space" in sent or "room" in sent
    assert again == "again 1"
