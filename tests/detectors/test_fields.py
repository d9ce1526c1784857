"""Names and values out of forms and documents; what names and values say; what kind of text a content is."""

from __future__ import annotations

import time

import pytest

from detectors import _fields
from detectors._fields import Field, fields
from detectors._media import Media, as_utf8, by_look, by_type
from detectors._names import Name, classify, token_kind, user_rank, words
from detectors._values import is_label, is_password, is_token
from sniffer.events import Content, Side, Span


def pairs(data: bytes, media: Media, hits: list[int] | None = None) -> list[tuple[str, str]]:
    return [(f.name, f.value) for f in fields(data, media, hits or [0])]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("userPassword", ("user", "password")), ("user_password2", ("user", "password")), ("user[password]", ("user", "password")),
        ("user:password", ("user", "password")), ("HTTPPassword", ("http", "password")), ("", ()), ("__", ()), ("PASSWD", ("passwd",)),
        ("contraseña", ("contraseña",)),
    ],
)  # fmt: skip
def test_words(name: str, parts: tuple[str, ...]) -> None:
    assert words(name) == parts


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("password", Name.PASSWORD), ("passwd1", Name.PASSWORD), ("j_password", Name.PASSWORD), ("txtPassword", Name.PASSWORD), ("user_pass", Name.PASSWORD),
        ("pass", Name.WEAK_PASSWORD), ("login-pw", Name.WEAK_PASSWORD), ("password_reset_url", Name.OTHER), ("passenger", Name.OTHER),
        ("passwordLength", Name.OTHER), ("pass_rate", Name.OTHER), ("access_token", Name.TOKEN), ("card_number", Name.CARD), ("ccNum", Name.CARD),
        ("primaryAccountNumber", Name.CARD), ("card_id", Name.DENIED), ("order", Name.DENIED), ("discard", Name.OTHER), ("number", Name.GENERIC),
        ("applicant_ssn", Name.SSN), ("SocialSecurityNumber", Name.SSN), ("e-mail", Name.EMAIL), ("userEmail", Name.EMAIL), ("email_count", Name.DENIED),
    ],
)  # fmt: skip
def test_classify(name: str, said: Name) -> None:
    assert classify(name) is said


def test_users_by_rank() -> None:
    assert user_rank("username") == 0
    ranks = [user_rank(n) for n in ("username", "login_id", "email", "id")]
    assert ranks == sorted(ranks, key=lambda r: 99 if r is None else r)
    assert [user_rank(n) for n in ("user_agent", "user_type", "first_name", "comment", "redirect_url")] == [None] * 5


def test_token_names() -> None:
    assert token_kind("githubAccessToken") == "access token"
    assert [token_kind(n) for n in ("csrf_token", "token", "tokenizer", "public_api_key", "key")] == [None] * 5


@pytest.mark.parametrize("value", ["hunter2", "Password", "111111", "pass word", "ümläut", "a", "p$x", "100%"])
def test_passwords(value: str) -> None:
    assert is_password(value)


@pytest.mark.parametrize("value", ["", "****", "••••••", "xxxxxxxx", "${PASS}", "{{ pw }}", "<password>", "%s", "null", "undefined", "a" * 600, "x\0y", "__PW__"])
def test_no_passwords(value: str) -> None:
    assert not is_password(value)


def test_labels() -> None:
    assert all(is_label(v, "password") for v in ("Password", "Your password", "Passwort:", "Mot de passe", "getPassword()", "required|min:8"))
    assert not any(is_label(v, "password") for v in ("hunter2", "s3cr3t!", "Summer2024"))


def test_token_values() -> None:
    assert is_token("q83hf7kd2wzm4x9cb1vr", 16)
    assert not any(is_token(v, 8) for v in ("short", "aaaaaaaaaaaaaaaa1", "no spaces 1 here at all", "https://example.org/1", "onlyletters", "your_token_1"))


def test_duplicate_keys_are_both_seen() -> None:
    assert pairs(b'{"a":"1","a":"2"}', Media.JSON) == [("a", "1"), ("a", "2")]


def test_numbers_stay_as_written() -> None:
    found = fields(b'{"a":4539148803436467,"b":1e400,"c":00}', Media.JSON, [0])
    assert found == []  # "00" is no JSON; nothing stands whole near the start but what follows
    found = fields(b'{"a":4539148803436467,"b":1e400}', Media.JSON, [0])
    assert [(f.value, f.text) for f in found] == [("4539148803436467", False), ("1e400", False)]


def test_scopes_tell_objects_apart() -> None:
    found = fields(b'[{"u":"a"},{"u":"b","v":"c"}]', Media.JSON, [0])
    assert len({f.scope for f in found if f.name == "u"}) == 2
    assert next(f.scope for f in found if f.value == "b") == next(f.scope for f in found if f.value == "c")


