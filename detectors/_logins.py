"""Logins and bearer secrets in forms and documents: a field named for a password, and the user's beside it."""

from __future__ import annotations

from collections.abc import Iterator

from detectors import _jwt
from detectors._fields import MISLABELLED, Field
from detectors._look import Look
from detectors._media import Media
from detectors._names import UNSURE_USER, Name, classify, says_who, token_kind, user_rank
from detectors._protocol import credential_rule, display, title_for, token_rule
from detectors._severity import confidence, of_secret
from detectors._values import is_label, is_password, is_token, is_word
from detectors.rules.names import BUTTONS, SESSION_LIKE
from sniffer.findings import Candidate, Severity
from sniffer.secret import Secret

_MECHANISMS = {
    Media.FORM: "form", Media.JSON: "json body", Media.XML: "xml body", Media.MULTIPART: "multipart form",
    Media.GRAPHQL: "graphql", Media.SQL: "statement", Media.CSV: "csv", Media.LINES: "plain text form",
}  # fmt: skip
_TYPED = (Media.FORM, Media.MULTIPART, Media.LINES)  # what people fill in
_MAX_USER = 256
_NEIGHBOURS = 64  # fields looked at on each side for the user, where a document is flat
_LEAST_TOKEN, _LEAST_SECRET = 16, 8
_PINS = ("pin", "pincode")
_NO_USERS = (Name.PASSWORD, Name.WEAK_PASSWORD)
_NOT_BEFORE = (*_NO_USERS, Name.TOKEN, Name.CARD, Name.SSN)
_MAX_TYPED_USER = 64


def find(look: Look, fields: list[Field]) -> set[str]:
    """Report passwords and tokens among ``fields``; gives the user names used, in lower case."""
    users: set[str] = set()
    for place, field in enumerate(fields):
        said = classify(field.name)
        if said is Name.TOKEN and not _secret_key_login(look, fields, place):
            _token(look, field)
        elif said in (Name.PASSWORD, Name.WEAK_PASSWORD, Name.TOKEN):
            user = _password(look, fields, place, said)
            if user:
                users.add(user.casefold())
    return users


def _secret_key_login(look: Look, fields: list[Field], place: int) -> bool:
    """FortiOS and SquirrelMail call the password of their login forms ``secretkey``; beside a user name it is one."""
    if look.from_server or look.media is not Media.FORM or token_kind(fields[place].name) != "secret key":
        return False
    return user_of(fields, place, sure=True) is not None


def mechanism(look: Look) -> str:
    if look.media is Media.FORM and "query" in look.event.where.lower():
        return "query string"
    if look.media is Media.FORM and (really := MISLABELLED.get(look.data.lstrip()[:1])):
        return _MECHANISMS[really]
    return _MECHANISMS.get(look.media, "field")


def _password(look: Look, fields: list[Field], place: int, said: Name) -> str | None:
    field = fields[place]
    if not is_password(field.value):
        return None
    typed = not look.from_server and look.media in _TYPED  # Drupal's login is ``name`` and ``pass``
    sure = said is Name.WEAK_PASSWORD and not typed
    user = user_of(fields, place, sure=sure)
    if not _believed(look, field, said, user):
        return None
    if user is None and not look.from_server:
        user = user_of(fields, place) if sure else _before(fields, place) if typed else None
    pin = field.name.casefold().rpartition("_")[2] in _PINS
    if look.new(credential_rule(look.context), field.value):
        look.found.append(_candidate(look, field, user, "pin" if pin else "password"))
    return user


def _believed(look: Look, field: Field, said: Name, user: str | None) -> bool:
    """The sender's side types passwords; what a server or a table shows under the name may be a label."""
    if said is Name.WEAK_PASSWORD and not _weak(look, field, user):
        return False
    if not look.from_server and look.media in (*_TYPED, Media.JSON, Media.GRAPHQL, Media.XML):
        return not (look.media is Media.XML and is_label(field.value, field.name))
    if is_label(field.value, field.name) or (user is not None and is_label(user, "user")):
        return False
    return (field.text or user is not None) and (user is not None or not is_word(field.value))


