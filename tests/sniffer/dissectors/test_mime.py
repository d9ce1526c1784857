from __future__ import annotations

import base64
import time

import pytest

from sniffer.dissectors._mime import MAX_DEPTH, MAX_PARTS, contents
from sniffer.events import Content, Side, Span


def walk(text: str | bytes) -> list[Content]:
    data = text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode()
    return contents(data, Span(Side.CLIENT, 100, 100 + len(data)))


def multipart(*parts: str, boundary: str = "b1", head: str = "") -> str:
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'{head}Content-Type: multipart/mixed;\n boundary="{boundary}"\n\npreamble\n{body}--{boundary}--\nepilogue\n'


def test_plain_mail_stays_whole():
    (mail,) = walk("Subject: a\nContent-Type: text/plain; charset=utf-8\n\nhello\n")
    assert (mail.media, mail.where, mail.data) == ("message/rfc822", "mail", b"Subject: a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n")


def test_base64_text_is_given_once_and_decoded():
    secret = base64.b64encode(b"card 4111").decode()
    mail, part = walk(f"Subject: a\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: BASE64\n\n{secret}\n")
    assert secret.encode() not in mail.data
    assert (part.data, part.media, part.where) == (b"card 4111", "text/html", "mail part")
    assert part.span.end == mail.span.end


def test_quoted_printable():
    mail, part = walk("Content-Transfer-Encoding: quoted-printable\n\na=3Db soft=\n line\n")
    assert part.data == b"a=b soft line\r\n"
    assert b"soft" not in mail.data
    assert len(walk("Content-Transfer-Encoding: quoted-printable\n\nnothing quoted\n")) == 1


@pytest.mark.parametrize(
    ("charset", "data"),
    [("utf-16-le", "Grüße 4111".encode("utf-16-le")), ("iso-8859-1", "Grüße 4111".encode("latin-1")), ("cp037", "Grüße 4111".encode("cp037")), ("utf-7", "Grüße 4111".encode("utf-7"))],
)
def test_charsets_become_utf8(charset: str, data: bytes):
    _, part = walk(f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: base64\n\n{base64.b64encode(data).decode()}\n')
    assert part.data.decode() == "Grüße 4111"


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "idna", "hex", "zlib", "no-such", "../x"])
def test_codecs_that_are_no_charsets_are_not_run(charset: str):
    _, part = walk(f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: base64\n\nYf8=\n')
    assert part.data == b"a\xff"


def test_parts_and_attachments():
    csv = base64.encodebytes(b"name,card\nalice,4111\n").decode()
    picture = base64.encodebytes(bytes(300)).decode()
    mail, table, page = walk(
        multipart(
            "\nplain text",
            f'Content-Type: text/csv; name="x.csv"\nContent-Disposition: attachment; filename="list.csv"\nContent-Transfer-Encoding: base64\n\n{csv}',
            f"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n{picture}",
            "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<b>x=20</b>",
        )
    )
    assert (table.media, table.name, table.where, table.data) == ("text/csv", "list.csv", "mail attachment", b"name,card\nalice,4111\n")
    assert page.data == b"<b>x </b>"
    assert b"plain text" in mail.data
    assert b"AAAAAAAA" not in mail.data


@pytest.mark.parametrize("encoding", [b"base64 (as it is)", b'"base64"', b" Base64 ; x=y"])
def test_comments_and_quotes_in_a_header(encoding: bytes):
    mail = b"Content-Type: text/plain (plain) ; charset=us-ascii\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + base64.b64encode(b"the text") + b"\r\n"
    assert [(c.media, c.data) for c in walk(mail)][1:] == [("text/plain", b"the text")]


def test_a_table_sent_as_a_spreadsheet_is_read():
    head = b"Content-Type: application/vnd.ms-excel; name=people.csv\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert [(c.name, c.data) for c in walk(head + base64.b64encode(b"a,b\r\n"))][1:] == [("people.csv", b"a,b\r\n")]


def test_nested_and_forwarded():
    inner = multipart("Content-Transfer-Encoding: base64\n\naW5uZXI=", boundary="b2")
    forwarded = "Content-Type: message/rfc822\n\nSubject: fwd\nContent-Transfer-Encoding: base64\n\nZm9yd2FyZGVk"
    parts = [c.data for c in walk(multipart(inner, forwarded))[1:]]
    assert parts == [b"inner", b"forwarded"]


def test_a_boundary_that_begins_like_another():
    parts = [c.data for c in walk(multipart("Content-Transfer-Encoding: base64\n\nYWJj\n--b1x\nZGVm"))[1:]]
    assert len(parts) == 1


def test_encoded_words():
    word = base64.b64encode("Größe geheim".encode()).decode()
    _, header = walk(f"Subject: =?utf-8?B?{word}?=\n =?iso-8859-1?q?_na=EFve?=\n\nx\n")
    assert header.where == "mail header"
    assert header.data.decode() == "Größe geheim naïve"


def test_damaged_and_cut_short():
    for text in ("Content-Transfer-Encoding: base64\n\nYWJj!!ZGVmZ", 'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Transfer-Encoding: base64\n\nYWJjZGVm'):
        assert walk(text)[-1].data.startswith(b"abcdef")
    for text in ("", "\n", "no header end", "Content-Type: multipart/mixed\n\nx", 'Content-Type: multipart/mixed; boundary=""\n\n--\n'):
        assert len(walk(text)) <= 1


def test_a_part_without_its_header():
    span = Span(Side.SERVER, 0, 10)
    assert contents(base64.encodebytes(b"the quick brown fox jumps over"), span, mail=False)[0].data == b"the quick brown fox jumps over"
    assert contents(b"a=3Db", span, mail=False)[0].data == b"a=b"
    assert contents(b"hello there, four words", span, mail=False)[0].data == b"hello there, four words"


HOSTILE = {
    "nesting": b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (i, i) for i in range(20_000)),
    "same boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 20_000,
    "many parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 80_000,
    "near boundaries": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b--b" * 170_000,
    "folds": b"Content-Type: x;" + b"\r\n a" * 250_000,
    "words": b"Subject: " + b"=?a?b?" * 10_000 + b"\r\n\r\n",
    "quotes": b"Content-Type: x" + b';name="' * 9_000 + b"\r\n\r\n",
    "equals": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
    "base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * 500_000,
    "nothing": b"\r\n" * 500_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_mails_cost_little(data: bytes):
    start = time.perf_counter()
    found = walk(data)
    contents(data, Span(Side.CLIENT, 0, len(data)), mail=False)
    assert time.perf_counter() - start < 1
    assert len(found) <= 2 * MAX_PARTS
    assert sum(len(c.data) for c in found) <= 3 * len(data) * MAX_DEPTH
