"""MySQL protocol: MariaDB with native passwords, TLS offered and taken or not, spoken to by its client."""

from __future__ import annotations

import subprocess
import time

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, RecordingError, need, version

USER, PASSWORD = "shop", "Dolphin-Song-2"


def record(lab: Lab) -> None:
    need("mariadbd", "mariadb", "mariadb-install-db")
    made_by = [version("mariadbd", "--version"), version("mariadb", "--version")]
    data, sock = lab.folder / "data", lab.folder / "m.sock"
    subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
    base = ("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}", "--bind-address=*", "--skip-name-resolve", f"--pid-file={lab.folder}/m.pid")
    with lab.serve(*base, port=3306):
        _root(sock, f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; CREATE DATABASE shop; GRANT ALL ON shop.* TO {USER}@'%'; GRANT CREATE USER ON *.* TO {USER}@'%'; CREATE TABLE shop.item (id INT, name VARCHAR(20)); INSERT INTO shop.item VALUES (1,'lamp'),(2,'chair');")
        clear = [{"port": 3306, "protocol": "mysql", "encryption": "cleartext"}]
        _cases(lab, made_by, clear, ("accepted", "rejected", "identified-by"))
    pem = certificate(lab.folder, "db.example.org")
    tls = (f"--ssl-cert={pem}", f"--ssl-key={pem}")
    with lab.serve(*base, *tls, port=3306):
        _cases(lab, made_by, [{"port": 3306, "protocol": "mysql", "encryption": "declined"}], ("tls-declined",))
        with lab.capture("mysql/tls", made_by=made_by, logins=[], channels=[{"port": 3306, "protocol": "mysql", "encryption": "encrypted"}]):
            lab.client("mariadb", "--no-defaults", "-h", SERVER, "-u", USER, f"-p{PASSWORD}", "--ssl", "-e", "SELECT 1")


def _root(sock: object, sql: str) -> None:
    for _ in range(50):
        done = subprocess.run(["mariadb", "--no-defaults", "-u", "root", f"--socket={sock}", "-e", sql], capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    raise RecordingError(done.stderr.decode())


def _native(outcome: str) -> dict[str, object]:
    return {"username": USER, "secret": None, "mechanism": "mysql_native_password", "outcome": outcome, "hashcat": 11200}


def _cases(lab: Lab, made_by: list[str], channels: list[dict[str, object]], names: tuple[str, ...]) -> None:
    sql = "SELECT id, name FROM shop.item"
    made_user = {"username": "clerk", "secret": "Made-In-SQL-5", "mechanism": "CREATE USER", "outcome": "unknown"}
    cases = {
        "accepted": (SERVER, PASSWORD, sql, [_native("accepted")]),
        "rejected": (SERVER, "Wrong-One", sql, [_native("rejected")]),
        "identified-by": (SERVER6, PASSWORD, "CREATE USER clerk@localhost IDENTIFIED BY 'Made-In-SQL-5'", [_native("accepted"), made_user]),
        "tls-declined": (SERVER, PASSWORD, sql, [_native("accepted")]),
    }
    for name in names:
        host, secret, statement, logins = cases[name]
        with lab.capture(f"mysql/{name}", made_by=made_by, logins=logins, channels=channels):
            lab.client("mariadb", "--no-defaults", "--skip-ssl", "-h", host, "-u", USER, f"-p{secret}", "-e", statement)
