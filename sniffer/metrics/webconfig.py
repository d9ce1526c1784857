"""The web configuration file of Prometheus' exporter-toolkit (web-configuration.md): TLS, basic authentication, headers.

Not taken, and said so: keys and certificates written into the file, rate_limit, and client certificates that nobody checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sniffer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

# The five headers the toolkit lets be set, and what it allows in them (None: anything).
_HEADERS: dict[str, tuple[str, ...] | None] = {
    "Content-Security-Policy": None,
    "Strict-Transport-Security": None,
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": None,
}
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CLIENT_AUTH = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
# A hash of bcrypt: version, cost, 22 characters of salt and 31 of digest.
_HASH_SIZE = 60
_HASH_PREFIXES = ("$2a$", "$2b$", "$2y$")


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """``tls_server_config``; names as in Go's crypto/tls."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebConfig:
    """One web configuration. ``users`` maps names to bcrypt hashes, which no representation shows."""

    tls: TlsConfig | None = None
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authenticates(self) -> bool:
        """Whether who asks is known: by password, or by a certificate."""
        return bool(self.users) or (self.tls is not None and self.tls.client_auth_type == CLIENT_AUTH[-1])

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it names."""
        if self.tls is None:
            return ()
        return tuple(path for path in (self.tls.cert_file, self.tls.key_file, self.tls.client_ca_file) if path is not None)


def load(path: str | Path) -> WebConfig:
    """Read a web configuration file. UsageError says which key is wrong and what is allowed, and quotes no hash."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not text in UTF-8") from None
    try:
        return _config(_Section(_parse(path, text), path, ""), path.parent)
    except _Wrong as wrong:
        raise UsageError(f"{path}: {wrong}") from None


class _Wrong(Exception):
    """What is wrong, and where."""


def _parse(path: Path, text: str) -> Any:
    import yaml

    class Loader(yaml.BaseLoader):
        """All scalars stay text (a user may be called ``no``); a key twice is an error, as in the toolkit."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            if len({str(key) for key in keys}) < len(keys):
                raise _Wrong(f"line {node.start_mark.line + 1}: a key stands there twice")
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader=Loader) or {}  # noqa: S506  (BaseLoader makes text, lists and mappings only)
    except yaml.MarkedYAMLError as error:  # its text quotes the file
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{path}: {where}not valid YAML") from None
    except (yaml.YAMLError, RecursionError, _Wrong) as error:
        raise UsageError(f"{path}: {error if isinstance(error, _Wrong) else 'not valid YAML'}") from None


class _Section:
    """A mapping of the file from which each key is taken once; what is left over is an error."""

    def __init__(self, content: Any, path: Path, name: str) -> None:
        if not isinstance(content, dict):
            raise _Wrong(f"{name or 'the file'} has to be a mapping")
        self._content: dict[str, Any] = dict(content)
        self._path = path
        self._name = name

    def _called(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def section(self, key: str) -> _Section | None:
        content = self._content.pop(key, None)
        return None if content in (None, "") else _Section(content, self._path, self._called(key))

    def text(self, key: str, allowed: tuple[str, ...] | None = None, default: str = "") -> str:
        value = self._content.pop(key, default)
        if not isinstance(value, str):
            raise _Wrong(f"{self._called(key)} has to be one value")
        if allowed is not None and value and value not in allowed:
            raise _Wrong(f"{self._called(key)} has to be one of {', '.join(allowed)}")
        return value or default

    def flag(self, key: str, default: bool) -> bool:
        return self.text(key, ("true", "false"), str(default).lower()) == "true"

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._content.pop(key, None) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _Wrong(f"{self._called(key)} has to be a list")
        return tuple(value)

    def refuse(self, key: str, instead: str) -> None:
        if key in self._content:
            raise _Wrong(f"{self._called(key)} is not supported: {instead}")

    def rest(self) -> dict[str, Any]:
        rest, self._content = self._content, {}
        return rest

    def end(self) -> None:
        """Nothing is left."""
        if self._content:
            raise _Wrong(f"{self._called(str(next(iter(self._content))))[:80]!r} is not a known key")


def _config(top: _Section, base: Path) -> WebConfig:
    tls, users, http = top.section("tls_server_config"), top.section("basic_auth_users"), top.section("http_server_config")
    top.refuse("rate_limit", "connections are bounded without it")
    top.end()
    return WebConfig(
        tls=_tls(tls, lambda name: base / name) if tls else None,
        users={name: _hash(name, value) for name, value in users.rest().items()} if users else {},
        headers=_headers(http) if http else {},
    )


def _tls(section: _Section, place: Callable[[str], Path]) -> TlsConfig:
    for key in ("cert", "key", "client_ca"):
        section.refuse(key, f"use {key}_file")
    cert, key_file, ca = (section.text(key) for key in ("cert_file", "key_file", "client_ca_file"))
    if not cert or not key_file:
        raise _Wrong("tls_server_config needs both cert_file and key_file")
    config = TlsConfig(
        cert_file=place(cert),
        key_file=place(key_file),
        client_ca_file=place(ca) if ca else None,
        client_auth_type=section.text("client_auth_type", CLIENT_AUTH, CLIENT_AUTH[0]),
        client_allowed_sans=section.texts("client_allowed_sans"),
        min_version=section.text("min_version", VERSIONS, "TLS12"),
        max_version=section.text("max_version", VERSIONS, "TLS13"),
        cipher_suites=section.texts("cipher_suites"),
        prefer_server_cipher_suites=section.flag("prefer_server_cipher_suites", True),
        curve_preferences=section.texts("curve_preferences"),
    )
    section.end()
    _agree(config)
    return config


def _agree(config: TlsConfig) -> None:
    verifies = config.client_auth_type != CLIENT_AUTH[0]
    if verifies and config.client_ca_file is None:
        raise _Wrong(f"tls_server_config.client_auth_type {config.client_auth_type} needs client_ca_file")
    if config.client_ca_file is not None and not verifies:
        raise _Wrong("tls_server_config.client_ca_file needs client_auth_type RequireAndVerifyClientCert")
    if config.client_allowed_sans and config.client_auth_type != CLIENT_AUTH[-1]:
        raise _Wrong("tls_server_config.client_allowed_sans needs client_auth_type RequireAndVerifyClientCert")
    if VERSIONS.index(config.min_version) > VERSIONS.index(config.max_version):
        raise _Wrong("tls_server_config.min_version is above max_version")


def _headers(http: _Section) -> dict[str, str]:
    http.flag("http2", True)  # allowed, and without effect: this endpoint speaks HTTP/1.1
    section = http.section("headers")
    http.end()
    if section is None:
        return {}
    found = {name: section.text(name, allowed) for name, allowed in _HEADERS.items()}
    section.end()
    for name, value in found.items():
        if not value.isprintable() or not value.isascii():
            raise _Wrong(f"http_server_config.headers.{name} has characters no header can hold")
    return {name: value for name, value in found.items() if value}


def _hash(name: str, value: Any) -> bytes:
    """A bcrypt hash by its form; the message names the user alone."""
    if not isinstance(value, str) or not value.isascii() or len(value) != _HASH_SIZE or not value.startswith(_HASH_PREFIXES):
        raise _Wrong(f"basic_auth_users.{name[:40]!r}: not a bcrypt hash (htpasswd -nBC 10 makes one)")
    return value.encode()
