"""POP3: Dovecot, spoken to by Python's poplib."""

from __future__ import annotations

import textwrap

from pcaps.recorder.lab import SERVER, SERVER6, Lab, login
from pcaps.recorder.mail import PASSWORD, USER, dovecot

_CLIENT = """
import base64, poplib, ssl, sys
host, user, secret, how = sys.argv[1:5]
wire = poplib.POP3(host, timeout=10)
try:
    if how == "capa-pass":
        wire.capa()
    if how == "stls":
        wire.stls(ssl._create_unverified_context())
    if how == "stls-refused":
        try:
            wire._shortcmd("STLS")
        except poplib.error_proto:
            pass
    if how == "apop":
        wire.apop(user, secret)
    elif how == "plain":
        wire._shortcmd("AUTH PLAIN " + base64.b64encode(f"\\0{user}\\0{secret}".encode()).decode())
    else:
        wire.user(user)
        wire.pass_(secret)
    wire.retr(1)
except poplib.error_proto:
    pass
wire.quit()
"""


def record(lab: Lab) -> None:
    script = lab.folder / "client.py"
    script.write_text(textwrap.dedent(_CLIENT))

    def fetch(name: str, made_by: list[str], how: str, logins: list[dict[str, object]], encryption: str = "cleartext", *, secret: str = PASSWORD, host: str = SERVER) -> None:
        channels = [{"port": 110, "protocol": "pop3", "encryption": encryption}]
        with lab.capture(f"pop3/{name}", made_by=[*made_by, "poplib of Python"], logins=logins, channels=channels):
            lab.client("python3", str(script), host, USER, secret, how, check=True)

    with dovecot(lab, tls=False) as made_by:
        fetch("accepted", made_by, "pass", [login(USER, PASSWORD, "PASS")])
        fetch("rejected", made_by, "pass", [login(USER, "other-words", "PASS", "rejected")], secret="other-words")
        fetch("plain-ipv6", made_by, "plain", [login(USER, PASSWORD, "AUTH PLAIN")], host=SERVER6)
        fetch("apop", made_by, "apop", [{"username": USER, "secret": None, "mechanism": "APOP", "outcome": "accepted", "hashcat": 20}])
        fetch("stls-refused", made_by, "stls-refused", [login(USER, PASSWORD, "PASS")], "refused")
    with dovecot(lab, tls=True) as made_by:
        fetch("stls", made_by, "stls", [], "encrypted")
        fetch("stls-declined", made_by, "capa-pass", [login(USER, PASSWORD, "PASS")], "declined")
