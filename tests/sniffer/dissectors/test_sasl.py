from __future__ import annotations

import base64
import hashlib
import hmac
import time
from base64 import b64encode

import pytest

from sniffer.dissectors._sasl import MAX_RESPONSE, Sasl, begun, joined, unbase64
from sniffer.events import ChallengeResponse, Event, Login, Outcome, Side, Span, Token

SPAN = Span(Side.CLIENT, 10, 20)


def exchange(mechanism: str, *turns: bytes | None, initial: bytes | None = None, outcome: Outcome = Outcome.ACCEPTED) -> list[Event]:
    """Challenge, response, challenge, response … after an optional initial response."""
    sasl = Sasl(mechanism, "AUTH ")
    if initial is not None:
        sasl.initial(initial, SPAN)
    for i, turn in enumerate(turns):
        if i % 2:
            assert sasl.expects
            sasl.response(turn, SPAN)
        else:
            sasl.challenge(turn)
    return list(sasl.finish(outcome))


def only(events: list[Event]) -> Event:
    assert len(events) == 1
    return events[0]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_plain(outcome: Outcome):
    for events in (exchange("plain", initial=b"\0alice\0s e cret", outcome=outcome), exchange("PLAIN", b"", b"admin\0alice\0s e cret", outcome=outcome)):
        login = only(events)
        assert isinstance(login, Login)
        assert (login.mechanism, login.username, login.secret.reveal(), login.outcome, login.span) == ("AUTH PLAIN", "alice", "s e cret", outcome, SPAN)


@pytest.mark.parametrize(
    ("data", "user", "password"),
    [(b"alice\0\0pw", "alice", "pw"), (b"alice\0pw", "alice", "pw"), (b"\0alice\0pw\0", "alice", "pw"), ("\0älice\0pä".encode(), "älice", "pä"), (b"\0\xe4\0\xe4", "ä", "ä")],
)
def test_plain_as_clients_bend_it(data: bytes, user: str, password: str):
    login = only(exchange("PLAIN", initial=data))
    assert (login.username, login.secret.reveal()) == (user, password)


@pytest.mark.parametrize("data", [b"", b"\0alice\0", b"alice", b"\0alice", b"\0\0", b"x" * (MAX_RESPONSE + 1)])
def test_plain_without_a_password(data: bytes):
    assert exchange("PLAIN", initial=data) == []


@pytest.mark.parametrize(
    "turns",
    [
        (b"Username:", b"alice", b"Password:", b"pw"),
        (b"User Name\0", b"alice", b"Password\0", b"pw"),
        (b"Password:", b"pw", b"Username:", b"alice"),
        (b"Benutzer", b"alice", b"Kennwort", b"pw"),
        (None, b"alice", None, b"pw"),
        (b"Username:", b"wrong", b"Username:", b"alice", b"Password:", b"pw"),
    ],
)
def test_login_in_any_wording_and_order(turns: tuple[bytes | None, ...]):
    login = only(exchange("LOGIN", *turns))
    assert (login.mechanism, login.username, login.secret.reveal()) == ("AUTH LOGIN", "alice", "pw")


def test_login_with_the_user_on_the_command_line():
    login = only(exchange("LOGIN", b"Password:", b"pw", initial=b"alice"))
    assert (login.username, login.secret.reveal()) == ("alice", "pw")


@pytest.mark.parametrize(("data", "expected"), [(b"", None), (b"alice", "alice")])
def test_login_with_an_empty_user_names_nobody(data: bytes, expected: str | None):
    assert only(exchange("LOGIN", b"Username:", data, b"Password:", b"pw")).username == expected


def test_login_with_an_empty_initial_response_has_said_nothing():
    login = only(exchange("LOGIN", b"Benutzer", b"alice", b"Kennwort", b"pw", initial=b""))
    assert (login.username, login.secret.reveal()) == ("alice", "pw")


def test_joined_at_the_user_prompt_reads_both():
    sasl = joined(b"User Name\0", "AUTH ")
    assert sasl is not None
    sasl.response(b"alice", SPAN)
    sasl.challenge(b"Password\0")
    sasl.response(b"pw", SPAN)
    login = only(sasl.finish(Outcome.ACCEPTED))
    assert (login.username, login.secret.reveal()) == ("alice", "pw")


