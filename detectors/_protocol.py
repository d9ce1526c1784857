"""Rules made for each protocol that can carry a secret: ``credential/<protocol>``, ``hash/<protocol>``, ``token/<protocol>``."""

from __future__ import annotations

import re
from functools import lru_cache

from detectors.rules.accounts import KINDS, SUBJECTS
from sniffer.findings import Category, Context, Rule, Severity

# More than there are protocols; a caller that makes up contexts cannot grow the cache without end.
_MANY = 512


def display(protocol: str, title: str) -> str:
    """A protocol as people write it: ``FTP`` of "FTP control channel, RFC 959"; the name itself where there is no title."""
    head = re.split(r"[,(:;]", title, maxsplit=1)[0].strip()
    first = re.split(r"[\s/]", head, maxsplit=1)[0] if head else ""
    if first and _squeeze(first).startswith(_squeeze(protocol)):
        return first
    return head or protocol.upper()


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


@lru_cache(_MANY)
def rules_for(protocol: str, title: str = "", remedy: str = "") -> tuple[Rule, Rule, Rule]:
    """The credential, hash and token rules of one protocol. Ids and categories are a public contract."""
    name = display(protocol, title)
    what = SUBJECTS.get(protocol, "password")
    return (
        Rule(f"credential/{protocol}", Category.CREDENTIAL, f"{name} {what} sent in the clear", Severity.HIGH, remedy=remedy),
        Rule(f"hash/{protocol}", Category.HASH, f"{name} login that can be cracked offline", Severity.MEDIUM, remedy=remedy),
        Rule(f"token/{protocol}", Category.TOKEN, f"{name} token sent in the clear", Severity.MEDIUM, remedy=remedy),
    )


@lru_cache(_MANY)
def _title(protocol: str, title: str, kind: str) -> str | None:
    what = KINDS.get(kind)
    if what is None or SUBJECTS.get(protocol):
        return None
    return f"{display(protocol, title)} {what} sent in the clear"


def credential_rule(context: Context) -> Rule:
    return rules_for(context.protocol, context.title, context.remedy)[0]


def hash_rule(context: Context) -> Rule:
    return rules_for(context.protocol, context.title, context.remedy)[1]


def token_rule(context: Context) -> Rule:
    return rules_for(context.protocol, context.title, context.remedy)[2]


def title_for(context: Context, kind: str) -> str | None:
    """A title of its own for a secret that is not a password; None where the rule's own fits."""
    return _title(context.protocol, context.title, kind)
