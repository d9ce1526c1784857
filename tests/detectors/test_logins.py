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
    ("data", "user"),
    [
        ("user%5Blogin%5D=alice&user%5Bpassword%5D=hunter2&user%5Bremember_me%5D=0", "alice"),
        ("user%5Bemail%5D=a%40example.org&user%5Bpassword%5D=hunter2&user%5Bpassword_confirmation%5D=hunter2", "a@example.org"),
        ("mail=alice&user_pass=hunter2&user_pass_again=hunter2", "alice"), ("form%3Auser%3A0=alice&form%3Apwd=hunter2&form%3Ajdt=Login", "alice"),
    ],
)  # fmt: skip
def test_a_user_is_not_what_only_stands_under_the_path_of_one(look: Look, data: str, user: str) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, FORM)] == [(user, "hunter2")]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("usernamefld", "passwordfld"), ("adminuser", "adminpwd"), ("ssousername", "password"), ("txtuser", "txtpass"), ("userid", "userpw"), ("loginuse", "loginpas"),
        ("user", "pws"), ("username", "psd"), ("user", "userident"), ("uname", "hiddenPassword"), ("userName", "passKey"), ("txtLogin", "txtSenha"), ("usernameField", "passwordField"),
        ("session_key", "session_password"), ("nutzername", "passwort"), ("uporabnik", "geslo"), ("kundennummer", "pin"), ("sno", "pwd"), ("regname", "regpass"),
        ("useremailid", "passwrd"), ("imapuser", "pass"), ("SSID_user", "NewPreSharedKey"),
    ],
)  # fmt: skip
def test_names_written_together_with_other_words(look: Look, user: str, password: str) -> None:
    (found,) = [c for c in look(f"lang=en&{user}=alice&{password}=hunter2&autologin=1&go=Go", FORM) if c.rule.id == "credential/http"]
    assert (found.username, found.secret.reveal()) == ("alice", "hunter2")


@pytest.mark.parametrize("before", ["action=login", "lang=en", "sessionid=17", "form_id=f7", "ssid=home", "cardnumber=4929420573595709", "next=%2F", "sid=q83hf7kd2wzm4x9cb1vr", "client_no=", "no=OK"])
def test_no_user_is_made_of_what_stands_before_a_password(look: Look, before: str) -> None:
    (found,) = [c for c in look(f"{before}&password=hunter2", FORM) if c.rule.id == "credential/http"]
    assert found.username is None


@pytest.mark.parametrize("data", ["forgotpassword=1&user=alice", "showpwd=yes1&user=alice", "compass=north1&user=bob", "bypass=cache1&user=bob", "lostpassword=x1&user=bob", "u=alice&p=12", "post=1&p=hunter2", "aa=1&ab=2", "u=http%3A%2F%2Fexample.org%2Fa&p=Title", "u=12345&t=pageview&p=web", "usr=alice&q=1&p=product-list", "u=alice&p=front+page"])
def test_compounds_that_are_no_passwords(look: Look, data: str) -> None:
    assert not look(data, FORM)


@pytest.mark.parametrize(
    "data",
    [
        "u=alice&p=hunter2&do=login", "do=login&u=alice&sectok=x&p=hunter2", "aa=YWxpY2U%3D&ab=aHVudGVyMg==", "group_id=&login_authorization=YWxpY2U6aHVudGVyMg%3D%3D&x=",
        "username=alice&password=hunter2\0",
    ],
)  # fmt: skip
def test_forms_of_routers_and_scripts(look: Look, data: str) -> None:
    assert [(c.mechanism, c.username, c.secret.reveal()) for c in look(data, FORM)] == [("form", "alice", "hunter2")]


def test_letters_for_user_and_password_count_in_what_is_posted_alone(look: Look) -> None:
    assert not look("u=alice&p=hunter2", FORM, where="query string")


