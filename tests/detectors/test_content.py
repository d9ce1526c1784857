"""Laws of all content: nothing raises, time is linear, no value shows, benign text stays silent; the scanner's cache."""

from __future__ import annotations

import base64
import json
import random
import stat
import string
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import _scan, catalogue, registry
from detectors._media import Media
from detectors.content import DETECTORS
from sniffer.events import Content, Side, Span, Token
from sniffer.findings import Candidate, Context
from sniffer.secret import Secret

Look = Callable[..., list[Candidate]]
MEDIA = ("application/json", "application/x-www-form-urlencoded", "text/xml", "text/html", "text/plain", "text/csv", "application/sql",
         "message/rfc822", "multipart/form-data", "application/graphql", "application/octet-stream", "text/javascript", "image/png", "", "x")  # fmt: skip
PIECES = (b'{"password":"', b'"user":"', b"pwd=", b"&", b'"', b"}", b"[", b"4539148803436467", b"4539 1488 0343 6467", b"DE89370400440532013000", b"eyJhbGciOiJ",
          b"-----BEGIN RSA PRIVATE KEY-----", b"alice@example.org", b"://a:b@c", b"Server=x;Uid=y;Pwd=z;", b"ssn", b"219-45-1234", b"%", b"%22", b"\\u00", b"\n", b"\0",
          b"<password>", b"</", b"INSERT INTO t (ssn) VALUES ('", b"secretaccesskey=", b"AKIA", b";4539148803436467=2512101", b"card ", b"--b\r\n", b'name="pw"\r\n\r\n')  # fmt: skip


def of(data: bytes, media: str, side: Side = Side.CLIENT, charset: str | None = None) -> list[Candidate]:
    event = Content(span=Span(side, 0, len(data)), data=data, media=media, where="body", charset=charset)
    return list(DETECTORS[0].look(event, Context("http", "HTTP", "client", "")))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=24)), max_size=30), st.sampled_from(MEDIA), st.sampled_from(Side))
def test_nothing_raises(pieces: list[bytes], media: str, side: Side) -> None:
    for found in of(b"".join(pieces), media, side):
        assert found.span.start <= found.span.end <= sum(map(len, pieces))
        assert found.rule.id == f"{found.rule.category}/{found.rule.id.partition('/')[2]}"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.sampled_from(MEDIA), st.sampled_from((None, "utf-16", "utf-8", "latin-1", "x")))
def test_bytes_raise_nothing(data: bytes, media: str, charset: str | None) -> None:
    of(data, media, Side.SERVER, charset)


@pytest.mark.parametrize("piece", PIECES, ids=[p.decode("latin-1")[:12].strip() for p in PIECES])
@pytest.mark.parametrize("media", ["application/json", "text/plain", "application/x-www-form-urlencoded", "text/xml"])
def test_repetition_takes_linear_time(piece: bytes, media: str) -> None:
    data = piece * (150_000 // len(piece))
    start = time.process_time()
    of(data, media)
    assert time.process_time() - start < 3


CANARY = "Qz7canary9Xk"
CARRIERS = (
    ("application/json", '{"user":"u","password":"%s"}'), ("application/x-www-form-urlencoded", "user=u&password=%s"),
    ("text/xml", "<a><user>u</user><password>%s</password></a>"), ("text/plain", "postgres://u:%s@db/x"),
    ("text/plain", "Server=db;Uid=u;Pwd=%s;"), ("application/json", '{"client_secret":"%s"}'),
)  # fmt: skip


@pytest.mark.parametrize(("media", "text"), CARRIERS)
def test_no_value_shows(media: str, text: str) -> None:
    (found,) = of((text % CANARY).encode(), media)
    assert found.secret.reveal() == CANARY
    shown = f"{found!r} {found} {found.facts} {found.where}"
    for form in (CANARY, quote(CANARY), base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex(), CANARY[:8]):
        assert form not in shown


def test_content_shows_no_data() -> None:
    assert CANARY not in repr(Content(span=Span(Side.CLIENT, 0, 9), data=CANARY.encode()))


def test_utf16_text_is_read() -> None:
    data = '{"user":"alice","password":"hunter2"}'.encode("utf-16-le")
    assert [c.secret.reveal() for c in of(data, "application/json")] == ["hunter2"]


def test_pictures_are_not_read() -> None:
    assert not of(b'{"user":"alice","password":"hunter2"}', "image/png")


def noise(kind: str) -> bytes:
    draw = random.Random(11)
    data = draw.randbytes(120_000)
    return {"random": data, "base64": base64.b64encode(data), "lines": base64.encodebytes(data), "urlsafe": base64.urlsafe_b64encode(data), "hex": data.hex().encode(),
            "dump": b"\n".join(b"%08x: " % i + draw.randbytes(16).hex(" ", 2).encode() for i in range(3000)),
            "upper": data[:60_000].hex(" ").upper().encode(), "numbers": " ".join(str(draw.randrange(10**16)) for _ in range(6000)).encode(),
            "words": " ".join("".join(draw.choices(string.ascii_lowercase, k=draw.randrange(2, 9))) for _ in range(20000)).encode()}[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["random", "base64", "lines", "urlsafe", "hex", "dump", "upper", "numbers", "words"])
@pytest.mark.parametrize("media", ["text/plain", "text/html", "application/json", "application/octet-stream"])
def test_noise_is_silent(kind: str, media: str) -> None:
    assert not of(noise(kind), media, Side.SERVER)


def test_the_standard_library_is_silent() -> None:
    """Real source text, with examples of every format in its documentation."""
    root = Path(string.__file__).parent
    for path in sorted(root.glob("*.py"))[:80]:
        assert not [c for c in of(path.read_bytes(), "text/plain", Side.SERVER) if c.rule.id != "pii/email-bulk"], path.name


def test_hits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scan, "MAX_HITS", 10)
    assert len(_scan.scan(b'"password":' * 100)) == 10


