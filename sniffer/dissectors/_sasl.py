"""SASL exchanges, RFC 4422: what each mechanism shows of a login, whatever protocol carries it."""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Callable

from msgspec.structs import replace

from sniffer.dissectors._ntlmssp import Exchange, find
from sniffer.events import ChallengeResponse, Crack, Login, Outcome, Span, Token
from sniffer.secret import Secret, decode

# A response beyond this carries no secret we could read: tokens are the longest (RFC 4954 section 4 allows lines of
# 12288 octets), passwords and digests far shorter. Larger ones are counted as sent and not looked into.
MAX_RESPONSE = 16 * 1024
# RFC 2831 section 2.1.2 gives the client's answer 4096 bytes at most.
_MAX_DIGEST = 4096

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,20}")
_CRAM = re.compile(rb"(.*) ([0-9A-Fa-f]{32})", re.S)
_DIGEST_FIELD = re.compile(rb'(?:^|,)[ \t\r\n]*([a-z-]{1,20})=(?:"((?:[^"\\]|\\.)*)"|([^,\s"]*))')
_HEX32 = re.compile(rb"[0-9a-fA-F]{32}")
_BEARER = re.compile(rb"auth=Bearer[ ]+([!-~]+)", re.I)
_OAUTH_USER = re.compile(rb"(?:^user=|^[ny],a=|^p=[^,\x01]{0,40},a=)([^\x01,]+)")
_SCRAM_USER = re.compile(rb"^(?:[ny]|p=[^,]{1,40}),[^,]*,(?:m=[^,]*,)?n=([^,]*),r=")
_SCRAM_PROOF = re.compile(rb",p=([A-Za-z0-9+/]{16,100}={0,2})$")
_USER_PROMPT = re.compile(rb"user|login|name|e-?mail|account", re.I)
_FIRST_PROMPT = re.compile(rb"user ?name:?\0?", re.I)  # as nearly all servers have it
_PASSWORD_PROMPT = re.compile(rb"pass|secret", re.I)

# Responses that name their mechanism by their form alone.
_FORMS = (
    ("PLAIN", re.compile(rb"[^\x00-\x1f\x7f]{0,255}\0[^\x00-\x1f\x7f]{1,255}\0[^\x00-\x1f\x7f]{1,255}\Z")),
    ("XOAUTH2", re.compile(rb"user=[^\x01]*\x01auth=Bearer ", re.I)),
    ("OAUTHBEARER", re.compile(rb"[ny],[^\x01]*,\x01(?:[^\x01]*\x01)*?auth=Bearer ", re.I)),
    ("NTLM", re.compile(rb"NTLMSSP\0\x03\0\0\0")),
)
# And challenges: RFC 2195 section 2 (the form of a message id), RFC 2831 section 2.1.1, MS-NLMP 2.2.1.2.
_CHALLENGES = (
    ("CRAM-MD5", re.compile(rb"<[^<>\x00-\x20]{1,250}@[^<>\x00-\x20]{1,250}>\Z")),
    ("DIGEST-MD5", re.compile(rb'(?:realm="[^"]{0,250}", ?)*nonce="[^"]+",.*algorithm="?md5-sess', re.S)),
    ("NTLM", re.compile(rb"NTLMSSP\0\x02\0\0\0")),
)

Found = Login | ChallengeResponse | Token


def unbase64(text: bytes) -> bytes | None:
    """The bytes of one line of base64; ``=`` is empty (RFC 4954 section 4). None if it is not base64."""
    text = text.strip()
    if text == b"=":
        return b""
    if not _BASE64.fullmatch(text):
        return None
    try:
        return binascii.a2b_base64(text.rstrip(b"=") + b"==")
    except binascii.Error:
        return None


