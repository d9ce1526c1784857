"""TLS: OpenSSL's server and client in each version it still speaks, and a suite without encryption."""

from __future__ import annotations

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, need, version


def _channel(encryption: str, **tls: str) -> list[dict[str, object]]:
    return [{"port": 443, "protocol": "tls", "encryption": encryption, "tls": tls}]


def record(lab: Lab) -> None:
    need("openssl")
    made_by = [version("openssl", "version")]
    rsa = certificate(lab.folder, "rsa.example.org")
    ec = certificate(lab.folder, "ec.example.org", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    weak = ("-cipher", "ALL:eNULL:@SECLEVEL=0")
    cases = (
        ("tls1_3", rsa, ("-tls1_3",), SERVER, _channel("encrypted", version="TLS 1.3", certificate="not visible")),
        ("tls1_2-ec", ec, ("-tls1_2",), SERVER6, _channel("encrypted", version="TLS 1.2")),
        ("tls1_2-rsa-key-exchange", rsa, ("-tls1_2", "-cipher", "AES128-SHA"), SERVER, _channel("encrypted", version="TLS 1.2", cipher="TLS_RSA_WITH_AES_128_CBC_SHA")),
        ("tls1_1", rsa, ("-tls1_1", *weak), SERVER, _channel("encrypted", version="TLS 1.1")),
        ("tls1_0", rsa, ("-tls1", *weak), SERVER, _channel("encrypted", version="TLS 1.0")),
        ("null-cipher", rsa, ("-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"), SERVER, _channel("cleartext", version="TLS 1.2", cipher="TLS_RSA_WITH_NULL_SHA256")),
    )
    for name, pem, options, host, channels in cases:
        server_options = tuple(o for o in options if o in weak or o.startswith(("NULL", "AES", "-cipher")))
        with lab.serve("openssl", "s_server", "-accept", "443", "-cert", str(pem), "-key", str(pem), "-www", *(server_options or weak), port=443):
            with lab.capture(f"tls/{name}", made_by=made_by, logins=[], channels=channels):
                target = f"[{host}]:443" if ":" in host else f"{host}:443"
                lab.client("openssl", "s_client", "-connect", target, "-servername", "www.example.org", "-alpn", "http/1.1", *options, stdin="GET / HTTP/1.0\r\n\r\n")
    with lab.serve("openssl", "s_server", "-accept", "443", "-cert", str(rsa), "-key", str(rsa), "-tls1_3", "-www", port=443):
        with lab.capture("tls/handshake-failure", made_by=made_by, logins=[], channels=_channel("unknown")):
            lab.client("openssl", "s_client", "-connect", f"{SERVER}:443", "-tls1_2", stdin="")
