"""X.509 certificates as the ledger shows them (RFC 5280)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sniffer.dissectors import _certificates_lax
from sniffer.events import Certificate

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

# A leaf with a few hundred names takes some ten kilobytes.
MAX_DER = 65_536
MAX_NAMES = 100
# Servers show the same certificate to everybody: parsed once.
_REMEMBERED = 1024


@lru_cache(_REMEMBERED)
def parse(der: bytes) -> Certificate | None:
    """The facts of a certificate; None if it cannot be read."""
    if not der or len(der) > MAX_DER:
        return None
    import warnings

    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.utils import CryptographyDeprecationWarning

    # Serial numbers and names that break the standard are common on the wire and no reason to know nothing.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = x509.load_der_x509_certificate(der)
            names = {x509.NameOID.EMAIL_ADDRESS: "emailAddress"}
            return Certificate(
                subject=found.subject.rfc4514_string(names),
                issuer=found.issuer.rfc4514_string(names),
                not_before=_time(found.not_valid_before_utc),
                not_after=_time(found.not_valid_after_utc),
                key=_key(found) or _certificates_lax.key(der),
                self_signed=found.subject == found.issuer,
                names=_names(found),
                signature=_signature(found),
            )
        except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
            return _certificates_lax.read(der)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else moment.isoformat()


def _key(found: x509.Certificate) -> str | None:
    """The kind and size of the key; None for what the library does not know."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

    try:
        key = found.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "ec p-256", "secp384r1": "ec p-384", "secp521r1": "ec p-521"}.get(key.curve.name, f"ec {key.curve.name}")
    if isinstance(key, dsa.DSAPublicKey):
        return f"dsa {key.key_size}"
    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ed448" if isinstance(key, ed448.Ed448PublicKey) else None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return ()
    texts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return tuple(texts[:MAX_NAMES])


def _signature(found: x509.Certificate) -> str:
    name = getattr(found.signature_algorithm_oid, "_name", "")
    return "" if name == "Unknown OID" else name