def test_broken_json_is_read_near_hits() -> None:
    data = b'{"x":[' + b'"y",' * 500 + b'{"user":"alice","pw":"q1\\u0041"},'
    assert ("pw", "q1A") in pairs(data, Media.JSON, [len(data) - 10])


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fields, "MAX_FIELDS", 10)
    assert len(fields(b"&".join(b"a=%d" % i for i in range(50)), Media.FORM, [0])) == 10
    assert fields(b'{"a":' * 50_000, Media.JSON, [3]) == []
    assert fields(b"[" * 100_000 + b"]" * 100_000, Media.JSON, [3]) == []


def test_sql_rows() -> None:
    data = b"INSERT INTO `t` (`a`, b) VALUES (1, 'x,y'), (NULL, 'it''s (ok)');UPDATE t SET c = 'z'"
    assert pairs(data, Media.SQL) == [("c", "z"), ("a", "1"), ("b", "x,y"), ("a", "NULL"), ("b", "it's (ok)")]


def test_csv() -> None:
    assert pairs(b'a;"b c"\n1;"x;y"\n', Media.CSV) == [("a", "1"), ("b c", "x;y")]
    assert pairs(b"no header here", Media.CSV) == []


def test_multipart_leaves_files_out() -> None:
    data = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nzz\r\n--x\r\nContent-Disposition: form-data; name=b\r\n\r\n1\r\n--x--'
    assert pairs(data, Media.MULTIPART) == [("b", "1")]


@pytest.mark.parametrize(
    ("media", "data"),
    [
        (Media.SQL, b"INSERT INTO t (a) VALUES " + b"('a''" * 20_000), (Media.SQL, b"INSERT INTO t (a) VALUES ('" + b"''" * 50_000),
        (Media.XML, b"<a " * 40_000), (Media.XML, b"<a><![CDATA[" * 10_000), (Media.JSON, b'"a":"' * 30_000), (Media.JSON, b'"a" ' * 30_000),
        (Media.FORM, b"a=%" * 40_000), (Media.CSV, b'a,b\n"' + b'"",' * 40_000), (Media.MULTIPART, b"--x\r\n" * 20_000), (Media.GRAPHQL, b'a:"' * 40_000),
        (Media.XML, b"<methodName>system.multicall</methodName>" + b"<name>methodName</name><value>wp.getPost<" * 20_000), (Media.XML, b"<methodName>login</methodName>" + b"<param><value>" * 30_000),
        (Media.JSON, b'{"method":"login","params":' * 5_000), (Media.LINES, b"a=\r" * 50_000 + b"=\r\n" * 50_000), (Media.MULTIPART, b"--x\r\ncontent-disposition: form-data; " + b"name " * 40_000),
    ],
)  # fmt: skip
def test_hostile_text_takes_linear_time(media: Media, data: bytes) -> None:
    start = time.process_time()
    fields(data, media, list(range(0, len(data), 7)))
    assert time.process_time() - start < 2


def content(data: bytes, charset: str | None = None) -> Content:
    return Content(span=Span(Side.CLIENT, 0, len(data)), data=data, charset=charset)


def test_utf16() -> None:
    assert as_utf8(content("password=ü".encode("utf-16-le"))) == "password=ü".encode()
    assert as_utf8(content("pass".encode("utf-16"))).endswith(b"pass")
    assert as_utf8(content("pass".encode("utf-16-be"), "UTF-16BE")) == b"pass"
    assert as_utf8(content(b"pass", "nonsense")) == b"pass"
    assert as_utf8(content(b"ab", "utf-16-nonsense")) == b"ab"


@pytest.mark.parametrize(
    ("media", "said"),
    [
        ("application/json", Media.JSON), ("application/vnd.api+json", Media.JSON), ("application/soap+xml", Media.XML), ("image/png", Media.OPAQUE),
        ("image/svg+xml", Media.PAGE), ("message/rfc822", Media.MAIL), ("text/x-log", Media.TEXT), ("", Media.VAGUE), ("application/weird", Media.VAGUE),
    ],
)  # fmt: skip
def test_media(media: str, said: Media) -> None:
    assert by_type(media) is said


def test_what_vague_text_is() -> None:
    assert by_look(b' {"a":1}', Media.VAGUE) is Media.JSON
    assert by_look(b'{"a":1}', Media.PAGE) is Media.JSON
    assert by_look(b"<!DOCTYPE html>", Media.VAGUE) is Media.PAGE
    assert by_look(b"<a/>", Media.VAGUE) is Media.XML
    assert by_look(b"a=1&b=2", Media.VAGUE) is Media.FORM
    assert by_look(b"a = 1 & b", Media.VAGUE) is Media.VAGUE
    assert by_look(b"insert into t (a) values (1)", Media.VAGUE) is Media.SQL
    assert by_look(b"abc\0def", Media.VAGUE) is Media.BINARY


def test_a_field_shows_its_parts() -> None:
    assert Field("a", "b", 0) == ("a", "b", 0, True)