def test_a_quoted_mechanism():
    assert only(exchange('"PLAIN"', b"", b"\0alice\0pw")).mechanism == "AUTH PLAIN"


def test_login_cut_off_before_the_password():
    assert exchange("LOGIN", b"Username:", b"alice") == []


def test_login_with_the_client_alone():
    sasl = Sasl("LOGIN")
    for data in (b"alice", b"pw"):
        assert sasl.expects
        sasl.response(data, SPAN)
    assert not sasl.expects
    login = only(sasl.finish(Outcome.UNKNOWN))
    assert (login.mechanism, login.username, login.secret.reveal()) == ("LOGIN", "alice", "pw")


@pytest.mark.parametrize(
    ("challenge", "mechanism"),
    [
        (b"<1896.697170952@postoffice.example.org>", "CRAM-MD5"), (b'realm="example.org",nonce="abc",qop="auth",charset=utf-8,algorithm=md5-sess', "DIGEST-MD5"),
        (b"NTLMSSP\0\x02\0\0\0" + bytes(40), "NTLM"), (b"", None), (b"go on", None), (b"r=abc,s=QQ==,i=4096", None), (b"<no clock>", None), (b"NTLMSSP\0\x01\0\0\0", None), (b'nonce="abc', None),
    ],
)  # fmt: skip
def test_joined_at_a_challenge_that_tells_the_mechanism(challenge: bytes, mechanism: str | None):
    sasl = joined(challenge)
    assert (sasl and sasl.mechanism) == mechanism


def test_joined_at_the_challenge_makes_the_crackers_line():
    sasl = joined(b"<1896.697170952@postoffice.example.org>", "AUTH ")
    assert sasl is not None
    sasl.response(b"alice " + b"ab" * 16, SPAN)
    (event,) = sasl.finish(Outcome.ACCEPTED)
    assert isinstance(event, ChallengeResponse)
    assert (event.mechanism, event.username, event.crack and event.crack.hashcat) == ("AUTH CRAM-MD5", "alice", 10200)


def test_joined_at_the_password_prompt():
    sasl = joined(b"Password:", "AUTH ")
    assert sasl is not None
    sasl.response(b"pw", SPAN)
    assert not sasl.expects or only(sasl.finish(Outcome.ACCEPTED)).username is None
    assert joined(b"realm") is None
    assert joined(None) is None


def test_cram_md5_line_is_what_crackers_check():
    challenge, user, password = b"<1896.697170952@postoffice.example.net>", b"tim", b"tanstaaftanstaaf"
    digest = hmac.new(password, challenge, "md5").hexdigest()
    found = only(exchange("CRAM-MD5", challenge, user + b" " + digest.encode()))
    assert isinstance(found, ChallengeResponse)
    assert (found.username, found.response.reveal()) == ("tim", digest)
    assert found.crack is not None
    assert (found.crack.format, found.crack.hashcat) == ("cram_md5", 10200)
    _, tag, first, second = found.crack.line.reveal().split("$")
    assert (tag, base64.b64decode(first), base64.b64decode(second)) == ("cram_md5", challenge, user + b" " + digest.encode())


def test_cram_md5_without_the_challenge_is_not_completed():
    sasl = Sasl("CRAM-MD5")
    sasl.response(b"tim " + b"ab" * 16, SPAN)
    assert only(sasl.finish(Outcome.UNKNOWN)).crack is None
    late = Sasl("CRAM-MD5")
    late.response(b"tim " + b"ab" * 16, SPAN)
    late.challenge(b"<late@example.org>")
    assert not late.expects
    assert only(late.finish(Outcome.UNKNOWN)).crack is None


RFC2831 = (
    b'charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="OA6MHXh6VqTrRk",'
    b'digest-uri="imap/elwood.innosoft.com",response=d388dad90d4bbd760a152321f2143af7,qop=auth'
)


