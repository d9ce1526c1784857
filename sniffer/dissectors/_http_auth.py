"""Secrets in HTTP fields: Authorization (RFC 9110, 7617, 7616, 6750; MS-NTHT), cookies (RFC 6265), API keys, URLs."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from sniffer.dissectors._http_head import Head
from sniffer.dissectors._ntlmssp import Exchange
from sniffer.events import ChallengeResponse, Crack, Event, Login, Side, Span, Token
from sniffer.secret import Secret, decode

API_KEYS = frozenset(
    b"x-api-key api-key apikey x-apikey x-auth-token x-auth-key x-access-token x-authorization x-vault-token x-consul-token private-token "
    b"job-token deploy-token x-gitlab-token x-amz-security-token x-aws-ec2-metadata-token ocp-apim-subscription-key x-goog-api-key "
    b"circle-token dd-api-key dd-application-key x-shopify-access-token x-github-token x-jenkins-token x-nomad-token x-figma-token "
    b"x-postmark-server-token x-mailgun-key x-rapidapi-key x-subject-token x-service-token x-session-token x-token x-user-token "
    b"x-secret-key x-client-secret x-grafana-api-key x-insert-key x-honeycomb-team x-rundeck-auth-token x-plex-token x-parse-rest-api-key "
    b"x-parse-master-key x-influxdb-token x-emby-token x-mbx-apikey x-redmine-api-key x-jfrog-art-api x-pan-key x-cisco-meraki-api-key x-apikeys x-bugzilla-api-key vmware-api-session-id x-api-secret".split()
)  # fmt: skip
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{4,8192}\.[A-Za-z0-9_-]{0,2048}")
_USERINFO = re.compile(rb"[a-z][a-z0-9+.-]{1,20}://([^\s/?#:@]{0,256}):([^\s/?#@]{1,256})@", re.I)
_PARAMETER = re.compile(r'([A-Za-z0-9_*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_ESCAPED = re.compile(r'\\(["\\])')
# A base64 text, perhaps folded, of either alphabet; anything else after Basic is a placeholder or another scheme's.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=\s-]+")
# An API key as the user, with an empty password (Stripe and those who follow it).
_KEY = re.compile(rb"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_.-]{20,256}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Schemes that prove a secret without sending it, request by request or inside a TLS of their own (CredSSP): no bearer's.
_PROOFS = frozenset(
    b"aws4-hmac-sha256 aws hawk signature oauth kerberos credssp hoba mutual scram-sha-1 scram-sha-256 sharedkey sharedkeylite hmac vapid wsse concealed "
    b"nego2 dpop-proof".split()
)  # fmt: skip
# Users and passwords in fields of their own: ClickHouse, OpenStack Swift, OpenAM and OpenIDM, and what others call so.
_PAIRS = (
    (b"x-clickhouse-user", b"x-clickhouse-key", "X-ClickHouse-Key"), (b"x-storage-user", b"x-storage-pass", "X-Storage-Pass"),
    (b"x-openam-username", b"x-openam-password", "X-OpenAM-Password"), (b"x-openidm-username", b"x-openidm-password", "X-OpenIDM-Password"),
    (b"x-auth-username", b"x-auth-password", "X-Auth-Password"), (b"x-username", b"x-password", "X-Password"), (b"username", b"password", "Password"),
)  # fmt: skip
_PAIRED = frozenset(name for user, key, _ in _PAIRS for name in (user, key))
# Pages of recorders, cameras and old scripts keep user and password in cookies as they were typed.
_COOKIE_PASSWORDS = frozenset((b"password", b"passwd", b"pwd", b"pass", b"userpassword", b"userpass", b"userpwd", b"user_password", b"user_pass", b"login_password", b"dvr_pwd"))
_COOKIE_USER = re.compile(rb"(?<=[;\s:])(?:user(?:_?name)?|usr|uid|login|account|dvr_usr)=\"?([^;\s\"]{1,256})", re.I)
_DIGEST = re.compile(rb"[0-9a-fA-F]{32,128}|\$[0-9A-Za-z]{1,8}\$.*|[*xX]+")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9_+.-]*$")
# One field's cookies; browsers keep 50 to 180 a site.
_MAX_COOKIES = 200
# What servers send to take a cookie away.
_NO_VALUES = frozenset((b"", b"deleted", b"deleteme", b"null", b"none", b"undefined", b"0", b"-1", b"expired"))


def holds_secrets(head: Head) -> bool:
    """Whether a request's head may hold any: one look for the words without which there is none."""
    low = head.low
    return b"auth" in low or b"cookie" in low or b"key" in low or b"token" in low or b"pass" in low or b"@" in low or b"eyj" in low or b"secret" in low


