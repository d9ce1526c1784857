"""SSH: OpenSSH's server and client."""

from __future__ import annotations

import subprocess

from pcaps.recorder.lab import SERVER, SERVER6, Lab, need, version

ENCRYPTED = [{"port": 22, "protocol": "ssh", "encryption": "encrypted"}]


def record(lab: Lab) -> None:
    need("/usr/sbin/sshd", "ssh", "ssh-keygen")
    made_by = [version("ssh", "-V")]
    folder = lab.folder
    folder.chmod(0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    config = folder / "sshd_config"
    config.write_text(f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n")
    options = ("-F", "none", "-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")
    subprocess.run(["mkdir", "-p", "/run/sshd"], check=True)
    with lab.serve("/usr/sbin/sshd", "-D", "-e", "-f", str(config), port=22):
        with lab.capture("ssh/public-key", made_by=made_by, logins=[], channels=ENCRYPTED):
            lab.client("ssh", *options, f"root@{SERVER}", "true", check=True)
        with lab.capture("ssh/ipv6", made_by=made_by, logins=[], channels=ENCRYPTED):
            lab.client("ssh", *options, f"root@{SERVER6}", "true", check=True)