def _h(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


def test_digest_md5_line_holds_all_that_the_password_is_checked_with():
    found = only(exchange("DIGEST-MD5", b'realm="x",nonce="y"', RFC2831, b"rspauth=ea40f60335c427b5527b84dbabcdfffd", b""))
    assert isinstance(found, ChallengeResponse)
    assert (found.username, found.realm, found.response.reveal()) == ("chris", "elwood.innosoft.com", "d388dad90d4bbd760a152321f2143af7")
    assert found.crack is not None
    user, realm, nonce, uri, cnonce, nc, qop, response = (x.encode() for x in found.crack.line.reveal().split("$")[2:])
    a1 = _h(b":".join((user, realm, b"secret"))) + b":" + nonce + b":" + cnonce
    a2 = _h(b"AUTHENTICATE:" + uri).hex().encode()
    assert _h(b":".join((_h(a1).hex().encode(), nonce, nc, cnonce, qop, a2))).hex().encode() == response


@pytest.mark.parametrize("bad", [RFC2831.replace(b"chris", b"chr$is"), RFC2831 + b',authzid="bob"', RFC2831.replace(b'nonce="OA6MG9tEQGm2hh",', b"")])
def test_digest_md5_that_no_cracker_takes(bad: bytes):
    assert only(exchange("DIGEST-MD5", b"", bad)).crack is None


def test_digest_md5_that_is_none():
    assert exchange("DIGEST-MD5", b"", b"response=zz,username=x") == []
    assert exchange("DIGEST-MD5", b"", b"x" * 5000) == []


def test_scram_gives_the_proof_and_the_user_but_no_line():
    first = b"n,,n=us=2Cer,r=rOprNGfwEbeRWgbNEkqO"
    final = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    found = only(exchange("SCRAM-SHA-256", b"", first, b"r=x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", final, b"v=x", b""))
    assert isinstance(found, ChallengeResponse)
    assert (found.mechanism, found.username, found.crack) == ("AUTH SCRAM-SHA-256", "us,er", None)
    assert found.response.reveal() == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


@pytest.mark.parametrize(
    ("mechanism", "data"),
    [
        ("XOAUTH2", b"user=alice@example.org\x01auth=Bearer ya29.token-1\x01\x01"),
        ("OAUTHBEARER", b"n,a=alice@example.org,\x01host=mx.example.org\x01port=143\x01auth=Bearer ya29.token-1\x01\x01"),
    ],
)
def test_bearer_tokens(mechanism: str, data: bytes):
    found = only(exchange(mechanism, b'{"status":"401"}', b"", initial=data, outcome=Outcome.REJECTED))
    assert isinstance(found, Token)
    assert (found.mechanism, found.username, found.secret.reveal(), found.outcome) == (f"AUTH {mechanism}", "alice@example.org", "ya29.token-1", Outcome.REJECTED)


def ntlm() -> tuple[bytes, bytes, bytes]:
    negotiate = b"NTLMSSP\0\x01\0\0\0" + bytes(24)
    challenge = b"NTLMSSP\0\x02\0\0\0" + bytes(8) + b"\x01\x02\0\0" + bytes(range(8)) + bytes(16)
    domain, user, lm, nt = "EXAMPLE".encode("utf-16-le"), "alice".encode("utf-16-le"), bytes(24), bytes(range(16)) + b"\x01\x01" + bytes(42)
    fields, payload, at = b"", b"", 64
    for part in (lm, nt, domain, user, b"", b""):
        fields += len(part).to_bytes(2, "little") * 2 + (at + len(payload)).to_bytes(4, "little")
        payload += part
    return negotiate, challenge, b"NTLMSSP\0\x03\0\0\0" + fields + b"\x01\x02\0\0" + payload


@pytest.mark.parametrize("mechanism", ["NTLM", "GSS-SPNEGO", "MSN"])
def test_ntlm_inside(mechanism: str):
    negotiate, challenge, answer = ntlm()
    for events in (exchange(mechanism, b"", negotiate, challenge, answer), exchange(mechanism, challenge, answer, initial=negotiate)):
        found = only(events)
        assert isinstance(found, ChallengeResponse)
        assert (found.mechanism, found.username, found.realm) == ("NTLMv2", "alice", "EXAMPLE")
        assert found.crack is not None
        assert found.crack.hashcat == 5600


def test_ntlm_with_the_client_alone_has_no_line():
    negotiate, _, answer = ntlm()
    sasl = Sasl("NTLM")
    sasl.response(negotiate, SPAN)
    assert sasl.expects
    sasl.response(answer, SPAN)
    assert only(sasl.finish(Outcome.UNKNOWN)).crack is None


@pytest.mark.parametrize(("mechanism", "data"), [("ANONYMOUS", b"trace@example.org"), ("EXTERNAL", b"alice"), ("GSSAPI", b"\x60\x82\x01\x02kerberos"), ("x y", b"\0a\0b")])
def test_mechanisms_without_a_secret(mechanism: str, data: bytes):
    assert exchange(mechanism, b"", data) == []


def test_cancelled_and_undecodable():
    sasl = Sasl("LOGIN")
    sasl.challenge(b"Username:")
    sasl.line(b"*", SPAN)
    assert not sasl.expects
    assert sasl.finish(Outcome.REJECTED) == []
    assert exchange("PLAIN", b"", None) == []


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\0alice\0s3cret", ("AUTH PLAIN", "alice", "s3cret")),
        (b"boss\0alice\0s3cret", ("AUTH PLAIN", "alice", "s3cret")),
        (b"user=alice\x01auth=Bearer abcdef123456\x01\x01", ("AUTH XOAUTH2", "alice", "abcdef123456")),
        (b"n,a=alice,\x01host=x\x01auth=Bearer abcdef123456\x01\x01", ("AUTH OAUTHBEARER", "alice", "abcdef123456")),
    ],
)
def test_a_response_that_names_its_mechanism_by_its_form(data: bytes, found: tuple[str, str, str]):
    sasl = begun(b64encode(data), SPAN, "AUTH ")
    assert sasl is not None
    (event,) = sasl.finish(Outcome.ACCEPTED)
    assert isinstance(event, Login | Token)
    assert (event.mechanism, event.username, event.secret.reveal()) == found


