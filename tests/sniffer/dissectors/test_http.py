"""HTTP/1: heads, bodies, and the secrets in both, told with the status that answered."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest

from sniffer.dissectors import Match
from sniffer.dissectors._http_body import MAX_OPEN
from sniffer.dissectors.http import SPEC, probe
from sniffer.errors import Malformed
from sniffer.events import Anomaly, Content, Login, Outcome, Posture, Skip
from tests.drive import Gap, Side, client, drive, server
from tests.sniffer.dissectors.say import both, content, hashes, logins, secret_of, storm, tokens, upgrades

OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def get(*fields: str, target: str = "/", method: str = "GET") -> str:
    return f"{method} {target} HTTP/1.1\r\nHost: a.example\r\n" + "".join(f"{f}\r\n" for f in fields) + "\r\n"


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


@pytest.mark.parametrize(("status", "outcome"), [("200 OK", "accepted"), ("302 Found", "accepted"), ("401 No", "rejected"), ("403 No", "rejected"), ("407 No", "unknown"), ("500 Oops", "unknown")])
def test_basic_is_told_with_the_status(status, outcome):
    script = [client(get(f"Authorization: {basic('alice', 'pä:ss')}")), server(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")]
    events = both(SPEC, script)
    assert logins(events) == [("Basic", "alice", "pä:ss", outcome)]
    assert base64.b64decode(secret_of(script, next(e for e in events if isinstance(e, Login)))).startswith(b"alice:")


def test_pipelined_requests_have_their_own_answers():
    script = [client(get(f"Authorization: {basic('a', 'one')}") + get() + get(f"authorization:{basic('a', 'two')}")), server("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno" + "HTTP/1.1 100 Continue\r\n\r\n" + OK + OK)]
    assert [x[2:] for x in logins(both(SPEC, script))] == [("one", "rejected"), ("two", "accepted")]


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Authorization: Bearer abc.def-1", ("Bearer", None, "abc.def-1")),
        ("Authorization: toolbox 1234-5678", ("toolbox", None, "toolbox 1234-5678")),
        ("X-Api-Key: k-123456", ("API key", "X-Api-Key", "k-123456")),
        ("Cookie: a=1; PHPSESSID=abcdef123456", ("cookie", "PHPSESSID", "abcdef123456")),
        ("Sec-WebSocket-Protocol: v1, eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", ("JWT", None, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl")),
    ],
)
def test_tokens(field, found):
    assert found in tokens(both(SPEC, [client(get(field)), server(OK)]))


def test_session_cookies_being_set():
    script = [client(get()), server("HTTP/1.1 200 OK\r\nSet-Cookie: sid=abcdef123456; HttpOnly\r\nset-cookie: gone=deleted\r\nContent-Length: 0\r\n\r\n")]
    assert tokens(both(SPEC, script)) == [("cookie", "sid", "abcdef123456")]


def test_digest_gives_the_crackers_line():
    field = 'Authorization: Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, nonce="7ypf", nc=00000001, cnonce="f2/w", qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQ"'
    (found,) = hashes(both(SPEC, [client(get(field)), server(OK)]))
    assert found[:3] == ("Digest", "Mufasa", "8ca523f5e9506fed4657c9700eebdbec")
    assert found[3] == "$sip$***Mufasa*http-auth@example.org*GET**/dir/index.html**7ypf*f2/w*00000001*auth*MD5*8ca523f5e9506fed4657c9700eebdbec"
    (found,) = hashes(both(SPEC, [client(get(field.replace("MD5", "SHA-256"))), server(OK)]))
    assert found[3] is None


def ntlm(kind: int, **parts: bytes) -> str:
    if kind == 2:
        raw = b"NTLMSSP\0" + (2).to_bytes(4, "little") + bytes(8) + (1).to_bytes(4, "little") + parts["challenge"] + bytes(16)
    else:
        fields, data, at = [], b"", 64
        for name in ("lm", "nt", "domain", "user", "host", "key"):
            value = parts.get(name, b"")
            fields.append(len(value).to_bytes(2, "little") * 2 + at.to_bytes(4, "little"))
            data, at = data + value, at + len(value)
        raw = b"NTLMSSP\0" + (3).to_bytes(4, "little") + b"".join(fields) + (1).to_bytes(4, "little") + data
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
def test_ntlm_pairs_challenge_and_response(scheme):
    nt = bytes(range(16)) + b"blob" * 8
    answer = get(f"Authorization: {scheme} " + ntlm(3, nt=nt, user="bob".encode("utf-16-le"), domain="CORP".encode("utf-16-le")))
    challenge = server(f"HTTP/1.1 401 No\r\nWWW-Authenticate: {scheme} {ntlm(2, challenge=b'12345678')}\r\nContent-Length: 0\r\n\r\n")
    (found,) = hashes(both(SPEC, [client(get()), challenge, client(answer), server(OK)]))
    assert found == ("NTLMv2", "bob", nt.hex(), f"bob::CORP:{b'12345678'.hex()}:{nt[:16].hex()}:{nt[16:].hex()}")
    (alone,) = hashes(both(SPEC, [client(answer), server(OK)]))
    assert alone[3] is None
    lost = drive(SPEC, [client(get()), challenge, Gap(Side.SERVER, 9), client(answer), server(OK)])
    assert hashes(lost)[0][3] is None


def test_ntlm_v1_by_its_length():
    answer = get("Authorization: NTLM " + ntlm(3, lm=bytes(24), nt=bytes(24), user=b"b\0"))
    assert hashes(both(SPEC, [client(answer), server(OK)]))[0][0] == "NTLMv1"


def test_ntlm_with_the_lm_response_alone():
    answer = get("Authorization: NTLM " + ntlm(3, lm=b"L" * 24, user=b"b\0"))
    challenge = server(f"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM {ntlm(2, challenge=b'12345678')}\r\nContent-Length: 0\r\n\r\n")
    assert hashes(both(SPEC, [client(get()), challenge, client(answer), server(OK)])) == [("LM", "b", (b"L" * 24).hex(), f"b:$NETLM${b'12345678'.hex()}${(b'L' * 24).hex()}")]


def test_ntlm_without_flags_has_names_in_the_code_page():
    fields, data, at = [], b"", 52
    for value in (b"L" * 24, b"N" * 24, b"CORP", b"bobby", b"", b""):
        fields.append(len(value).to_bytes(2, "little") * 2 + at.to_bytes(4, "little"))
        data, at = data + value, at + len(value)
    raw = b"NTLMSSP\0" + (3).to_bytes(4, "little") + b"".join(fields[:5]) + data
    assert hashes(both(SPEC, [client(get("Authorization: NTLM " + base64.b64encode(raw).decode())), server(OK)]))[0][:2] == ("NTLMv1", "bobby")


@pytest.mark.parametrize(
    ("status", "found"),
    [("407 No", ("unknown", "rejected")), ("401 No", ("rejected", "accepted")), ("200 OK", ("accepted", "accepted")), ("403 No", ("rejected", "unknown"))],
)
def test_origin_and_proxy_answer_for_themselves(status, found):
    script = [client(get(f"Authorization: {basic('a', 'one')}\r\nProxy-Authorization: {basic('p', 'two')}")), server(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")]
    assert tuple(x[3] for x in logins(both(SPEC, script))) == found


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Authorization:Basic  YWxpY2U6cGFzcw", ("alice", "pass")),  # no padding
        ("Authorization: Basic\r\n YWxpY2U6cGFzcw==", ("alice", "pass")),  # folded
        ("AUTHORIZATION : basic OnBhc3M=", ("", "pass")),
        ("Authorization: Basic YTo_Pz8-", ("a", "???>")),  # the URL alphabet
        ("Authorization: Basic YWxpY2U6cDphOnNz", ("alice", "p:a:ss")),
        ("Authorization: Basic YWxpY2U6cOQ=", ("alice", "pä")),  # Latin-1
        ("Cookie: lang=en; Authorization=Basic%20YWxpY2U6cGFzcw%3D%3D", ("alice", "pass")),  # TP-Link
        ("Authorization: Basic YWxpY2U6cGFzcwo=", ("alice", "pass")),  # a line, from echo
        ("Cookie: lang=en; dvr_usr=alice; dvr_pwd=pass; dvr_camcnt=4", ("alice", "pass")),  # recorders
        ("Cookie: password=p%20ss; x=1", (None, "p ss")),
        ("X-OpenAM-Username: alice\r\nX-OpenAM-Password: pass", ("alice", "pass")),
    ],
)
def test_odd_but_honest_credentials(field, found):
    script = [client(get(field)), server(OK)]
    assert [x[1:3] for x in logins(both(SPEC, script))] == [found]


def test_an_api_key_as_the_user_of_basic():
    key = "ak_7Hq2mVd83kzLw0Tn5Rxc"
    events = both(SPEC, [client(get("Authorization: " + basic(key, ""))), server(OK)])
    assert tokens(events) == [("API key", None, key)]
    assert not tokens(both(SPEC, [client(get("Authorization: " + basic("alice", ""))), server(OK)]))


def test_a_hash_in_a_cookie_is_no_password():
    events = both(SPEC, [client(get("Cookie: user=alice; password=5f4dcc3b5aa765d61d8327deb882cf99")), server(OK)])
    assert not logins(events)
    assert ("cookie", "password", "5f4dcc3b5aa765d61d8327deb882cf99") in tokens(events)


def test_a_cookies_password_is_where_it_stands():
    for field in ("Cookie: pwd=a; user=bob", "Cookie:user=bob; pwd=a"):
        script = [client(get(field)), server(OK)]
        (event,) = (e for e in drive(SPEC, script) if isinstance(e, Login))
        assert (event.username, secret_of(script, event)) == ("bob", b"a")
    assert not logins(drive(SPEC, [client(get("Cookie: user=alice; pass=0; password=****; pwd=")), server(OK)]))


def test_the_basic_cookies_span():
    script = [client(get("Cookie: lang=en; Authorization=Basic%20YWxpY2U6cGFzcw%3D%3D")), server(OK)]
    (event,) = (e for e in drive(SPEC, script) if isinstance(e, Login))
    assert secret_of(script, event) == b"Basic%20YWxpY2U6cGFzcw%3D%3D"


@pytest.mark.parametrize(
    "field",
    [
        "Authorization: Anonymous", "Authorization: Basic", "Authorization: Basic {{token}}", "Authorization: Basic user:pass", "Authorization: Basic AAECAwQFOgYH", "Authorization: Basic YWxpY2U6",
        "Authorization: Kerberos YIIFAAYJKoZIhvcSAQICAQBu", "Authorization: CredSSP MDegAwIBA6EwMC4", "Authorization: Negotiate",
        "Authorization: AWS4-HMAC-SHA256 Credential=x/y, Signature=00ff00ff00ff", "Cookie: rememberMe=deleteMe",
    ],
)  # fmt: skip
def test_fields_that_give_nothing_away(field):
    events = both(SPEC, [client(get(field)), server(OK)])
    assert not logins(events)
    assert not tokens(events)


def digest(**changes: str) -> list[tuple[str, str | None, str, str | None]]:
    fields = {"username": '"m"', "realm": '"r"', "uri": '"/"', "nonce": '"n"', "nc": "1", "cnonce": '"c"', "qop": '"auth"', "response": '"8ca523f5e9506fed4657c9700eebdbec"'} | changes
    return hashes(both(SPEC, [client(get("Authorization: Digest " + ",".join(f"{k}={v}" for k, v in fields.items()))), server(OK)]))


@pytest.mark.parametrize(
    ("wire", "user"),
    [('"CORP\\\\bob"', "CORP\\bob"), ('"CORP\\bob"', "CORP\\bob"), ('"a\\"b"', 'a"b'), ('"a,b=c"', "a,b=c"), ('"müller"', "müller")],
)
def test_digest_users_are_unquoted(wire, user):
    (found,) = digest(username=wire)
    assert found[1] == user
    assert f"$sip$***{user}*r*GET" in (found[3] or "")


def test_digest_in_single_quotes_or_one_left_open():
    for wire in ("'8ca523f5e9506fed4657c9700eebdbec'", '"8ca523f5e9506fed4657c9700eebdbec'):
        assert digest(username="'m'", response=wire)[0][1:3] == ("m", "8ca523f5e9506fed4657c9700eebdbec")


def test_digest_lines_only_for_what_crackers_can_do():
    assert digest()[0][3] is not None
    assert digest(qop='""')[0][3] is not None
    for change in ({"qop": '"auth-int"'}, {"algorithm": "MD5-sess"}, {"userhash": "true"}, {"uri": '"*"'}, {"username": '"a*b"'}):
        assert digest(**change)[0][3] is None


def test_digest_user_in_extended_notation():
    assert digest(**{"username": '""', "username*": "UTF-8''J%C3%A4s%C3%B8n"})[0][1] == "Jäsøn"


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/query?u=root&p=hunter2&q=SHOW", [("root", "hunter2")]), ("/write?db=x&p=a%26b&u=root", [("root", "a&b")]),
        ("/rest/ping.view?u=joe&p=enc:736573616d65&v=1", [("joe", "sesame")]), ("/search?u=1&p=2", []), ("/query?q=1&up=2&u=3", []),
    ],
)  # fmt: skip
def test_users_and_passwords_of_one_letter(target, found):
    assert [x[1:3] for x in logins(both(SPEC, [client(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), server(OK)]))] == found


def test_a_client_that_does_not_wait_for_its_tunnel():
    request = f"CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: {basic('p', 'two')}\r\n\r\n"
    script = [client(request.encode() + b"\x16\x03\x01\x02\0\x01"), server("HTTP/1.1 200 Established\r\n\r\n")]
    events = both(SPEC, script)
    assert logins(events) == [("Basic", "p", "two", "accepted")]
    assert upgrades(events) == [("", "granted", (len(request), len("HTTP/1.1 200 Established\r\n\r\n")))]


def test_icecast_sources():
    script = [client(f"SOURCE /live ICE/1.0\r\nAuthorization: {basic('source', 'hackme')}\r\n\r\n"), server("HTTP/1.0 200 OK\r\n\r\n")]
    assert logins(both(SPEC, script)) == [("Basic", "source", "hackme", "accepted")]
    assert probe(b"SOURCE /live ICE/1.0\r\n", b"") is Match.YES


def test_userinfo_in_targets():
    assert logins(both(SPEC, [client("GET http://bob:p%40ss@a.example/ HTTP/1.1\r\nHost: a\r\n\r\n"), server(OK)])) == [("URL userinfo", "bob", "p@ss", "accepted")]


BODY = b'{"password": "x"}'
CODED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY), "raw deflate": zlib.compress(BODY)[2:-4]}


@pytest.mark.parametrize("name", CODED)
def test_coded_bodies(name):
    data = CODED[name]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {name.rpartition(' ')[2]}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    assert ("response body", BODY) in content(drive(SPEC, [client(get()), server(head + data + OK.encode())]))


def test_br_and_zstd():
    import brotli
    import zstandard

    for name, data in (("br", brotli.compress(BODY)), ("zstd", zstandard.compress(BODY))):
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        assert ("response body", BODY) in content(drive(SPEC, [client(get()), server(head + data)]))


def test_chunks():
    chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    events = both(SPEC, [client(get() + get()), server(chunked + OK)])
    assert content(events) == [("response body", b"hello world")]


@pytest.mark.parametrize("answer", ["HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"])
def test_answers_without_a_body(answer):
    script = [client(get() + get(f"Authorization: {basic('a', 'b')}")), server(answer + "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")]
    assert [x[3] for x in logins(both(SPEC, script))] == ["rejected"]


def test_head_has_no_body():
    script = [client(get(method="HEAD") + get(f"Authorization: {basic('a', 'b')}")), server("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + OK)]
    assert [x[3] for x in logins(both(SPEC, script))] == ["accepted"]


def test_a_body_until_the_end():
    assert content(both(SPEC, [client(get()), server("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of this")])) == [("response body", b"all of this")]


def test_request_bodies_carry_the_outcome():
    post = "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 17\r\n\r\nuser=a&password=b"
    events = both(SPEC, [client(post), server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")])
    assert [(e.where, e.data, e.target, e.outcome) for e in events if hasattr(e, "media")] == [("request body", b"user=a&password=b", "/login", Outcome.REJECTED)]


POSTED = "POST /login HTTP/1.0\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
FORM_BODY = "user=a&password=b"


@pytest.mark.parametrize("head", [POSTED, POSTED.replace("1.0", "1.1"), "POST /login HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize("body", [FORM_BODY, FORM_BODY + "\r\n", "GETTER=1&password=b", "POST=1 2"])
def test_a_posted_body_without_a_length_is_read(head, body):
    script = [client(head), client(body), server("HTTP/1.0 403 No\r\nContent-Length: 0\r\n\r\n")]
    for said in (script, [client(head + body), script[2]], script[:2], [*script, client(get())]):
        events = both(SPEC, said)
        assert content(events) == [("request body", body.encode())]
        (found,) = (e for e in events if isinstance(e, Content))
        assert found.outcome is (Outcome.REJECTED if script[2] in said else Outcome.UNKNOWN)
        assert secret_of(said, found) == body.encode()


def test_after_a_body_without_a_length_comes_the_next_request():
    again = POSTED + "user=c&password=d"
    for script in (
        [client(POSTED + FORM_BODY), client(again)],
        [client(POSTED + FORM_BODY + "\r\n" + again), server(OK + OK)],
        [client(POSTED + FORM_BODY), server("HTTP/1.1 100 Continue\r\n\r\n" + OK), client(again), server(OK)],
    ):
        assert [data.strip() for _, data in content(both(SPEC, script))] == [FORM_BODY.encode(), b"user=c&password=d"]


@pytest.mark.parametrize("after", ["", "\r\n", "\r\n\r\n"])
@pytest.mark.parametrize("method", ["GET", "REPORT", "SUBSCRIBE"])
def test_a_post_without_a_body_is_followed_by_a_request(after, method):
    secret = get(f"Authorization: {basic('a', 'b')}", method=method)
    for script in ([client(POSTED), server(OK), client(after + secret), server(OK)], [client(POSTED + after + secret), server(OK + OK), client(get())], [client(POSTED), client(after + secret[:9]), server(OK), client(secret[9:]), server(OK)]):
        events = both(SPEC, script)
        assert content(events) == []
        assert [x[1:3] for x in logins(events)] == [("a", "b")]


def test_an_earlier_answer_does_not_end_a_body_without_a_length():
    events = both(SPEC, [client(get() + POSTED + FORM_BODY[:9]), server(OK), client(FORM_BODY[9:]), server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")])
    assert [(e.data, e.outcome) for e in events if isinstance(e, Content)] == [(FORM_BODY.encode(), Outcome.REJECTED)]


def test_fields_known_from_a_request_without_a_body_hide_no_posted_one():
    fields = "Host: known.example\r\nAccept: x/known\r\n\r\n"
    script = [client(f"GET / HTTP/1.1\r\n{fields}"), server(OK), client(f"POST / HTTP/1.1\r\n{fields}{FORM_BODY}"), server(OK)]
    assert content(both(SPEC, script)) == [("request body", FORM_BODY.encode())]


def test_lost_bytes_of_a_body_without_a_length():
    assert content(drive(SPEC, [client(POSTED + FORM_BODY[:15]), Gap(Side.CLIENT, 4), client("x=y"), server(OK)])) == []  # a cut password is none
    assert content(drive(SPEC, [client(POSTED + FORM_BODY), Gap(Side.SERVER, 40), server(OK)])) == [("request body", FORM_BODY.encode())]


@pytest.mark.parametrize("cut", [None, 1, 3, 11, 40])
def test_a_message_that_begins_in_pieces_after_lost_bytes(cut):
    late = get(f"Authorization: {basic('a', 'b')}")
    script = [client(get()), server("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nxx"), Gap(Side.CLIENT, 50), client("rest of a body" + late), Gap(Side.SERVER, 20000), server("GET it over HTTP/2 now" + OK)]
    assert [x[1:3] for x in logins(drive(SPEC, script, cut=cut))] == [("a", "b")]


def test_a_body_without_a_length_is_bounded():
    script = [client(POSTED + "x=" + "y" * MAX_OPEN), client(get(f"Authorization: {basic('a', 'b')}")), server(OK)]
    for cut in (None, 1460):
        events = drive(SPEC, script, cut=cut)
        assert content(events) == []
        assert [x[1:3] for x in logins(events)] == [("a", "b")]
        assert any(isinstance(e, Anomaly) for e in events)


def test_pictures_are_skipped():
    script = [client(get() + get(f"Authorization: {basic('a', 'b')}")), server("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 50000\r\n\r\n" + "x" * 50000 + OK)]
    for cut in (None, 100, 1460):
        events = drive(SPEC, script, cut=cut)
        assert any(isinstance(e, Skip) for e in events)
        assert [x[3] for x in logins(events)] == ["accepted"]


def test_a_bomb_is_bounded():
    bomb = gzip.compress(bytes(50 << 20))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    assert sum(len(data) for _, data in content(drive(SPEC, [client(get()), server(head + bomb)]))) <= 8 << 20


def test_tunnels_hand_over():
    connect, granted = "CONNECT a.example:25 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 Established\r\n\r\n"
    assert upgrades(both(SPEC, [client(connect), server(granted)])) == [("", "granted", (len(connect), len(granted)))]
    ask, answer = get("Upgrade: websocket"), "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"
    assert upgrades(both(SPEC, [client(ask), server(answer)])) == [("websocket", "granted", (len(ask), len(answer)))]


def test_gaps():
    secret = get(f"Authorization: {basic('a', 'b')}")
    assert [x[3] for x in logins(drive(SPEC, [client(secret), Gap(Side.SERVER, 10), server(OK)]))] == ["unknown"]
    inside = [client(get()), server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc"), Gap(Side.SERVER, 4), server("xyz" + "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")]
    assert content(drive(SPEC, inside)) == [("response body", b"abc"), ("response body", b"xyz")]
    resumed = [client(get()), Gap(Side.CLIENT, 100), client("rest of something\r\n" + secret), server(OK)]
    assert [x[2] for x in logins(drive(SPEC, resumed))] == ["b"]


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "HTTP/1.1 200\r\nContent-Length: 2, 2\r\n\r\nhi", "\r\nHTTP/1.1 200 OK\r\nContent-Length:2\r\n\r\nhi"])
def test_odd_but_honest_heads(head):
    assert content(both(SPEC, [client(get()), server(head + OK)])) == [("response body", b"hi")]


@pytest.mark.parametrize(
    ("c", "s", "said"),
    [
        (b"GET / HTTP/1.1\r\n", b"", Match.YES), (b"PROPFIND /x HTTP/1.0\n", b"", Match.YES), (b"GE", b"", Match.MORE), (b"", b"HTTP/1.1 200 OK\r\n", Match.YES), (b"", b"HTTP/1.", Match.MORE),
        (b"OPTIONS rtsp://a RTSP/1.0\r\n", b"", Match.NO), (b"REGISTER sip:a SIP/2.0\r\n", b"", Match.NO), (b"RTSP/1.0 200 OK\r\n", b"", Match.NO), (b"HTTP/1.1 200 OK\r\n", b"", Match.NO),
        (b"\x16\x03\x01", b"\x16\x03\x01", Match.NO), (b"USER a\r\n", b"220 ready", Match.NO), (b"PLAY /a\r\n", b"OK 12", Match.NO),
        # A method that the client made up, small letters, the byte of a keep-alive.
        (b"ENTER / HTTP/1.1\r\n", b"", Match.YES), (b"get http://a/ HTTP/1.0\n", b"", Match.YES), (b"ENTER /", b"", Match.MORE), (b"\0GET / HTTP/1.1\r\n", b"", Match.YES), (b"\0", b"", Match.MORE),
        # What one side says began before the capture did: the other tells.
        (b"tail of a body", b"", Match.MORE), (b"\x8f\x02tail", b"", Match.MORE), (b"tail of a body", b"HTTP/1.1 302 Found\r\n", Match.YES), (b"", b"tail of a page", Match.MORE),
        (b"GET / HTTP/1.1\r\n", b"tail of a page", Match.YES),
    ],
)  # fmt: skip
def test_probe(c, s, said):
    assert probe(c, s) is said


TAILS = [b"username=alice&password=hunter2", b"zip, deflate\r\nConnection: close\r\n\r\n", "für\0alle".encode("utf-16"), b"\0", b"GET  HTTP/1.1\r\n\r\n"]


@pytest.mark.parametrize("tail", TAILS)
def test_a_capture_that_begins_in_the_middle_of_a_request(tail):
    secret = get(f"Authorization: {basic('a', 'b')}")
    for script in ([client(tail), client(secret), server(OK)], [client(tail), server(OK), client(secret), server(OK)], [server(OK), client(tail), client(secret), server(OK)]):
        for cut in (None, 1, 7, 100):
            assert logins(drive(SPEC, script, cut=cut)) == [("Basic", "a", "b", "accepted")]


@pytest.mark.parametrize("tail", [b"<p>rest</p>", b"\x89\xff\0" * 3000, b"HTTP/1.1 2", b"x" * 40000])
def test_a_capture_that_begins_in_the_middle_of_an_answer(tail):
    script = [server(tail), client(get(f"Authorization: {basic('a', 'b')}")), server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")]
    for cut in (None, 1, 7, 1460):
        assert logins(drive(SPEC, script, cut=cut)) == [("Basic", "a", "b", "rejected")]


def test_the_end_of_a_body_that_began_before_the_capture_is_content():
    for after in ([], [server(OK)], [server(OK), client(get())], [client(get()), server(OK)]):
        assert content(both(SPEC, [client(FORM_BODY), *after])) == [("request body", FORM_BODY.encode())]


def test_of_bytes_without_a_message_nothing_is_said():
    events = drive(SPEC, [client(bytes(range(256)) * 8)])
    assert [str(e.encryption) for e in events if isinstance(e, Posture)] == ["unknown"]
    assert not content(events)
    with pytest.raises(Malformed):
        drive(SPEC, [client(b"\x16\x03\x01"), server("220 ready\r\n")])


def test_after_nonsense_the_next_request_is_read_all_the_same():
    assert [x[1] for x in logins(drive(SPEC, [client(get()), client("NO MESSAGE\r\n\r\n" + get(f"Authorization: {basic('a', 'b')}")), server(OK)]))] == ["a"]


def test_storm():
    storm(SPEC, [get(f"Authorization: {basic('a', 'b')}").encode(), OK.encode(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\na=b&c=d&e"], rounds=400)
