"""What is read off a terminal: which prompt waits, whose password it asks for, what became of an answer."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from sniffer.events import Outcome
from sniffer.secret import decode

# A prompt is looked for in this much of a line; longer lines are text.
_MAX_PROMPT = 120
# Without a colon behind it the word is a prompt only on a line of few words.
_MAX_BARE = 40


def _words(*tongues: str) -> bytes:
    """Alternatives in UTF-8, and in the one-byte charset or the double-byte one that terminals had before it.

    Made when this is imported: a worker that has given up its privileges may no longer read the codecs.
    """
    out: set[bytes] = set()
    for word in "|".join(tongues).split("|"):
        for charset in ("utf-8", "latin-1", "cp850", "iso8859-2", "cp1254", "koi8-r", "cp1251", "gbk", "big5", "shift_jis", "euc_kr"):
            try:
                out.add(re.escape(word.encode(charset)))
            except UnicodeEncodeError:
                continue
    longest_first = sorted(sorted(out), key=len, reverse=True)
    return b"|".join(longest_first)


# What marks the end of a prompt, also behind a leader of dots and in full width (UTF-8, GBK, Shift-JIS).
_MARK = rb"[\s.]*(?:[:>?]|\xef\xbc\x9a|\xa3\xba|\x81\x46)\s*"
_NOTE = rb"(?: ?[\[(][^\])\r\n]{0,32}[\])])?"  # "Login [admin]:"
_USER_WORD = (
    rb"(?:(?<![a-z0-9_@-])(?:(?<!last )(?<!failed )log[io]n(?: as| name| id| user)?|user ?name|user(?: ?id)?|account(?: name)?|benutzer(?:name|kennung)?|utilisateur|identifiant"
    rb"|usuario|nombre de usuario|utente|nome utente|gebruiker(?:snaam)?|brukernavn|bruger(?:navn)?|name(?= \())|"
    + _words("логин|имя пользователя|пользователь|nazwa użytkownika|użytkownik|uživatel|uživatelské jméno|přihlašovací jméno|felhasználó|felhasználónév|käyttäjä|käyttäjätunnus|kullanıcı adı"
             "|kullanici adi|användarnamn|usuário|χρήστης|用户名|用戶名|用户|帳號|账号|使用者名稱|ユーザー名|ユーザ名|사용자|사용자 이름|아이디")
    + rb")" + _NOTE
)  # fmt: skip
_PASSWORD_WORD = (
    rb"(?:pass ?word|passwd|passphrase|pass ?code|kennwort|passwort|mot de passe|wachtwoord|senha|passord|adgangskode|kodeord|salasana|(?<![a-z0-9])(?:parola(?: d'ordine)?|heslo|haslo|geslo|pin(?: code)?)"
    rb"|(?<![a-z0-9])(?:pass|pwd|pw|clave|parol|sifre)(?=[\s.]*[:?>])|"
    + _words("contraseña|lösenord|пароль|hasło|jelszó|şifre|κωδικός|密码|密碼|口令|パスワード|암호|비밀번호")
    + rb"|contrasena)(?: for [^\r\n:]{1,64}|'s)?" + _NOTE
)  # fmt: skip
_BLANK = rb"[\s\[\]_|.*]*"
_ANY = re.compile(rb"(?:[:?]|\xef\xbc\x9a|\xa3\xba|\x81\x46)[\s*]*$")
_QUESTION = re.compile(rb"[:?]\s*$")
# Whom the prompt names: "bob@host's Password:", "[sudo] password for bob:", "root's Password:" (AIX).
_NAMED = re.compile(
    rb"(?:(?:^|[\s(\[])([\w.\\-]{1,64})(?:@[\w.:-]{1,255})?'s (?:new |old |current )?pass ?word|pass ?word for (?:user )?['\"]?(?!(?:level|access|the|your|user|this|login|privilege)\b)([\w.\\-]{1,64}))",
    re.I,
)
_SU = re.compile(rb"(?:sudo +)?su(?: +-[a-z]*)*(?: +([\w.-]{1,64}))?", re.I)
_ENABLE = re.compile(rb"(?:en|ena|enab|enabl|enable|super)(?: +\d+)?", re.I)

_REFUSED = (
    rb"incorrect|invalid|failed|failure|denied|bad password|wrong|not authorized|unauthori[sz]ed(?! (?:access|use|person|entry|connection|login|modif))|error in auth|permission|sorry\b|rejected"
    rb"|no such user|locked|bad (?:secret|user|login)|log(?:in|ged) fail|authentication fail|mismatch|unknown user|error:|% (?:login|bad|authentic)|illegal|try again|falsch|fehlgeschlagen|too many|"
    + _words("ungültig|refusé|échoué|неверн|ошибка|错误|失败|拒绝|niepoprawn|nieprawidł|inválid|incorrect|hibás|virheell")
)  # fmt: skip
_SHELL = re.compile(rb"(?:[^\r\n]{0,80}[$#>\]]|[^\r\n]{0,79}[\w~)\]]%) ?$")
_GRANTED = re.compile(rb"last login|welcome|motd|logged in|login successful|terminal type|\[(?:root|[a-z_][\w-]*)@|microsoft|copyright", re.I)
# What is asked for after a password that was right but must be changed, or typed twice.
_MORE = re.compile(rb"new |re-?(?:type|enter)|again|verify|confirm|change|expired|old ", re.I)
_UNSEEN = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")
# ECMA-48 control sequences, which dress up prompts.
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]{0,16}[@-~]|\][^\x07\x1b]{0,64}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHMc])")
# Both prompts, each at the end of a line or followed by the echo: a terminal's login where no option was negotiated.
_DIALOGUE = re.compile(rb"(?:^|\n|\r| )(?:login|user ?name) ?: ?[^\n]{0,64}\r?\n\r?(?:[^\n]{0,64} )?pass ?word ?: ?", re.I)


class _Patterns:
    """The words in their places. Compiled when a terminal is first read: it takes 3 ms, and most starts meet none."""

    def __init__(self) -> None:
        self.user = re.compile(_USER_WORD + _MARK + rb"$", re.I)
        self.password = re.compile(_PASSWORD_WORD + rb"(?:(?P<mark>" + _MARK + rb")|\s*)$", re.I)
        self.password_anywhere = re.compile(_PASSWORD_WORD + _MARK, re.I)
        # Both fields of a form drawn at once, in which the cursor is then moved about.
        self.form = re.compile(_USER_WORD + rb"[\s.]*:" + _BLANK + _PASSWORD_WORD + rb"[\s.]*:" + _BLANK + rb"$", re.I)
        self.refused = re.compile(_REFUSED, re.I)


@cache
def _patterns() -> _Patterns:
    return _Patterns()


class Prompt(NamedTuple):
    """``kind``: "user", "password", "form" for both at once, or nothing."""

    kind: str
    line: bytes


def clean(data: bytes) -> bytes:
    """Text as it shows: without what moves cursors, rings bells or pads."""
    return _UNSEEN.sub(b"", _ESCAPES.sub(b"", data))


def last_line(tail: bytes) -> bytes:
    """The line the cursor is on; the one before an empty one, if there is a colon at its end."""
    last = clean(tail[tail.rfind(b"\n") + 1 :]).strip(b"\r ")
    if not last:
        last = clean(tail).rstrip().rsplit(b"\n", 1)[-1].lstrip(b"\r")
        last = last if last[-1:] == b":" else b""
    return _rubbed(last[-_MAX_PROMPT:]) if b"\b" in last else last[-_MAX_PROMPT:]


def _rubbed(line: bytes) -> bytes:
    """A line without what was rubbed out on the screen, by backspaces and blanks over it."""
    left = bytearray()
    for byte in line:
        if byte != 8:
            left.append(byte)
        else:
            del left[-1:]
    return bytes(left)


def echoes(line: bytes, typed: bytes) -> bool:
    """Whether a line on the screen ends with what was typed, as far as it was echoed by then."""
    return any(line.endswith(typed[:size]) for size in range(min(len(typed), len(line)), 0, -1))


def prompt(tail: bytes, typed: bytes = b"") -> Prompt:
    """What the end of the output asks for. Words of a command that is being typed ask for nothing."""
    last = last_line(tail)
    if typed and echoes(last, typed):
        return Prompt("", last)
    found = _patterns().password.search(last)
    if found is not None and (found["mark"] or (not typed and len(last) <= _MAX_BARE)):
        return Prompt("password", last)
    if _patterns().user.search(last):
        return Prompt("user", last)
    return Prompt("", last)


def is_form(tail: bytes) -> bool:
    return _patterns().form.search(clean(tail)) is not None


def asks_password(text: bytes) -> bool:
    """Whether a password was asked for anywhere in the text."""
    return _patterns().password_anywhere.search(clean(text)) is not None


def any_prompt(line: bytes) -> bool:
    """A prompt in words that are not known here: a line that ends as prompts do, with stars behind it at most."""
    return _ANY.search(line) is not None


def question(line: bytes) -> bool:
    """A line that asks for something, and is no shell's prompt."""
    return _QUESTION.search(line) is not None


