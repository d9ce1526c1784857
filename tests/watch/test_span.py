"""A SPAN port built from namespaces: real logins, seen on the mirror, told everywhere, each once, and never their passwords."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from bench.lab import PORT, Span, inside, until
from tests.deploy.test_chain import answers, ask, prometheus_config
from tests.deploy.tools import free_port
from tests.sniffer.outputs.servers import Alertmanager, Authority, Daemon, Receiver, Rsyslog, program
from tests.test_privacy import forms
from tests.watch.running import Watch, require
from tests.watch.talk import ftp, http, serving

CANARY_FTP, CANARY_HTTP = "Kanarienvogel-7f31/ftp!", "Kanarienvogel-92ce+http?"


@pytest.fixture
def span():
    require("tcpdump", "curl")
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


def test_a_link_without_a_packet_is_an_alert(span, folder):
    with Watch(folder, "-i", PORT, config="[alerts]\nsilent_minutes = 1\n", env={"CLEARTAP_ALERTS_SILENT_MINUTES": "1"}) as watch:
        assert watch.get("/-/ready")[0] == 200
        assert until(lambda: watch.metric("cleartap_capture_up") == 1)
        # The port goes down: that is said at once.
        span.exec(span.watch, "ip", "link", "set", PORT, "down")
        assert until(lambda: watch.metric("cleartap_capture_up") == 0), watch.log()
        assert watch.get("/-/ready")[0] == 503
        span.exec(span.watch, "ip", "link", "set", PORT, "up")
        assert until(lambda: watch.metric("cleartap_capture_up") == 1), watch.log()
        assert watch.stop() == 0
