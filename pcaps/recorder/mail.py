"""Postfix and Dovecot for the recipes of SMTP, POP3 and IMAP: one mailbox, users in a file, TLS or not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import Lab, need, version

USER, PASSWORD = "alice@example.org", "Sealed-Letter-8"

_DOVECOT = """
protocols = imap pop3
base_dir = {folder}/run
log_path = /dev/stderr
default_internal_user = root
default_login_user = dovenull
listen = *, ::
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-256{apop}
mail_location = maildir:{folder}/mail/%n
mail_uid = 65534
mail_gid = 65534
first_valid_uid = 1
ssl = {ssl}
{certificates}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}/mail/%n
}}
service auth {{
  unix_listener {folder}/spool/private/auth {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
"""


@contextmanager
def dovecot(lab: Lab, *, tls: bool) -> Iterator[list[str]]:
    """IMAP on 143 and POP3 on 110; gives who made it."""
    need("dovecot")
    folder = lab.folder
    pem = certificate(folder, "mail.example.org")
    for name in ("run", "mail/alice/new", "mail/alice/cur", "mail/alice/tmp", "spool/private"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "mail/alice/new/1.example").write_text("From: bob@example.org\nTo: alice@example.org\nSubject: hello\n\nA1 LOGIN is only text here.\n")
    subprocess.run(["chown", "-R", "65534:65534", str(folder / "mail")], check=True)
    (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "users").chmod(0o644)
    config = folder / "dovecot.conf"
    certificates = f"ssl_cert = <{pem}\nssl_key = <{pem}" if tls else ""
    config.write_text(_DOVECOT.format(folder=folder, ssl="yes" if tls else "no", certificates=certificates, apop=" apop"))
    with lab.serve("dovecot", "-F", "-c", str(config), port=143):
        lab.wait(110)
        yield [f"Dovecot {version('dovecot', '--version')}"]


@contextmanager
def mail_server(lab: Lab, *, tls: bool) -> Iterator[list[str]]:
    """Postfix on port 25 asking Dovecot for authentication; gives who made it."""
    need("postfix", "postconf")
    folder = lab.folder
    with ExitStack() as stack:
        made_by = stack.enter_context(dovecot(lab, tls=tls))
        etc, spool, data = folder / "postfix", folder / "spool", folder / "postfix-data"
        for place in (etc, data):
            place.mkdir(exist_ok=True)
        subprocess.run(["chown", "postfix", str(data), str(spool / "private")], check=True)
        master = subprocess.run(["postconf", "-M"], capture_output=True, text=True, check=True).stdout
        (etc / "master.cf").write_text("".join(_no_chroot(line) for line in master.splitlines()))
        pem = folder / "mail.example.org.pem"
        settings = {
            "compatibility_level": "3.6", "queue_directory": str(spool), "data_directory": str(data), "mail_owner": "postfix", "setgid_group": "postdrop",
            "myhostname": "mx.example.org", "mydestination": "", "inet_interfaces": "all", "inet_protocols": "all", "maillog_file": str(folder / "mail.log"),
            "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "default_transport": "discard", "relay_transport": "discard", "alias_maps": "", "smtpd_delay_reject": "no", "maillog_file_prefixes": str(folder),
            "smtpd_tls_security_level": "may" if tls else "none",
        }  # fmt: skip
        if tls:
            settings |= {"smtpd_tls_cert_file": str(pem), "smtpd_tls_key_file": str(pem)}
        (etc / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        subprocess.run(["postfix", "-c", str(etc), "check"], capture_output=True, check=False)
        os.environ["MAIL_CONFIG"] = str(etc)
        stack.callback(os.environ.pop, "MAIL_CONFIG", None)
        time.sleep(2)  # until Dovecot's authentication service answers; Postfix asks once and gives up
        stack.enter_context(lab.serve("postfix", "-c", str(etc), "start-fg", port=25))
        # Its master leaves the process group it was started in.
        stack.callback(subprocess.run, ["postfix", "-c", str(etc), "stop"], capture_output=True, check=False)
        yield [version("postconf", "-h", "mail_version").join(("Postfix ", "")), *made_by, "smtplib of Python"]


def _no_chroot(line: str) -> str:
    parts = line.split(None, 7)
    if len(parts) == 8 and parts[1] in ("inet", "unix", "pass", "fifo"):
        parts[4] = "n"
    return " ".join(parts) + "\n"
