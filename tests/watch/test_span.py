"""A SPAN port built from namespaces: real logins, seen on the mirror, told everywhere, each once, and never their passwords."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import dpkt
import pytest

from bench.lab import PORT, Span, Wire, inside, until
from tests.deploy.test_chain import answers, ask, prometheus_config
from tests.deploy.tools import free_port
from tests.sniffer.outputs.servers import Alertmanager, Authority, Daemon, Receiver, Rsyslog, program
from tests.streams import PCAPS
from tests.test_privacy import forms
from tests.watch.running import Watch, require
from tests.watch.talk import ftp, http, serving

CANARY_FTP, CANARY_HTTP = "Kanarienvogel-7f31/ftp!", "Kanarienvogel-92ce+http?"


@pytest.fixture
def span():
    require()
    with Span() as lab, inside(lab.watch):
        yield lab


def outputs(folder: Path, rsyslog: Rsyslog, authority: Authority, webhook: Receiver, alertmanager: Alertmanager) -> str:
    secret = folder / "webhook.key"
    secret.write_text("webhook-hmac-key-of-this-test\n")
    secret.chmod(0o600)
    return f"""
[[output]]
name = "syslog"
type = "syslog"
transport = "tls"
address = "127.0.0.1:{rsyslog.port}"
ca_file = "{authority.file}"
[[output]]
name = "webhook"
type = "webhook"
url = "http://127.0.0.1:{webhook.port}/hook"
secret_file = "{secret}"
[[output]]
name = "alertmanager"
type = "alertmanager"
url = "http://127.0.0.1:{alertmanager.port}"
[[output]]
name = "file"
type = "file"
path = "{folder / "state" / "out.jsonl"}"
"""


def alerted(receiver: Receiver, rule: str) -> list[dict]:
    """What Alertmanager passed on of the sensor's own alerts of a rule."""
    bodies = [json.loads(request.body) for request in receiver.requests]
    return [alert for body in bodies for alert in body["alerts"] if alert["labels"].get("rule") == rule and alert["labels"]["alertname"] != "CleartapCredentialInClear"]


def by_rule(receiver: Receiver, rule: str) -> list[dict]:
    """What Alertmanager passed on of the Prometheus rule."""
    bodies = [json.loads(request.body) for request in receiver.requests]
    return [alert for body in bodies for alert in body["alerts"] if alert["labels"]["alertname"] == "CleartapCredentialInClear" and alert["labels"].get("rule") == rule]


