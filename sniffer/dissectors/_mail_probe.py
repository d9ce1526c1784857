"""How SMTP (RFC 5321), POP3 (RFC 1939) and IMAP (RFC 9051) are told from each other and from FTP, Redis and the like.

In all three the server speaks first, so what it says decides; the client is asked while the server was not heard, or
says what other servers say too. While the server's first line is not whole nothing the client sends can exclude it, and
after a greeting that fits a command nobody knows excludes nothing: later lines tell. A flow joined in the middle begins
with a line of base64 (a SASL response, RFC 4422) or with a reply to something unseen.
"""

from __future__ import annotations

import re

from sniffer.dissectors._spec import Match

# A response of SASL, told from commands that are all letters by its length or its padding.
_BASE64 = re.compile(rb"(?!STARTTLS\b)[A-Za-z0-9+/]{8,}={0,2}\r?(?:\n|\Z)|[A-Za-z0-9+/]{2,}={1,2}\r?(?:\n|\Z)|[A-Za-z0-9+/]{1,7}\Z", re.I)
# A first line that a person or a rare client may have sent: words in ASCII.
_WORDS = re.compile(rb"[A-Za-z][\t\x20-\x7e]*\r?(?:\n|\Z)")

# AUTH is Redis' too, with a password, and FTP's, with TLS or SSL.
_AUTH = (
    rb"AUTH (?:PLAIN|LOGIN|[A-Z]+-MD5|NTLM|MSN|GSSAPI|GSS-SPNEGO|KERBEROS_V\d|SCRAM-[A-Z0-9-]+|XOAUTH2?|OAUTHBEARER|EXTERNAL|ANONYMOUS|OTP|SKEY|SRP)"
    rb"(?: [A-Za-z0-9+/=]+)?\r?\n"
)

# Names of hosts come in whatever charset the client's system has.
_HELLO = re.compile(rb"(?:[EL]HLO|HELO)(?: [^\x00-\x1f\x7f]*)?\r?\n|MAIL FROM: ?<[^<>\r\n]*>|RCPT TO: ?<[^<>\r\n]+>", re.I)
_HELLO_LATER = re.compile(rb"\n(?:(?:[EL]HLO|HELO) [^\x00-\x1f\x7f]+\r?\n|MAIL FROM: ?<[^<>\r\n]*>)", re.I)
_SMTP_AUTH = re.compile(rb"(?:\A|\n)" + _AUTH, re.I)
_SMTP_VERBS = (
    b"EHLO", b"HELO", b"LHLO", b"MAIL FROM:", b"RCPT TO:", b"AUTH ", b"STARTTLS", b"NOOP", b"RSET", b"QUIT", b"HELP",
    b"VRFY ", b"EXPN ", b"DATA\r", b"BDAT ", b"XXXX", b"XCLIENT ", b"XFORWARD ", b"ETRN ", b"X-EXPS ",
)  # fmt: skip
# With these after a 220 it is FTP.
_FTP = re.compile(rb"(?:USER|PASS|ACCT|FEAT|SYST|OPTS|CLNT|HOST|PASV|AUTH (?:TLS|SSL))\b", re.I)
_SMTP_BANNER = re.compile(rb"220[ -](?![^\n]*\bFTP\b)[^\n]*\b(?:E?SMTP|LMTP)\b[^\n]*\n", re.I)
_SMTP_SPOKEN = re.compile(
    rb"(?:\A|\n)(?:250[ -](?:SIZE(?: \d+)?|PIPELINING|8BITMIME|STARTTLS|AUTH[ =][^\n]*|ENHANCEDSTATUSCODES|CHUNKING|DSN"
    rb"|SMTPUTF8|X{7}[A-Z]|2\.[01]\.\d [^\n]*)|334 (?:[A-Za-z0-9+/]+=*)?|354 [^\n]+|(?:235[ -]2|4\d\d[ -]4|5\d\d[ -]5)\.\d{1,3}\.\d{1,3} [^\n]*)\r?\n",
    re.I,
)
_SMTP_CODE = re.compile(rb"(?:22[01]|25[0-2]|334|354|235|[45][0-5]\d)(?:[ \r\n-]|\Z)")
_SMTP_CODE_BEGUN = re.compile(rb"(?:2(?:2|5|3)?|3(?:3|5)?|[45][0-5]?)\Z")

