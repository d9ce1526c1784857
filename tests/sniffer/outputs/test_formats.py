"""ECS, OCSF, CEF and schema 1 for sinks: required fields, types, escaping, and never a value."""

from __future__ import annotations

import json
import re
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from sniffer.outputs import cef, ecs, jsonl, native, ocsf, record, slack
from sniffer.outputs.community import community_id
from sniffer.outputs.formats import JSON, one_line
from sniffer.outputs.text import clean
from sniffer.outputs.view import address, delivery_key, moment, of
from tests.sniffer.outputs.items import CANARY, FINDING, alert, channel, coverage, finding, hostile, leaking, wire
from tests.test_captures import CASES, session
from tests.test_privacy import shown

ECS_FIELDS = json.loads((Path(__file__).parent / "ecs_fields.json").read_text())
SCHEMA = json.loads((Path(record.__file__).parent / "schema.json").read_text())
ITEMS = {
    "finding": finding(), "alert": alert(), "resolved": alert(state="resolved", revision=7), "channel": channel(), "coverage": coverage(),
    "posture": finding(category="channel", rule="channel/encryption-stripped", secret={}), "card": finding(category="pii", rule="pii/card", secret={"mask": "411111••••••1234", "kind": "card"}),
}  # fmt: skip
every = pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)


@cache
def schema(name: str) -> jsonschema.Validator:
    made = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.OCSF_VERSION)).get_class_schema(class_name=name)
    return jsonschema.Draft202012Validator(made)


CLASSES = {2006: "data_security_finding", 2004: "detection_finding", 4001: "network_activity"}


@every
def test_ocsf_is_valid_by_the_published_schema(item):
    event = ocsf.event(item, "office-1")
    problems = [f"{list(e.absolute_path)}: {e.message}" for e in schema(CLASSES[event["class_uid"]]).iter_errors(event)]
    assert not problems
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]


def test_ocsf_schema_refuses_what_is_wrong():
    event = ocsf.event(finding(), "office-1")
    for broken in ({**event, "severity_id": "high"}, {**event, "no_such_field": 1}, {k: v for k, v in event.items() if k != "finding_info"}):
        assert list(schema("data_security_finding").iter_errors(broken))


@pytest.mark.parametrize(
    ("name", "expected", "activity", "category"),
    [("finding", 2006, 1, 6), ("alert", 2006, 1, 6), ("resolved", 2006, 3, 6), ("card", 2006, 1, 3), ("posture", 2004, 1, None), ("coverage", 2004, 1, None), ("channel", 4001, 6, None)],
)
def test_ocsf_classes(name, expected, activity, category):
    event = ocsf.event(ITEMS[name])
    assert (event["class_uid"], event["activity_id"], event.get("data_security", {}).get("category_id")) == (expected, activity, category)


def test_ocsf_field_by_field():
    event = ocsf.event(alert(revision=2), "other")
    assert event["activity_id"] == 2
    assert event["data_security"]["data_lifecycle_state_id"] == 2
    assert event["data_security"]["detection_system_id"] == 99
    assert event["src_endpoint"] == {"ip": "10.0.0.5", "port": 51234}
    assert event["dst_endpoint"] == {"ip": "10.0.0.9", "port": 21, "svc_name": "ftp", "vlan_uid": "10", "zone": "lan"}
    assert event["finding_info"]["uid"] == "a0123456789abcde"
    assert event["finding_info"]["analytic"]["uid"] == "credential/ftp"
    assert event["metadata"]["reporter"]["name"] == "office-1"
    assert event["unmapped"]["secret"] == FINDING["secret"]
    assert event["actor"]["user"]["name"] == "alice"
    assert (event["severity_id"], event["time"]) == (5, 1_790_000_600_000)


