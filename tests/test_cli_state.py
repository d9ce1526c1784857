"""``cleartap state``: what is on record, for people, programs and cron; with and without a watch that runs."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from bench.lab import until
from sniffer.alert import State as AlertState
from sniffer.cli import _state_records as records
from sniffer.cli import _state_views as views
from sniffer.cli import main
from sniffer.errors import StateError
from sniffer.events import Encryption, Outcome
from sniffer.findings import Category, Rule, Severity
from sniffer.state import Interval, State, database, queue
from sniffer.state.coverage import watched
from tests.sniffer.state_lab import CANARY, DAY, NOW, SECOND, alert, channel, finding, item, tls_channel
from tests.streams import PCAPS
from tests.test_cli import cleartap
from tests.test_privacy import shown
from tests.watch.running import Watch, place, remove

ROOT = PCAPS.parent
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "sniffer/outputs/schema.json").read_text()))
HOUR = 3600 * SECOND
HOSTILE = "\x1b[2J\nroot\u202e=1+1\x00"
LOW = Rule("channel/cleartext-backend", Category.CHANNEL, "A back-end channel is readable", Severity.LOW)
PARTS = ("summary", "findings", "channels", "alerts", "unwatched", "receivers")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.sqlite"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW + 10 * HOUR)


@pytest.fixture
def kept(path: Path) -> Path:
    """A watch of three runs: critical and low findings on one channel, a high one on another, alerts, a receiver that lags."""
    ftp = channel(1, server="192.0.2.9", port=21, protocol="ftp", tier="client", findings={Severity.CRITICAL: 1, Severity.LOW: 1})
    with State(path, sensor="edge-1", clock=lambda: NOW) as state:
        state.begin(NOW)
        with state.transaction() as put:
            put.channels([ftp, tls_channel(2), channel(3)])
            put.findings([
                finding(1, channel=ftp.id, severity=Severity.CRITICAL, outcome=Outcome.ACCEPTED, count=3),
                finding(2, channel=ftp.id, rule=LOW, title=LOW.title, severity=Severity.LOW, username=None),
                finding(3, channel=channel(3).id, last_seen=NOW + 8 * HOUR),
            ])  # fmt: skip
            put.alerts([alert(1), alert(2, 4, AlertState.RESOLVED)])
            put.enqueue("siem", [item(n) for n in range(3)])
            put.enqueue("mail", [item(9)])
            queue._lose(state._db, queue.sink_number(state._db, "siem"), queue.FULL, 7)
            queue.failed(state._db, queue.sink_number(state._db, "siem"), "HTTP 503")
            number = queue.sink_number(state._db, "mail")
            queue.delivered(state._db, number, queue.waiting(state._db, number, 9, 1 << 20), NOW + 9 * HOUR)
            put.heartbeat(NOW + 4 * HOUR)
        state.begin(NOW + 5 * HOUR)  # killed in between
        state.stopped(NOW + 9 * HOUR)
    return path


def say(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["state", *arguments, "--state", str(path)])
    return code, *capsys.readouterr()


def rows(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> list[dict]:
    code, said, _ = say(capsys, path, *arguments, "--format", "jsonl")
    assert code == 0
    return [json.loads(line) for line in said.splitlines()]


def numbers(capsys, path: Path, *arguments: str) -> list[int]:
    return [int(row["id"][1:], 16) for row in rows(capsys, path, "findings", *arguments)]


# --- what is shown


def test_the_summary_is_one_screen(kept, capsys):
    code, said, _ = say(capsys, kept)
    assert code == 0
    assert len(said.splitlines()) < 24
    for words in (
        "edge-1", "stopped 1 h ago", "schema 2", f"{kept}", "10 h: 80 % watched, 2 h not (killed, stopped, until now)", r"1 critical    new", "1 firing: 1 high",
        "siem: 3 waiting, lost: 7 full, nothing delivered yet; HTTP 503", "1 with nothing waiting", "2 cleartext   client 1, database 1", "1 encrypted   database 1",
    ):  # fmt: skip
        assert words in said, said
    assert say(capsys, kept, "summary")[1] == said


def test_findings_stand_with_their_channel_the_worst_first(kept, capsys):
    _, said, _ = say(capsys, kept, "findings")
    lines = said.splitlines()
    assert lines[0] == f"● 10.0.0.1 → 192.0.2.9:21  ftp/tcp  cleartext  via vlan:10  {channel(1, port=21, protocol='ftp').id}"
    assert re.match(r"  critical  f000000000000001  2027-01-15 08:00  FTP password sent in the clear ×3 +user1  •••• \(16\+ chars\)  accepted", lines[1])
    assert re.match(r"  low       f000000000000002 ", lines[2])
    assert "SFTP" in lines[3]
    assert "\x1b" not in said
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_fits_its_terminal_and_breaks_no_id(kept, capsys, monkeypatch, width, part):
    from sniffer.cli import _reading

    say(capsys, kept, "acknowledge", finding(1).id, "--note", "known to the operators of the archive, " * 4)
    monkeypatch.setattr(_reading, "console", lambda stream, _: Console(file=stream, width=width, highlight=False, markup=False, emoji=False))
    _, said, _ = say(capsys, kept, part)
    assert max(map(len, said.replace(str(kept), "").splitlines())) <= width
    if part in ("findings", "alerts", "channels"):
        expected = {row["id"] for row in rows(capsys, kept, part)}
        assert expected <= set(re.findall(r"\b[fac][0-9a-f]{15}\b", said))


def test_channels_the_ones_with_findings_first(kept, capsys):
    _, said, _ = say(capsys, kept, "channels")
    assert [re.split(r"\s{2,}", line.strip())[0] for line in said.splitlines()[::2]] == ["cleartext", "encrypted", "cleartext"]
    assert "1 critical  1 low" in said
    assert len(rows(capsys, kept, "channels", "--encryption", "encrypted")) == 1
    assert len(rows(capsys, kept, "channels", "--tier", "database")) == 2
    assert "… and 2 more channels (--limit 0 shows all)" in say(capsys, kept, "channels", "--limit", "1")[1]


def test_alerts_that_fire_and_all(kept, capsys):
    assert [row["id"] for row in rows(capsys, kept, "alerts")] == [alert(1).id]
    assert [row["state"] for row in rows(capsys, kept, "alerts", "--all")] == ["firing", "resolved"]
    assert "×4 since 2027-01-15 08:00" in re.sub(r"\s+", " ", say(capsys, kept, "alerts", "--all")[1])


def test_unwatched_time_with_reasons(kept, capsys):
    _, said, _ = say(capsys, kept, "unwatched")
    assert said.splitlines()[0] == "since 2027-01-15 08:00 UTC, 10 h: 80 % watched, 2 h not"
    assert re.search(r"2027-01-15 12:00:00  2027-01-15 13:00:00 +1 h  killed", said)
    assert re.search(r"2027-01-15 17:00:00  2027-01-15 18:00:00 +1 h  stopped, until now", said)
    *gaps, total = rows(capsys, kept, "unwatched", "--since", "2027-01-15T14:00:00Z")
    assert [gap["reason"] for gap in gaps] == ["stopped, until now"]
    assert (total["seconds"], total["unwatched_seconds"], total["share"]) == (4 * 3600, 3600, 0.75)


def test_receivers(kept, capsys):
    _, said, _ = say(capsys, kept, "receivers")
    assert re.search(r"siem +3 \(\d+ B\) +0 +1  7 full +never", said)
    assert re.search(r"mail +0 +1 +0  0 +1 h ago", said)
    assert "siem: last error: HTTP 503" in said
    found = {row["name"]: row for row in rows(capsys, kept, "receivers")}
    assert found["siem"]["lost"] == {"full": 7}
    assert "last_success" not in found["siem"]
    assert found["mail"]["last_success"] == "2027-01-15T17:00:00.000000Z"


@pytest.mark.parametrize("part", PARTS)
def test_json_lines_keep_the_schema(kept, capsys, part):
    say(capsys, kept, "acknowledge", finding(1).id, alert(1).id, "--note", "known")
    found = rows(capsys, kept, part, *(["--all"] if part == "alerts" else []))
    assert found
    for row in found:
        SCHEMA.validate(row)


def test_csv_of_findings_and_channels(kept, capsys):
    say(capsys, kept, "acknowledge", finding(1).id, "--note", "=cmd()")
    found = list(csv.DictReader(io.StringIO(say(capsys, kept, "findings", "--format", "csv")[1])))
    assert [row["severity"] for row in found] == ["critical", "high", "low"]
    assert (found[0]["acknowledged.note"], found[1]["acknowledged.note"]) == ("'=cmd()", "")
    assert len(list(csv.DictReader(io.StringIO(say(capsys, kept, "channels", "--format", "csv")[1])))) == 3


def test_where_nothing_is_on_record(path, capsys):
    State(path).close()
    code, said, _ = say(capsys, path)
    assert code == 0
    assert "none has watched into this file yet" in said
    for part in PARTS:
        code, said, error = say(capsys, path, part)
        assert (code, error) == (0, "")
        assert said
    assert say(capsys, path, "findings", "-q", "--fail-on", "info") == (0, "", "")
    for row in [*rows(capsys, path, "summary"), *rows(capsys, path, "unwatched")]:
        SCHEMA.validate(row)


# --- what is chosen


def test_findings_are_chosen(kept, capsys):
    assert numbers(capsys, kept) == [1, 3, 2]
    assert numbers(capsys, kept, "--severity", "high") == [1, 3]
    assert numbers(capsys, kept, "--rule", "channel/*") == [2]
    assert numbers(capsys, kept, "--rule", "credential/ftp") == [1, 3]
    assert numbers(capsys, kept, "--rule", "ftp") == []
    assert numbers(capsys, kept, "--channel", channel(3).id) == [3]
    assert numbers(capsys, kept, "--since", "3h") == numbers(capsys, kept, "--since", "2027-01-15T15:00:00Z") == numbers(capsys, kept, "--since", "2027-01-15T16:00:00+01:00") == [3]
    assert numbers(capsys, kept, "--since", "2027-01-15") == numbers(capsys, kept, "--since", "7d") == [1, 3, 2]
    assert numbers(capsys, kept, "--limit", "2") == [1, 3]
    say(capsys, kept, "acknowledge", finding(3).id, "--note", "known")
    assert numbers(capsys, kept, "--new") == [1, 2]
    assert say(capsys, kept, "findings", "--rule", "none/*")[1] == "no finding on record that matches\n"


def test_programs_get_all_and_people_some_screens(path, capsys):
    with State(path) as state, state.transaction() as put:
        put.findings([finding(n, last_seen=NOW + n) for n in range(620)])
    assert numbers(capsys, path) == list(range(619, -1, -1))
    assert "… and 570 more findings (--limit 0 shows all)" in say(capsys, path, "findings")[1].splitlines()[-1]
    assert say(capsys, path, "findings", "--limit", "0")[1].count("  high  ") == 620


def test_rows_that_go_while_they_are_read_are_left_out(path):
    with State(path) as state:
        with state.transaction() as put:
            put.findings([finding(n) for n in range(3)])
        ids = state.finding_ids()
        state._db.execute("DELETE FROM findings WHERE id = ?", (finding(1).id,))
        assert [row.record["id"] for row in state.findings_of(ids)] == [finding(0).id, finding(2).id]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 0), (("--fail-on", "never"), 0), (("--fail-on", "critical"), 1), (("--fail-on", "low"), 1), (("--fail-on", "high", "--rule", "channel/*"), 0),
        (("--fail-on", "low", "--rule", "channel/*"), 1), (("--fail-on", "info", "--severity", "critical"), 1), (("--fail-on", "critical", "--since", "2h"), 0),
        (("--fail-on", "critical", "--limit", "1", "--format", "jsonl"), 1), (("--fail-on", "critical", "--format", "csv"), 1),
    ],
)  # fmt: skip
def test_exit_code_for_cron(kept, capsys, arguments, code):
    assert say(capsys, kept, "findings", *arguments)[0] == code
    say(capsys, kept, "acknowledge", *(finding(n).id for n in (1, 2, 3)), "--note", "known")
    assert say(capsys, kept, "findings", *arguments)[0] == 0


# --- policy


POLICY = """
[[severity]]
rule = "credential/ftp"
client = "10.0.0.3"
severity = "low"
[[severity]]
rule = "channel/*"
severity = "high"
[[expected]]
rule = "credential/*"
client = "10.0.0.1"
owner = "press office"
reason = "archive, OPS-12"
expires = %s
"""


@pytest.fixture
def policy(tmp_path, request) -> tuple[str, str]:
    """Of the findings 1 is expected, 2 is high and 3 is low. The day that is over with it is 2027-01-15, 18:00 now."""
    (tmp_path / "cleartap.toml").write_text(POLICY % getattr(request, "param", "2027-01-15"))
    return "--config", str(tmp_path / "cleartap.toml")


def test_policy_judges_what_is_shown_chosen_and_failed_on(kept, capsys, policy):
    """Alerts and receivers had the policy's severity, this had the rule's own; what was expected failed every night."""
    found = rows(capsys, kept, "findings", *policy)
    assert [(int(row["id"][1:], 16), row["severity"]) for row in found] == [(1, "critical"), (2, "high"), (3, "low")]
    assert found[0]["expected"] == {"owner": "press office", "reason": "archive, OPS-12", "expires": "2027-01-15"}
    for row in (*found, *rows(capsys, kept, "summary", *policy)):
        SCHEMA.validate(row)
    assert numbers(capsys, kept, *policy, "--severity", "high") == [1, 2]
    assert numbers(capsys, kept, *policy, "--severity", "high", "--new") == [2]
    assert numbers(capsys, kept, *policy, "--limit", "1") == [1]
    codes = {least: say(capsys, kept, "findings", *policy, "--fail-on", least)[0] for least in ("critical", "high", "low")}
    assert codes == {"critical": 0, "high": 1, "low": 1}
    assert say(capsys, kept, "findings", *policy, "--fail-on", "low", "--severity", "critical")[0] == 0


def test_what_is_expected_is_marked_with_who_answers_for_it(kept, capsys, policy):
    _, said, _ = say(capsys, kept, "findings", *policy)
    assert r"✓ expected until 2027-01-15: press office, archive, OPS-12" in re.sub(r"\s+", " ", said)
    assert "1 critical    1 expected" in say(capsys, kept, *policy)[1]
    assert rows(capsys, kept, "summary", *policy)[0]["findings"] == {"critical": {"new": 0, "acknowledged": 0, "expected": 1}, "high": {"new": 1, "acknowledged": 0}, "low": {"new": 1, "acknowledged": 0}}
    table = list(csv.DictReader(io.StringIO(say(capsys, kept, "findings", *policy, "--format", "csv")[1])))
    assert [(row["severity"], row["expected.expires"]) for row in table] == [("critical", "2027-01-15"), ("high", ""), ("low", "")]
    say(capsys, kept, "acknowledge", finding(1).id, "--note", "known")
    assert rows(capsys, kept, "summary", *policy)[0]["findings"]["critical"] == {"new": 0, "acknowledged": 1}


@pytest.mark.parametrize("policy", ["2027-01-14"], indirect=True)
def test_what_was_expected_is_new_again_when_its_day_is_over(kept, capsys, policy):
    assert "expected" not in rows(capsys, kept, "findings", *policy)[0]
    assert say(capsys, kept, "findings", *policy, "--fail-on", "critical")[0] == 1


def test_the_record_holds_findings_as_they_are(kept, capsys, policy):
    rows(capsys, kept, "findings", *policy)
    assert [row["severity"] for row in rows(capsys, kept, "findings")] == ["critical", "high", "low"]
    assert numbers(capsys, kept) == [1, 3, 2]


def test_policy_judges_more_findings_than_are_read_at_once(path, capsys, policy, monkeypatch):
    monkeypatch.setattr("sniffer.cli._state_policy.PART", 7)
    with State(path) as state, state.transaction() as put:
        put.findings([finding(n, rule=LOW if n % 2 else finding(n).rule, severity=Severity.MEDIUM, last_seen=NOW + n % 5) for n in range(4, 40)])
    found = rows(capsys, path, "findings", *policy)
    assert [row["severity"] for row in found] == ["high"] * 18 + ["medium"] * 18
    for severity in ("high", "medium"):
        order = [(row["last_seen"], row["id"]) for row in found if row["severity"] == severity]
        assert order == sorted(sorted(order, key=lambda each: each[1]), key=lambda each: each[0], reverse=True)
    assert "… and 33 more findings" in say(capsys, path, "findings", *policy, "--limit", "3")[1]


# --- acknowledging


def test_acknowledge_and_take_it_back(kept, capsys):
    ids = [finding(1).id, finding(2).id, alert(1).id]
    assert say(capsys, kept, "acknowledge", *ids, ids[0], "--note", f"until 2027-03, OPS-12 {HOSTILE}") == (0, "3 acknowledgements recorded\n", "")
    _, said, _ = say(capsys, kept, "findings")
    assert r"✓ 2027-01-15 18:00 until 2027-03, OPS-12 \x1b[2J\x0aroot\u202e=1+1\x00" in re.sub(r"\s+", " ", said)
    assert "1 critical    1 acknowledged" in say(capsys, kept)[1]
    assert rows(capsys, kept, "alerts")[0]["acknowledged"]["at"] == "2027-01-15T18:00:00.000000Z"
    assert say(capsys, kept, "acknowledge", "--undo", ids[0], ids[2])[:2] == (0, "2 acknowledgements taken back\n")
    assert numbers(capsys, kept, "--new") == [1, 3]
    assert "acknowledged" not in rows(capsys, kept, "alerts")[0]
    with State(kept) as state:
        with state.transaction() as put:
            put.findings([finding(1), finding(2)])  # seen again
        assert [bool(row.acknowledged) for row in state.findings_of([finding(1).id, finding(2).id])] == [False, True]


@pytest.mark.parametrize("arguments", [(finding(1).id,), (finding(1).id, "--note", " "), (finding(1).id, "f00\x1b", "--note", "x"), ("--undo", finding(1).id), ("--note", "x")])
def test_what_cannot_be_acknowledged_changes_nothing(kept, capsys, arguments):
    try:
        code, said, error = say(capsys, kept, "acknowledge", *arguments)
    except SystemExit as ended:  # argparse
        code, (said, error) = ended.code, capsys.readouterr()
    assert code == 2
    assert said == ""
    assert "\x1b" not in error
    assert numbers(capsys, kept, "--new") == [1, 3, 2]


def test_an_acknowledgement_as_a_record(kept, capsys):
    for row in rows(capsys, kept, "acknowledge", finding(1).id, "--note", "known") + rows(capsys, kept, "acknowledge", finding(1).id, "--undo"):
        SCHEMA.validate(row)


# --- hostile text, and no value


def test_text_from_the_wire_steers_nothing(path, capsys):
    row = channel(1, protocol="ftp", tier=HOSTILE, client=HOSTILE, path=(HOSTILE,), product=HOSTILE, verdicts={Encryption.CLEARTEXT: (1, HOSTILE)}, findings={Severity.HIGH: 1})
    with State(path, sensor=HOSTILE) as state:
        state.begin(NOW)
        with state.transaction() as put:
            put.channels([row])
            put.findings([finding(1, channel=row.id, username=HOSTILE, title=HOSTILE, client=(HOSTILE, 1), path=(HOSTILE,), remedy=HOSTILE, realm=HOSTILE, source=HOSTILE, where=HOSTILE)])
            put.alerts([alert(1, title=HOSTILE, client=HOSTILE, tier=HOSTILE, revision=2)])
            put.enqueue(HOSTILE, [item(1)])
            queue.failed(state._db, queue.sink_number(state._db, HOSTILE), HOSTILE)
            put.unwatched(Interval(NOW, NOW + SECOND, HOSTILE))
            put.heartbeat(NOW + HOUR)
        state.stopped(NOW + HOUR)
    for part in PARTS:
        said = say(capsys, path, part)[1]
        assert r"\x1b[2J\x0aroot\u202e=1+1" in re.sub(r"\s+", "", said), part
        assert not set(said) & set("\x1b\u202e\x00\r"), part
        found = say(capsys, path, part, "--format", "jsonl")[1]
        assert found.isascii()
        assert "\x1b" not in found
        assert all(json.loads(line) for line in found.split("\n") if line)
    for part in ("findings", "channels"):
        said = say(capsys, path, part, "--format", "csv")[1]
        assert not set(said) & set("\x1b\u202e\x00")
        assert len(said.splitlines()) == 2


def test_no_value_is_ever_shown(kept, capsys):
    for part in PARTS:
        for form in ("console", "jsonl"):
            assert not shown(say(capsys, kept, part, "--format", form)[1], CANARY)
    assert not shown(say(capsys, kept, "findings", "--format", "csv")[1], CANARY)


# --- finding the file, and files that are none


def test_the_file_is_found_as_watch_finds_it(kept, tmp_path, capsys, monkeypatch):
    (tmp_path / "c.toml").write_text(f'[state]\npath = "{kept}"\n')
    arguments = ["--config", str(tmp_path / "c.toml")]
    for words in ([*arguments, "findings"], ["findings", *arguments], [*arguments, "--format", "jsonl"]):
        assert main(["state", *words]) == 0
        assert "critical" in capsys.readouterr().out
    assert main(["state", "--format", "jsonl", "findings", *arguments]) == 0
    assert capsys.readouterr().out.startswith("{")
    monkeypatch.setenv("CLEARTAP_STATE_PATH", str(kept))
    assert main(["state"]) == 0
    assert say(capsys, tmp_path / "none", *arguments)[0] == 3, "the command line goes before the file"


@pytest.mark.parametrize("user", [0, 1000])
def test_where_none_is_named_it_is_the_services(kept, tmp_path, capsys, monkeypatch, user):
    from sniffer.watch import opening

    monkeypatch.setattr(opening, "ROOT_STATE", str(kept))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "STATE_DIRECTORY", "CLEARTAP_STATE_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert main(["state"]) == 0
    assert str(kept) in capsys.readouterr().out
    own = tmp_path / ".local/state/cleartap/state.sqlite"
    State(own, sensor="own").close()
    assert main(["state", "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(own if user else kept)


def _made(path: Path, what: str) -> None:
    if what == "text":
        path.write_text("these are my notes\n")
    elif what == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (a)")
        db.close()
    elif what == "folder":
        path.mkdir()
    elif what != "missing":
        with State(path) as state, state.transaction() as put:
            put.findings([finding(n) for n in range(500)])
            put.channels([channel(n) for n in range(500)])
            put.alerts([alert(n) for n in range(500)])
        if what == "newer":
            db = sqlite3.connect(path)
            db.execute("PRAGMA user_version = 99")
            db.close()
        elif what == "cut":
            path.write_bytes(path.read_bytes()[:40_000])
        elif what == "overwritten":
            whole = path.read_bytes()
            path.write_bytes(whole[:8192] + random.Random(1).randbytes(len(whole) - 8192))
        elif what == "row":
            db = sqlite3.connect(path)
            for table, column in (("findings", "record"), ("channels", "detail"), ("alerts", "body")):
                db.execute(f"UPDATE {table} SET {column} = '{{\"a\":'")
            db.commit()
            db.close()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("missing", "there is no state database here"), ("folder", "there is no state database here"), ("text", "damaged"), ("foreign", "another program's database"),
        ("newer", "written by a newer cleartap"), ("cut", "damaged"), ("overwritten", "damaged"), ("row", "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_3_and_one_line(path, capsys, what, says):
    path.parent.mkdir()
    _made(path, what)
    before = path.read_bytes() if path.is_file() else None
    for part in (("findings",), ("channels",), ("alerts",), *([] if what == "row" else [("acknowledge", "f1", "--note", "x"), ()])):
        code, said, error = say(capsys, path, *part)
        assert (code, said) == (3, "")
        assert error.count("\n") == 1
        assert says in error
        assert str(path) in error
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize(("mode", "says"), [(0o700, "cannot be read: Permission denied"), (0o755, "may not be read by this account")])
def test_somebody_elses_file(mode, says):
    folder = place()
    try:
        State(folder / "state" / "s.sqlite").close()
        (folder / "state").chmod(mode)
        child = "import os, sys; from sniffer.errors import StateError; from sniffer.state import State; os.setuid(54321)\ntry: State.open_readonly(sys.argv[1])\nexcept StateError as error: print(error)"
        done = subprocess.run([sys.executable, "-c", child, str(folder / "state" / "s.sqlite")], cwd=ROOT, capture_output=True, text=True, check=True)
        assert says in done.stdout
        assert done.stdout.count("\n") == 1
    finally:
        remove(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",), ("findings", "--severity", "bad"), ("findings", "--since", "banana"), ("findings", "--since", "99999-01-01"), ("findings", "--limit", "-1"),
        ("findings", "--fail-on", "sometimes"), ("channels", "--encryption", "strong"), ("--format", "csv"), ("alerts", "--format", "csv"), ("findings", "--format", "xml"),
        ("acknowledge",), ("summary", "--config", "/nowhere/c.toml"),
    ],
)  # fmt: skip
def test_wrong_usage_is_2(kept, capsys, arguments):
    try:
        code = main(["state", "--state", str(kept), *arguments])
    except SystemExit as ended:
        code = ended.code
    said, error = capsys.readouterr()
    assert (code, said) == (2, "")
    assert "Traceback" not in error


@pytest.mark.parametrize("words", [("findings",), ("findings", "--limit", "0"), ("findings", "--format", "jsonl"), ("findings", "--format", "csv"), ()])
def test_a_pipe_closed_early_is_silent(path, words):
    with State(path) as state, state.transaction() as put:
        put.findings([finding(n) for n in range(1500)])
    process = subprocess.Popen([sys.executable, "-m", "sniffer.cli", "state", *words, "--state", str(path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(30) == 128 + signal.SIGPIPE


def test_help_loads_nothing_heavy():
    look = "import sys; from sniffer.cli import parser; parser(); print(sorted({'sqlite3', 'rich', 'numpy', 'orjson', 'sniffer.state', 'sniffer.config'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "acknowledge" in cleartap("state", "--help").stdout


# --- with a watch


def life(path: Path, now: int) -> str:
    with State.open_readonly(path) as reader:
        return str(records.watch(reader, now).life)


def test_whether_a_watch_seems_to_run(path):
    state = State(path)
    assert life(path, NOW) == "never"
    state.begin(NOW)
    assert life(path, NOW + 3 * SECOND) == "running"
    assert life(path, NOW - 3 * SECOND) == "running", "a clock that was set"
    assert life(path, NOW + 60 * SECOND) == "silent"
    with State.open_readonly(path) as reader:
        assert records.watch(reader, NOW + 60 * SECOND).process == os.getpid()
    state.close()  # as if killed
    assert life(path, NOW + 60 * SECOND) == "died"
    assert database.holder(path) is None
    with State(path) as state:
        state.begin(NOW + 70 * SECOND)
        state.stopped(NOW + 80 * SECOND)
    assert life(path, NOW + 81 * SECOND) == "stopped"


def test_looking_does_not_keep_a_watch_from_starting(path):
    """Whoever looks holds the lock for an instant; a watch that starts in it tries again."""
    looking = subprocess.Popen([sys.executable, "-c", f"from pathlib import Path; from sniffer.state import database\nwhile True: database.holder(Path({str(path)!r}))"], cwd=ROOT)
    try:
        State(path).close()
        for _ in range(100):
            State(path).close()
    except StateError as error:
        pytest.fail(str(error))
    finally:
        looking.kill()
        looking.wait()


@pytest.mark.parametrize("seed", range(20))
def test_overlapping_times_count_once(seed):
    chance = random.Random(seed)
    intervals = [Interval(start, start + chance.randrange(30), "x") for start in (chance.randrange(-20, 120) for _ in range(chance.randrange(8)))]
    missed = {second for start, until, _ in intervals for second in range(start, until)} & set(range(100))
    found = watched(0, 100, intervals)
    assert (found.unwatched, found.whole) == (len(missed), 100)
    assert found.share == pytest.approx(1 - len(missed) / 100)


def test_coverage_goes_as_far_back_as_intervals_are_kept(path):
    with State(path) as state:
        state.begin(NOW)
        state.stopped(NOW + 10 * DAY)
        state.begin(NOW + 20 * DAY)
        assert records.coverage(state, NOW + 20 * DAY, 90)[0] == (NOW, NOW + 20 * DAY, 10 * DAY)
        assert records.coverage(state, NOW + 20 * DAY, 5)[0] == (NOW + 15 * DAY, NOW + 20 * DAY, 5 * DAY)
        assert state.begun == NOW
        assert "begun" not in state.counters()


def test_a_file_of_before_the_beginning_was_written_down(path):
    with State(path, clock=lambda: NOW + SECOND) as state:
        with state.transaction() as put:
            put.findings([finding(1)])
            put.heartbeat(NOW + 2 * SECOND)
        assert state.begun == NOW + SECOND
        state.begin(NOW + 9 * SECOND)
        assert state.begun == NOW + SECOND


def test_lengths_of_time():
    assert [views.span(n * SECOND) for n in (-1, 0, 59, 60, 3600, 3 * 3600 + 720, 47 * 3600, 48 * 3600, 50 * 3600)] == ["0 s", "0 s", "59 s", "1 min", "1 h", "3 h 12 min", "47 h", "2 d", "2 d 2 h"]


def test_beside_a_watch_that_runs(monkeypatch, capsys):
    """The real command: looked at and acknowledged while it goes on, after it was killed, and after it was stopped."""
    monkeypatch.undo()
    folder = place()
    try:
        with Watch(folder, "--hold", str(PCAPS / "demo.pcap")) as watch:
            watch.wait("finding ")
            assert until(lambda: len(rows(capsys, watch.state_path, "findings")) == 24, 20, 0.2)
            (state,) = rows(capsys, watch.state_path)
            assert state["watch"] == "running"
            assert sum(tally["new"] for tally in state["findings"].values()) == 24
            found = rows(capsys, watch.state_path, "findings", "--severity", "critical")
            assert say(capsys, watch.state_path, "acknowledge", *(row["id"] for row in found), "--note", "known")[0] == 0
            assert say(capsys, watch.state_path, "findings", "--fail-on", "critical")[0] == 0
            assert say(capsys, watch.state_path, "findings", "--fail-on", "high")[0] == 1
            watch.kill()
        with State.open_readonly(watch.state_path) as reader:
            assert records.watch(reader, time.time_ns() + 60 * SECOND).life is records.Life.DIED
        with Watch(folder, "--hold", str(PCAPS / "demo.pcap")) as watch:
            pass
        (state,) = rows(capsys, watch.state_path)
        assert state["watch"] == "stopped"
        assert state["findings"]["critical"] == {"new": 0, "acknowledged": len(found)}
        assert "killed" in say(capsys, watch.state_path, "unwatched")[1]
    finally:
        remove(folder)
