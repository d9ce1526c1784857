"""IMAP: Dovecot, spoken to by Python's imaplib and by hand for literals."""

from __future__ import annotations

import textwrap

from pcaps.recorder.lab import SERVER, SERVER6, Lab, login
from pcaps.recorder.mail import PASSWORD, USER, dovecot

_CLIENT = """
import base64, imaplib, ssl, sys
host, user, secret, how = sys.argv[1:5]
wire = imaplib.IMAP4(host, timeout=10)
try:
    if how == "starttls":
        wire.starttls(ssl._create_unverified_context())
    if how == "starttls-refused":
        try:
            wire._simple_command("STARTTLS")
        except imaplib.IMAP4.error:
            pass
    if how == "cram":
        wire.login_cram_md5(user, secret)
    elif how == "plain":
        wire.authenticate("PLAIN", lambda _: f"\\0{user}\\0{secret}".encode())
    elif how == "literal":
        wire.literal = secret.encode()
        wire._simple_command("LOGIN", user)
        wire.state = "AUTH"
    else:
        wire.login(user, secret)
    wire.select()
    wire.fetch("1", "(RFC822)")
    wire.append("INBOX", None, None, b"Subject: kept\\r\\n\\r\\na2 LOGIN is only text here\\r\\n")
except imaplib.IMAP4.error:
    pass
wire.logout()
"""


def record(lab: Lab) -> None:
    script = lab.folder / "client.py"
    script.write_text(textwrap.dedent(_CLIENT))

    def fetch(name: str, made_by: list[str], how: str, logins: list[dict[str, object]], encryption: str = "cleartext", *, secret: str = PASSWORD, host: str = SERVER) -> None:
        channels = [{"port": 143, "protocol": "imap", "encryption": encryption}]
        with lab.capture(f"imap/{name}", made_by=[*made_by, "imaplib of Python"], logins=logins, channels=channels):
            lab.client("python3", str(script), host, USER, secret, how, check=True)

    with dovecot(lab, tls=False) as made_by:
        fetch("accepted", made_by, "login", [login(USER, PASSWORD, "LOGIN")])
        fetch("rejected", made_by, "login", [login(USER, "other words \\ here", "LOGIN", "rejected")], secret="other words \\ here")
        fetch("literal-ipv6", made_by, "literal", [login(USER, PASSWORD, "LOGIN")], host=SERVER6)
        fetch("authenticate-plain", made_by, "plain", [login(USER, PASSWORD, "AUTH PLAIN")])
        fetch("cram-md5", made_by, "cram", [{"username": USER, "secret": None, "mechanism": "AUTH CRAM-MD5", "outcome": "accepted", "hashcat": 10200}])
        fetch("starttls-refused", made_by, "starttls-refused", [login(USER, PASSWORD, "LOGIN")], "refused")
    with dovecot(lab, tls=True) as made_by:
        fetch("starttls", made_by, "starttls", [], "encrypted")
        fetch("starttls-declined", made_by, "login", [login(USER, PASSWORD, "LOGIN")], "declined")
