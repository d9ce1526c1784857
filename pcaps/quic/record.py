"""QUIC: a server and a client made of aioquic."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

from pcaps.recorder.hosts import certificate
from pcaps.recorder.lab import SERVER, SERVER6, Lab, RecordingError, version

ENCRYPTED = [{"port": 443, "protocol": "quic", "encryption": "encrypted", "tls": {"version": "TLS 1.3", "sni": "www.example.org"}}]

_SERVER = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration
async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["hq-interop"])
    configuration.load_cert_chain(sys.argv[1], sys.argv[1])
    def stream(reader, writer):
        async def answer():
            await reader.read()
            writer.write(b"hello over QUIC")
            writer.write_eof()
        asyncio.ensure_future(answer())
    await serve("::", 443, configuration=configuration, stream_handler=stream)
    await asyncio.Future()
asyncio.run(main())
"""
_CLIENT = """
import asyncio, ssl, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration
async def main():
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["hq-interop"], verify_mode=ssl.CERT_NONE, server_name="www.example.org")
    async with connect(sys.argv[1], 443, configuration=configuration) as wire:
        reader, writer = await wire.create_stream()
        writer.write(b"GET /")
        writer.write_eof()
        print(await reader.read())
asyncio.run(main())
"""


def record(lab: Lab) -> None:
    if importlib.util.find_spec("aioquic") is None:
        raise RecordingError("not installed: aioquic")
    pem = certificate(lab.folder, "www.example.org")
    for name, text in (("server.py", _SERVER), ("client.py", _CLIENT)):
        (lab.folder / name).write_text(textwrap.dedent(text))
    made_by = [f"aioquic {version(sys.executable, '-c', 'import aioquic; print(aioquic.__version__)')}"]
    with lab.serve(sys.executable, str(lab.folder / "server.py"), str(pem), udp=True, port=443):
        for name, host in (("v1", SERVER), ("ipv6", SERVER6)):
            with lab.capture(f"quic/{name}", made_by=made_by, logins=[], channels=ENCRYPTED):
                lab.client(sys.executable, str(lab.folder / "client.py"), host, check=True)
