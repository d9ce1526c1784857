"""Redis: redis-server with a password and with ACL users, in the clear and over TLS, spoken to by redis-cli."""

from __future__ import annotations

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, login, need, version

SHARED, USER, PASSWORD = "Shared-Redis-5", "carol", "Carols-Redis-9"
CLEAR = [{"port": 6379, "protocol": "redis", "encryption": "cleartext"}]


def record(lab: Lab) -> None:
    need("redis-server", "redis-cli")
    made_by = [version("redis-server", "--version"), version("redis-cli", "--version")]
    common = ("redis-server", "--bind", "0.0.0.0", "::", "--save", "", "--dir", str(lab.folder), "--requirepass", SHARED, "--user", USER, "on", f">{PASSWORD}", "~*", "+@all")
    with lab.serve(*common, port=6379):
        with lab.capture("redis/auth-accepted", made_by=made_by, logins=[login(None, SHARED, "AUTH")], channels=CLEAR):
            lab.client("redis-cli", "-h", SERVER, stdin=f"AUTH {SHARED}\nSET greeting hello\nGET greeting\n")
        with lab.capture("redis/auth-rejected", made_by=made_by, logins=[login(None, "not-the-one", "AUTH", "rejected")], channels=CLEAR):
            lab.client("redis-cli", "-h", SERVER, stdin="AUTH not-the-one\nPING\n")
        with lab.capture("redis/acl-user", made_by=made_by, logins=[login(USER, PASSWORD, "AUTH user pass")], channels=CLEAR):
            lab.client("redis-cli", "-h", SERVER6, "--user", USER, "--pass", PASSWORD, "PING")
        with lab.capture("redis/hello-auth", made_by=made_by, logins=[login(USER, PASSWORD, "HELLO AUTH")], channels=CLEAR):
            lab.client("redis-cli", "-h", SERVER, stdin=f"HELLO 3 AUTH {USER} {PASSWORD}\nPING\n")
        with lab.capture("redis/config-set", made_by=made_by, logins=[login(None, SHARED, "AUTH"), login(None, "Next-Password-1", "CONFIG SET requirepass", "unknown")], channels=CLEAR):
            lab.client("redis-cli", "-h", SERVER, stdin=f"AUTH {SHARED}\nCONFIG SET requirepass Next-Password-1\n")
    pem = certificate(lab.folder, "cache.example.org")
    tls = ("--port", "0", "--tls-port", "6379", "--tls-cert-file", str(pem), "--tls-key-file", str(pem), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(pem))
    with lab.serve(*common, *tls, port=6379):
        with lab.capture("redis/tls", made_by=made_by, logins=[], channels=[{"port": 6379, "protocol": "tls", "encryption": "encrypted"}]):
            lab.client("redis-cli", "-h", SERVER, "--tls", "--insecure", "--user", USER, "--pass", PASSWORD, "PING")