class Sasl:
    """One exchange. Feed ``initial``, ``challenge`` and ``response`` as they come, then take ``finish(outcome)``.

    ``prefix`` goes before the mechanism's name in events: ``Sasl("PLAIN", "AUTH ")`` speaks of ``AUTH PLAIN``. Data
    are decoded bytes; None stands for what could not be decoded. A response's span is that of its bytes on the wire.
    """

    __slots__ = ("_challenges", "_found", "_last", "_more", "_ntlm", "_responses", "_step", "_user", "mechanism")

    def __init__(self, mechanism: str, prefix: str = "") -> None:
        mechanism = mechanism.strip('"')  # IMAP's clients may quote any argument
        name = mechanism.upper() if _NAME.fullmatch(mechanism) else "unknown"
        self.mechanism = prefix + name
        self._step = _STEPS.get("SCRAM" if name.startswith("SCRAM-") else name, Sasl._negotiate)
        self._found: Found | None = None
        self._user: str | None = None
        self._last: bytes | None = None
        self._ntlm: Exchange | None = None
        self._challenges = self._responses = 0
        self._more = True

    @property
    def expects(self) -> bool:
        """Whether the client is to speak: the server has asked, or asked unseen (only one side captured)."""
        return self._responses < self._challenges or self._more

    @property
    def unfinished(self) -> bool:
        """Whether the mechanism cannot end here: the client has not yet said what it must."""
        return self._more and self._found is None

    def initial(self, data: bytes | None, span: Span) -> None:
        """A response sent with the command itself, before any challenge."""
        self._take(data, span, None)

    def challenge(self, data: bytes | None) -> None:
        """The server's turn."""
        self._challenges += 1
        self._last = data
        if data and self._step is Sasl._negotiate:
            self._feed_ntlm(data)

    def response(self, data: bytes | None, span: Span) -> None:
        """The client's turn."""
        self._responses += 1
        self._take(data, span, self._last if self._challenges >= self._responses else None)

    def line(self, text: bytes, span: Span) -> None:
        """The client's turn as a line of base64; ``*`` cancels (RFC 4954 section 4)."""
        if text.strip() == b"*":
            self._more = False
            self._responses += 1
        else:
            self.response(unbase64(text), span)

    def finish(self, outcome: Outcome) -> list[Found]:
        """What was sent, once: nothing if no secret was wholly seen."""
        found, self._found, self._more = self._found, None, False
        if found is None:
            return []
        return [replace(found, outcome=outcome, username=found.username or self._user or None)]

    def _take(self, data: bytes | None, span: Span, challenge: bytes | None) -> None:
        self._more = False
        if data is not None and len(data) <= MAX_RESPONSE:
            self._step(self, data, span, challenge)

    @property
    def _where(self) -> str:
        return f"{self.mechanism} response"

    def _plain(self, data: bytes, span: Span, _challenge: bytes | None) -> None:
        """RFC 4616: authorization identity, NUL, authentication identity, NUL, password; some leave the first away."""
        parts = data.split(b"\0", 3)[:3]
        if len(parts) < 2 or not parts[-1] or (len(parts) == 2 and not parts[0]):
            return
        user = parts[-2] or parts[0]
        secret = Secret(parts[-1])
        self._found = Login(span=span, mechanism=self.mechanism, secret=secret, username=decode(user) or None, where=self._where)

    def _login(self, data: bytes, span: Span, challenge: bytes | None) -> None:
        """draft-murchison-sasl-login: the prompt's words say what was asked for; without them, user before password."""
        if challenge and _PASSWORD_PROMPT.search(challenge):
            password = True
        elif challenge and _USER_PROMPT.search(challenge):
            password = False
        else:
            password = self._user is not None
        if not password:
            self._user = decode(data) if data or challenge else None  # "AUTH LOGIN =" says nothing yet
        elif data:
            self._found = Login(span=span, mechanism=self.mechanism, secret=Secret(data), where=self._where)
        self._more = not password or self._user is None

    def _cram(self, data: bytes, span: Span, challenge: bytes | None) -> None:
        """RFC 2195 section 2: user, space, HMAC-MD5 of the challenge in hex."""
        match = _CRAM.fullmatch(data)
        if not match:
            return
        crack = None
        if challenge:
            line = f"$cram_md5${b64encode(challenge).decode()}${b64encode(data).decode()}"
            crack = Crack("cram_md5", 10200, Secret(line, "hash"))
        self._prove(span, match[2].lower(), decode(match[1]) or None, None, crack)

    def _digest(self, data: bytes, span: Span, _challenge: bytes | None) -> None:
        """RFC 2831 section 2.1.2; the answer repeats all of the challenge that matters."""
        if len(data) > _MAX_DIGEST:
            return
        fields = {m[1]: re.sub(rb"\\(.)", rb"\1", m[2]) if m[2] is not None else m[3] for m in _DIGEST_FIELD.finditer(data)}
        response = fields.get(b"response", b"")
        if _HEX32.fullmatch(response) and fields.get(b"username"):
            realm = decode(fields.get(b"realm", b""))
            self._prove(span, response, decode(fields[b"username"]), realm or None, _digest_crack(fields))

    def _scram(self, data: bytes, span: Span, _challenge: bytes | None) -> None:
        """RFC 5802 section 7. No cracker reads the exchange (they want the stored keys), so the proof goes out alone."""
        if match := _SCRAM_USER.match(data):
            self._user = decode(match[1]).replace("=2C", ",").replace("=3D", "=") or None
            self._more = True
        elif match := _SCRAM_PROOF.search(data):
            self._prove(span, match[1], None, None, None)

    def _oauth(self, data: bytes, span: Span, _challenge: bytes | None) -> None:
        """RFC 7628 section 3.1 and its forerunner XOAUTH2: fields ended by 0x01."""
        if match := _BEARER.search(data):
            user = _OAUTH_USER.search(data)
            name = decode(user[1]).replace("=2C", ",").replace("=3D", "=") if user else None
            self._found = Token(span=span, mechanism=self.mechanism, secret=Secret(match[1], "token"), username=name, where=self._where)

    def _nothing(self, _data: bytes, _span: Span, _challenge: bytes | None) -> None:
        """ANONYMOUS (RFC 4505) and EXTERNAL (RFC 4422): no secret."""

    def _negotiate(self, data: bytes, span: Span, _challenge: bytes | None) -> None:
        """NTLM, bare or in SPNEGO; any mechanism unknown to us may carry it. Kerberos in there is no finding."""
        self._more = self._feed_ntlm(data, span)

    def _feed_ntlm(self, data: bytes, span: Span | None = None) -> bool:
        """Whether these bytes were NTLM without being the last message of it."""
        blob = find(data)
        if blob is None:
            return False
        self._ntlm = self._ntlm or Exchange()
        found = self._ntlm.feed(blob)
        if found is None or span is None:
            return True
        self._found = ChallengeResponse(
            span=span, mechanism=found.mechanism, response=found.response, username=found.username or None,
            realm=found.domain or None, where=self._where, crack=found.crack,
        )  # fmt: skip
        return False

    def _prove(self, span: Span, response: bytes, user: str | None, realm: str | None, crack: Crack | None) -> None:
        self._found = ChallengeResponse(
            span=span, mechanism=self.mechanism, response=Secret(response, "hash"), username=user, realm=realm,
            where=self._where, crack=crack,
        )  # fmt: skip