def test_logins_are_told_everywhere_once_and_passwords_nowhere(span, folder):
    rules = ("credential/ftp", "credential/http")
    authority = Authority(folder / "ca")
    with Receiver() as webhook, Receiver() as passed_on, Rsyslog(folder / "rsyslog", authority) as rsyslog, Alertmanager(folder / "am", f"http://127.0.0.1:{passed_on.port}/") as alertmanager:
        config = outputs(folder, rsyslog, authority, webhook, alertmanager)
        with serving(span, folder), Watch(folder, "-i", PORT, config=config) as watch:
            own = free_port()
            prometheus = folder / "prometheus"
            prometheus.mkdir()
            command = [program("prometheus", "prometheus"), f"--config.file={prometheus_config(prometheus, watch.port, own, alertmanager.port)}", f"--storage.tsdb.path={prometheus / 'data'}", f"--web.listen-address=127.0.0.1:{own}"]
            with Daemon(command, prometheus, lambda: answers(f"http://127.0.0.1:{own}/-/ready")):
                # The rule looks for an increase, or a recent time: one scrape before the first login is all it needs.
                assert until(lambda: b'"value"' in urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?query=cleartap_workers").read())
                begun = time.monotonic()
                ftp(span, ("alice", CANARY_FTP))
                http(span, "bob", CANARY_HTTP)
                for rule in rules:
                    watch.wait(rule)
                assert time.monotonic() - begun < 5
                for rule in rules:
                    assert until(lambda rule=rule: alerted(passed_on, rule)), rule
                    assert until(lambda rule=rule: by_rule(passed_on, rule)), rule
                assert until(lambda: len(rsyslog.received()) >= 2)
                time.sleep(2)  # whatever would come twice
                for rule in rules:
                    assert len(alerted(passed_on, rule)) == 1, rule
                    assert len(by_rule(passed_on, rule)) == 1, rule
                    assert sum(rule in json.dumps(row) for row in rsyslog.received()) == 1, rule
                    assert sum(rule in request.body.decode() for request in webhook.requests) == 1, rule
                said = [watch.get("/metrics")[1], json.dumps(ask(f"http://127.0.0.1:{alertmanager.port}/api/v2/alerts"))]
                said += processes(watch)
                # While it runs, with its queues and its log of writes, and after.
                said += files(folder)
                assert watch.stop() == 0
        said += files(folder)
        said += [request.body.decode() + json.dumps(request.headers) for request in (*webhook.requests, *passed_on.requests)]
        said += [json.dumps(rsyslog.received()), rsyslog.own(), watch.log()]
    for user, secret in (("alice", CANARY_FTP), ("bob", CANARY_HTTP)):
        wanted = {*forms(secret), *forms(f"{user}:{secret}"), base64.b64encode(secret.encode()).decode()}
        for text in said:
            assert not any(form in text for form in wanted if len(form) > 6)
    assert all(rule in said[0] for rule in rules), "the search itself finds what is there"


def processes(watch: Watch) -> list[str]:
    """Command lines and environments of all its processes, and that none of them may dump its memory."""
    out = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) != watch.process.pid:
                continue
            out += [(path / name).read_bytes().decode("latin-1") for name in ("cmdline", "environ")]
            limits = (path / "limits").read_text()
        except OSError:
            continue
        assert re.search(r"Max core file size +0 +0 ", limits), limits
    assert len(out) >= 6, "parent, fork server and worker"
    return out


def files(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file() and path.name != "servers"]


def test_no_process_keeps_a_privilege(span, folder):
    with Watch(folder, "-i", PORT, "--workers", "2") as watch:
        seen = 0
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(path.name)) != watch.process.pid:
                    continue
                status = (path / "status").read_text()
            except OSError:
                continue
            seen += 1
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if b"resource_tracker" in (path / "cmdline").read_bytes():
                continue
            assert fields["CapEff"].strip("0") == fields["CapPrm"].strip("0") == "", fields["Name"]
            assert "0" not in fields["Uid"].split(), status
            assert fields["NoNewPrivs"] == "1"
            # What may not be dumped or traced belongs to root in /proc, whoever runs it (proc(5)).
            assert (path / "mem").stat().st_uid == 0
        assert seen >= 4
        assert watch.stop() == 0


def test_a_worker_that_is_killed_is_replaced_and_counted(span, folder):
    with serving(span, folder), Watch(folder, "-i", PORT) as watch:
        ftp(span, ("one", "password-one"))
        watch.wait("user=one")
        (worker,) = watch.workers()
        os.kill(worker, signal.SIGKILL)
        watch.wait("worker 0 died and is started again")
        assert until(lambda: watch.metric("cleartap_workers") == 1)
        ftp(span, ("two", "password-two"))
        watch.wait("user=two")
        assert watch.metric("cleartap_worker_restarts_total") == 1
        offered = watch.metric("cleartap_capture_packets_total") + watch.metric("cleartap_capture_dropped_packets_total")
        assert offered > 20
        assert until(lambda: [rule for (rule,) in watch.rows("SELECT rule FROM alerts WHERE rule LIKE 'capture/%'")] == ["capture/worker-restarted"])
        assert watch.stop() == 0


