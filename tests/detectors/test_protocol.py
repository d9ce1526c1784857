"""Rules made for each protocol."""

from __future__ import annotations

import pytest

from detectors._protocol import credential_rule, display, hash_rule, rules_for, title_for, token_rule
from sniffer.findings import Category, Context


@pytest.mark.parametrize(
    ("protocol", "title", "shown"),
    [
        ("ftp", "FTP control channel, RFC 959", "FTP"), ("http", "HTTP/1.x, RFC 9110", "HTTP"),
        ("postgresql", "PostgreSQL frontend/backend protocol 3", "PostgreSQL"), ("tds", "Tabular Data Stream (SQL Server)", "Tabular Data Stream"),
        ("irc", "", "IRC"), ("vnc", "Remote Framebuffer (RFC 6143)", "Remote Framebuffer"),
    ],
)  # fmt: skip
def test_display(protocol: str, title: str, shown: str) -> None:
    assert display(protocol, title) == shown


def test_ids_and_categories() -> None:
    found = rules_for("ftp", "FTP, RFC 959", "Use SFTP.")
    assert [(r.id, r.category) for r in found] == [
        ("credential/ftp", Category.CREDENTIAL), ("hash/ftp", Category.HASH), ("token/ftp", Category.TOKEN),
    ]  # fmt: skip
    assert {r.remedy for r in found} == {"Use SFTP."}
    assert found[0].title == "FTP password sent in the clear"


def test_community_string() -> None:
    assert rules_for("snmp", "SNMP, RFC 1157")[0].title == "SNMP community string sent in the clear"


def test_cached_per_context(context: Context) -> None:
    assert credential_rule(context) is credential_rule(context)
    assert (hash_rule(context).id, token_rule(context).id) == ("hash/http", "token/http")


def test_title_of_other_kinds(context: Context) -> None:
    assert title_for(context, "pin") == "HTTP PIN sent in the clear"
    assert title_for(context, "password") is None
    assert title_for(Context("snmp", "SNMP", "management", ""), "community") is None  # the rule says so already
