"""PostgreSQL: every password method, TLS asked, refused and taken, spoken to by psql."""

from __future__ import annotations

import pwd
import shutil
import subprocess
from pathlib import Path

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, RecordingError, login, need, version

PASSWORD = "Elephant-Walk-4"
CLEAR = [{"port": 5432, "protocol": "postgresql", "encryption": "cleartext"}]
REFUSED = [{"port": 5432, "protocol": "postgresql", "encryption": "refused"}]


def _bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise RecordingError("not installed: postgresql")
    return found[-1]


def record(lab: Lab) -> None:
    need("psql", "runuser")
    tools, data = _bin(), lab.folder / "data"
    owner = pwd.getpwnam("postgres")
    work = lab.folder / "pg"
    work.mkdir()
    shutil.chown(work, owner.pw_uid, owner.pw_gid)
    data = work / "data"

    def as_postgres(*command: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True)

    as_postgres(str(tools / "initdb"), "-D", str(data), "--auth", "trust")
    pem = certificate(lab.folder, "db.example.org")
    for name in ("server.crt", "server.key"):
        shutil.copy(pem, data / name)
        shutil.chown(data / name, owner.pw_uid, owner.pw_gid)
        (data / name).chmod(0o600)
    (data / "pg_hba.conf").write_text("local all all trust\nhost all u_md5 all md5\nhost all u_scram all scram-sha-256\nhost all u_clear all password\nhost all u_trust all trust\n")
    setup = work / "setup.sql"
    setup.write_text(
        f"SET password_encryption='md5'; CREATE ROLE u_md5 LOGIN PASSWORD '{PASSWORD}';\n"
        f"SET password_encryption='scram-sha-256'; CREATE ROLE u_scram LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE u_clear LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE u_trust LOGIN SUPERUSER;\n"
    )
    made_by = [version(str(tools / "postgres"), "--version"), version("psql", "--version")]
    server = ("runuser", "-u", "postgres", "--", str(tools / "postgres"), "-D", str(data), "-k", str(work), "-c", "listen_addresses=*")
    with lab.serve(*server, port=5432):
        as_postgres(str(tools / "psql"), "-q", "-h", str(work), "-d", "postgres", "-f", str(setup))
        _in_the_clear(lab, made_by)
    with lab.serve(*server, "-c", "ssl=on", port=5432):
        with lab.capture("postgresql/tls", made_by=made_by, logins=[], channels=[{"port": 5432, "protocol": "postgresql", "encryption": "encrypted"}]):
            _psql(lab, "u_scram", PASSWORD, "require", "SELECT 1")


def _psql(lab: Lab, user: str, secret: str, mode: str, sql: str, host: str = SERVER) -> None:
    lab.client("psql", "-X", "-q", f"host={host} user={user} dbname=postgres sslmode={mode} gssencmode=disable", "-c", sql, env={"PGPASSWORD": secret})


def _in_the_clear(lab: Lab, made_by: list[str]) -> None:
    md5 = {"hashcat": 11100}
    cases = (
        ("cleartext-accepted", "u_clear", PASSWORD, "disable", SERVER, [login("u_clear", PASSWORD, "cleartext password")], CLEAR),
        ("cleartext-rejected", "u_clear", "Wrong-One", "disable", SERVER, [login("u_clear", "Wrong-One", "cleartext password", "rejected")], CLEAR),
        ("md5-accepted", "u_md5", PASSWORD, "disable", SERVER6, [{"username": "u_md5", "secret": None, "mechanism": "md5", "outcome": "accepted", **md5}], CLEAR),
        ("md5-rejected", "u_md5", "Wrong-One", "disable", SERVER, [{"username": "u_md5", "secret": None, "mechanism": "md5", "outcome": "rejected", **md5}], CLEAR),
        ("scram-accepted", "u_scram", PASSWORD, "disable", SERVER, [{"username": "u_scram", "secret": None, "mechanism": "SCRAM-SHA-256", "outcome": "accepted"}], CLEAR),
        ("ssl-refused", "u_clear", PASSWORD, "prefer", SERVER, [login("u_clear", PASSWORD, "cleartext password")], REFUSED),
    )
    for name, user, secret, mode, host, logins, channels in cases:
        with lab.capture(f"postgresql/{name}", made_by=made_by, logins=logins, channels=channels):
            _psql(lab, user, secret, mode, "SELECT relname, relkind FROM pg_class LIMIT 5", host)
    with lab.capture("postgresql/alter-role", made_by=made_by, logins=[login("u_md5", "Fresh-Password-6", "ALTER ROLE", "unknown")], channels=CLEAR):
        _psql(lab, "u_trust", "", "disable", "ALTER ROLE u_md5 PASSWORD 'Fresh-Password-6'")