def whose(line: bytes, command: bytes, user: str | None) -> str | None:
    """Whose password a prompt asks for: whom it names, whom the command named, or who logs in."""
    named = _NAMED.search(line)
    if named is not None:
        return decode(named[1] or named[2])
    su = _SU.fullmatch(command)
    if su is not None:
        return decode(su[1]) if su[1] else "root"
    return None if _ENABLE.fullmatch(command) else user


def verdict(answer: bytes, tail: bytes, *, much: bool, went_on: bool) -> Outcome:
    """What became of a password, going by all that was printed since.

    A prompt that comes again after words of refusal may be the shell's from which ``enable`` or ``su`` was tried; words
    further down may be anybody's (a message of the day). Whoever types on after words that refuse nothing is in.
    """
    answer = clean(answer)
    said = answer.strip(b"\r\n\t *")
    asked = prompt(tail).kind
    if asked == "user" or _patterns().refused.search(said.split(b"\n", 1)[0]):
        return Outcome.REJECTED
    if asked == "password":
        return Outcome.UNKNOWN if _MORE.search(answer) else Outcome.REJECTED
    last = clean(tail).rsplit(b"\n", 1)[-1].lstrip(b"\r")
    if _SHELL.match(last) or much:
        return Outcome.ACCEPTED
    refused, granted = _patterns().refused.search(answer), _GRANTED.search(answer)
    if refused and not (granted and granted.start() < refused.start()):
        return Outcome.REJECTED
    return Outcome.ACCEPTED if granted or (went_on and said) else Outcome.UNKNOWN


def dialogue(server: bytes) -> bool:
    return _DIALOGUE.search(clean(server)) is not None