def test_a_link_that_fails_is_said_and_measured(span, folder):
    with Watch(folder, "-i", PORT) as watch:
        assert watch.get("/-/ready")[0] == 200
        assert until(lambda: watch.metric("cleartap_capture_up") == 1)
        # The port goes down: that is said at once.
        span.exec(span.watch, "ip", "link", "set", PORT, "down")
        assert until(lambda: watch.metric("cleartap_capture_up") == 0), watch.log()
        assert watch.get("/-/ready")[0] == 503
        span.exec(span.watch, "ip", "link", "set", PORT, "up")
        watch.wait("well again")
        assert until(lambda: watch.metric("cleartap_capture_up") == 1), watch.log()
        span.exec(span.watch, "ip", "link", "del", PORT)
        watch.wait("the interface is gone")
        assert watch.metric("cleartap_capture_up") == 0
        assert watch.stop() == 0


def frames_of(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return [frame for _, frame in dpkt.pcap.Reader(stream)]


def send(lab: Span | Wire, path: Path, *interfaces: str) -> None:
    """A recorded capture, packet by packet; with two interfaces what the client sends on the first, the rest on the second."""
    with inside(lab.sender), ExitStack() as stack:
        outs = []
        for name in interfaces:
            out = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
            out.bind((name, 0))
            outs.append(out)
        recorded = frames_of(path)
        client = recorded[0][26:30]
        for frame in recorded:
            outs[0 if frame[26:30] == client else -1].send(frame)
            time.sleep(0.001)


@pytest.fixture
def tap():
    require()
    with Wire() as lab, inside(lab.watch):
        lab.join(lab.sender, "out1", lab.watch, "mirror1")
        yield lab


def test_a_tap_with_a_link_for_each_direction(tap, folder):
    """Logins and their answers come on different interfaces; with two workers each pair of hosts has one worker on both."""
    with Watch(folder, "-i", PORT, "-i", "mirror1", "--workers", "2") as watch:
        for name in ("ftp", "pop3", "imap"):
            send(tap, PCAPS / name / "accepted.pcap", "out0", "out1")
        send(tap, PCAPS / "http" / "basic-accepted.pcap", "out0", "out1")
        for rule in ("credential/ftp", "credential/pop3", "credential/imap", "credential/http"):
            watch.wait(rule)
        assert watch.stop() == 0
    outcomes = {rule: json.loads(record)["outcome"] for rule, record in watch.rows("SELECT rule, record FROM findings WHERE rule LIKE 'credential/%'")}
    assert set(outcomes.values()) == {"accepted"}, outcomes
    assert watch.rows("SELECT sum(one_sided) FROM channels") == [(0,)]


def test_packets_sent_are_packets_read_and_dropped(tap, folder):
    """To the last one, also when the ring is much too small and nobody reads in time."""
    with Watch(folder, "-i", PORT, "--ring-mb", "2") as watch:
        (worker,) = watch.workers()
        path = PCAPS / "demo.pcap"
        send(tap, path, "out0")
        sent = len(frames_of(path))
        assert until(lambda: watch.metric("cleartap_capture_packets_total") == sent)
        os.kill(worker, signal.SIGSTOP)
        with inside(tap.sender), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind(("out0", 0))
            for _ in range(6000):
                out.send(bytes(12) + b"\x88\xb5" + bytes(1000))
        os.kill(worker, signal.SIGCONT)
        sent += 6000
        assert until(lambda: watch.metric("cleartap_capture_packets_total") + watch.metric("cleartap_capture_dropped_packets_total") == sent), watch.get("/metrics")[1]
        assert watch.metric('cleartap_capture_dropped_packets_total{reason="kernel"}') > 0
        # Said as what it is, and that load is shed because of it.
        for rule in ("capture/dropping", "capture/shedding"):
            assert until(lambda rule=rule: (rule,) in watch.rows("SELECT rule FROM alerts")), rule
        assert watch.stop() == 0
    assert "dropped by the kernel" in watch.log()


def test_a_second_signal_ends_it_at_once(tap, folder):
    with Watch(folder, "-i", PORT) as watch:
        (worker,) = watch.workers()
        os.kill(worker, signal.SIGSTOP)  # it will not answer the first
        watch.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        begun = time.monotonic()
        assert watch.stop() == 130
        assert time.monotonic() - begun < 3
