"""Passwords and password hashes in files that cross the network: device configurations, settings, account databases."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """``anchor`` ends at a fixed point at or after the password's name; ``pattern`` is searched from the line's start on.

    Groups: ``value``, and ``user`` where the line names one.
    """

    mechanism: str
    anchor: str
    caseless: bool
    pattern: str
    kind: str = "password"
    coded: bool = False  # Cisco's reversible type 7


LINES: tuple[Line, ...] = (
    Line("Cisco type 7", r"(?:password|key|secret) 7 [0-9A-F]{4}", True,
         r"(?:username (?P<user>\S{1,64}) .{0,64}?)?(?:password|key|secret) 7 (?P<value>[0-9A-Fa-f]{8,100})(?![^\s])", coded=True),
    Line("enable password", r"enable password ", True, r"^\s*enable password (?:level \d+ )?(?:0 )?(?P<value>(?![05789] )\S{1,64})\s*$"),
    Line("username password", r"username \S{1,64} (?:privilege \d{1,2} )?password ", True,
         r"^\s*username (?P<user>\S{1,64}) (?:privilege \d{1,2} )?password (?:0 )?(?P<value>(?![05789] )\S{1,64})\s*$"),
    Line("snmp-server community", r"snmp-server community ", True, r"^\s*snmp-server community (?P<value>[^\s<\"]{1,64})(?: (?:view \S+ )?(?:RO|RW)\b.*)?\s*$",
         kind="community"),
    Line(".netrc", r"\slogin\s{1,8}\S{1,64}\s{1,8}password\s", False,
         r"machine\s+\S{1,253}\s+login\s+(?P<user>\S{1,64})\s+password\s+\"?(?P<value>[^\s\"'{}<>$]{1,128})"),
    Line("define", r"DB_PASSWORD['\"]\s?,", False, r"define\(\s*['\"]DB_PASSWORD['\"]\s*,\s*['\"](?P<value>[^'\"]{1,128})['\"]"),
    Line("environment", r"[A-Z_](?:PASSWORD|PASSWD)=", False,
         r"^(?:export )?[A-Z][A-Z0-9_]{0,63}(?:PASSWORD|PASSWD)=(?P<quote>['\"]?)(?P<value>[^\s'\"$`(){}<>]{4,128})(?P=quote)\s*$"),
)  # fmt: skip


class Hash(NamedTuple):
    """A stored password hash as crackers take it: name of the format, hashcat's mode."""

    format: str
    hashcat: int | None
    anchor: str
    pattern: str


_B = "[./0-9A-Za-z]"
HASHES: tuple[Hash, ...] = (
    Hash("md5crypt", 500, rf"\$1\${_B}{{1,8}}\${_B}{{8}}", rf"\$1\${_B}{{1,8}}\${_B}{{22}}(?!{_B})"),
    Hash("apr1", 1600, rf"\$apr1\${_B}{{4}}", rf"\$apr1\${_B}{{1,8}}\${_B}{{22}}(?!{_B})"),
    Hash("bcrypt", 3200, rf"\$2[abxy]\$[0-3][0-9]\${_B}{{8}}", rf"\$2[abxy]\$[0-3][0-9]\${_B}{{53}}(?!{_B})"),
    Hash("sha256crypt", 7400, r"\$5\$(?:rounds=[0-9]{4,9}\$)?[./0-9A-Za-z]{4}", rf"\$5\$(?:rounds=\d{{4,9}}\$)?{_B}{{1,16}}\${_B}{{43}}(?!{_B})"),
    Hash("sha512crypt", 1800, r"\$6\$(?:rounds=[0-9]{4,9}\$)?[./0-9A-Za-z]{4}", rf"\$6\$(?:rounds=\d{{4,9}}\$)?{_B}{{1,16}}\${_B}{{86}}(?!{_B})"),
    Hash("yescrypt", None, rf"\$y\${_B}{{2,8}}\${_B}{{4}}", rf"\$y\${_B}{{2,16}}\${_B}{{1,86}}\${_B}{{43}}(?!{_B})"),
    Hash("phpass", 400, rf"\$[PH]\${_B}{{16}}", rf"\$[PH]\${_B}{{31}}(?!{_B})"),
    Hash("argon2", 34000, r"\$argon2(?:id|i|d)\$v=", r"\$argon2(?:id|i|d)\$v=\d{1,3}\$m=\d{1,9},t=\d{1,4},p=\d{1,4}\$[A-Za-z0-9+/]{8,90}\$[A-Za-z0-9+/]{16,172}(?![A-Za-z0-9+/])"),
    Hash("cisco-type8", 9200, rf"\$8\${_B}{{14}}\$", rf"\$8\${_B}{{14}}\${_B}{{43}}(?!{_B})"),
    Hash("cisco-type9", 9300, rf"\$9\${_B}{{14}}\$", rf"\$9\${_B}{{14}}\${_B}{{43}}(?!{_B})"),
    Hash("django-pbkdf2", 10000, r"pbkdf2_sha256\$[0-9]{4,7}\$", r"pbkdf2_sha256\$\d{4,7}\$[A-Za-z0-9]{1,64}\$[A-Za-z0-9+/]{43}="),
    Hash("ldap-ssha", 111, r"\{SSHA\}[A-Za-z0-9+/]{16}", r"\{SSHA\}[A-Za-z0-9+/]{30,64}={0,2}(?![A-Za-z0-9+/=])"),
)  # fmt: skip

# Key of Cisco's type 7, known since 1995: it hides from a glance, no more.
CISCO_KEY = b"dsfd;kfoA,.iyewrkldJKDHSUBsgvca69834ncxv9873254k;fg87"