# The words by which POP3 servers name themselves, or the time stamp for APOP (RFC 1939 section 7).
_POP3_BANNER = re.compile(rb"\+OK(?![A-Za-z0-9+/=])[^\n]*(?:\bPOP|<[^<>\s]+@[^<>\s]+>|\bQ?POP\b|\bDovecot\b|\bmaildrop\b|\bmailbox\b)[^\n]*\n", re.I)
_POP3_REPLY = re.compile(rb"(?:\+OK|-ERR)[ \t\r\n.,:;!-]|\+ (?:[A-Za-z0-9+/]+=*)?\r?(?:\n|\Z)")
_POP3_CLIENT = re.compile(
    rb"APOP \S+ [0-9a-f]{32}\r?\n|(?:CAPA|STLS|UIDL|STAT|LAST)\r?\n|(?:RETR|DELE|TOP) \d",
    re.I,
)
_POP3_ANSWERED = re.compile(
    _POP3_CLIENT.pattern + rb"|(?:USER|PASS) [^\r\n]+\r?\n|AUTH\r?\n|" + _AUTH + rb"|(?:LIST|QUIT|NOOP|RSET)\b[ \d]*\r?\n", re.I
)
_POP3_LATER = re.compile(rb"\n(?:" + _AUTH + rb"|(?:(?:USER|PASS) [^\r\n]+|CAPA|STLS|STAT|UIDL|(?:RETR|DELE|TOP) \d[ \d]*)\r?\n)", re.I)
_POP3_VERBS = (b"USER ", b"PASS ", b"APOP ", b"AUTH", b"CAPA", b"STLS", b"QUIT", b"STAT", b"LIST", b"RETR ", b"DELE ", b"TOP ", b"UIDL", b"NOOP", b"RSET", b"XTND", b"LAST")

# A login of POP3 or FTP, and then a command that only one of them has; FTP asks for a list only after PASV or PORT.
_LOGIN = re.compile(rb"USER [^\r\n]+\r?\nPASS [^\r\n]*\r?\n", re.I)
_BOTH = re.compile(rb"(?:(?:USER|PASS) [^\r\n]*|PASS|NOOP|QUIT)\r?\n", re.I)
_ONLY_POP3 = re.compile(rb"(?:(?:STAT|LIST|UIDL|CAPA|STLS|RSET|LAST|AUTH)|(?:LIST|UIDL|RETR|DELE|TOP) +\d+(?: +\d+)?|APOP \S+ [0-9a-f]{32})\r?\n", re.I)

_IMAP_SERVER = re.compile(
    rb"\* (?:OK|PREAUTH|BYE)[ \r\n][^\n]*\n?|\* \d+ (?:FETCH \(|EXISTS\r|RECENT\r|EXPUNGE\r)|\* (?:CAPABILITY IMAP4|(?:LIST|LSUB) \(|FLAGS \()", re.I
)
_IMAP_START = (b"* OK", b"* PREAUTH", b"* BYE", b"* CAPABILITY IMAP4", b"* LIST (", b"* LSUB (", b"* FLAGS (")
_IMAP_NUMBER = re.compile(rb"\* \d{0,10}(?: |\Z)(?:F(?:E(?:T(?:C(?:H ?)?)?)?)?|E[XISTPUNGE]{0,6}|R[ECNT]{0,5})?\Z")
# The end of a command not seen, and what asks for more of it.
_IMAP_MIDDLE = re.compile(rb"[!-)\x2c-~][!-~]{0,63}(?:\Z| (?:OK|NO|BAD)(?:[ \r\n]|\Z)| [OBN]?A?\Z)|\+(?:\Z| )", re.I)
# Tags of clients hold a digit or are a letter or two that a person typed; a word there is another protocol's verb.
_TAG = rb"(?:[A-Za-z]{0,12}\d[A-Za-z0-9.]{0,12}|[A-Za-z.]{1,2})"
_IMAP_CLIENT = re.compile(
    _TAG + rb" (?:(?:UID )?(?:FETCH|STORE|COPY|SEARCH) [^\r\n]+\r?\n|(?:CAPABILITY|STARTTLS|LOGOUT|IDLE|NAMESPACE)\r?\n|AUTHENTICATE [A-Z0-9_-]+[ \r\n]"
    rb"|LOGIN (?:\{\d+\+?\}\r\n|\S+ \S)|(?:SELECT|EXAMINE|LIST|LSUB|STATUS|APPEND|ID|ENABLE) [^\r\n]+\r?\n)"
    # With any other tag (Outlook's are four letters or digits by chance) what no other protocol says.
    rb"|[!-)\x2c-~][!-~]{0,63} (?:CAPABILITY\r?\n|LOGIN \"[^\"\r\n]*\" \"[^\"\r\n]*\"\r?\n|" + _AUTH.replace(rb"AUTH ", rb"AUTHENTICATE ", 1) + rb")",
    re.I,
)
_IMAP_MAYBE = re.compile(_TAG + rb"?(?:\Z| (?:[A-Z]{0,12}\Z|[A-Z]{2,12}[ \r\n]))", re.I)
# Any other tag (RFC 9051 section 9 allows nearly all) with a command that only IMAP has: the server must repeat it.
_IMAP_TAGGED = re.compile(
    rb"(?:[A-Za-z0-9+/]{2,}={0,2}\r?\n)?([!-)\x2c-~][!-~]{0,63}) (?:LOGIN|AUTHENTICATE|CAPABILITY|SELECT|EXAMINE|FETCH|UID|LOGOUT|NOOP|IDLE)[ \r\n]", re.I
)
_IMAP_BEGUN = re.compile(rb"[!-)\x2c-~][!-~]{0,63}(?: [A-Za-z]{0,12})?\Z")


