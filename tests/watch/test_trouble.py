"""What goes wrong around a watch: a full disk, receivers that are away, kill -9."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress

import pytest

from bench import soak
from bench.lab import until
from sniffer.capture import privileges
from tests.sniffer.outputs.servers import Receiver, free_port
from tests.streams import PCAPS
from tests.watch.running import Watch, require

FTP, POP3 = (PCAPS / name / "accepted.pcap" for name in ("ftp", "pop3"))


def records(path) -> bytes:
    """A capture without its file header."""
    data = path.read_bytes()
    assert data[:4] == FTP.read_bytes()[:4]
    return data[24:]


@pytest.fixture
def small_disk(folder):
    require("mount")
    place = folder / "state"
    uid, gid = privileges.account()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=4m,mode=0700,uid={uid},gid={gid}", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said_and_the_watch_goes_on(small_disk, folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    with Receiver() as receiver:
        config = f'[[output]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:{receiver.port}/"\nwants = ["finding", "alert"]\n'
        with Watch(folder, str(pipe), config=config) as watch, pipe.open("wb", buffering=0) as writer:
            writer.write(FTP.read_bytes())
            watch.wait("credential/ftp")
            ballast = small_disk / "ballast"
            with ballast.open("wb", buffering=0) as out, suppress(OSError):
                while True:
                    out.write(bytes(4096))
            watch.wait("no room on the disk")
            assert until(lambda: watch.metric('cleartap_state_errors_total{reason="full"}') > 0)
            assert watch.get("/-/ready")[0] == 503
            writer.write(records(POP3))
            assert until(lambda: watch.metric("cleartap_capture_packets_total") > 20)
            assert until(lambda: watch.metric("cleartap_reports_pending") > 0)
            assert "credential/pop3" not in watch.log()
            ballast.unlink()
            watch.wait("the state can be written again")
            watch.wait("credential/pop3")
            assert until(lambda: any(b"credential/pop3" in request.body for request in receiver.requests))
            assert until(lambda: any(b"state/full" in request.body for request in receiver.requests))
            assert until(lambda: watch.get("/-/ready")[0] == 200)
            assert watch.stop() == 0
    assert watch.rows("SELECT count FROM findings WHERE rule LIKE 'credential/%'") == [(1,), (1,)]


def test_a_receiver_that_was_away_gets_everything_once_it_is_back(folder):
    port = free_port()
    config = f'[[output]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\nwants = ["finding"]\n'
    watch = Watch(folder, str(PCAPS / "demo.pcap"), config=config).start()
    assert watch.process.wait(40) == 0, watch.log()
    wanted = {id for (id,) in watch.rows("SELECT id FROM findings")}
    assert f"{len(wanted)} items wait for their receivers" in watch.log()
    with Receiver() as receiver:
        # The same receiver, at another address now: what waited for its name goes there.
        pipe = folder / "pipe"
        os.mkfifo(pipe, 0o644)
        with Watch(folder, str(pipe), config=config.replace(str(port), str(receiver.port))) as again, pipe.open("wb"):
            assert until(lambda: again.metric('cleartap_sink_queue_length{sink="hook"}') == 0)
            assert again.metric('cleartap_sink_lost_total{sink="hook"}') == 0
            assert again.stop() == 0
        sent = [json.loads(line) for request in receiver.requests for line in request.body.splitlines()]
    ids = [row["id"] for body in sent for row in (body if isinstance(body, list) else body.get("items", [body]))]
    assert sorted(ids) == sorted(wanted)


def test_killed_at_random_moments_nothing_on_record_is_lost_or_doubled():
    require()
    found = soak.kills(5, seed=20261126, rate=30)
    assert found.problems == []
    assert found.recorded > 20
    assert found.delivered == found.recorded
