"""From a web configuration to a TLS server context: Go's names for versions, cipher suites and curves, in OpenSSL's words."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from sniffer.errors import UsageError
from sniffer.metrics.webconfig import CLIENT_AUTH

if TYPE_CHECKING:
    from pathlib import Path

    from sniffer.metrics.webconfig import TlsConfig

_VERSIONS = {"TLS10": ssl.TLSVersion.TLSv1, "TLS11": ssl.TLSVersion.TLSv1_1, "TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
# crypto/tls.CipherSuites(): those Go counts as safe, and that the toolkit takes.
_SUITES = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
# TLS 1.3 has no choice of suites in Go: the names are taken, and change nothing.
_SUITES_13 = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_VERIFY = dict(zip(CLIENT_AUTH, (ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED), strict=True))


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """A context for a server. UsageError names the key that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[config.min_version], _VERSIONS[config.max_version]
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _suites(context, config.cipher_suites)
    _curve(context, config.curve_preferences)
    for path in (config.cert_file, config.key_file):
        _readable(path)
    try:
        # An encrypted key must not ask on a terminal.
        context.load_cert_chain(config.cert_file, config.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise UsageError(f"{config.cert_file} and {config.key_file}: not a certificate and its key ({_reason(error)})") from None
    if config.client_ca_file is not None:
        _trust(context, config.client_ca_file)
    context.verify_mode = _VERIFY[config.client_auth_type]
    return context


def allowed(peer: dict[str, Any] | None, names: tuple[str, ...]) -> bool:
    """Whether a client's certificate (``SSLSocket.getpeercert``) bears one of the alternative names, if any are asked for."""
    return not names or any(value in names for _, value in (peer or {}).get("subjectAltName", ()))


def _suites(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in _SUITES and name not in _SUITES_13:
            raise UsageError(f"tls_server_config.cipher_suites: {name[:60]!r} is not one of {', '.join(_SUITES)}")
    chosen = [_SUITES[name] for name in names if name in _SUITES]
    if not chosen:
        return
    try:
        context.set_ciphers(":".join(chosen))
    except ssl.SSLError:
        raise UsageError("tls_server_config.cipher_suites: this system's OpenSSL has none of them") from None


def _curve(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    if not names:
        return
    if len(names) > 1 or names[0] not in _CURVES:
        raise UsageError(f"tls_server_config.curve_preferences: one of {', '.join(_CURVES)}, and no more than one here")
    context.set_ecdh_curve(_CURVES[names[0]])


def _trust(context: ssl.SSLContext, path: Path) -> None:
    _readable(path)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise UsageError(f"{path}: not a file of certificates ({_reason(error)})") from None


def _readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _reason(error: Exception) -> str:
    return (getattr(error, "reason", "") or type(error).__name__).replace("_", " ").lower()
