"""Mail to a real SMTP server (aiosmtpd): TLS, login, refusals, and headers nobody can add to."""

from __future__ import annotations

import email
import email.policy
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from hypothesis import given
from hypothesis import settings as setting

from sniffer.errors import UsageError
from sniffer.outputs.mail import MAX_TOLD, digest
from sniffer.outputs.open import open_sink
from sniffer.outputs.sink import SinkError
from tests.sniffer.outputs.items import CANARY, FINDING, alert, channel, coverage, finding, hostile, leaking, settings
from tests.sniffer.outputs.servers import Authority, free_port
from tests.test_privacy import shown

PASSWORD = "mail-password-of-the-test"
FROM, TO = "cleartap@example.org", ("soc@example.org", "Net Team <net@example.org>")
NOW = datetime(2026, 9, 21, 12, tzinfo=UTC)


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.logins: list[str] = []
        self.data_answer = "250 taken"
        self.rcpt_answer = "250 yes"

    async def handle_DATA(self, server, session, envelope):
        if self.data_answer.startswith("2"):
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return self.data_answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt_answer.startswith("2") or address == "kept@example.org":
            envelope.rcpt_tos.append(address)
            return "250 yes"
        return self.rcpt_answer

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append(mechanism)
        right = data.password == PASSWORD.encode()
        return AuthResult(success=right, handled=right)


@contextmanager
def smtp_server(context=None, *, implicit: bool = False, login: bool = False):
    box, port = Mailbox(), free_port()
    options = {"authenticator": box.authenticate, "auth_required": login, "auth_require_tls": not implicit} if login else {}
    if implicit:
        options |= {"ssl_context": context}
    elif context is not None:
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(box, hostname="127.0.0.1", port=port, server_hostname="mail.test", **options)
    controller.start()
    try:
        yield SimpleNamespace(box=box, port=port)
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("mail-ca"))


def mail_sink(port: int, **fields):
    return open_sink(settings("mail", address=f"127.0.0.1:{port}", **{"transport": "tls", "sender": FROM, "recipients": TO, **fields}), "office-1")


