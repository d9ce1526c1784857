"""Field names: split into words, and what the words say about the value."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from detectors.rules import names

# Longer names are content, not names.
MAX_NAME = 96
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAK = re.compile(r"[\W_]+")
# What is written as one word with the one that matters: ``adminpwd``, ``ssousername``, ``passwordfld``; short ones only after words that go with them.
_COMPOUND = re.compile(
    r"(\w*?)(password|passwd|passwrd|passwort|passphrase|pwd|username|userid|loginname|loginid|email)(?:field|fld|input|box|text|txt|value|val)?\Z"
    r"|(user|usr|login|admin|adm|auth|member|mem|account|acct|acc|customer|cust|client|db|sql|ftp|ssh|smtp|pop|imap|mail|email|cms|web|wp|root|sys|my|your|reg"
    r"|txt|str|frm|form|tb|tf|wifi|wlan|wpa|proxy|guest|host|site|net|vpn|ppp|pppoe|sip|[a-z])(user|usr|login|pass|pw|psw)\Z"
    r"|(new|old|cur|conf|re)(pass|pw|psw)\Z"
)
# Where frameworks set a field's own name off from the path to it: ``ctl00$Main$UserName``, ``form:user``, ``LoginForm[username]``.
_PATH = re.compile(r"[$:]")
_STEPS = re.compile(r"[$:.\[\]]+")
# Names from here on (``name``, ``id``) speak of a user only in the password's own object, and not beside a weak password.
UNSURE_USER = names.USER.index("name")
_RANK = {name: rank for rank, name in enumerate(names.USER)}


class Name(Enum):
    """What a field's value is, going by its name."""

    PASSWORD = "password"
    WEAK_PASSWORD = "perhaps a password"
    TOKEN = "token"
    CARD = "card"
    SSN = "ssn"
    EMAIL = "email"
    GENERIC = "generic"
    DENIED = "denied"  # the name says that it is no card
    OTHER = "other"


@lru_cache(8192)
def words(name: str) -> tuple[str, ...]:
    """``userPassword``, ``user_password``, ``user[password]``, ``user:password`` all give ``("user", "password")``.

    Digits at the end of a word go: ``password2`` is a password.
    """
    parts = _BREAK.split(_CAMEL.sub(" ", name[-MAX_NAME:]))
    return tuple(w for p in parts for w in _apart(p.casefold().rstrip("0123456789")) if w)


def _apart(word: str) -> tuple[str | None, ...]:
    """The words in a compound, without the kind of control."""
    found = _COMPOUND.match(word)
    return found.groups() if found else (word,)


@lru_cache(8192)
def classify(name: str) -> Name:
    parts = words(name)
    if not parts:
        return Name.GENERIC
    if token_kind(name):
        return Name.TOKEN
    found = _password(_bare(parts)) or (_password(_bare(words(_PATH.split(name)[-1]))) if _PATH.search(name) else None)
    if found is not None:
        return found
    if not names.SSN.isdisjoint(parts) or "".join(parts) in names.SSN or {"social", "security"} <= set(parts):
        return Name.SSN
    if parts[-1] in names.EMAIL or parts[-2:] in (("e", "mail"), ("email", "address"), ("mail", "address")):
        return Name.EMAIL
    return _card(parts)


def _bare(parts: tuple[str, ...]) -> tuple[str, ...]:
    """``PasswordTextBox`` (ASP.NET) is named for its kind of control too."""
    return parts[:-2] if parts[-2:] == ("text", "box") else parts


def _password(parts: tuple[str, ...]) -> Name | None:
    joined = "".join(parts)
    strong = joined in names.PASSWORD or not names.PASSWORD.isdisjoint(parts)
    if joined in names.WEAK_PASSWORD:
        return Name.WEAK_PASSWORD
    if not strong and names.WEAK_PASSWORD.isdisjoint(parts):
        return Name.PASSWORD if parts[-3:] == ("pre", "shared", "key") else None
    if joined not in names.PASSWORD and not names.ABOUT_PASSWORD.isdisjoint(parts):
        return None
    if strong or {"user", "pass"} <= set(parts) or {"db", "pass"} <= set(parts):
        return Name.PASSWORD
    # A short word must be the name's end: ``login_pass``, ``wifi-psk``; ``pass_rate`` and ``pin_color`` are something else.
    return Name.WEAK_PASSWORD if parts[-1] in names.WEAK_PASSWORD and len(parts) <= 3 else None


def _card(parts: tuple[str, ...]) -> Name:
    said = set(parts)
    carded = not names.CARD.isdisjoint(said) or "".join(parts) in names.CARD
    if carded and ({"card", "number"} <= said or {"cc", "number"} <= said or names.NOT_CARD.isdisjoint(said)):
        return Name.CARD
    if not names.NOT_CARD.isdisjoint(said):
        return Name.DENIED
    return Name.GENERIC if said <= names.GENERIC else Name.OTHER


@lru_cache(8192)
def token_kind(name: str) -> str | None:
    """What to call the bearer secret under this name: whole name, or its end (``github_access_token``)."""
    parts = words(name)
    for size in (3, 2, 1):
        tail = parts[-size:]
        if len(tail) == size and (kind := names.TOKENS.get(tail)) and (size > 1 or len(parts) == 1 or len(tail[0]) > 6):
            return None if "csrf" in parts or "xsrf" in parts or "public" in parts or "publishable" in parts else kind
    return None


@lru_cache(8192)
def user_rank(name: str) -> int | None:
    """How good a name is for a user: 0 is best, None is no user's."""
    parts = words(name)
    joined = "".join(parts)
    if joined in _RANK:
        return _RANK[joined]
    steps = [step for step in _STEPS.split(name) if step and not step.isdigit()]
    if len(steps) > 1:
        own = user_rank(steps[-1])
        if own is None or own < UNSURE_USER:
            return own  # in ``user[remember_me]`` only the path speaks of a user
    if not parts or len(parts) > 4:
        return None
    if not names.ABOUT_USER.isdisjoint(parts):
        return None
    ranks = [_RANK[p] for p in parts if p in _RANK]
    return min(ranks) + 1 if ranks else None


@lru_cache(8192)
def says_who(name: str) -> bool:
    """Whether a name that is no known one of users' ends like one."""
    parts = words(name)
    if not parts or not names.ABOUT_USER.isdisjoint(parts) or not names.WHAT_STARTS.isdisjoint(parts):
        return False
    end = next((end for end in names.WHO_ENDS if parts[-1].endswith(end)), None)
    start = parts[-1].removesuffix(end or "")
    return end is not None and start not in names.ABOUT_USER and start not in names.WHAT_STARTS
