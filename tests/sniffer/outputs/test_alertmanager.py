"""Alertmanager: labels from closed sets, and a real Alertmanager that tells a webhook."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from sniffer.outputs.alertmanager import AlertmanagerSink, labels, notes
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from sniffer.outputs.view import of
from tests.sniffer.outputs.items import CANARY, FINDING, alert, coverage, finding, leaking, settings
from tests.sniffer.outputs.servers import Alertmanager, Receiver, free_port, until
from tests.test_privacy import shown


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def sink(receiver):
    made = open_sink(settings("alertmanager", url=f"http://127.0.0.1:{receiver.port}/prefix/"), "office-1", resend_minutes=10)
    assert isinstance(made, AlertmanagerSink)
    yield made
    made.close()


def posted(receiver: Receiver) -> list[list[dict]]:
    return [json.loads(r.body) for r in receiver.requests if r.method == "POST"]


def test_labels_hold_no_client_no_user_and_no_secret():
    item = leaking("alert")
    seen = of(item, "s")
    assert labels(seen) == {
        "alertname": "CleartapCredential", "rule": "credential/ftp", "severity": "critical", "server": "10.0.0.9", "port": "21",
        "protocol": "ftp", "tier": "management", "sensor": "office-1",
    }  # fmt: skip
    said = json.dumps([labels(seen), notes(seen)])
    for absent in (FINDING["client"]["ip"], "alice", FINDING["secret"]["fingerprint"], CANARY):
        assert absent not in said
    assert not shown(said, CANARY)
    assert set(notes(seen)) == {"summary", "description", "remedy"}
    assert labels(of(coverage(), "s")) == {"alertname": "CleartapCoverage", "rule": "coverage/silent-link", "severity": "high", "sensor": "office-1"}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_times(sink, receiver):
    now = datetime.now().timestamp()
    begun = int((now - 100) * 1e9)
    sink.send([alert(first_seen=begun), finding()])
    sink.send([alert(state="resolved", revision=2, first_seen=begun)])
    sink.send([alert(id="a1", port=22, first_seen=int((now + 1e6) * 1e9))])
    firing, resolved, future = (batch[0] for batch in posted(receiver))
    assert receiver.requests[0].path == "/prefix/api/v2/alerts"
    assert seconds(firing["startsAt"]) == pytest.approx(now - 100, abs=0.01)
    assert seconds(firing["endsAt"]) == pytest.approx(now + 900, abs=5)  # longer than it takes until it is sent again
    assert seconds(resolved["endsAt"]) == pytest.approx(now, abs=5)
    assert seconds(future["startsAt"]) <= seconds(future["endsAt"])
    assert all(len(batch) == 1 for batch in posted(receiver))


def test_two_clients_are_one_alert_until_both_are_resolved(sink, receiver):
    sink.send([alert(id="a1", client="10.0.0.5"), alert(id="a2", client="10.0.0.6")])
    sink.send([alert(id="a1", state="resolved", revision=2)])
    sink.send([alert(id="a2", state="resolved", revision=2)])
    batches = posted(receiver)
    assert [len(batch) for batch in batches] == [1, 1]
    assert seconds(batches[1][0]["endsAt"]) < seconds(batches[0][0]["endsAt"])


def test_what_fired_before_a_restart_is_not_ended_by_another_client(sink, receiver):
    sink.remember([alert(id="one"), alert(id="two"), alert(id="three", state="resolved")])
    sink.send([alert(id="one", state="resolved", revision=2)])
    assert posted(receiver) == []
    sink.send([alert(id="two", state="resolved", revision=2)])
    assert len(posted(receiver)) == 1


def test_an_alert_that_became_worse_ends_under_its_old_labels(sink, receiver):
    sink.send([alert(severity="high")])
    receiver.answers += [(500, {})]
    with pytest.raises(SinkError):
        sink.send([alert(severity="critical", revision=2)])
    sink.send([alert(severity="critical", revision=2)])
    last = {each["labels"]["severity"]: each for each in posted(receiver)[-1]}
    assert set(last) == {"high", "critical"}
    assert seconds(last["high"]["endsAt"]) < seconds(last["critical"]["endsAt"])
    sink.send([alert(severity="critical", revision=3)])
    assert len(posted(receiver)[-1]) == 1


def test_sent_again_after_an_error(sink, receiver):
    receiver.answers += [(503, {}), (200, {}), (503, {})]
    for item in (alert(), alert(state="resolved", revision=2)):
        with pytest.raises(SinkError) as caught:
            sink.send([item])
        assert not caught.value.permanent
        sink.send([item])
    assert len(posted(receiver)) == 4
    assert seconds(posted(receiver)[3][0]["endsAt"]) < seconds(posted(receiver)[1][0]["endsAt"])


@pytest.mark.parametrize("url", ["", "/", "/api/v2", "/api/v2/alerts"])
def test_urls(receiver, url):
    sink = open_sink(settings("alertmanager", url=f"http://127.0.0.1:{receiver.port}{url}"), "s")
    sink.send([alert()])
    sink.check()
    sink.close()
    assert [r.path for r in receiver.requests] == ["/api/v2/alerts", "/-/ready"]
    assert sink.wants == {"alert"}


def test_a_real_alertmanager(tmp_path, receiver):
    with Alertmanager(tmp_path / "am", f"http://127.0.0.1:{receiver.port}/") as running:
        sink = open_sink(settings("alertmanager", url=f"http://127.0.0.1:{running.port}"), "office-1")
        assert until(lambda: _ready(sink))
        hostile = 'evil "\\\n{{ . }} \x00 <b>'
        sink.send([leaking("alert"), alert(id="a2", server="10.0.0.10", title=hostile), coverage()])
        assert until(lambda: len(told(receiver, "firing")) == 3)
        ftp = next(each for each in told(receiver, "firing") if each["labels"].get("server") == "10.0.0.9")
        assert ftp["labels"] == labels(of(alert(), "s"))
        assert ftp["annotations"]["summary"] == "FTP password sent in the clear at 10.0.0.9:21"
        sink.send([alert()])  # a repeat
        sink.send([alert(state="resolved", revision=3)])
        assert until(lambda: len(told(receiver, "resolved")) == 1)
        assert told(receiver, "resolved")[0]["labels"]["server"] == "10.0.0.9"
        assert len(told(receiver, "firing")) == 3
        assert not any(shown(r.body.decode(), CANARY) for r in receiver.requests)
        sink.close()
    with pytest.raises(SinkError):
        sink.check()


def _ready(sink) -> bool:
    try:
        sink.check()
    except SinkError:
        return False
    return True


def told(receiver: Receiver, status: str) -> list[dict]:
    """Alerts of that status in Alertmanager's notifications, each once."""
    alerts = [a for r in receiver.requests for a in json.loads(r.body)["alerts"] if a["status"] == status]
    return list({a["fingerprint"]: a for a in alerts}.values())


def test_nobody_there():
    sink = open_sink(settings("alertmanager", url=f"http://127.0.0.1:{free_port()}"), "s")
    for call in (sink.check, lambda: sink.send([alert()])):
        with pytest.raises(SinkError, match="refused"):
            call()
    sink.close()
