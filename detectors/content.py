"""Secrets and personal data in what people and programs wrote: one scan for anchors, then confirmation round each hit."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from detectors import Detector, _files, _logins, _payment, _persons, _shapes, _urls
from detectors._calls import calls
from detectors._devices import unusual
from detectors._fields import fields, unquoted
from detectors._look import Look
from detectors._media import STRUCTURED, Media, as_utf8, by_look, by_type, is_plain_form
from detectors._names import Name, classify
from detectors._scan import Group, scan, table
from sniffer.events import Content
from sniffer.findings import Candidate, Context

_KEYS = (Group.LOGIN_KEY, Group.SECRET_KEY, Group.PERSON_KEY)
_CARDS = (Group.CARD_PLAIN, Group.CARD_GROUPED)

_Hits = dict[Group, list[tuple[int, int]]]


def _look(event: Content, context: Context) -> Iterable[Candidate]:
    told = by_type(event.media)
    if told is Media.OPAQUE:
        return ()
    data = event.data
    if (event.charset is not None and event.charset != "utf-8") or data[:1] == b"\xff" or 0 in data[:4]:
        data = as_utf8(event)
    # Values of a form are looked at as typed; its fields are read from the wire's form below.
    text = data
    if told is Media.FORM:
        text = data.replace(b"+", b" ")
        if text.find(b"%") >= 0:
            text = unquote_to_bytes(text)
    hits = scan(text)
    unnamed = not event.span.side and (unquoted(data) if told is Media.MULTIPART else calls(data) or (told is Media.FORM and event.where == "request body" and unusual(data)))
    if not hits and not unnamed and (not event.name or told is Media.FORM):
        return ()
    return _confirm(event, context, told, data, text, hits, unnamed=unnamed)


def _confirm(event: Content, context: Context, told: Media, data: bytes, text: bytes, hits: list[tuple[int, int]], *, unnamed: bool) -> list[Candidate]:
    """``unnamed``: what its fields say is worth reading although no anchor was hit at a name."""
    media = by_look(data, told) if told in (Media.VAGUE, Media.TEXT, Media.PAGE) else told
    if media is Media.VAGUE and event.media == "text/plain" and event.where == "request body" and is_plain_form(data):
        media = Media.LINES
    look = Look(event, context, text, media)
    groups = _grouped(hits)
    users: set[str] = set()
    if groups.get(Group.TOKEN):
        _shapes.find(look, groups[Group.TOKEN])
    if media is Media.BINARY:
        return look.found  # formats are no evidence in bytes that are not text
    if groups.get(Group.URL):
        _urls.find_urls(look, groups[Group.URL])
    if groups.get(Group.CONNECTION):
        _urls.find_strings(look, groups[Group.CONNECTION])
    if groups.get(Group.HASH):
        _files.find_hashes(look, groups[Group.HASH])
    if groups.get(Group.LINE):
        _files.find_lines(look, groups[Group.LINE])
    if media in STRUCTURED and (unnamed or any(g in groups for g in _KEYS)):
        users = _named(look, data, sorted(end for g in _KEYS for _, end in groups.get(g, ())))
    elif event.name:
        _logins.find(look, list(_logins.named(look)))
    _formats(look, groups, users)
    return look.found


def _grouped(hits: list[tuple[int, int]]) -> _Hits:
    anchors = table()
    groups: _Hits = {}
    for hit in hits:
        groups.setdefault(anchors[hit[0]].group, []).append(hit)
    return groups


def _named(look: Look, data: bytes, ends: list[int]) -> set[str]:
    """What the names of fields say: logins, tokens, cards, social security numbers."""
    pairs = fields(data, look.media, ends)
    users = _logins.find(look, pairs)
    cards: list[tuple[str, str]] = []
    for field in pairs:
        said = classify(field.name)
        if said is Name.SSN:
            _persons.ssn_field(look, field.name, field.value)
        elif said is Name.CARD:
            cards.append((field.name, field.value))
    _payment.find_named(look, cards)
    return users


def _formats(look: Look, groups: _Hits, users: set[str]) -> None:
    """What the values themselves say."""
    cards = [hit for group in _CARDS for hit in groups.get(group, ())]
    if cards:
        _payment.find(look, cards)
    if groups.get(Group.IBAN):
        _persons.find_ibans(look, groups[Group.IBAN])
    if groups.get(Group.PERSON_KEY):
        _persons.find_ssns(look, groups[Group.PERSON_KEY])
    if groups.get(Group.MAIL):
        _persons.find_addresses(look, groups[Group.MAIL], users)


_RULES = (
    *_shapes.rules().values(), _urls.RULE, _files.RULE, _payment.RULE, _persons.IBAN, _persons.US_SSN, _persons.EMAIL, _persons.BULK,
)  # fmt: skip
DETECTORS = (Detector(on=Content, look=_look, rules=_RULES),)