def flat(document: dict[str, Any], start: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        found |= flat(value, f"{start}{name}.") if isinstance(value, dict) else {start + name: value}
    return found


def fits(kind: str, value: Any) -> bool:
    if kind.endswith("[]"):
        return isinstance(value, list) and all(fits(kind[:-2], each) for each in value)
    if kind == "long":
        return type(value) is int
    if kind == "date":
        return moment(value) > 0
    if kind == "ip":
        return bool(ip_address(value))
    return isinstance(value, str) and bool(value)


def ecs_problems(document: dict[str, Any]) -> list[str]:
    wrong = []
    for name, value in flat(document).items():
        if name.startswith("cleartap."):
            continue
        kind, *allowed = ECS_FIELDS.get(name, ["no such field"])
        if not fits(kind, value) or (allowed and not {*(value if isinstance(value, list) else [value])} <= {*allowed}):
            wrong.append(f"{name}: {value!r} is no {kind}")
    return wrong


@every
def test_ecs_fields_and_types(item):
    document = ecs.event(item, "office-1")
    assert not ecs_problems(document)
    assert {"@timestamp", "message", "ecs.version", "event.kind", "event.category", "event.type", "event.dataset", "event.id", "observer.name"} <= set(flat(document))


def test_ecs_field_by_field():
    document = flat(ecs.event(finding(), "office-1"))
    expected = {
        "@timestamp": FINDING["last_seen"], "event.kind": "alert", "event.dataset": "cleartap.finding", "event.severity": 99, "rule.id": "credential/ftp",
        "source.ip": "10.0.0.5", "source.port": 51234, "destination.ip": "10.0.0.9", "destination.port": 21, "network.transport": "tcp",
        "network.protocol": "ftp", "network.type": "ipv4", "network.vlan.id": "10", "observer.name": "office-1", "user.name": "alice",
        "related.ip": ["10.0.0.5", "10.0.0.9"], "cleartap.secret.mask": FINDING["secret"]["mask"], "cleartap.secret.fingerprint": FINDING["secret"]["fingerprint"],
    }  # fmt: skip
    assert {name: document.get(name) for name in expected} == expected
    assert flat(ecs.event(channel()))["event.kind"] == "event"


@every
def test_unknown_is_left_out(item):
    for document in (ecs.event(item), ocsf.event(item)):
        assert not [name for name, value in flat(document).items() if value in ("", None, [], {})]


@pytest.mark.parametrize(
    ("transport", "client", "server", "expected"),
    [
        # The test vectors of the specification.
        ("tcp", ("128.232.110.120", 34855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("tcp", ("66.35.250.204", 80), ("128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("udp", ("192.168.1.52", 54585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        ("tcp", ("not an address", 1), ("8.8.8.8", 53), ""),
        ("tcp", ("8.8.8.8", 0), ("8.8.8.8", 53), ""),
    ],
)
def test_community_id(transport, client, server, expected):
    assert community_id(transport, *client, *server) == expected


# ---- schema 1


def test_native_findings_are_schema_1_and_alerts_have_times():
    body = native.record(finding(), "office-1")
    assert body.pop("sensor") == "office-1"
    jsonschema.validate(body, SCHEMA)
    said = native.record(alert(), "office-1")
    assert (said["type"], said["schema"], said["state"]) == ("alert", 1, "firing")
    assert said["first_seen"] == "2026-09-21T14:13:20.123456Z"
    jsonschema.validate(said["finding"], SCHEMA)


def test_times_keep_their_microseconds():
    assert record.timestamp(moment("2026-09-21T14:13:20.123456Z")) == "2026-09-21T14:13:20.123456Z"
    assert moment(1_790_000_000_123_456_789) == 1_790_000_000_123_456_789
    assert moment("never") == moment(None) == moment("2026-09-21T14:13:20") == 0


def test_delivery_key_tells_repeats_apart_and_tries_not():
    first, second, end = (delivery_key(made) for made in (alert(), alert(revision=2), alert(state="resolved", revision=2)))
    assert delivery_key(alert(count=9)) == first
    assert first.startswith("a0123456789abcde.")
    assert len({first, second, end}) == 3


def test_an_alert_that_fires_again_after_it_was_resolved_is_another_delivery():
    assert delivery_key(alert()) != delivery_key(alert(first_seen="2026-11-24T00:00:00Z"))


def test_delivery_key_of_a_finding_is_its_id():
    assert delivery_key(finding()) == FINDING["id"]


# ---- CEF

PAIR = re.compile(r"(?:^| )(\w+)=((?:[^\\=]|\\.)*?)(?= \w+=|$)", re.ASCII)


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """A reader of CEF written from the standard: the header by unescaped bars, the extension by unescaped equals signs."""
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", line, maxsplit=7)
    head = [re.sub(r"\\([\\|])", r"\1", parts[i] + parts[i + 1]) for i in range(0, 14, 2)]
    return head, {name: re.sub(r"\\([\\=])", r"\1", value) for name, value in PAIR.findall(parts[14])}


@settings(max_examples=150)
@given(wire, wire)
def test_cef_is_read_back_as_it_was_meant(title, user):
    line = cef.line(finding(title=title, username=user), "s")
    assert "\n" not in line
    assert "\r" not in line
    assert "\x00" not in line
    head, extension = parse_cef(line)
    assert head[:3] == ["CEF:0", "cleartap", "cleartap"]
    assert (head[4], head[5], head[6]) == ("credential/ftp", clean(of(finding(title=title), "").title, 512), "10")
    assert extension.get("suser", "") == clean(of(finding(username=user), "").username, 1023)
    assert extension["cs1Label"] == "secretMask"


def test_cef_fields():
    _, extension = parse_cef(cef.line(alert(), "ignored"))
    expected = {"src": "10.0.0.5", "spt": "51234", "dst": "10.0.0.9", "dpt": "21", "app": "ftp", "proto": "TCP", "suser": "alice", "act": "firing", "externalId": "a0123456789abcde.1790000000123456000.1", "deviceExternalId": "office-1"}
    assert {name: extension.get(name) for name in expected} == expected
    _, extension = parse_cef(cef.line(channel()))
    assert (extension["c6a3"], extension["c6a3Label"], "dst" in extension) == ("2001:db8::9", "Destination IPv6 Address", False)


# ---- Slack


def slack_texts(message: dict[str, Any]) -> list[str]:
    texts = [message["text"]]
    for block in message["blocks"]:
        texts += [part["text"] for part in (block.get("text"), *block.get("fields", ()), *block.get("elements", ())) if part]
    return texts


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@settings(max_examples=100)
@given(wire)
def test_slack_shows_text_as_it_was_meant(text):
    escaped = slack.escape(text)
    assert "<" not in escaped
    assert ">" not in escaped
    assert not re.search(r"&(?!(amp|lt|gt);)", escaped)
    assert unescape(escaped) == clean(text, 2000)
    assert unescape(slack.escape(text, 9)).rstrip("…") == clean(text, 2000)[: len(unescape(slack.escape(text, 9)).rstrip("…"))]
    assert len(slack.escape(text, 9)) <= 9


@settings(max_examples=60)
@given(hostile())
def test_slack_keeps_to_its_bounds(item):
    message = slack.message([item] * 30, "office-1")
    assert len(message["blocks"]) <= 50
    assert len(message["text"]) <= 3000
    for block in message["blocks"]:
        assert len(block.get("fields", ())) <= 10
    for text in slack_texts(message):
        assert 0 < len(text) <= 3000
        assert "<" not in text


def test_slack_mentions_nobody():
    message = slack.message([finding(username="<!channel> <@U024> & co", title="x" * 5000)], "s")
    assert any("&lt;!channel&gt; &lt;@U024&gt; &amp; co" in text for text in slack_texts(message))
    assert all(part.get("verbatim") for block in message["blocks"] for part in (block.get("text", {"verbatim": 1}), *block.get("fields", ())))


# ---- all of them


@settings(max_examples=120, deadline=None)
@given(hostile())
def test_hostile_text_breaks_no_format(item):
    for form in (*JSON, "cef", "plain"):
        line = one_line(item, "office-1", form)
        assert line == clean(line, len(line)) or form in JSON
        assert "\n" not in line
        line.encode()
    for name, make in JSON.items():
        read = json.loads(jsonl.line(make(item, "s")))
        json.dumps(read, ensure_ascii=False).encode()  # no lone surrogate
        if name == "ecs":
            assert not ecs_problems(read)
        if name == "ocsf":
            assert not list(schema(CLASSES[read["class_uid"]]).iter_errors(read))


@pytest.mark.parametrize("kind", ["finding", "alert"])
def test_a_revealed_value_stays_here(kind):
    item = leaking(kind)
    said = [one_line(item, "s", form) for form in (*JSON, "cef", "plain")] + [json.dumps(slack.message([item], "s"))]
    for text in said:
        assert not shown(text, CANARY)
    assert FINDING["secret"]["fingerprint"] in "".join(said[:3])


@pytest.mark.parametrize("path", CASES[::4], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_recorded_captures_in_every_format(path):
    read = session(path)
    for found in read.findings:
        item = finding(**record.finding(found, reveal=True))
        event, document = ocsf.event(item, "s"), ecs.event(item, "s")
        assert not list(schema(CLASSES[event["class_uid"]]).iter_errors(event))
        assert not ecs_problems(document)
        secret = found.secret.reveal()
        if len(secret) >= 6 and secret != "guest":
            for text in (json.dumps(event), json.dumps(document), one_line(item, "s", "cef"), one_line(item, "s", "native")):
                assert not shown(text, secret)
    for row in read.channels:
        item = channel(**record.channel(row))
        event = ocsf.event(item, "s")
        assert not list(schema("network_activity").iter_errors(event))
        assert not ecs_problems(ecs.event(item, "s"))


def test_addresses():
    assert address("10.0.0.1") == "10.0.0.1"
    assert address("fe80::1%eth0") == address("x") == address("") == ""