@pytest.mark.parametrize(
    "data",
    [
        '<RIBCL VERSION="2.0"><LOGIN USER_LOGIN="alice" PASSWORD="hunter2"></LOGIN></RIBCL>', '<a><login username="alice" password="hunter2"/></a>',
        "<a><nv user='alice'/><nv pwd='hunter2'/></a>",
    ],
)  # fmt: skip
def test_attributes_of_the_last_element(look: Look, data: str) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, XML)] == [("alice", "hunter2")]


@pytest.mark.parametrize(
    "data",
    ["{'username':'alice','password':'hunter2'}", "{username: \"alice\", password: 'hunter2'}", r'"{\"username\":\"alice\",\"password\":\"hunter2\"}"', '{"name":"alice","pass":"hunter2"}'],
)
def test_json_as_scripts_write_it(look: Look, data: str) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, JSON)] == [("alice", "hunter2")]


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
        (_call("metaWeblog.newPost", "1", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("metaWeblog.deletePost", "key", "7", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("blogger.newPost", "key", "1", "alice", "hunter2", "text", "1"), [("alice", "hunter2")]),
        (_call("wp.getOptions", "1", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("wp.getPage", "1", "7", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("mt.getCategoryList", "1", "alice", "p&amp;w1"), [("alice", "p&w1")]),
        (_call("login", "erp", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("login", "alice", "hunter2"), [("alice", "hunter2")]),
        (_call("authenticate", "erp", "alice", "hunter2") .replace("</params>", "<param><value><struct></struct></value></param></params>"), [("alice", "hunter2")]),
        (_call("execute_kw", "erp", "UID", "hunter2", "res.users", "read").replace("<string>UID</string>", "<int>2</int>"), [(None, "hunter2")]),
        (_call("execute", "ls", "files", "now", "please"), []),
        (_call("login", "YWxpY2U=", "aHVudGVyMg==").replace("string>", "base64>").replace("</params>", "<param><value><boolean>1</boolean></value></param></params>"), [("alice", "hunter2")]),
        (_call("wp.getCategories", "1", "alice", "hunter2").replace("<string>1</string>", "<int>1</int>").replace("<string>alice</string>", "alice"), [("alice", "hunter2")]),
        (_call("wp.getCategories", "1", "alice", "hunter2").replace("<value>", "\n <value>\n  ").replace("hunter2", "<![CDATA[hunter2]]>"), [("alice", "hunter2")]),
        ("<methodCall><methodName>system.multicall</methodName><params>" + _INNER.replace("<data>", "<data><value><int>1</int></value>").replace("getUsersBlogs", "getCategories").format("alice", "one-1")
         + _INNER.replace("wp.getUsersBlogs", "pingback.ping").format("http://a", "http://b"), [("alice", "one-1")]),
        (_call("mt.supportedMethods"), []), (_call("mt.getTrackbackPings", "7"), []), (_call("pingback.ping", "http://a", "http://b"), []),
        (_call("weblogUpdates.ping", "blog", "http://b"), []), (_call("login", "alice"), [(None, "alice")]), (_call("metaWeblog.newPost", "1", "alice"), []),
    ],
)  # fmt: skip
def test_xml_rpc_arguments_by_their_place(look: Look, data: str, found: list[tuple[str, str]]) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, XML)] == found


def test_a_post_with_a_large_picture_says_its_password_all_the_same(look: Look) -> None:
    data = _call("metaWeblog.newMediaObject", "1", "alice", "hunter2", "QUJD" * 50_000)
    assert [(c.username, c.secret.reveal()) for c in look(data, XML)] == [("alice", "hunter2")]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('{"id":1,"method":"login","params":["root","hunter2"]}', [("root", "hunter2")]),  # LuCI
        ('[{"jsonrpc":"2.0","method":"auth.login","params":["root","hunter2"],"id":1}]', [("root", "hunter2")]),
        ('{"method":"auth.login","params":["hunter2"],"id":1}', [(None, "hunter2")]),  # Deluge
        ('{"jsonrpc":"2.0","method":"call","params":{"service":"common","method":"login","args":["erp","alice","hunter2"]},"id":1}', [("alice", "hunter2")]),
        ('{"jsonrpc":"2.0","method":"call","params":{"service":"common","method":"authenticate","args":["erp","alice","hunter2",{}]}}', [("alice", "hunter2")]),
        ('{"jsonrpc":"2.0","method":"call","params":{"service":"object","method":"execute_kw","args":["erp",2,"hunter2","res.users","read",[[1]]]}}', [(None, "hunter2")]),
        ('{"jsonrpc":"2.0","method":"call","params":{"service":"db","method":"create_database","args":["m4ster","erp",false,"en"]}}', [(None, "m4ster")]),
        ('{"jsonrpc":"2.0","id":1,"method":"call","params":["00000000000000000000000000000000","session","login",{"username":"root","password":"hunter2"}]}', [("root", "hunter2")]),
        ('{"jsonrpc":"2.0","method":"user.login","params":{"user":"Admin","password":"zabbix1"},"id":1,"auth":null}', [("Admin", "zabbix1")]),
        ('{"jsonrpc":"1.0","id":"c","method":"walletpassphrase","params":["long horse",60]}', [(None, "long horse")]),
        ('{"method":"session-get","arguments":{"fields":["version"]},"tag":3}', []),  # Transmission
        ('{"method":"login","params":[]}', []), ('{"method":"login","params":[1,2]}', []), ('{"method":"login","params":[["a","b"],"c"]}', []),
        ('{"method":"eth_call","params":["0xabc","latest"]}', []), ('{"method":"last_login","params":"a"}', []), ('{"method":"blogin","params":["a","b1"]}', []),
        ('{"method":"call","params":{"service":"object","method":"execute","args":["erp",2]}}', []),
        ('{"method":"call","params":{"service":"report","method":"authenticate_x","args":["a","b","c1"]}}', []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("media", [JSON, FORM, "text/plain"])
def test_json_rpc_arguments_by_their_place(look: Look, media: str, data: str, found: list[tuple[str | None, str]]) -> None:
    assert [(c.username, c.secret.reveal()) for c in look(data, media)] == found


@pytest.mark.parametrize("value", ["{0}", " {0}", "{0} "])
def test_parts_named_without_quotes(look: Look, value: str) -> None:
    data = "".join(f"--b\r\nContent-Disposition: form-data; name={value.format(n)}\r\n\r\n{v}\r\n" for n, v in (("log", "alice"), ("pass", "hunter2"))) + "--b--\r\n"
    for body in (data, "\r\n" + data):
        assert [(c.mechanism, c.username, c.secret.reveal()) for c in look(body, "multipart/form-data")] == [("multipart form", "alice", "hunter2")]
    assert not look(data.replace("pass", "passage"), "multipart/form-data")
    assert not look(data.replace("pass", "pass; filename=pass"), "multipart/form-data")


@pytest.mark.parametrize(
    ("data", "user", "password"),
    [
        ("user=alice\r\npass=hunter 2&x%41\r\n", "alice", "hunter 2&x%41"), ("login=alice\r\npwd=a=b\r\nsubmit=Go\r\n", "alice", "a=b"),
        ("password=hunter2\r\n", None, "hunter2"), ("text=one\r\npassword=hunter2\r\nuser=alice\r\nmore=first\r\nsecond line\r\n", "alice", "hunter2"),
    ],
)  # fmt: skip
def test_a_form_as_plain_text(look: Look, data: str, user: str | None, password: str) -> None:
    assert [(c.mechanism, c.username, c.secret.reveal()) for c in look(data)] == [("plain text form", user, password)]
    assert not look(data, where="mail")
    assert not look(data, side=Side.SERVER, where="response body")


@pytest.mark.parametrize("data", ["if pass=1 then\r\n", "pass=1\nuser=bob\n", "Hello,\r\npass=hunter2\r\n", "pass=\r\nuser=bob\r\n", "pass=****\r\nuser=bob\r\n", "max_pass_len=12\r\nuser=bob\r\n"])
def test_plain_text_that_is_no_form(look: Look, data: str) -> None:
    assert not look(data)


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
