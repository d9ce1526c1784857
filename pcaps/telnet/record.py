"""Telnet: the inetutils server and client in character mode, driven like a person at a keyboard."""

from __future__ import annotations

import textwrap

from pcaps.recorder.hosts import system_user
from pcaps.recorder.lab import SERVER, SERVER6, Lab, login, need, version

USER, PASSWORD = "dora-term", "Opera-Glass-3"
CLEAR = [{"port": 23, "protocol": "telnet", "encryption": "cleartext"}]

_DIALOGUE = """
import pexpect, sys
host, user, secret, then = sys.argv[1:5]
child = pexpect.spawn("telnet", [host], timeout=10)
child.expect("login: ")
for key in user + "\\r":
    child.send(key)
child.expect("Password: ")
child.send(secret + "\\r")
if child.expect(["incorrect", r"[$#] "]) == 1:
    child.send("id -un\\r")
    child.expect(r"[$#] ")
    child.send("exit\\r")
    child.expect(pexpect.EOF)
child.close()
"""


def record(lab: Lab) -> None:
    need("telnetd", "telnet", "inetutils-inetd", "login")
    made_by = [version("telnetd", "--version"), version("telnet", "--version")]
    config = lab.folder / "inetd.conf"
    config.write_text("telnet stream tcp nowait root /usr/sbin/telnetd telnetd\ntelnet stream tcp6only nowait root /usr/sbin/telnetd telnetd\n")
    script = lab.folder / "keyboard.py"
    script.write_text(textwrap.dedent(_DIALOGUE))
    with system_user(USER, PASSWORD), lab.serve("inetutils-inetd", "-d", str(config), port=23):
        with lab.capture("telnet/accepted", made_by=made_by, logins=[login(USER, PASSWORD, "login dialogue")], channels=CLEAR):
            lab.client("python3", str(script), SERVER, USER, PASSWORD, "", check=True)
        with lab.capture("telnet/rejected", made_by=made_by, logins=[login(USER, "wrong-key-8", "login dialogue", "rejected")], channels=CLEAR):
            lab.client("python3", str(script), SERVER, USER, "wrong-key-8", "", check=True)
        with lab.capture("telnet/ipv6", made_by=made_by, logins=[login(USER, PASSWORD, "login dialogue")], channels=CLEAR):
            lab.client("python3", str(script), SERVER6, USER, PASSWORD, "", check=True)
