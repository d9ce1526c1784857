"""Syslog messages by RFC 5424's grammar, and sent to a real rsyslogd over UDP, TCP and TLS."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import settings as setting
from hypothesis import strategies as st

from sniffer.errors import UsageError
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from sniffer.outputs.syslog import MAX_DATAGRAM, MAX_MESSAGE, MAX_PARAM, cut, escape, message
from sniffer.outputs.text import clean
from sniffer.outputs.view import of
from tests.sniffer.outputs.items import (
    CANARY,
    FINDING,
    alert,
    channel,
    coverage,
    finding,
    hostile,
    leaking,
    settings,
    wire,
)
from tests.sniffer.outputs.servers import Authority, Rsyslog, free_port, until
from tests.test_privacy import shown

PARAM = rb' (?P<name>[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32})="(?P<value>(?:[^"\\\]]|\\["\\\]])*)"'
GRAMMAR = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) (?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48})"
    rb" (?P<pid>[\x21-\x7e]{1,128}) (?P<msgid>[\x21-\x7e]{1,32}) \[cleartap@32473(?P<data>(?:" + PARAM.replace(b"?P<name>", b"?:").replace(b"?P<value>", b"?:") + rb")*)\] (?P<msg>.*)",
    re.DOTALL,
)  # fmt: skip


def parse(octets: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """A message by the ABNF of RFC 5424, section 6, and its structured data."""
    match = GRAMMAR.fullmatch(octets)
    assert match, octets
    params = {m["name"].decode(): re.sub(rb'\\(["\\\]])', rb"\1", m["value"]).decode() for m in re.finditer(PARAM, match["data"])}
    return {name: value.decode() for name, value in match.groupdict().items()}, params


@setting(max_examples=150)
@given(wire)
def test_structured_data_is_read_back_as_it_was_meant(text):
    assert re.fullmatch(r'(?:[^"\\\]]|\\["\\\]])*', escape(text))
    _, params = parse(message(finding(username=text), "s", "plain", MAX_MESSAGE))
    assert params.get("user", "") == clean(of(finding(username=text), "").username, MAX_PARAM)


@setting(max_examples=150)
@given(hostile(), st.sampled_from(["plain", "cef", "native", "ecs", "ocsf"]), st.sampled_from([480, MAX_DATAGRAM, MAX_MESSAGE]))
def test_every_message_keeps_to_the_grammar_and_the_size(item, form, limit):
    octets = message(item, "office 1\n€", form, limit)
    head, params = parse(octets)
    assert len(octets) <= (limit if form in ("plain", "cef") else MAX_MESSAGE)
    assert params["id"]
    assert head["host"] in ("office?1??", "office-1")
    assert head["msg"] == head["msg"].replace("\n", "").replace("\r", "").replace("\x00", "")
    if form in ("native", "ecs", "ocsf") and head["msg"].startswith("{"):
        json.loads(head["msg"])


@given(st.text(max_size=40), st.integers(-1, 60))
def test_cut_at_a_character(text, limit):
    text = text.encode("utf-8", "replace").decode()
    done = cut(text.encode(), limit)
    assert len(done) <= max(limit, 0)
    assert text.startswith(done.decode())
    assert len(done) > limit - 4 or done == text.encode()


def test_header_fields():
    head, params = parse(message(alert(), "other", "plain", MAX_MESSAGE))
    assert (head["pri"], head["time"], head["host"], head["app"], head["msgid"]) == ("106", "2026-09-21T14:23:20.000000Z", "office-1", "cleartap", "credential/ftp")
    assert params["mask"] == FINDING["secret"]["mask"]
    assert params["fingerprint"] == FINDING["secret"]["fingerprint"]
    assert parse(message(alert(state="resolved"), "s", "plain", MAX_MESSAGE))[0]["pri"] == "109"
    assert parse(message(channel(), "s", "plain", MAX_MESSAGE))[0]["msgid"] == "channel"
    assert parse(message(coverage(), "s", "plain", MAX_MESSAGE))[0]["pri"] == "107"


def test_words_that_are_not_ascii_say_so():
    assert parse(message(finding(title="é"), "s", "plain", MAX_MESSAGE))[0]["msg"].startswith("\ufeffé")
    assert parse(message(finding(), "s", "plain", MAX_MESSAGE))[0]["msg"].startswith("FTP")
    assert parse(message(finding(title="é"), "s", "cef", MAX_MESSAGE))[0]["msg"].startswith("CEF:0|")


def test_json_that_does_not_fit_goes_as_words():
    big = finding(where="x" * 1000, facts={"names": ["y" * 1000] * 9})
    head, params = parse(message(big, "s", "native", MAX_DATAGRAM))
    assert head["msg"].startswith("FTP password")
    assert params["id"] == FINDING["id"]
    assert json.loads(parse(message(finding(), "s", "native", MAX_DATAGRAM))[0]["msg"])["type"] == "finding"


@pytest.mark.parametrize("form", ["plain", "cef", "native", "ecs", "ocsf"])
def test_no_message_holds_a_secret(form):
    for kind in ("finding", "alert"):
        assert not shown(message(leaking(kind), "s", form, MAX_MESSAGE).decode(), CANARY)


# ---- a real receiver


@pytest.fixture(scope="module")
def plain_rsyslog(tmp_path_factory):
    with Rsyslog(tmp_path_factory.mktemp("rsyslog")) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls_rsyslog(tmp_path_factory, authority):
    with Rsyslog(tmp_path_factory.mktemp("rsyslog-tls"), authority) as running:
        yield running


def user_of(row: dict) -> str:
    return json.loads(row["data"])["cleartap@32473"].get("user", "")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_rsyslog_takes_it_apart_as_it_was_meant(plain_rsyslog, transport):
    name = f'{transport} "]\\ = \n<!channel> é €'
    sink = open_sink(settings("syslog", address=f"127.0.0.1:{plain_rsyslog.port}", transport=transport, format="plain"), "sensor-1")
    sink.check()
    sink.send([finding(username=name), alert()])
    sink.send([channel(client=transport)])
    sink.close()

    def mine() -> list[dict]:
        return [row for row in plain_rsyslog.received() if user_of(row) == clean(name)]

    assert until(lambda: len(mine()) == 1)
    row = mine()[0]
    assert (row["pri"], row["hostname"], row["app-name"], row["msgid"]) == ("106", "sensor-1", "cleartap", "credential/ftp")
    assert row["timestamp"] == FINDING["last_seen"]
    assert until(lambda: any(f"channel declined: {transport} ->" in r["msg"] for r in plain_rsyslog.received()))


def test_cef_over_tls_with_the_name_verified(tls_rsyslog, authority):
    sink = open_sink(settings("syslog", address=f"localhost:{tls_rsyslog.port}", transport="tls", format="cef", ca_file=authority.file), "sensor-1")
    sink.check()
    sink.send([finding(), alert()])
    sink.send([channel()])
    sink.close()
    assert until(lambda: len(tls_rsyslog.received()) == 3)
    assert all(row["msg"].startswith("CEF:0|cleartap|cleartap|") for row in tls_rsyslog.received())
    assert tls_rsyslog.own() == "", "rsyslog has something to complain about"


def test_client_certificate(tmp_path, authority):
    with Rsyslog(tmp_path / "mutual", authority, client_certificate=True) as server:
        certificate, key = authority.issue("sensor")
        common = {"address": f"127.0.0.1:{server.port}", "transport": "tls", "ca_file": authority.file}
        with_one = open_sink(settings("syslog", **common, cert_file=certificate, key_file=key), "s")
        with_one.send([finding()])
        with_one.close()
        assert until(lambda: len(server.received()) == 1)
        assert server.own() == ""
        without = open_sink(settings("syslog", **common), "s")
        with pytest.raises(SinkError):
            without.send([finding()])
        without.close()
        assert len(server.received()) == 1


@pytest.mark.parametrize("fault", ["other CA", "name", "expired"])
def test_a_receiver_that_is_not_who_it_should_be(tmp_path, fault):
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    issued = {"other CA": wrong.issue("server"), "name": right.issue("name", hosts=("127.0.0.2",)), "expired": right.issue("expired", days=-1)}[fault]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(5)
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        sink = open_sink(settings("syslog", address=f"127.0.0.1:{server.getsockname()[1]}", transport="tls", ca_file=right.file), "s")
        for call in (sink.check, lambda: sink.send([leaking()])):
            with pytest.raises(SinkError, match="certificate not accepted") as caught:
                call()
            assert not caught.value.permanent
            assert CANARY not in str(caught.value)
        thread.join()


def test_a_receiver_that_was_away_gets_everything(tmp_path):
    server = Rsyslog(tmp_path / "away")
    sink = open_sink(settings("syslog", address=f"127.0.0.1:{server.port}", transport="tcp", format="plain"), "s")
    with pytest.raises(SinkError, match="refused"):
        sink.send([finding(username="early")])
    with server:
        sink.send([finding(username="first")])
        assert until(lambda: len(server.received()) == 1)
        server.stop(kill=True)
        with pytest.raises(SinkError):
            sink.send([finding(username="second")])  # the write itself would succeed: the loss is noticed all the same
        with pytest.raises(SinkError):
            sink.check()
        server.start()
        sink.send([finding(username="second"), finding(username="third")])
        assert until(lambda: len(server.received()) == 3)
        assert [user_of(row) for row in server.received()] == ["first", "second", "third"]
        sink.close()


def test_udp_to_nobody_is_noticed():
    sink = open_sink(settings("syslog", address=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", transport="udp"), "s")
    with pytest.raises(SinkError, match="refused"):
        sink.send([finding(), finding()])
    sink.close()


def test_a_receiver_that_takes_nothing_does_not_hold_us():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sink = open_sink(settings("syslog", address=f"127.0.0.1:{server.getsockname()[1]}", transport="tcp", timeout_seconds=1), "s")
        with pytest.raises(SinkError, match=r"timed out|takes nothing"):
            sink.send([finding(where="x" * 1000)] * 3000)
        sink.close()


@pytest.mark.parametrize("address", ["", "host:99999", "a b:x", "user@host:1", "[::1", "host/path"])
def test_addresses_that_are_none(address):
    with pytest.raises(UsageError):
        open_sink(settings("syslog", address=address, transport="tcp"), "s")


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="ca_file"):
        open_sink(settings("syslog", address="127.0.0.1:1", transport="tls", ca_file=str(tmp_path / "none.pem")), "s")