@pytest.mark.parametrize("data", [b"", b"alice", b"alice\0s3cret", b"a\0b\0", b"\0\0s3cret", b"\x01\0alice\0s3cret", b"a\0b\0c\0d", b"alice " + b"ab" * 16, b"NTLMSSP\0\x01\0\0\0" + bytes(40), b"NTLMSSP\0\x03\0\0\0" + bytes(80), b"n,,n=alice,r=abc"])
def test_responses_that_might_be_of_any_mechanism(data: bytes):
    assert begun(b64encode(data), SPAN) is None
    assert begun(data, SPAN) is None


def test_an_exchange_is_finished_once():
    sasl = Sasl("PLAIN")
    sasl.initial(b"\0a\0b", SPAN)
    assert len(sasl.finish(Outcome.ACCEPTED)) == 1
    assert sasl.finish(Outcome.ACCEPTED) == []


@pytest.mark.parametrize(("text", "data"), [(b"=", b""), (b"", b""), (b"YWxpY2U=", b"alice"), (b"YWxpY2U", b"alice"), (b" YWxpY2U= ", b"alice"), (b"Y", None), (b"a b", None), (b"*", None), (b"QUIT!", None)])
def test_base64_lines(text: bytes, data: bytes | None):
    assert unbase64(text) == data


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "XOAUTH2", "NTLM"])
@pytest.mark.parametrize("junk", [b"\0", b" ", b',a="', b"n,,n=", b"auth=Bearer ", b"NTLMSSP\0\x03\0\0\0", b"\xff"])
def test_hostile_responses_cost_little(mechanism: str, junk: bytes):
    start = time.perf_counter()
    sasl = Sasl(mechanism)
    for _ in range(3):
        sasl.challenge(junk * 800)
        sasl.response((junk * MAX_RESPONSE)[:MAX_RESPONSE], SPAN)
    sasl.finish(Outcome.ACCEPTED)
    assert time.perf_counter() - start < 1