def _digest_crack(fields: dict[bytes, bytes]) -> Crack | None:
    """A line for John the Ripper's ``dmd5``, within the field sizes it accepts.

    hashcat 11400 (SIP) does not fit: it hashes H(user:realm:password) in hex, RFC 2831 hashes its 16 raw bytes with
    the nonces (as MD5-sess does, which 11400 lacks), and the method is the word AUTHENTICATE.
    """
    names = (b"username", b"realm", b"nonce", b"digest-uri", b"cnonce", b"nc", b"qop", b"response")
    values = [fields.get(name, b"") for name in names]
    values[6] = values[6] or b"auth"  # RFC 2831 section 2.1.2.1: the default
    sizes = (63, 63, 63, 123, 32, 8, 8, 32)
    whole = all(values[i] for i in (0, 2, 3, 4, 5)) and all(len(v) <= n for v, n in zip(values, sizes, strict=True))
    if not whole or b"authzid" in fields or b"$" in b"".join(values):
        return None
    return Crack("dmd5", None, Secret(b"$DIGEST-MD5$" + b"$".join(values), "hash"))


_Step = Callable[[Sasl, bytes, Span, bytes | None], None]
_STEPS: dict[str, _Step] = {
    "PLAIN": Sasl._plain,
    "LOGIN": Sasl._login,
    "CRAM-MD5": Sasl._cram,
    "DIGEST-MD5": Sasl._digest,
    "SCRAM": Sasl._scram,
    "XOAUTH2": Sasl._oauth,
    "OAUTHBEARER": Sasl._oauth,
    "ANONYMOUS": Sasl._nothing,
    "EXTERNAL": Sasl._nothing,
}


def begun(text: bytes, span: Span, prefix: str = "") -> Sasl | None:
    """The exchange that a line of base64 belongs to whose beginning was not captured, where its form leaves no doubt.

    It may be the end of a line: PLAIN has to have both its NULs, a bearer's token its scheme, NTLM its signature. An
    empty authorization identity (nearly all have that) shows that the user is whole.
    """
    data = unbase64(text) if len(text) >= 8 else None
    if not data or len(data) > MAX_RESPONSE:
        return None
    mechanism = next((name for name, form in _FORMS if form.match(data)), None)
    if mechanism is None:
        return None
    sasl = Sasl(mechanism, prefix)
    sasl.initial(data, span)
    return sasl if sasl._found is not None else None


def joined(challenge: bytes | None, prefix: str = "") -> Sasl | None:
    """An exchange met at a challenge (its beginning was not captured) that tells the mechanism; LOGIN from the password's on without user."""
    mechanism = next((name for name, form in _CHALLENGES if form.match(challenge)), None) if challenge else None
    if challenge and mechanism is None and len(challenge) <= 64 and (_PASSWORD_PROMPT.search(challenge) or _FIRST_PROMPT.fullmatch(challenge)):
        mechanism = "LOGIN"
    if mechanism is None:
        return None
    sasl = Sasl(mechanism, prefix)
    sasl.challenge(challenge)
    return sasl
