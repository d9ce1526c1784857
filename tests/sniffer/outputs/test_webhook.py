"""Webhooks on a real HTTP server: signature, idempotency, what is tried again, redirects, TLS, Slack."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sniffer.errors import UsageError
from sniffer.outputs import slack
from sniffer.outputs.http import MAX_RETRY_AFTER, parts_wrong, retry_after
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from sniffer.outputs.webhook import IDEMPOTENCY, SIGNATURE, sign, verify
from tests.sniffer.outputs.items import CANARY, alert, channel, finding, leaking, settings
from tests.sniffer.outputs.servers import Authority, Receiver, free_port
from tests.test_privacy import shown

SECRET = "shared-secret-of-the-test"


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def opened():
    made = []

    def make(url: str = "", **fields):
        made.append(open_sink(settings("webhook", url=url, **fields), "office-1"))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


def secret_file(tmp_path, mode: int = 0o600, text: str = SECRET + "\n"):
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_signed_posts_in_order_over_one_connection(receiver, opened, tmp_path):
    sink = opened(receiver.url, secret_file=secret_file(tmp_path), headers={"X-Team": "net"})
    assert sink.wants == {"alert"}
    sink.send([finding(), alert(revision=3), channel()])
    sink.send([finding(count=4)])
    assert [json.loads(r.body)["type"] for r in receiver.requests] == ["finding", "alert", "channel", "finding"]
    assert receiver.connections == 1
    for request in receiver.requests:
        assert (request.method, request.path) == ("POST", "/hook?token=hidden")
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["X-Team"] == "net"
        assert verify(SECRET.encode(), request.headers[SIGNATURE], request.body, int(time.time()))
        # As any other language would do it.
        stamp, given_digest = (part.split("=", 1)[1] for part in request.headers[SIGNATURE].split(","))
        assert hmac.new(SECRET.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest() == given_digest
    assert [r.headers[IDEMPOTENCY] for r in receiver.requests] == ["f0123456789abcde", "a0123456789abcde.1790000000123456000.3", "c0123456789abcde", "f0123456789abcde"]


@given(st.binary(max_size=60), st.integers(0, 2_000_000_000))
def test_signature(body, now):
    field = sign(b"key", body, now)
    assert verify(b"key", field, body, now)
    assert verify(b"key", field, body, now + 300)
    assert not verify(b"key", field, body, now + 301)
    assert not verify(b"other", field, body, now)
    assert not verify(b"key", field, body + b" ", now)
    assert not verify(b"key", field.replace(f"t={now}", f"t={now + 1}"), body, now)


@pytest.mark.parametrize("field", ["", "t=1", "t=1,v1=", "v1=00,t=1", "t=²,v1=" + "0" * 64, "t=1,v1=" + "é" * 64])
def test_signatures_that_are_none(field):
    assert not verify(b"key", field, b"", 1)


@pytest.mark.parametrize("form", ["native", "ecs", "ocsf", "slack"])
def test_no_request_holds_a_secret(receiver, opened, form, tmp_path):
    sink = opened(receiver.url, format=form, secret_file=secret_file(tmp_path, text=CANARY))
    sink.send([leaking(), leaking("alert")])
    assert receiver.requests
    for request in receiver.requests:
        assert not shown(request.body.decode() + str(request.headers), CANARY)


def test_slack_groups(receiver, opened):
    sink = opened(receiver.url, format="slack")
    sink.send([finding(id=f"f{n}") for n in range(slack.MAX_ITEMS + 1)])
    sizes = [len(json.loads(r.body)["blocks"]) for r in receiver.requests]
    assert sizes == [3 * slack.MAX_ITEMS, 2]


# ---- answers


@pytest.mark.parametrize("status", [401, 403, 407, 408, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(receiver, opened, status):
    receiver.answers += [(200, {}), (status, {"Retry-After": "7"})]
    sink = opened(receiver.url)
    with pytest.raises(SinkError, match=str(status)) as caught:
        sink.send([finding(), alert(), channel()])
    assert not caught.value.permanent
    assert caught.value.retry_after == 7
    assert len(receiver.requests) == 2  # in order: nothing after what was not taken
    sink.send([finding(), alert(), channel()])
    assert [r.headers[IDEMPOTENCY][0] for r in receiver.requests] == ["f", "a", "a", "c"]
    assert receiver.requests[1].headers[IDEMPOTENCY] == receiver.requests[2].headers[IDEMPOTENCY]


@pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
def test_what_is_refused_for_good(receiver, opened, status):
    """As delivery goes about it: the whole batch, then ever smaller parts, until what is refused stands alone."""
    receiver.answers += [(200, {}), (status, {"Retry-After": "7"})]
    sink = opened(receiver.url)
    good, bad, last = finding(), alert(), channel()
    for part in ([good, bad, last], [bad, last], [bad]):
        with pytest.raises(SinkError, match=str(status)) as caught:
            sink.send(part)
        assert caught.value.permanent
        assert caught.value.retry_after is None
    sink.send([good])
    sink.send([last])
    assert [r.headers[IDEMPOTENCY][0] for r in receiver.requests] == ["f", "a", "c"]  # each once, whatever was tried again
    sink.send([finding(count=99)])
    assert len(receiver.requests) == 4


def test_a_batch_tried_again_repeats_nothing_that_was_taken(receiver, opened):
    for form in ("native", "slack"):
        sink = opened(receiver.url, format=form)
        many = [finding(id=f"f{n}") for n in range(20)]
        receiver.requests.clear()
        receiver.answers += [(200, {}), (503, {})]
        with pytest.raises(SinkError):
            sink.send(many)
        sink.send(many)
        assert len(receiver.requests) == {"native": 21, "slack": 3}[form]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver, opened, status):
    with Receiver() as elsewhere:
        receiver.answers.append((status, {"Location": elsewhere.url}))
        with pytest.raises(SinkError, match="redirect") as caught:
            opened(receiver.url).send([finding()])
        assert not caught.value.permanent
        assert not elsewhere.connections


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("5", 5.0), (" 0 ", 0.0), ("99999999999999", MAX_RETRY_AFTER), ("-5", None), ("soon", None), ("²", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
)
def test_retry_after(value, seconds):
    assert retry_after(value) == seconds


def test_retry_after_a_date():
    assert 50 < (retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) or 0) <= 60


# ---- connections


def test_a_receiver_that_is_slow_or_away(receiver, opened):
    receiver.stall.clear()
    sink = opened(receiver.url, timeout_seconds=1)
    with pytest.raises(SinkError, match="timed out"):
        sink.send([finding()])
    receiver.stall.set()
    sink.send([finding()])
    away = opened(f"http://127.0.0.1:{free_port()}/", timeout_seconds=1)
    with pytest.raises(SinkError, match="refused") as caught:
        away.send([leaking()])
    assert not caught.value.permanent
    with pytest.raises(SinkError):
        away.check()


def test_a_connection_closed_while_idle_is_opened_again(receiver, opened):
    receiver.hang_up = True
    sink = opened(receiver.url)
    for count in range(3):
        sink.send([finding(count=count)])
    assert len(receiver.requests) == receiver.connections == 3


def test_a_tls_connection_closed_while_idle_is_opened_again(opened, tmp_path):
    authority = Authority(tmp_path / "ca")
    with Receiver(authority.server_context(), hang_up=True) as running:
        sink = opened(running.url, ca_file=authority.file)
        for count in range(3):
            sink.send([finding(count=count)])
        assert len(running.requests) == running.connections == 3


def test_check_sends_no_request(receiver, opened):
    opened(receiver.url).check()
    assert receiver.requests == []


def test_tls_is_verified(opened, tmp_path):
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    with Receiver(authority.server_context()) as running:
        good = opened(running.url, ca_file=authority.file)
        good.check()
        good.send([finding(), alert()])
        good.close()
        assert len(running.requests) == 2
        for wrong in (opened(running.url, ca_file=other.file), opened(running.url)):
            for call in (wrong.check, lambda w=wrong: w.send([finding()])):
                with pytest.raises(SinkError, match="certificate not accepted"):
                    call()
        assert len(running.requests) == 2
    with Receiver(authority.server_context("named", hosts=("localhost",))) as running, pytest.raises(SinkError, match="certificate not accepted"):
        opened(running.url, ca_file=authority.file).send([finding()])


def test_errors_name_no_path_and_no_body(receiver, opened):
    receiver.answers += [(500, {}), (400, {})]
    sink = opened(receiver.url)
    for _ in range(2):
        with pytest.raises(SinkError) as caught:
            sink.send([leaking()])
        assert "hidden" not in str(caught.value)
        assert "hook" not in str(caught.value)
        assert not shown(str(caught.value), CANARY)


# ---- settings


def test_url_from_a_file(receiver, opened, tmp_path):
    path = tmp_path / "url"
    path.write_text(receiver.url + "\n")
    path.chmod(0o600)
    opened(url_file=str(path), format="slack").send([finding()])
    assert receiver.requests[0].path == "/hook?token=hidden"


def test_basic_authentication(receiver, opened, tmp_path):
    opened(receiver.url, username="sensor", password_file=secret_file(tmp_path, text="pässword\n")).send([finding()])
    assert receiver.requests[0].headers["Authorization"] == "Basic c2Vuc29yOnDDpHNzd29yZA=="


@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o400, True), (0o440, True), (0o640, True), (0o644, False), (0o604, False), (0o660, False), (0o602, False)])
def test_secret_files_are_not_for_everybody(opened, tmp_path, mode, fine):
    path = secret_file(tmp_path, mode)
    if fine:
        opened("http://127.0.0.1:1/", secret_file=path)
        return
    with pytest.raises(UsageError, match="chmod 600") as caught:
        opened("http://127.0.0.1:1/", secret_file=path)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "x" * 5000, "\udcff"])
def test_secret_files_that_hold_none(opened, tmp_path, text):
    path = tmp_path / "secret"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(UsageError, match="secret_file"):
        opened("http://127.0.0.1:1/", secret_file=str(path))


@pytest.mark.parametrize("url", ["", "ftp://host/", "http://", "http://user:pw@host/", "http://host/#x", "http://host:x/", "http://host/a b", "http://host/\r\nX: y", "http://[::1/", "file:///etc/passwd", "http://hôst/"])
def test_urls_that_are_none(opened, url):
    assert parts_wrong(url) or url == "http://" or ":x" in url
    with pytest.raises(UsageError, match="url"):
        opened(url)