def _known(head: bytes, words: tuple[bytes, ...]) -> bool:
    head = head[:18].upper()
    return any(word.startswith(head) or head.startswith(word) for word in words)


def _together(server: bytes, client: bytes, server_says: Match, client_says: Match) -> Match:
    if server_says is not Match.MORE:
        return server_says
    if client_says is Match.YES or not server or b"\n" in server:
        return client_says
    return Match.MORE


def probe_smtp(client: bytes, server: bytes) -> Match:
    """FTP greets with 220 too: the word SMTP, a capability or the client's EHLO tells."""
    says = hello = Match.MORE
    if server:
        spoken = _SMTP_BANNER.match(server) or _SMTP_SPOKEN.search(server)
        says = Match.YES if spoken else Match.MORE if _is_code(server) else Match.NO
    if client:
        greeted = server.startswith(b"220") and _WORDS.match(client) and not _FTP.match(client)
        fits = greeted or _known(client, _SMTP_VERBS) or _BASE64.match(client)
        later = fits and (_HELLO_LATER.search(client) or (b"\n" in server and _SMTP_AUTH.search(client)))
        hello = Match.YES if later or _HELLO.match(client) else Match.MORE if fits else Match.NO
    return _together(server, client, says, hello)


def _is_code(server: bytes) -> bool:
    return (_SMTP_CODE if len(server) >= 3 else _SMTP_CODE_BEGUN).match(server) is not None


def probe_pop3(client: bytes, server: bytes) -> Match:
    """Redis and NATS say +OK too: a banner that names POP3, or the client's commands, tell."""
    says = hello = Match.MORE
    if server:
        says = Match.YES if _POP3_BANNER.match(server) else Match.MORE if _is_status(server) else Match.NO
    if client:
        pattern = _POP3_ANSWERED if server and b"\n" in server else _POP3_CLIENT
        # A greeting has words; other servers' +OK has none.
        fits = _known(client, _POP3_VERBS) or _BASE64.match(client) or (server.startswith(b"+OK ") and _WORDS.match(client))
        hello = Match.YES if pattern.match(client) or (fits and _POP3_LATER.search(client)) else Match.MORE if fits else Match.NO
        if not server and _LOGIN.match(client):
            hello = Match.NO if after_login(client) == "ftp" else Match.YES
    return _together(server, client, says, hello)


def after_login(client: bytes) -> str:
    """Whose command follows a USER and PASS where the server was not heard: "pop3", "ftp", or "" while none tells."""
    at = match.end() if (match := _LOGIN.match(client)) else 0
    while (match := _BOTH.match(client, at)) is not None:
        at = match.end()
    if b"\n" not in client[at:]:
        return ""
    return "pop3" if _ONLY_POP3.match(client, at) else "ftp"


def _is_status(server: bytes) -> bool:
    if len(server) >= 5:
        return _POP3_REPLY.match(server) is not None
    return b"+OK ".startswith(server[:4]) or b"-ERR ".startswith(server) or server[:4] in (b"+OK\r", b"+OK\n") or _POP3_REPLY.match(server) is not None


def probe_imap(client: bytes, server: bytes) -> Match:
    """The asterisk of the greeting, a tag before a command, or a tag that the server repeats."""
    says = hello = Match.MORE
    if server:
        fits = _known(server, _IMAP_START) or _IMAP_NUMBER.match(server) or _IMAP_MIDDLE.match(server)
        says = Match.YES if _greets(server) else Match.MORE if fits else Match.NO
    if client:
        tagged = _IMAP_TAGGED.match(client)
        yes = _IMAP_CLIENT.match(client) or (tagged and _repeated(tagged[1], server))
        fits = tagged or _IMAP_MAYBE.match(client) or _IMAP_BEGUN.match(client) or _BASE64.match(client)
        hello = Match.YES if yes else Match.MORE if fits else Match.NO
    return _together(server, client, says, hello)


def _repeated(tag: bytes, server: bytes) -> bool:
    """Whether a line of the server's ends the command with that tag."""
    at = server.find(tag + b" ")
    return at >= 0 and (at == 0 or server[at - 1] == 10) and server[at + len(tag) + 1 :][:3].upper().rstrip() in (b"OK", b"NO", b"BAD")


def _greets(server: bytes) -> bool:
    match = _IMAP_SERVER.match(server)
    return match is not None and (not match[0].startswith((b"* OK", b"* PRE", b"* BYE", b"* ok")) or match[0].endswith(b"\n"))
