"""Login forms that do not call a password one: names of one letter, and what routers' pages put into base64 before they send it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from detectors._calls import Login
from sniffer.secret import decode

# DokuWiki, QQ and scripts: ``u`` and ``p``. Pages and their numbers are called so too: what a browser tells a counter names an
# address, or has more fields, none of which speaks of a login.
_SHORT = re.compile(rb"(?:\A|&)(?:u|usr|user|username|login|email)=([^&]{1,256})&(?:[^&]{0,256}&){0,8}?p=(?!\d{0,4}(?:&|\s*\Z))([^&\s]{1,256})")
# ASUS: user, colon, password. DrayTek: each by itself.
_TOGETHER = re.compile(rb"(?:\A|&)login_authorization=([A-Za-z0-9+/=%]{4,512})")
_EACH = re.compile(rb"aa=([A-Za-z0-9+/=%]{2,256})&ab=([A-Za-z0-9+/=%]{2,256})(?:&|\s*\Z)")
_OF_LOGIN = re.compile(rb"log-?[io]n|auth|sign-?in|sess?ion|sectok", re.I)
_MAX_FORM = 4096  # such forms are small


def unusual(data: bytes) -> bool:
    """Whether a client's form may be one of these; a cheap look at it."""
    if len(data) > _MAX_FORM:
        return False
    return data.find(b"p=") >= 0 or data.startswith(b"aa=") or data.find(b"login_authorization=") >= 0


def logins(data: bytes) -> Iterator[Login]:
    """User and password of a form as it stood on the wire."""
    if not unusual(data):
        return
    if found := _TOGETHER.search(data):
        user, colon, password = _plain(found[1]).partition(":")
        if colon and password:
            yield Login(user, password)
    elif found := _EACH.match(data):
        user, password = _plain(found[1]), _plain(found[2])
        if user and password:
            yield Login(user, password)
    elif (found := _SHORT.search(data)) and (data.count(b"&") == 1 or _OF_LOGIN.search(data)):
        user, password = (decode(unquote_to_bytes(value.replace(b"+", b" "))) for value in found.groups())
        if "/" not in user and " " not in password:
            yield Login(user, password)


def _plain(value: bytes) -> str:
    """What base64 says; empty where it is no readable text."""
    try:
        text = b64decode(unquote_to_bytes(value), validate=True).decode()
    except ValueError:
        return ""
    return text if text.isprintable() else ""