def read(octets: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(octets, policy=email.policy.default)


def test_one_digest_a_batch_after_starttls(authority, tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    with smtp_server(authority.server_context(), login=True) as server:
        sink = mail_sink(server.port, ca_file=authority.file, username="cleartap", password_file=str(password))
        sink.check()
        assert server.box.mails == []
        sink.send([alert(), alert(id="a2", severity="high", title="LDAP bind in the clear"), alert(id="a3", state="resolved", revision=4), coverage()])
        sink.send([])
        sink.close()
    assert server.box.logins
    ((sender, recipients, octets),) = server.box.mails
    mail = read(octets)
    assert (sender, recipients) == (FROM, ["soc@example.org", "net@example.org"])
    assert mail["Subject"] == "[cleartap office-1] 1 critical, 2 high, 1 resolved: FTP password sent in the clear"
    assert mail["From"] == FROM
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "CRITICAL: FTP password sent in the clear: 10.0.0.5 -> 10.0.0.9:21, ftp/tcp, user alice, accepted, 3 times" in text
    assert FINDING["secret"]["mask"] in text
    assert FINDING["secret"]["fingerprint"] in text
    assert text.index("CRITICAL") < text.index("LDAP bind") < text.index("resolved: ")


def test_message_id_comes_from_the_ids():
    def name(*items):
        return digest(items, "s", FROM, TO, NOW)["Message-ID"]

    assert name(alert(), finding()) == name(alert(count=8), finding())
    assert name(alert()) != name(alert(revision=2))
    assert name(alert()).endswith("@example.org>")


@setting(max_examples=80, deadline=None)
@given(hostile())
def test_nobody_adds_a_header_or_a_line(item):
    octets = digest([item, item], "office\r\nBcc: x@example.org", FROM, TO, NOW).as_bytes()
    mail = read(octets)
    assert sorted(mail.keys()) == sorted(["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"])
    assert "bcc" not in {key.lower() for key in mail}
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998  # RFC 5322, 2.1.1
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    known = ("cleartap on", "CRITICAL:", "INFO:", "  ")
    assert all(not line or line.startswith(known) for line in mail.get_content().splitlines())


def test_bounded():
    text = digest([alert(id=f"a{n}") for n in range(MAX_TOLD + 5)], "s", FROM, TO, NOW).get_content()
    assert "... and 5 more." in text
    assert text.count("CRITICAL:") == MAX_TOLD


def test_no_mail_holds_a_secret():
    mail = digest([leaking(), leaking("alert"), channel()], "s", FROM, TO, NOW)
    assert not shown(mail.get_content() + mail.as_string(), CANARY)


def test_implicit_tls(authority, monkeypatch):
    with smtp_server(authority.server_context(), implicit=True) as server:
        monkeypatch.setattr("sniffer.outputs.mail.TLS_PORT", server.port)
        sink = mail_sink(server.port, ca_file=authority.file)
        sink.check()
        sink.send([alert()])
        assert len(server.box.mails) == 1
        with pytest.raises(SinkError, match="certificate not accepted"):
            mail_sink(server.port).send([alert()])


def test_nothing_goes_out_in_the_clear_unless_asked(tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    with smtp_server() as server:
        for call in (mail_sink(server.port).check, lambda: mail_sink(server.port).send([leaking()])):
            with pytest.raises(SinkError, match="no STARTTLS"):
                call()
        with pytest.raises(SinkError, match="no password"):
            mail_sink(server.port, transport="tcp", username="u", password_file=str(password)).send([alert()])
        assert server.box.mails == []
        mail_sink(server.port, transport="tcp").send([alert()])
        assert len(server.box.mails) == 1


def test_starttls_is_verified(authority, tmp_path):
    with smtp_server(authority.server_context()) as server:
        for fields in ({}, {"ca_file": Authority(tmp_path / "other").file}, {"transport": "tcp"}):
            with pytest.raises(SinkError, match="certificate not accepted"):
                mail_sink(server.port, **fields).send([alert()])
        assert server.box.mails == []


@pytest.mark.parametrize(("answer", "permanent"), [("554 5.6.0 refused, it held Canary-4f9c-Password!", True), ("552 too big", True), ("451 later", False)])
def test_refusals_of_a_mail(answer, permanent):
    with smtp_server() as server:
        server.box.data_answer = answer
        with pytest.raises(SinkError, match=answer[:3]) as caught:
            mail_sink(server.port, transport="tcp").send([leaking()])
    assert caught.value.permanent is permanent
    assert not shown(str(caught.value), CANARY)


def test_refusals_of_recipients_and_logins(authority, tmp_path):
    with smtp_server() as server:
        server.box.rcpt_answer = "550 no such user"
        with pytest.raises(SinkError, match="every recipient") as caught:
            mail_sink(server.port, transport="tcp").send([alert()])
        assert not caught.value.permanent
        mail_sink(server.port, transport="tcp", recipients=("kept@example.org", *TO)).send([alert()])
        assert server.box.mails[0][1] == ["kept@example.org"]
    wrong = tmp_path / "wrong"
    wrong.write_text(CANARY)
    wrong.chmod(0o600)
    with smtp_server(authority.server_context(), login=True) as server:
        with pytest.raises(SinkError, match="refused the login with 535") as caught:
            mail_sink(server.port, ca_file=authority.file, username="u", password_file=str(wrong)).check()
        assert not shown(str(caught.value), CANARY)


def test_nobody_there():
    sink = mail_sink(free_port())
    for call in (sink.check, lambda: sink.send([alert()])):
        with pytest.raises(SinkError, match="refused"):
            call()


@pytest.mark.parametrize("fields", [{"sender": "nobody"}, {"sender": ""}, {"recipients": ("a@b", "x\r\nBcc: y@example.org")}, {"recipients": ("<>",)}, {"recipients": ("a b@c d",)}])
def test_addresses_that_are_none(fields):
    with pytest.raises(UsageError, match="address"):
        mail_sink(25, **fields)