def _weak(look: Look, field: Field, user: str | None) -> bool:
    """``pass``, ``pw``, ``pin``: with a user beside them, or typed: in a form, or as text that is no mere word or count."""
    if user is not None:
        return True
    if look.from_server:
        return False
    return look.media in _TYPED or (field.text and not is_word(field.value) and not field.value.replace(".", "").isdigit())


def user_of(fields: list[Field], place: int, *, sure: bool = False) -> str | None:
    """The best named user field in the same object, else in the neighbourhood; the nearer of equals."""
    scope = fields[place].scope
    low = max(0, place - _NEIGHBOURS)
    best: tuple[bool, bool, int, int, str] | None = None
    for at, field in enumerate(fields[low : place + _NEIGHBOURS], low):
        rank = user_rank(field.name) if at != place else None
        if rank is None or not 0 < len(field.value) <= _MAX_USER or (rank >= UNSURE_USER and (sure or field.scope != scope)):
            continue
        if classify(field.name) in _NO_USERS:
            continue  # ``user[password_confirmation]``
        found = (field.value.strip().casefold() in BUTTONS, field.scope != scope, rank, abs(at - place), field.value)
        best = found if best is None else min(best, found)
    return best[4] if best else None


def _before(fields: list[Field], place: int) -> str | None:
    """The user in a form whose names are of its own making: people are asked who they are just before the password."""
    field = fields[place - 1] if place else None
    if field is None or field.scope != fields[place].scope or classify(field.name) in _NOT_BEFORE or not says_who(field.name):
        return None
    value = field.value.strip()
    typed = 0 < len(value) <= _MAX_TYPED_USER and value.isprintable() and value.casefold() not in BUTTONS and not is_token(value, _LEAST_TOKEN)
    return field.value if typed and is_password(value) else None


def _candidate(look: Look, field: Field, user: str | None, kind: str) -> Candidate:
    event, context = look.event, look.context
    start = look.data.find(field.value.encode("utf-8", "surrogateescape"))
    return Candidate(
        rule=credential_rule(context), secret=Secret(field.value, kind), mechanism=mechanism(look), username=user,
        span=look.span(start, start + len(field.value)), outcome=event.outcome, where=look.place(field.name),
        severity=of_secret(context, kind, user, event.outcome), confidence=_sure(look, user), title=title_for(context, kind),
    )  # fmt: skip


def _sure(look: Look, user: str | None) -> float:
    """A form with a user is a login; a lone password in a server's document is likely one."""
    sure = confidence(look.event.outcome)
    return sure if user is not None and not look.from_server else min(sure, 0.85 if user is not None else 0.8)


def _token(look: Look, field: Field) -> None:
    kind = token_kind(field.name)
    value = field.value.removeprefix("Bearer ")
    least = _LEAST_TOKEN if kind in SESSION_LIKE else _LEAST_SECRET
    if kind is None or not field.text or not is_token(value, least):
        return
    rule = token_rule(look.context)
    if not look.new(rule, value):
        return
    start = look.data.find(value.encode())
    look.found.append(
        Candidate(
            rule=rule, secret=Secret(value, "token"), mechanism=kind, span=look.span(start, start + len(value)),
            outcome=look.event.outcome, where=look.place(field.name), facts=_jwt.facts(value) or {}, confidence=0.9,
            severity=Severity.MEDIUM if kind in SESSION_LIKE else Severity.HIGH,
            title=f"{display(look.context.protocol, look.context.title)} {kind} sent in the clear",
        )
    )  # fmt: skip


def named(look: Look) -> Iterator[Field]:
    """A content that is one value with a name of its own: a part of a form, a stored value under its key."""
    name = look.event.name
    if name and len(look.data) <= _MAX_USER * 2 and look.media in (Media.VAGUE, Media.TEXT) and "." not in name[-6:]:
        yield Field(name.rpartition(":")[2], look.data.decode("utf-8", "replace").strip("\r\n"), 0)
