"""How SMTP (RFC 5321), POP3 (RFC 1939) and IMAP (RFC 9051) are told from each other and from FTP, Redis and the like.

In all three the server speaks first, so what it says decides; the client is asked while the server was not heard, or
says what other servers say too. While the server's first line is not whole nothing the client sends can exclude it.
"""

from __future__ import annotations

import re

from sniffer.dissectors._spec import Match

_HELLO = re.compile(rb"(?:[EL]HLO|HELO) [\x20-\x7e]+\r?\n|MAIL FROM: ?<[^<>\r\n]*>|RCPT TO: ?<[^<>\r\n]+>", re.I)
_SMTP_VERBS = (
    b"EHLO ", b"HELO ", b"LHLO ", b"MAIL FROM:", b"RCPT TO:", b"AUTH ", b"STARTTLS", b"NOOP", b"RSET", b"QUIT",
    b"HELP", b"VRFY ", b"EXPN ", b"DATA\r", b"BDAT ", b"XXXX",
)  # fmt: skip
_SMTP_BANNER = re.compile(rb"220[ -](?![^\n]*\bFTP\b)[^\n]*\b(?:E?SMTP|LMTP)\b[^\n]*\n", re.I)
_SMTP_SPOKEN = re.compile(
    rb"(?:\A|\n)(?:250[ -](?:SIZE(?: \d+)?|PIPELINING|8BITMIME|STARTTLS|AUTH[ =][^\n]*|ENHANCEDSTATUSCODES|CHUNKING|DSN"
    rb"|SMTPUTF8|X{7}[A-Z]|2\.[01]\.\d [^\n]*)|334 [A-Za-z0-9+/]+=*|354 [^\n]+|235 2\.7\.0 [^\n]*)\r?\n",
    re.I,
)
_SMTP_CODE = re.compile(rb"(?:220|250|334|354|235|421|554)(?:[ \r-]|\Z)")

# The words by which POP3 servers name themselves, or the time stamp for APOP (RFC 1939 section 7).
_POP3_BANNER = re.compile(rb"\+OK[^\n]*(?:\bPOP|<[^<>\s]+@[^<>\s]+>|\bQ?POP\b|\bDovecot\b|\bmaildrop\b|\bmailbox\b)[^\n]*\n", re.I)
_POP3_REPLY = re.compile(rb"\+OK[ \r\n]|-ERR[ \r\n]")
_POP3_CLIENT = re.compile(
    rb"APOP \S+ [0-9a-f]{32}\r?\n|(?:CAPA|STLS|UIDL|STAT|LAST)\r?\n|(?:RETR|DELE|TOP) \d|(?:USER [^\r\n]+\r?\nPASS [^\r\n]+\r?\n(?:CAPA|STAT|LIST|UIDL|RETR|TOP))",
    re.I,
)
_POP3_ANSWERED = re.compile(_POP3_CLIENT.pattern + rb"|(?:USER|PASS) [^\r\n]+\r?\n|AUTH(?: [A-Z0-9-]+(?: [A-Za-z0-9+/=]+)?)?\r?\n|(?:LIST|QUIT|NOOP|RSET)\b[ \d]*\r?\n", re.I)
_POP3_VERBS = (b"USER ", b"PASS ", b"APOP ", b"AUTH", b"CAPA", b"STLS", b"QUIT", b"STAT", b"LIST", b"RETR ", b"DELE ", b"TOP ", b"UIDL", b"NOOP", b"RSET", b"XTND", b"LAST")

_IMAP_SERVER = re.compile(
    rb"\* (?:OK|PREAUTH|BYE)[ \r\n][^\n]*\n?|\* \d+ (?:FETCH \(|EXISTS\r|RECENT\r|EXPUNGE\r)|\* (?:CAPABILITY IMAP4|(?:LIST|LSUB) \(|FLAGS \()", re.I
)
_IMAP_START = (b"* OK", b"* PREAUTH", b"* BYE", b"* CAPABILITY IMAP4", b"* LIST (", b"* LSUB (", b"* FLAGS (")
_IMAP_NUMBER = re.compile(rb"\* \d{0,10}(?: |\Z)(?:F(?:E(?:T(?:C(?:H ?)?)?)?)?|E[XISTPUNGE]{0,6}|R[ECNT]{0,5})?\Z")
# Tags of clients hold a digit or are a letter or two that a person typed; a word there is another protocol's verb.
_TAG = rb"(?:[A-Za-z]{0,12}\d[A-Za-z0-9.]{0,12}|[A-Za-z.]{1,2})"
_IMAP_CLIENT = re.compile(
    _TAG + rb" (?:(?:UID )?(?:FETCH|STORE|COPY|SEARCH) [^\r\n]+\r?\n|(?:CAPABILITY|STARTTLS|LOGOUT|IDLE|NAMESPACE)\r?\n|AUTHENTICATE [A-Z0-9_-]+[ \r\n]"
    rb"|LOGIN (?:\{\d+\+?\}\r\n|\S+ \S)|(?:SELECT|EXAMINE|LIST|LSUB|STATUS|APPEND|ID|ENABLE) [^\r\n]+\r?\n)",
    re.I,
)
_IMAP_MAYBE = re.compile(_TAG + rb"?(?:\Z| (?:[A-Z]{0,12}\Z|[A-Z]{2,12}[ \r\n]))", re.I)


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
        hello = Match.YES if _HELLO.match(client) else Match.MORE if _known(client, _SMTP_VERBS) else Match.NO
    return _together(server, client, says, hello)


def _is_code(server: bytes) -> bool:
    if len(server) >= 3:
        return _SMTP_CODE.match(server) is not None
    return any(code.startswith(server) for code in (b"220", b"250", b"334", b"354", b"235", b"421", b"554"))


def probe_pop3(client: bytes, server: bytes) -> Match:
    """Redis and NATS say +OK too: a banner that names POP3, or the client's commands, tell."""
    says = hello = Match.MORE
    if server:
        says = Match.YES if _POP3_BANNER.match(server) else Match.MORE if _is_status(server) else Match.NO
    if client:
        pattern = _POP3_ANSWERED if server and b"\n" in server else _POP3_CLIENT
        hello = Match.YES if pattern.match(client) else Match.MORE if _known(client, _POP3_VERBS) else Match.NO
    return _together(server, client, says, hello)


def _is_status(server: bytes) -> bool:
    if len(server) >= 5:
        return _POP3_REPLY.match(server) is not None
    return b"+OK ".startswith(server[:4]) or b"-ERR ".startswith(server) or server[:4] in (b"+OK\r", b"+OK\n")


def probe_imap(client: bytes, server: bytes) -> Match:
    """The asterisk of the greeting, or a tag before a command."""
    says = hello = Match.MORE
    if server:
        says = Match.YES if _greets(server) else Match.MORE if _known(server, _IMAP_START) or _IMAP_NUMBER.match(server) else Match.NO
    if client:
        hello = Match.YES if _IMAP_CLIENT.match(client) else Match.MORE if _IMAP_MAYBE.match(client) else Match.NO
    return _together(server, client, says, hello)


def _greets(server: bytes) -> bool:
    match = _IMAP_SERVER.match(server)
    return match is not None and (not match[0].startswith((b"* OK", b"* PRE", b"* BYE", b"* ok")) or match[0].endswith(b"\n"))
