"""The configuration: what is taken, what overrides what, and that every mistake is told at once and none repeats a secret."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sniffer.config import (
    NEEDS_RESTART,
    OUTPUT_TYPES,
    SEVERITIES,
    TIERS,
    AlertSettings,
    CaptureSettings,
    Config,
    Network,
    OutputSettings,
    StateSettings,
    changed,
    load,
)
from sniffer.config.checks import endpoint_wrong, network_wrong, url_wrong
from sniffer.config.tables import FIELDS, LISTS, NEEDED, SECTIONS, USED, WRITTEN
from sniffer.config.values import Base, File, Refused, is_
from sniffer.errors import UsageError
from sniffer.findings import Severity

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs/configuration.md"
SHIPPED = ROOT / "deploy/cleartap.toml"


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **overrides: object) -> Config:
    path = tmp_path / "cleartap.toml"
    path.write_text(text)
    return load(str(path), environment or {}, {name.replace("__", "."): value for name, value in overrides.items()})


def refusal(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text, environment, **overrides)
    return str(error.value)


def secret(tmp_path: Path, mode: int = 0o600, name: str = "secret") -> Path:
    path = tmp_path / name
    path.write_text("PLANTED-CANARY\n")
    path.chmod(mode)
    return path


class TestLayers:
    def test_nothing_set_gives_the_defaults_and_the_hosts_name(self):
        config = load(None, {"STATE_DIRECTORY": "/var/lib/cleartap"}, {})
        assert config.sensor
        assert (config.capture, config.alerts, config.outputs) == (CaptureSettings(), AlertSettings(), ())
        assert config.state == StateSettings(path="/var/lib/cleartap/state.sqlite")

    def test_the_environment_overrides_the_file_and_the_command_line_the_environment(self, tmp_path: Path):
        text = 'sensor = "file"\n[capture]\ninterfaces = ["eth1"]\nsnaplen = 1000\nworkers = 1\n[alerts]\nmin_severity = "low"'
        environment = {"CLEARTAP_CAPTURE_INTERFACES": "eth2, eth3", "CLEARTAP_CAPTURE_WORKERS": "2", "CLEARTAP_CAPTURE_PROMISCUOUS": "no", "CLEARTAP_SENSOR": "env"}
        config = read(tmp_path, text, environment, capture__workers=3, capture__snaplen=None, sensor="flag")
        assert config.sensor == "flag"
        assert config.capture == CaptureSettings(interfaces=("eth2", "eth3"), snaplen=1000, workers=3, promiscuous=False)
        assert config.alerts.min_severity == "low"

    def test_overrides_may_be_texts_or_values(self, tmp_path: Path):
        assert read(tmp_path, "", capture__interfaces=["a", "b"]).capture.interfaces == ("a", "b")
        assert read(tmp_path, "", capture__interfaces="a,b").capture.interfaces == ("a", "b")
        assert read(tmp_path, "", capture__workers="4").capture.workers == 4

    def test_paths_start_from_the_file_or_from_the_working_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        text = '[state]\npath = "s/state.sqlite"\n[[output]]\nname = "f"\ntype = "file"\npath = "../out.jsonl"'
        config = read(tmp_path, text)
        assert config.state.path == str(tmp_path / "s/state.sqlite")
        assert config.outputs[0].path == str(tmp_path.parent / "out.jsonl")
        assert read(tmp_path, text, {"CLEARTAP_STATE_PATH": "x"}).state.path == str(here / "x")
        assert read(tmp_path, text, state__path="y").state.path == str(here / "y")

    @pytest.mark.parametrize(
        ("environment", "path"),
        [
            ({"STATE_DIRECTORY": "/a:/b", "HOME": "/h"}, "/a/state.sqlite"),
            ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/cleartap/state.sqlite"),
            ({"HOME": "/h"}, "/h/.local/state/cleartap/state.sqlite"),
        ],
    )
    def test_the_state_has_its_place(self, environment: dict[str, str], path: str):
        assert load(None, environment, {}).state.path == path

    def test_variables_that_kubernetes_makes_for_services_are_not_mistakes(self):
        made = {"CLEARTAP_METRICS_SERVICE_HOST": "10.0.0.1", "CLEARTAP_METRICS_SERVICE_PORT": "9476", "CLEARTAP_METRICS_SERVICE_PORT_HTTP": "9476",
                "CLEARTAP_METRICS_PORT": "tcp://10.0.0.1:9476", "CLEARTAP_METRICS_PORT_9476_TCP_ADDR": "10.0.0.1", "CLEARTAP_KEY_FILE": "/k", "CLEARTAP_REQUIRE_LIVE": "1"}  # fmt: skip
        assert load(None, made, {}).metrics.listen == "127.0.0.1:9476"

    def test_all_kinds_of_tables(self, tmp_path: Path):
        config = read(
            tmp_path,
            '[[network]]\nname = "db"\ncidr = "10.1.0.0/24"\ntier = "database"\n[[severity]]\nrule = "pii/*"\nseverity = "low"\n'
            '[[expected]]\nrule = "credential/ftp"\nserver = "10.1.0.9"\nowner = "storage"\nreason = "printer"\nexpires = 2027-03-31\n'
            '[[threshold]]\nrule = "pii/*"\ncount = 50\nminutes = 10\n',
        )
        assert config.networks == (Network(name="db", cidr="10.1.0.0/24", tier="database"),)
        assert config.severities[0].severity == "low"
        assert config.expected[0].expires == date(2027, 3, 31)
        assert (config.thresholds[0].count, config.thresholds[0].minutes) == (50, 10)


class TestRefusals:
    def test_all_mistakes_are_told_at_once_each_with_its_place(self, tmp_path: Path):
        said = refusal(
            tmp_path,
            'sensr = "x"\n[capture]\nsnaplen = "big"\ninterfases = ["a"]\n[alerts]\nmin_severity = "urgent"\n[[network]]\nname = "n"\ncidr = "10.0.0.1/24"\ntier = "dmz"\n'
            '[[output]]\nname = "s"\ntype = "syslog"\n[[output]]\nname = "s"\ntype = "syslog"\naddress = "h:99999"\n',
            {"CLEARTAP_STATE_MAX_MB": "lots", "CLEARTAP_STATE_MAXMB": "3"},
            metrics__listen="nowhere",
        )
        lines = said.splitlines()
        assert lines[0] == "12 mistakes in the configuration:"
        assert len(lines) == 13
        file = re.escape(str(tmp_path / "cleartap.toml"))
        for expected in (
            rf"{file}: sensr is unknown \(is sensor meant\?\); allowed: sensor, \[capture\]",
            rf'{file}: \[capture\] snaplen is "big"; allowed: a whole number from 96 to 262144',
            rf"{file}: \[capture\] interfases is unknown \(is interfaces meant\?\)",
            rf'{file}: \[alerts\] min_severity is "urgent"; allowed: info, low, medium, high or critical',
            rf'{file}: \[\[network\]\] 1 \(n\) cidr is "10.0.0.1/24", which has host bits set',
            rf'{file}: \[\[network\]\] 1 \(n\) tier is "dmz"; allowed: client, database',
            rf"{file}: \[\[output\]\] 1 \(s\) address is missing, which type syslog needs",
            rf'{file}: \[\[output\]\] 2 \(s\) address is "h:99999"; allowed: host or host:port',
            rf'{file}: \[\[output\]\] 2 \(s\) name is "s", as \[\[output\]\] 1 has it',
            r'CLEARTAP_STATE_MAX_MB is "lots"; allowed: a whole number from 16 to 1048576',
            r"CLEARTAP_STATE_MAXMB is unknown \(is CLEARTAP_STATE_MAX_MB meant\?\)",
            r'command line: metrics.listen is "nowhere"',
        ):
            assert any(re.match("  " + expected, line) for line in lines), expected

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("capture = 3", r"capture is 3; allowed: one table, \[capture\]"),
            ("[[capture]]\nsnaplen = 100", r"capture is an array \(\[\[capture\]\]\)"),
            ("[output]\nname = 'a'", r"output is one table \(\[output\]\); allowed: any number of tables, \[\[output\]\]"),
            ("output = [1]", "output is an array"),
            ("sensor = 5", "sensor is 5"),
            ("sensor = 'a b'", 'sensor is "a b"'),
            ("[capture]\nworkers = true", "workers is true"),
            ("[capture]\nworkers = 1.5", "workers is 1.5"),
            ("[capture]\nworkers = -1", "workers is -1"),
            ("[capture]\npromiscuous = 'yes'", "promiscuous is"),
            ("[capture]\ninterfaces = 'eth1'", "interfaces is"),
            ("[capture]\ninterfaces = ['eth1', 'eth1']", "interfaces has eth1 twice"),
            ("[capture]\nfilter = \"a\\nb\"", "filter has a control character"),
            ("[metrics]\nlisten = '10.0.0.300:1'", "listen is"),
            ("[metrics]\nweb_config = 'no.yml'", "web_config names .*no.yml that cannot be read"),
            ("[[severity]]\nseverity = 'low'", "matches everything"),
            ("[[severity]]\nrule = 'a'", "severity is missing"),
            ("[[severity]]\nserver = '10.0.0.0/33'\nseverity = 'low'", "server is"),
            ("[[severity]]\nport = 65536\nseverity = 'low'", "port is 65536"),
            ("[[expected]]\nrule = '*'\nowner = 'o'\nreason = 'r'\nexpires = 2027-01-01", "has neither client nor server"),
            ("[[expected]]\nrule = '*'\nserver = '::1'\nreason = 'r'\nexpires = 2027-01-01", "owner is missing"),
            ("[[expected]]\nrule = '*'\nserver = '::1'\nowner = ''\nreason = 'r'\nexpires = 2027-01-01", "owner is empty"),
            ("[[expected]]\nrule = '*'\nserver = '::1'\nowner = 'o'\nreason = 'r'\nexpires = '2027-01-01'", "expires is .*allowed: a date without quotes"),
            ("[[expected]]\nrule = '*'\nserver = '::1'\nowner = 'o'\nreason = 'r'\nexpires = 2027-01-01T00:00:00", "expires is the time"),
            ("[[threshold]]\nrule = 'a'\ncount = 1\nminutes = 1", "count is 1; allowed: a whole number from 2"),
            ("[[network]]\nname = 'a'\ncidr = '::/0'\n[[network]]\nname = 'b'\ncidr = '::/0'", r"\[\[network\]\] 2 \(b\) cidr"),
            ("[[output]]\nname = 'a'\ntype = 'kafka'", "type is"),
            ("[[output]]\ntype = 'file'\npath = 'x'", "name is missing"),
            ("[[output]]\nname = 'a'\ntype = 'file'\npath = 'x'\nurl = 'http://h/'", "url has no meaning for type file"),
            ("[[output]]\nname = 'a'\ntype = 'file'\npath = 'x'\nformat = 'slack'", "format is slack, which type file cannot write"),
            ("[[output]]\nname = 'a'\ntype = 'mail'\naddress = 'h'\nsender = 'a@b'\nrecipients = ['no']", "recipients is"),
            ("[[output]]\nname = 'a'\ntype = 'mail'\naddress = 'h'\nsender = 'a@b'\nrecipients = ['a@b']\ntransport = 'udp'", "transport is udp, which mail cannot use"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'\nurl = 'ftp://h/'", "url is not that; allowed: an http or https URL"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'", "url or url_file is missing"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://h'\nheaders = {X = 1}", "headers has a value for X"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://h'\nheaders = {'a b' = 'x'}", "headers has a name"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://h'\nusername = 'u'", "username and password_file only go together"),
            ("[[output]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://h'\nwants = ['alerts']", "wants is .*allowed: an array, .*alert, finding or channel"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, tmp_path: Path, text: str, told: str):
        said = refusal(tmp_path, text)
        assert re.search(told, said), said
        assert "mistakes" not in said, "one mistake is told as one"

    def test_queues_leave_room_for_the_record(self, tmp_path: Path):
        """They lie in the state, whose bound never takes them: it would take all findings in their stead."""
        outputs = "".join(f'[[output]]\nname = "{name}"\ntype = "file"\npath = "{name}"\nqueue_mb = 40\n' for name in "ab")
        told = refusal(tmp_path, f"[state]\nmax_mb = 159\n{outputs}")
        assert "queue_mb is 80 for all outputs together; allowed: at most half of [state] max_mb (79)" in told
        assert len(read(tmp_path, f"[state]\nmax_mb = 160\n{outputs}").outputs) == 2

    def test_a_file_that_is_no_toml_or_not_there(self, tmp_path: Path):
        assert "is not TOML" in refusal(tmp_path, "a = = 1")
        assert "is not TOML" in refusal(tmp_path, "[[expected]]\nexpires = 2027-02-30")
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            load(str(tmp_path / "none.toml"), {}, {})
        with pytest.raises(UsageError, match="cannot be read: Is a directory"):
            load(str(tmp_path), {}, {})
        (tmp_path / "latin").write_bytes(b"sensor = '\xe9'")
        with pytest.raises(UsageError, match="not UTF-8"):
            load(str(tmp_path / "latin"), {}, {})
        (tmp_path / "deep").write_text("a = " + "[" * 20_000)
        with pytest.raises(UsageError, match=r"nested too deeply|not TOML"):
            load(str(tmp_path / "deep"), {}, {})

    def test_a_key_cannot_forge_a_line(self, tmp_path: Path):
        said = refusal(tmp_path, '"a\\nb\\u001b[31m" = 1\n["x\\ny"]\n"[capture]" = 1')
        assert len(said.splitlines()) == 3
        assert "\x1b" not in said

    def test_an_unknown_word_on_the_command_line(self):
        with pytest.raises(UsageError, match=r"command line: capture.ringmb is unknown \(is capture.ring_mb meant\?\)"):
            load(None, {}, {"capture.ringmb": 3})


HOOK = "[[output]]\nname = 'hook'\ntype = 'webhook'\nurl = 'https://h/'\n"


class TestSecrets:
    @pytest.mark.parametrize("key", ["secret_file", "password_file", "key_file", "url_file"])
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o601])
    def test_a_file_that_others_can_read_is_refused(self, tmp_path: Path, key: str, mode: int):
        extra = {"password_file": "username = 'u'\n", "key_file": f"cert_file = '{secret(tmp_path, name='c')}'\n"}.get(key, "")
        hook = HOOK.replace("url = 'https://h/'\n", "") if key == "url_file" else HOOK
        said = refusal(tmp_path, f"{hook}{extra}{key} = '{secret(tmp_path, mode)}'")
        assert re.search(rf"{key} names a file whose mode is {mode:04o}, so others can read it; allowed: .*chmod 0600", said), said
        assert read(tmp_path, f"{hook}{extra}{key} = '{secret(tmp_path, 0o600)}'").outputs

    def test_neither_missing_nor_empty_nor_a_pipe(self, tmp_path: Path):
        (tmp_path / "empty").touch(0o600)
        os.mkfifo(tmp_path / "pipe", 0o600)
        assert "cannot be read (No such file" in refusal(tmp_path, HOOK + "secret_file = 'none'")
        assert "that is empty" in refusal(tmp_path, HOOK + "secret_file = 'empty'")
        assert "not a regular file" in refusal(tmp_path, HOOK + "secret_file = 'pipe'")
        assert "not a regular file" in refusal(tmp_path, HOOK + "secret_file = '.'")

    def test_a_secret_written_where_it_does_not_belong_is_not_repeated(self, tmp_path: Path):
        canary = "PLANTED-CANARY"
        for wrong in (
            f"password = '{canary}'",
            f"secret_file = '{canary}'",
            f"password_file = '{canary}'",
            f"headers = {{Authorization = 'Bearer {canary}'}}",
            f"headers = {{X-Api-Key = '{canary}'}}",
            f"headers = {{Cookie = '{canary}'}}",
            f"url_file = '{canary}'",
        ):
            assert canary not in refusal(tmp_path, HOOK + wrong)
        for url in (f"https://u:{canary}@h/", f"https://hooks.slack.com/services/T0/B0/{canary}", f"{canary}", f"https://h:{canary}/", f"htp://h/?token={canary}", f"https://[{canary}/"):
            assert canary not in refusal(tmp_path, HOOK.replace("https://h/", url))
        assert canary not in refusal(tmp_path, "", {"CLEARTAP_STATE_PASSWORD": canary})

    def test_slacks_url_is_told_to_be_written_to_a_file(self, tmp_path: Path):
        assert "url_file" in refusal(tmp_path, HOOK.replace("https://h/", "https://hooks.slack.com/services/T/B/x"))
        assert "url_file is set beside url" in refusal(tmp_path, f"{HOOK}url_file = '{secret(tmp_path)}'")

    def test_no_password_over_plain_http_but_to_this_host(self, tmp_path: Path):
        login = f"username = 'u'\npassword_file = '{secret(tmp_path)}'"
        assert "would be sent in the clear" in refusal(tmp_path, HOOK.replace("https", "http") + login)
        assert read(tmp_path, HOOK.replace("https://h", "http://127.0.0.1:8080") + login).outputs
        assert read(tmp_path, HOOK.replace("https://h", "http://[::1]:8080") + login).outputs

    def test_what_a_service_manager_hands_over(self, tmp_path: Path):
        given = tmp_path / "credentials"
        given.mkdir()
        text = f"{HOOK}secret_file = '{secret(given, 0o440)}'"
        assert "mode is 0440" in refusal(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path / "other")})
        assert read(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(given)}).outputs
        plain = read(tmp_path, f"{HOOK}secret_file = 'secret'", {"CREDENTIALS_DIRECTORY": str(given)})
        assert plain.outputs[0].secret_file == str(given / "secret")
        beside = f"{HOOK}secret_file = '{given}/../{secret(tmp_path, 0o440).name}'"
        assert "mode is 0440" in refusal(tmp_path, beside, {"CREDENTIALS_DIRECTORY": str(given)})
        readable = f"{HOOK}secret_file = '{secret(given, 0o444)}'"
        assert "mode is 0444" in refusal(tmp_path, readable, {"CREDENTIALS_DIRECTORY": str(given)})

    def test_a_root_owned_file_of_our_own_group_only_counts_for_others_than_root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path = secret(tmp_path, 0o440)
        facts = list(path.stat())
        facts[stat.ST_UID], facts[stat.ST_GID] = 0, 4242
        monkeypatch.setattr(Path, "stat", lambda *_, **__: os.stat_result(facts))
        monkeypatch.setattr(os, "getgroups", lambda: [4242])
        base = Base(tmp_path, None)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert File(secret=True).take(str(path), base) == str(path)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(Refused, match="0440"):
            File(secret=True).take(str(path), base)


class TestMail:
    def test_mail_is_encrypted_unless_that_is_turned_off(self, tmp_path: Path):
        text = "[[output]]\nname = 'm'\ntype = 'mail'\naddress = 'mail.example'\nsender = 'a@b.example'\nrecipients = ['c@d.example']\n"
        assert read(tmp_path, text).outputs[0].transport == "tls"
        assert read(tmp_path, text + "transport = 'tcp'").outputs[0].transport == "tcp"

    def test_syslog_with_certificates_but_without_tls_is_a_mistake(self, tmp_path: Path):
        (tmp_path / "ca.pem").write_text("x")
        text = "[[output]]\nname = 's'\ntype = 'syslog'\naddress = 'h:6514'\nca_file = 'ca.pem'\n"
        assert "transport is not tls" in refusal(tmp_path, text)
        assert read(tmp_path, text + "transport = 'tls'").outputs


class TestChanged:
    def test_nothing(self):
        assert changed(load(None, {}, {}), load(None, {}, {})) == ()

    def test_names_the_sections_as_the_file_does(self):
        old = load(None, {}, {})
        new = load(None, {}, {"capture.workers": 3, "alerts.resend_minutes": 5, "sensor": "other"})
        assert changed(old, new) == ("sensor", "capture", "alerts")
        network = Config(networks=(Network(name="a", cidr="::/0"),), outputs=(OutputSettings(name="f", type="file"),))
        assert changed(Config(), network) == ("output", "network")

    def test_those_that_need_a_restart_are_sections(self):
        assert {"sensor", *SECTIONS, *LISTS} > NEEDS_RESTART
        assert "alerts" not in NEEDS_RESTART


class TestTables:
    """The tables and the dataclasses say the same."""

    def test_every_field_is_a_key_and_every_key_a_field(self):
        for cls, kinds in (*SECTIONS.values(), *LISTS.values()):
            assert {f.name for f in fields(cls)} == set(kinds)
        assert {f.name for f in fields(Config)} == {"sensor", *SECTIONS, *FIELDS.values()}

    def test_defaults_are_allowed_values(self):
        for cls, kinds in (*SECTIONS.values(), *LISTS.values()):
            for field in fields(cls):
                if field.default not in (MISSING, "", 0, ()):
                    assert kinds[field.name].take(field.default, Base(Path("/"), None)) == field.default

    def test_severities_and_types_are_those_of_the_rest(self):
        assert tuple(str(s) for s in Severity) == SEVERITIES
        assert set(OUTPUT_TYPES) == set(USED) == set(NEEDED) == set(WRITTEN)
        from sniffer.dissectors import registry

        assert {spec.tier for spec in registry().values()} <= set(TIERS)

    def test_they_are_frozen_and_small(self):
        for cls, _ in (*SECTIONS.values(), *LISTS.values()):
            assert cls.__dataclass_params__.frozen
            assert hasattr(cls, "__slots__")


class TestChecks:
    @pytest.mark.parametrize("good", ["h:1", "a.b-c.example:65535", "10.0.0.1:53", "[::1]:514", "[fe80::1%eth0]:514"])
    def test_endpoints(self, good: str):
        assert endpoint_wrong(good) is None
        assert endpoint_wrong(good.rpartition(":")[0], port=False) is None

    @pytest.mark.parametrize("bad", ["h", "h:0", "h:65536", ":1", "::1:5", "[::1]", "[10.0.0.1]:5", "10.0.0.256:5", "h:1x", "h:+1", "a b:1", "h:1\n", "h:١"])
    def test_no_endpoints(self, bad: str):
        assert endpoint_wrong(bad) is not None

    @pytest.mark.parametrize(("cidr", "good"), [("10.0.0.0/8", True), ("10.0.0.1", True), ("::/0", True), ("fe80::1", True), ("10.0.0.1/8", False), ("10.0.0.0/33", False), ("10.0.0", False), ("01.0.0.0", False), ("a", False)])
    def test_networks(self, cidr: str, good: bool):
        assert (network_wrong(cidr) is None) is good

    @pytest.mark.parametrize("bad", ["", "h", "//h", "http:", "http://", "ftp://h", "http://h:0", "http://h:99999", "http://[::1", "https://u@h", "http://a b/", "file:///etc"])
    def test_urls(self, bad: str):
        assert url_wrong(bad) is not None
        assert url_wrong("https://h.example:8443/a?b=c") is None

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
    def test_any_value_at_any_key_is_taken_or_refused_in_one_printable_line(self, value: object):
        base = Base(Path("/nonexistent"), None)
        for _, kinds in (*SECTIONS.values(), *LISTS.values()):
            for kind in kinds.values():
                try:
                    kind.take(value, base)
                except Refused as refused:
                    assert str(refused).isprintable()
        assert is_(value).isprintable()

    @given(st.text())
    def test_any_variable_text_is_taken_or_refused(self, text: str):
        base = Base(Path("/nonexistent"), None)
        for _, kinds in (*SECTIONS.values(), *LISTS.values()):
            for kind in kinds.values():
                try:
                    kind.take(kind.parse(text), base)
                except Refused as refused:
                    assert str(refused).isprintable()


def stand_ins(text: str, tmp_path: Path) -> str:
    """An example with the files it names made under the test's directory."""
    for _, path in re.findall(r'^#?\s*(\w*_file|web_config) = "([^"]+)"', text, re.MULTILINE):
        secret(tmp_path, name=Path(path).name)
        text = text.replace(f'"{path}"', f'"{tmp_path / Path(path).name}"')
    return text