# InfluxDB 1.x and Subsonic take the user as ``u`` and the password as ``p``: too short to be looked for elsewhere.
_SHORT = re.compile(rb"[^?]*/(?:query|write|rest/\w+(?:\.view)?)\?(?=(?:[^#]*&)?u=([^&#]+))(?:[^#]*&)?p=([^&#]+)")


def short_login(target: bytes, offset: int) -> list[Event]:
    """The login in a request target that stands at ``offset`` of the client's stream."""
    found = _SHORT.match(target)
    if found is None:
        return []
    user, secret = (unquote_to_bytes(part.replace(b"+", b" ")) for part in found.groups())
    if secret[:4] == b"enc:":
        try:
            secret = bytes.fromhex(secret[4:].decode("latin-1"))
        except ValueError:
            return []
    span = Span(Side.CLIENT, offset + found.start(2), offset + found.end(2))
    return [Login(span=span, mechanism="query string", username=decode(user), secret=Secret(decode(secret)), where="query string, field p")]


class Credentials:
    """Reads heads of one connection; keeps the NTLM exchanges, which span messages (one for the origin, one for a proxy)."""

    __slots__ = ("_ntlm",)

    def __init__(self) -> None:
        self._ntlm = {b"authorization": Exchange(), b"proxy-authorization": Exchange()}

    def forget(self) -> None:
        for exchange in self._ntlm.values():
            exchange.forget()

    def request(self, head: Head, method: bytes) -> list[Event]:
        """The secrets in a request's head, outcome still unknown."""
        if not holds_secrets(head):
            return []
        low = head.low
        events: list[Event] = []
        jwts: list[tuple[int, int]] = []
        names: dict[bytes, tuple[int, int]] = {}
        for name, start, end in head.fields():
            if name in (b"authorization", b"proxy-authorization"):
                events += self._authorization(head, name, start, end, method)
            elif name == b"cookie":
                events += self._cookies(head, start, end)
            elif name in API_KEYS:
                events += self._api_key(head, name, start, end)
            elif name in _PAIRED:
                names[name] = (start, end)
            elif name == b"referer":
                events += self._userinfo(head, start, end, "Referer header")
            else:
                jwts += [m.span() for m in _JWT.finditer(head.data, start, end)] if b"eyj" in low[start:end] else []
        if names:
            events += self._pairs(head, names)
        line = head.data.find(b"\n")
        events += self._userinfo(head, 0, line, "request target")
        events += [self._token(head, "JWT", start, end, where="header") for start, end in jwts]
        return events

    def response(self, head: Head, status: int) -> list[Event]:
        """Session cookies being set; NTLM challenges are remembered."""
        if status in (401, 407):
            for name, target in ((b"www-authenticate", b"authorization"), (b"proxy-authenticate", b"proxy-authorization")):
                for start, end in head.every(name):
                    scheme, value = (*head.data[start:end].split(None, 1), b"", b"")[:2]
                    if scheme.lower() in (b"ntlm", b"negotiate") and value:
                        self._ntlm[target].feed(_unbase64(value))
        if b"\nset-cookie:" not in head.low:
            return []
        events: list[Event] = []
        for start, end in head.every(b"set-cookie"):
            stop = head.data.find(b";", start, end)
            events += self._cookies(head, start, stop if stop >= 0 else end, Side.SERVER)
        return events

    def _authorization(self, head: Head, name: bytes, start: int, end: int, method: bytes) -> list[Event]:
        where = "Proxy-Authorization header" if name.startswith(b"proxy") else "Authorization header"
        value = head.data[start:end]
        scheme, rest = (*value.split(None, 1), b"", b"")[:2]
        kind = scheme.lower()
        if not rest or not _SCHEME.match(scheme):
            bare = len(value) >= 8 and not value.isalpha() and kind not in (b"negotiate", b"kerberos")
            return [self._token(head, "Authorization", start, end, where=where)] if bare else []
        at = end - len(rest)
        if kind == b"basic":
            return self._basic(head, at, end, where)
        if kind == b"digest":
            return self._digest(head, start, end, method, where)
        if kind in (b"ntlm", b"negotiate"):
            return self._ntlmssp(head, name, at, end, where)
        if kind == b"bearer":
            return [self._token(head, "Bearer", at, end, where=where)]
        if kind in _PROOFS:
            return []
        return [self._token(head, scheme.decode("latin-1"), start, end, where=where)]

    def _basic(self, head: Head, start: int, end: int, where: str) -> list[Event]:
        """RFC 7617: base64 of user-id, colon, password."""
        value = head.data[start:end]
        user, colon, secret = _unbase64(value).rstrip(b"\r\n").partition(b":")  # ``echo user:password | base64`` codes a line
        if colon and not secret and _KEY.fullmatch(user):
            return [Token(span=_span(head, start, end), mechanism="API key", secret=Secret(decode(user), "token"), where=where)]
        if not colon or not secret or not _BASE64.fullmatch(value) or _CONTROL.search(user) or _CONTROL.search(secret):
            return []
        return [Login(span=_span(head, start, end), mechanism="Basic", username=decode(user), secret=Secret(decode(secret)), where=where)]

    def _digest(self, head: Head, start: int, end: int, method: bytes, where: str) -> list[Event]:
        """RFC 7616. A line for crackers only where MD5 is used and every field it needs was sent."""
        fields = {m[1].lower(): _unquoted(m[2]) if m[2] is not None else m[3].strip("'\"") for m in _PARAMETER.finditer(decode(head.data[start + 6 : end]))}
        response = fields.get("response", "")
        if not response:
            return []
        crack = None
        if "username*" in fields:  # RFC 7616, 3.4: for names beyond ASCII, as RFC 8187 writes them
            fields["username"] = decode(unquote_to_bytes(fields["username*"].rpartition("'")[2]))
        user, realm, nonce, uri = (fields.get(n) for n in ("username", "realm", "nonce", "uri"))
        plain = fields.get("algorithm", "MD5").upper() == "MD5" and len(response) == 32 and fields.get("userhash", "").lower() != "true"
        # The line's separator cannot be written in it.
        clear = not any("*" in fields.get(n, "") for n in ("username", "realm", "nonce", "uri", "cnonce"))
        if plain and clear and None not in (user, realm, nonce, uri) and fields.get("qop", "auth") in ("auth", ""):
            line = "*".join(("$sip$", "", "", user or "", realm or "", method.decode("latin-1"), "", uri or "", "", nonce or "", fields.get("cnonce", ""), fields.get("nc", ""), fields.get("qop", ""), "MD5", response))
            crack = Crack("sip", 11400, Secret(line, "hash"))
        return [ChallengeResponse(span=_span(head, start, end), mechanism="Digest", username=user, realm=realm, response=Secret(response, "hash"), where=where, crack=crack)]

    def _ntlmssp(self, head: Head, name: bytes, start: int, end: int, where: str) -> list[Event]:
        found = self._ntlm[name].feed(_unbase64(head.data[start:end]))
        if found is None:
            return []
        return [ChallengeResponse(span=_span(head, start, end), mechanism=found.mechanism, username=found.username, realm=found.domain or None, response=found.response, where=where, crack=found.crack)]

    def _cookies(self, head: Head, start: int, end: int, side: Side = Side.CLIENT) -> list[Event]:
        events: list[Event] = []
        at = start
        for part in head.data[start:end].split(b";")[:_MAX_COOKIES]:
            name, _, value = part.partition(b"=")
            name, value = name.strip(), value.strip().strip(b'"')
            place = at + part.find(value) if value else at
            at += len(part) + 1
            if name.lower() == b"authorization" and value[:5].lower() == b"basic":
                events += self._basic_cookie(head, at - len(part) - 1 + part.find(b"=") + 1, value)
            elif side is Side.CLIENT and name.lower() in _COOKIE_PASSWORDS and (typed := _plain_cookie(value)):
                user = _COOKIE_USER.search(head.data, start, end)
                events.append(Login(span=_span(head, place, place + len(value)), mechanism="cookie", username=decode(unquote_to_bytes(user[1])) if user else None, secret=Secret(typed), where="Cookie header"))
            elif value.lower() not in _NO_VALUES and name:
                where = "Cookie header" if side is Side.CLIENT else "Set-Cookie header"
                events.append(Token(span=Span(side, head.start + place, head.start + place + len(value)), mechanism="cookie", name=decode(name), secret=Secret(decode(value), "cookie"), where=where))
        return events

    def _basic_cookie(self, head: Head, start: int, value: bytes) -> list[Event]:
        """The web pages of TP-Link's routers keep Basic credentials in a cookie, percent-encoded."""
        user, colon, secret = _unbase64(unquote_to_bytes(value)[5:]).partition(b":")
        if not colon or not secret or _CONTROL.search(user + secret):
            return []
        return [Login(span=_span(head, start, start + len(value)), mechanism="Basic", username=decode(user), secret=Secret(decode(secret)), where="Cookie header")]

    def _api_key(self, head: Head, name: bytes, start: int, end: int) -> list[Event]:
        if end - start < 4:
            return []
        title = "-".join(word.capitalize() for word in name.decode("latin-1").split("-"))
        return [Token(span=_span(head, start, end), mechanism="API key", name=title, secret=Secret(decode(head.data[start:end]), "token"), where=f"{title} header")]

    def _pairs(self, head: Head, names: dict[bytes, tuple[int, int]]) -> list[Event]:
        events: list[Event] = []
        for name, key, title in _PAIRS:
            start, end = names.get(key, (0, 0))
            user = head.data[slice(*names[name])] if name in names else b""
            if start < end:
                events.append(Login(span=_span(head, start, end), mechanism=title, username=decode(user) or None, secret=Secret(decode(head.data[start:end])), where=f"{title} header"))
        return events

    def _userinfo(self, head: Head, start: int, end: int, where: str) -> list[Event]:
        """user:password@host in a URL (RFC 3986, 3.2.1)."""
        if b"@" not in head.data[start:end]:
            return []
        found = _USERINFO.search(head.data, start, end)
        if found is None:
            return []
        user, secret = (decode(unquote_to_bytes(found[i])) for i in (1, 2))
        return [Login(span=_span(head, found.start(2), found.end(2)), mechanism="URL userinfo", username=user or None, secret=Secret(secret), where=where)]

    def _token(self, head: Head, mechanism: str, start: int, end: int, *, where: str) -> Token:
        return Token(span=_span(head, start, end), mechanism=mechanism, secret=Secret(decode(head.data[start:end]), "token"), where=where)


def _plain_cookie(value: bytes) -> str:
    """A password in a cookie; empty for a hash of one, a long opaque value, or none."""
    text = unquote_to_bytes(value)
    return "" if len(text) > 40 or value.lower() in _NO_VALUES or _DIGEST.fullmatch(text) or _CONTROL.search(text) else decode(text)


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _span(head: Head, start: int, end: int) -> Span:
    return Span(Side.CLIENT, head.start + start, head.start + end)


def _unquoted(value: str) -> str:
    r"""A quoted-string's content (RFC 9110, 5.6.4); the bare backslash of ``DOMAIN\\user``, which many send, stays."""
    return _ESCAPED.sub(r"\1", value) if "\\" in value else value


def _unbase64(value: bytes) -> bytes:
    """Base64 as lenient as browsers send it, of either alphabet (RFC 4648); empty where it is none."""
    text = b"".join(value.split()).rstrip(b"=").translate(_STANDARD)
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=None, validate=False)
    except (binascii.Error, ValueError):
        return b""