def test_threads_have_their_own_space() -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(len(of(b"user=a&password=b1", MEDIA[1])) for _ in range(200))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 600


def test_the_cache_is_private_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hyperscan = _scan._hyperscan()
    _scan.database.__wrapped__()
    (stored,) = (tmp_path / "cleartap").iterdir()
    assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert _scan._load(hyperscan, stored) is not None


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 5000, None])
def test_a_damaged_cache_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _scan.database.__wrapped__()
    (stored,) = (tmp_path / "cleartap").iterdir()
    stored.write_bytes(stored.read_bytes()[:-9] if damage is None else damage)
    assert _scan._load(_scan._hyperscan(), stored) is None
    assert _scan.database.__wrapped__() is not None
    assert _scan._load(_scan._hyperscan(), stored) is not None  # mended


def test_a_cache_others_can_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _scan.database.__wrapped__()
    (stored,) = (tmp_path / "cleartap").iterdir()
    stored.parent.chmod(0o777)
    assert _scan._load(_scan._hyperscan(), stored) is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert _scan.database.__wrapped__() is not None


def test_every_rule_is_listed_once() -> None:
    listed = [rule for detector in registry() for rule in detector.rules]
    assert len(listed) == len(catalogue()) > 60
    assert all(rule.title and rule.references for rule in listed)


def test_every_media_has_a_name() -> None:
    assert len({m.value for m in Media}) == len(Media)


@pytest.mark.parametrize("name", ["ARRAffinity", "TS01a2b3c4", "__stripe_sid", "BIDUPSID", "HWWAFSESID", "_pin_unauth", "AMCV_x", "dtCookie", "_vwo_uuid", "X-OWA-CANARY"])
def test_measurement_and_balancing_are_no_sessions(judge: Look, name: str) -> None:
    assert not judge(Token(span=Span(Side.CLIENT, 0, 20), mechanism="cookie", name=name, secret=Secret("d41d8cd98f00b204e980", "cookie")))


@pytest.mark.parametrize("name", ["clave", "kodeord", "lösenord", "losenord", "şifre", "пароль", "Пароль", "密码", "密碼", "비밀번호", "hasło", "parolă", "contraseña", "senha"])
@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "application/json"])
def test_passwords_named_in_many_languages_are_led_to(name: str, media: str) -> None:
    text = f"usuario=alice&{quote(name)}=Zq7-tarn" if "form" in media else json.dumps({"usuario": "alice", name: "Zq7-tarn"}, ensure_ascii=False)
    assert [c.secret.reveal() for c in of(text.encode(), media)] == ["Zq7-tarn"]
