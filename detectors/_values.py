"""Whether a value is a secret, or stands only where one would: masks, templates, labels, placeholders."""

from __future__ import annotations

import re

from detectors.rules.values import LABELS, PLACEHOLDERS, STOPS

MAX_PASSWORD = 512  # longer values are blobs (a key, an encrypted form), found by their own rules if at all
_MASKED = re.compile(r"[*•●·xX#.\-_ ]+|.{0,4}[*•●]{3,}.{0,4}", re.S)
_TEMPLATE = re.compile(r"\$\{|\{\{|\{%|<%|%\(|\$\(|\[\[|__\w+__\Z|\A%[sdq@]\Z|\A<[^<>]{1,40}>\Z|\A\{\w{1,40}\}\Z|\A\$\w+\Z|\A:\w+\Z|\A%\w+%\Z")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=|:%!@#$^&*-]+")
_CALL = re.compile(r"[\w.]+\(.*\)|[a-z_]+(?:\.[a-z_]+)+|function\b.*|required\b.*\||\w+\|\w+:\d+")


def is_password(value: str) -> bool:
    """A value somebody could have typed: not empty, masked, templated or a word for nothing."""
    if not value or len(value) > MAX_PASSWORD or value.strip().casefold() in PLACEHOLDERS:
        return False
    if len(value) > 2 and _MASKED.fullmatch(value):
        return False
    return not _TEMPLATE.search(value) and value.isprintable()


def is_label(value: str, key: str) -> bool:
    """Whether a value that a server or a file shows under a password's name is text for people or programs.

    Labels have spaces or end in punctuation, repeat the key, or are the word for password in some language.
    """
    plain = re.sub(r"[\s_-]", "", value).casefold().rstrip(":.…*?!")
    if " " in value.strip() or plain in LABELS or plain == re.sub(r"[\W_]", "", key).casefold():
        return True
    return bool(_CALL.fullmatch(value)) or value.endswith(("…", "...", ":"))


def is_word(value: str) -> bool:
    """Letters alone: as likely a label in some language as a password."""
    return value.isalpha()


def is_token(value: str, least: int) -> bool:
    """An opaque secret of at least ``least`` characters: no spaces, mixed, not made up."""
    if not least <= len(value) <= 8192 or not _TOKEN.fullmatch(value) or value.casefold() in PLACEHOLDERS:
        return False
    if made_up(value.encode()) or _TEMPLATE.search(value) or value.startswith(("http:", "https:", "/", "./")):
        return False
    return len(set(value)) >= 7 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def made_up(value: bytes) -> bool:
    """Examples of the documentation: ``AKIA…EXAMPLE``, ``ghp_xxxx``, counted-up digits."""
    low = value.lower()
    return any(stop in low for stop in STOPS)