class TestDocumentation:
    """The words for people are true."""

    def test_the_example_is_valid_and_uses_every_key(self, tmp_path: Path):
        (text,) = re.findall(r"```toml\n(# cleartap\.toml.*?)```", DOC.read_text(), re.DOTALL)
        text = stand_ins(text, tmp_path)
        config = read(tmp_path, text)
        document = tomllib.loads(text)
        for name, (_, kinds) in SECTIONS.items():
            assert set(document[name]) == set(kinds), name
        for name, (_, kinds) in LISTS.items():
            assert {key for table in document[name] for key in table} == set(kinds), name
        assert {output.type for output in config.outputs} == set(OUTPUT_TYPES)

    def test_every_key_is_told_with_its_default(self):
        text = DOC.read_text()
        for name, (cls, _) in (*SECTIONS.items(), *LISTS.items()):
            part = text.split(f"## `[{name}]`" if name in SECTIONS else f"## `[[{name}]]`")[1].split("\n## ")[0]
            for field in fields(cls):
                (row,) = re.findall(rf"^\| `{field.name}` \|.*$", part, re.MULTILINE)
                default = row.split("|")[2].strip()
                if field.default is MISSING and field.default_factory is MISSING:
                    assert default == "required", row
                elif field.default not in (MISSING, "", 0, ()) or isinstance(field.default, bool):
                    assert default == f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`", row

    def test_the_shipped_example_is_valid(self):
        config = load(str(SHIPPED), {"STATE_DIRECTORY": "/var/lib/cleartap"}, {})
        assert config.capture.interfaces
        assert config.outputs

    def test_what_is_commented_out_in_the_shipped_example_is_valid_too(self, tmp_path: Path):
        text = re.sub(r"^#(?=\[|[a-z_]+ = )", "", SHIPPED.read_text(), flags=re.MULTILINE)
        config = read(tmp_path, stand_ins(text, tmp_path))
        assert {output.type for output in config.outputs} == set(OUTPUT_TYPES)
        assert config.networks
        assert config.expected
        assert config.severities
        assert config.thresholds
