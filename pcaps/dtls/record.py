"""DTLS: OpenSSL's server and client over UDP."""

from __future__ import annotations

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, Lab, need, version


def record(lab: Lab) -> None:
    need("openssl")
    made_by = [version("openssl", "version")]
    pem = certificate(lab.folder, "media.example.org")
    for name, option, wanted in (("dtls1_2", "-dtls1_2", "DTLS 1.2"), ("dtls1_0", "-dtls1", "DTLS 1.0")):
        # The server ends with its standard input, so it is given one that stays open.
        server = f"sleep 60 | exec openssl s_server -accept 4433 {option} -cert {pem} -key {pem} -cipher ALL:@SECLEVEL=0"
        with lab.serve("sh", "-c", server, udp=True, port=4433):
            channel = {"port": 4433, "protocol": "dtls", "encryption": "encrypted", "tls": {"version": wanted}}
            with lab.capture(f"dtls/{name}", made_by=made_by, logins=[], channels=[channel]):
                lab.client("sh", "-c", f"(sleep 1; echo hello; sleep 1) | openssl s_client -connect {SERVER}:4433 {option} -cipher 'ALL:@SECLEVEL=0'")
