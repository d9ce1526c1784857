"""Login forms, API logins and bearer secrets under their names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sniffer.events import Outcome, Side
from sniffer.findings import Candidate, Severity

Look = Callable[..., list[Candidate]]
FORM, JSON, XML = "application/x-www-form-urlencoded", "application/json", "text/xml"
PARTS = (
    '--b7\r\nContent-Disposition: form-data; name="user"\r\n\r\nalice\r\n--b7\r\nContent-Disposition: form-data; name="passwd"\r\n\r\n'
    "hunter2\r\n--b7--\r\n"
)


@pytest.mark.parametrize(
    ("data", "media", "mechanism", "user", "password"),
    [
        ("username=alice&password=hunter2", FORM, "form", "alice", "hunter2"),
        ("log=alice&pwd=hunter%262&rememberme=forever", FORM, "form", "alice", "hunter&2"),
        ("j_username=alice&j_password=pass+word", FORM, "form", "alice", "pass word"),
        ("user%5Blogin%5D=alice&user%5Bpassword%5D=hunter2&csrf=1", FORM, "form", "alice", "hunter2"),
        ("pass=hunter2&submit=Go", FORM, "form", None, "hunter2"),
        ("email=a%40example.org&pw=x1", FORM, "form", "a@example.org", "x1"),
        ("password=111111&user=bob", FORM, "form", "bob", "111111"),
        ("username=bob&password=Password", FORM, "form", "bob", "Password"),
        ("password=%C3%BCber1&name=alice", FORM, "form", "alice", "über1"),
        ('{"login_id":"alice","password":"hunter2"}', JSON, "json body", "alice", "hunter2"),
        ('{"password":"p\\u0061ss\\"1","userName":"alice"}', JSON, "json body", "alice", 'pass"1'),
        ('{"auth":{"identity":{"password":{"user":{"name":"admin","password":"adm1n"}}}}}', JSON, "json body", "admin", "adm1n"),
        ('{"user":{"email":"a@example.org"},"credentials":{"password":"hunter2"}}', JSON, "json body", "a@example.org", "hunter2"),
        ('{"payload":"{\\"user\\":\\"alice\\",\\"passwd\\":\\"hunter2\\"}"}', JSON, "json body", "alice", "hunter2"),
        ('{"fields":[{"name":"username","value":"alice"},{"name":"password","value":"hunter2"}]}', JSON, "json body", "alice", "hunter2"),
        ('{"username":"alice","password":"hunter2', JSON + ";cut", None, None, None),
        ('[{"username":"alice","password":"hunter2"},', JSON, "json body", "alice", "hunter2"),
        ('{"username":"alice","password":123456}', JSON, "json body", "alice", "123456"),
        ('{"query":"mutation { login(email:\\"a@example.org\\", password:\\"hunter2\\") { token } }"}', JSON, "json body", "a@example.org", "hunter2"),
        ('mutation { login(user:"alice", password:"hunter2") { token } }', "application/graphql", "graphql", "alice", "hunter2"),
        ("<login><user>alice</user><password>hunter&amp;2</password></login>", XML, "xml body", "alice", "hunter&2"),
        ('<login username="alice" password="hunter2"/>', XML, "xml body", "alice", "hunter2"),
        ("<u><wsse:Username>alice</wsse:Username><wsse:Password><![CDATA[hunter2]]></wsse:Password></u>", "application/soap+xml", "xml body", "alice", "hunter2"),
        ("<methodCall><methodName>wp.getUsersBlogs</methodName><params><param><value><string>alice</string></value></param>"
         "<param><value><string>hunter2</string></value></param></params></methodCall>", XML, "xml body", "alice", "hunter2"),
        (PARTS, "multipart/form-data", "multipart form", "alice", "hunter2"),
        ("INSERT INTO users (name, password) VALUES ('alice', 'hunter''2')", "application/sql", "statement", "alice", "hunter'2"),
        ("username,password\nalice,hunter2\n", "text/csv", "csv", "alice", "hunter2"),
        ("username=alice&password=hunter2", "text/plain", "form", "alice", "hunter2"),
        ('{"username":"alice","password":"hunter2"}', "text/plain", "json body", "alice", "hunter2"),
    ],
)  # fmt: skip
def test_logins(look: Look, data: str, media: str, mechanism: str | None, user: str | None, password: str | None) -> None:
    found = [c for c in look(data, media.partition(";")[0]) if c.rule.id == "credential/http"]
    if mechanism is None:
        assert not found  # the value's end was not seen
        return
    assert [(c.mechanism, c.username, c.secret.reveal()) for c in found] == [(mechanism, user, password)]


@pytest.mark.parametrize(
    ("data", "user"),
    [
        ("name=alice&pass=hunter2&form_id=user_login_block", "alice"),
        ("id=alice&pw=hunter2", "alice"),
        ("ctl00%24ContentPlaceHolder1%24Login1%24UserName=alice&ctl00%24ContentPlaceHolder1%24Login1%24Password=hunter2", "alice"),
        ("ctl00%24header%24UserNameTextBox=alice&ctl00%24header%24PasswordTextBox=hunter2", "alice"),
        ("LoginForm%5Busername%5D=alice&LoginForm%5Bpassword%5D=hunter2", "alice"),
        ("form.login=alice&form.password=hunter2", "alice"),
        ("login_username=alice&secretkey=hunter2&js_autodetect_results=1", "alice"),
        ("identifiant=alice&mot_de_passe=hunter2", "alice"),
        ("email=a%40example.org&password=hunter2&login=Log+in", "a@example.org"),
        ("login=login&password=hunter2", "login"),
    ],
)
def test_forms_of_products_and_frameworks(look: Look, data: str, user: str) -> None:
    assert [(c.rule.id, c.username, c.secret.reveal()) for c in look(data, FORM)] == [("credential/http", user, "hunter2")]


@pytest.mark.parametrize(
    ("data", "media", "mechanism"),
    [
        ('{"username":"alice","password":"hunter2"}', FORM, "json body"),
        ("<login><user>alice</user><password>hunter2</password></login>", FORM, "xml body"),
        ("username=alice&password=hunter2", JSON, "json body"),
    ],
)
def test_bodies_under_the_wrong_type(look: Look, data: str, media: str, mechanism: str) -> None:
    (found,) = look(data, media)
    assert (found.mechanism, found.username, found.secret.reveal()) == (mechanism, "alice", "hunter2")


def test_a_secret_key_without_a_user_is_a_key(look: Look) -> None:
    (found,) = look("region=x&secretkey=zq83hf7kd2w", FORM)
    assert found.rule.id == "token/http"


def _call(name: str, *values: str) -> str:
    return f"<methodCall><methodName>{name}</methodName><params>" + "".join(f"<param><value><string>{v}</string></value></param>" for v in values) + "</params></methodCall>"


_INNER = (
    "<value><struct><member><name>methodName</name><value><string>wp.getUsersBlogs</string></value></member><member><name>params</name><value><array>"
    "<data><value><string>{}</string></value><value><string>{}</string></value></data></array></value></member></struct></value>"
)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (_call("blogger.getUsersBlogs", "key", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("session.login_with_password", "root", "hunter2"), [("root", "hunter2")]),
        ("<methodCall><methodName>system.multicall</methodName><params>" + _INNER.format("alice", "one-1") + _INNER.format("bob", "two-2") + "</params></methodCall>",
         [("alice", "one-1"), ("bob", "two-2")]),
        (_call("system.listMethods", "password", "hunter2"), []),
    ],
)  # fmt: skip
def test_xml_rpc_arguments_by_their_place(look: Look, data: str, found: list[tuple[str, str]]) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, XML)] == found


def test_query_string(look: Look) -> None:
    (found,) = look("user=alice&password=hunter2", FORM, where="query string")
    assert (found.mechanism, found.where) == ("query string", "query string, field password")


def test_outcome_decides_severity(look: Look) -> None:
    (found,) = look("user=alice&password=hunter2", FORM, outcome=Outcome.ACCEPTED)
    assert (found.outcome, found.severity) == (Outcome.ACCEPTED, Severity.CRITICAL)


def test_span_of_the_value(look: Look) -> None:
    (found,) = look('{"user":"alice","password":"hunter2"}', JSON, at=500)
    assert (found.span.start, found.span.end) == (528, 535)


def test_two_passwords_and_one_repeated(look: Look) -> None:
    found = look("user=alice&old_password=aaa1&new_password=bbb2&password_confirmation=bbb2", FORM)
    assert [c.secret.reveal() for c in found] == ["aaa1", "bbb2"]


def test_a_part_that_comes_by_itself(look: Look) -> None:
    (found,) = look("hunter2", "text/plain", name="password")
    assert found.secret.reveal() == "hunter2"
    assert not look("hunter2", "text/plain", name="title")
    assert not look("hunter2", "text/plain", name="password.txt")


def test_pin_has_no_fingerprint(look: Look) -> None:
    (found,) = look("user=alice&pin=4711", FORM)
    assert found.secret.kind == "pin"
    assert found.secret.fingerprint(b"k") is None


@pytest.mark.parametrize(
    ("data", "media", "side"),
    [
        ("username=alice&password=", FORM, Side.CLIENT),
        ("username=alice&password=********", FORM, Side.CLIENT),
        ("username=alice&password={{password}}", FORM, Side.CLIENT),
        ("username=alice&password=%24%7BPASS%7D", FORM, Side.CLIENT),
        ("username=alice&password=null", FORM, Side.CLIENT),
        ("grant_type=password&x=1", FORM, Side.CLIENT),
        ("password_reset=1&user=alice", FORM, Side.CLIENT),
        ("passenger_count=4&compass=north&user=alice", FORM, Side.CLIENT),
        ("min_password_length=8", FORM, Side.CLIENT),
        ("user=alice&password_strength=strong", FORM, Side.CLIENT),
        ('{"user":"alice","password":true}', JSON, Side.CLIENT),
        ('{"user":"alice","password":null}', JSON, Side.CLIENT),
        ('{"user":"alice","password":{"type":"string"}}', JSON, Side.CLIENT),
        ('{"username":"Username","password":"Password"}', JSON, Side.SERVER),
        ('{"login":"Anmelden","password":"Passwort"}', JSON, Side.SERVER),
        ('{"password":"Enter your password"}', JSON, Side.SERVER),
        ('{"password":"Kodeord"}', JSON, Side.SERVER),
        ('{"password":"required|min:8"}', JSON, Side.SERVER),
        ('{"password":"string"}', JSON, Side.SERVER),
        ('{"pass":12,"fail":3}', JSON, Side.SERVER),
        ('{"id":"39","pw":640}', JSON, Side.SERVER),
        ('{"tokenizer":"abcdefabcdef1234","author":"alice"}', JSON, Side.SERVER),
        ('<string name="password">Password</string>', XML, Side.SERVER),
        ('<wsse:Password Type="x#PasswordDigest">abcdef123=</wsse:Password>', XML, Side.CLIENT),
        ('<label for="password">Password</label><input type="password" name="password">', "text/html", Side.SERVER),
        ('var t = {password: "Password", user: "x"};', "text/javascript", Side.SERVER),
        ("name,password\nalice,********\n", "text/csv", Side.CLIENT),
    ],
)
def test_silent(look: Look, data: str, media: str, side: Side) -> None:
    assert not look(data, media, side)


def test_a_server_that_hands_out_passwords(look: Look) -> None:
    (found,) = look('{"host":"db","username":"alice","password":"q7!kd93"}', JSON, Side.SERVER)
    assert (found.username, found.confidence) == ("alice", 0.85)


@pytest.mark.parametrize(
    ("data", "media", "mechanism", "severity"),
    [
        ('{"access_token":"q83hf7kd2wzm4x9cb1vr","token_type":"x"}', JSON, "access token", Severity.MEDIUM),
        ('{"refreshToken":"q83hf7kd2wzm4x9cb1vr"}', JSON, "refresh token", Severity.HIGH),
        ("client_id=x&client_secret=zq83hf7kd2w", FORM, "client secret", Severity.HIGH),
        ("api_key=q83hf7kd2wzm4x9cb1vr&q=1", FORM, "API key", Severity.HIGH),
        ("<sessionId>q83hf7kd2wzm4x9cb1vr</sessionId>", XML, "session token", Severity.MEDIUM),
        ('{"github_access_token":"q83hf7kd2wzm4x9cb1vr"}', JSON, "access token", Severity.MEDIUM),
    ],
)
def test_tokens(look: Look, data: str, media: str, mechanism: str, severity: Severity) -> None:
    (found,) = look(data, media)
    assert (found.rule.id, found.mechanism, found.severity) == ("token/http", mechanism, severity)


@pytest.mark.parametrize(
    "data",
    ['{"access_token":""}', '{"access_token":"your_access_token_here_1"}', '{"api_key":"xxxxxxxxxxxxxxxxxxxx1"}', '{"csrf_token":"q83hf7kd2wzm4x9cb1vr"}',
     '{"access_token":"https://example.org/token/1"}', '{"token_count":12345678901234567}', '{"public_api_key":"q83hf7kd2wzm4x9cb1vr"}',
     '{"secret":"Keep it secret"}', '{"access_token":"a sentence of 8 words is no token"}', '{"code":"q83hf7kd2wzm4x9cb1vr"}'],
)  # fmt: skip
def test_no_tokens(look: Look, data: str) -> None:
    assert not look(data, JSON)
