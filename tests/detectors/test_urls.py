"""Connection URLs and strings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sniffer.findings import Candidate, Severity

Look = Callable[..., list[Candidate]]


@pytest.mark.parametrize(
    ("data", "user", "password", "severity"),
    [
        ("DATABASE_URL=postgres://app:s3cr3t@db.internal:5432/x", "app", "s3cr3t", Severity.CRITICAL),
        ('{"uri":"mongodb+srv://svc:p%40ss1@c0.internal/?w=1"}', "svc", "p@ss1", Severity.CRITICAL),
        ("redis://:longpassword9@10.0.0.5:6379/0", None, "longpassword9", Severity.CRITICAL),
        ("amqp://worker:qq11@mq/", "worker", "qq11", Severity.HIGH),
        ("clone http://alice:tok3n99@git.internal/x.git", "alice", "tok3n99", Severity.HIGH),
        ("ftp://root:abcd1@files", "root", "abcd1", Severity.CRITICAL),
        ("smb://CORP;bob:zzz1@srv/share", "CORP;bob", "zzz1", Severity.HIGH),
        ("Server=db;Database=x;User Id=app;Password=Qw1!z;", "app", "Qw1!z", Severity.HIGH),
        ('conn = "Driver={ODBC};Server=db,1433;Uid=sa;Pwd=Zz9;"', "sa", "Zz9", Severity.CRITICAL),
        ("jdbc:sqlserver://h:1433;databaseName=d;user=app;password=P4x!", "app", "P4x!", Severity.CRITICAL),
        ("jdbc:mysql://h/db?user=app&password=P4x", "app", "P4x", Severity.CRITICAL),
    ],
)
def test_found(look: Look, data: str, user: str | None, password: str, severity: Severity) -> None:
    (found,) = [c for c in look(data) if c.rule.id == "credential/connection-url"]
    assert (found.username, found.secret.reveal(), found.severity) == (user, password, severity)


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ("https://example.org:443/a@b", "text/plain"),
        ("postgres://user:password@localhost/db", "text/plain"),
        ("postgres://${USER}:${PASS}@db/x", "text/plain"),
        ("mysql://{user}:{password}@db", "text/plain"),
        ("redis://:<password>@host", "text/plain"),
        ("amqp://u:****@mq", "text/plain"),
        ("https://xyz:abc@example.com/", "text/html"),
        ("http://a/b?c=d://e:f", "text/plain"),
        ("ssh://git@github.example/x", "text/plain"),
        ("the password=secret; and more", "text/plain"),
        ("a=1; password=Qw1!z; b=2", "text/plain"),
        ("Server=db;Uid=sa;Pwd=${PWD};", "text/plain"),
        ("jdbc:mysql://h/db", "text/plain"),
    ],
)
def test_silent(look: Look, data: str, media: str) -> None:
    assert not [c for c in look(data, media) if c.rule.id == "credential/connection-url"]
