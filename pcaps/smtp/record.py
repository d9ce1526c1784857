"""SMTP submission: Postfix with Dovecot's SASL, STARTTLS taken, declined, refused, spoken to by Python's smtplib."""

from __future__ import annotations

import textwrap

from pcaps.recorder.lab import SERVER, SERVER6, Lab, login
from pcaps.recorder.mail import PASSWORD, USER, mail_server

CLEAR = [{"port": 25, "protocol": "smtp", "encryption": "cleartext"}]
DECLINED = [{"port": 25, "protocol": "smtp", "encryption": "declined"}]

_CLIENT = """
import smtplib, ssl, sys
host, user, secret, mechanism, tls = sys.argv[1:6]
wire = smtplib.SMTP(host, 25, local_hostname="desk.example.org", timeout=10)
wire.ehlo()
if tls == "yes":
    context = ssl._create_unverified_context()
    wire.starttls(context=context)
    wire.ehlo()
elif tls == "try":
    wire.docmd("STARTTLS")
wire.user, wire.password = user, secret
method = {"PLAIN": wire.auth_plain, "LOGIN": wire.auth_login, "CRAM-MD5": wire.auth_cram_md5}[mechanism]
try:
    wire.auth(mechanism, method)
    wire.sendmail("alice@example.org", ["bob@example.org"], "Subject: figures\\n\\nAUTH PLAIN is only text here.\\n.leading dot\\n")
except smtplib.SMTPException:
    pass
wire.quit()
"""


def record(lab: Lab) -> None:
    script = lab.folder / "client.py"
    script.write_text(textwrap.dedent(_CLIENT))

    def send(name: str, made_by: list[str], mechanism: str, logins: list[dict[str, object]], channels: list[dict[str, object]], *, secret: str = PASSWORD, tls: str = "no", host: str = SERVER) -> None:
        with lab.capture(f"smtp/{name}", made_by=made_by, logins=logins, channels=channels):
            lab.client("python3", str(script), host, USER, secret, mechanism, tls, check=True)

    with mail_server(lab, tls=False) as made_by:
        send("plain-accepted", made_by, "PLAIN", [login(USER, PASSWORD, "AUTH PLAIN")], CLEAR)
        send("login-accepted", made_by, "LOGIN", [login(USER, PASSWORD, "AUTH LOGIN")], CLEAR, host=SERVER6)
        send("login-rejected", made_by, "LOGIN", [login(USER, "wrong-word", "AUTH LOGIN", "rejected")], CLEAR, secret="wrong-word")
        cram = {"username": USER, "secret": None, "mechanism": "AUTH CRAM-MD5", "outcome": "accepted", "hashcat": 10200}
        send("cram-md5-accepted", made_by, "CRAM-MD5", [cram], CLEAR)
        send("starttls-refused", made_by, "PLAIN", [login(USER, PASSWORD, "AUTH PLAIN")], [{"port": 25, "protocol": "smtp", "encryption": "refused"}], tls="try")
    with mail_server(lab, tls=True) as made_by:
        send("starttls", made_by, "PLAIN", [], [{"port": 25, "protocol": "smtp", "encryption": "encrypted"}], tls="yes")
        send("starttls-declined", made_by, "PLAIN", [login(USER, PASSWORD, "AUTH PLAIN")], DECLINED)
