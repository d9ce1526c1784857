"""Large captures from a seed: an office's mix of HTTP, TLS, PostgreSQL, mail and DNS, and a hostile one of tiny flows.

    python3 -m bench.mix mix out.pcap --megabytes 500 --seed 1
    python3 -m bench.mix tiny out.pcap --flows 200000 --seed 1

Beside the capture stands its truth, ``out.json``: the logins and cards planted.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import ssl
import struct
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.wire import SYN, Connection, Packet, udp

START = 1_700_000_000_000_000_000
_WORDS = ["the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not", "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an", "they", "which", "one", "you", "were", "her", "all", "she", "there", "would", "their", "we", "him", "been", "has", "when", "who", "will", "more", "no", "if", "out", "so", "said", "what", "up", "its", "about", "into", "than", "them", "can", "only", "other", "new", "some", "could", "time", "these", "two", "may", "then", "do", "first", "any", "my", "now", "such", "like", "our", "over", "man", "me", "even", "most", "made", "after", "also", "did", "many", "before", "must", "through", "back", "years", "where", "much", "your", "way", "well", "down", "should", "because", "each", "just", "those", "people", "how", "too", "little", "state", "good", "very", "make", "world", "still", "own", "see", "men", "work", "long", "get", "here", "between", "both", "life", "being", "under", "never", "day", "same", "another", "know", "while", "last", "might", "us", "great", "old", "year", "off", "come", "since", "against", "go", "came", "right", "used", "take", "three"]
_NET = 10 << 24


def _text(rng: random.Random, size: int) -> str:
    words: list[str] = []
    total = 0
    while total < size:
        word = rng.choice(_WORDS)
        words.append(word)
        total += len(word) + 1
    return " ".join(words)


def _html(rng: random.Random) -> bytes:
    paragraphs = "".join(f'<p class="c{rng.randint(1, 99)}">{_text(rng, rng.randint(200, 900))}</p>\n' for _ in range(rng.randint(3, 14)))
    return f"<!doctype html><html><head><title>{_text(rng, 30)}</title></head><body>\n{paragraphs}</body></html>\n".encode()


def _json(rng: random.Random) -> bytes:
    rows = [{"id": rng.getrandbits(40), "ts": 1_700_000_000_000 + rng.getrandbits(30), "name": _text(rng, 18), "price": round(rng.random() * 900, 2), "ok": rng.random() < 0.5, "uuid": f"{rng.getrandbits(128):032x}"} for _ in range(rng.randint(5, 80))]
    return json.dumps({"rows": rows, "next": rng.getrandbits(32)}).encode()


class Pool:
    """Bodies made once and used again: the making is not what is measured."""

    def __init__(self, rng: random.Random) -> None:
        self.html = [_html(rng) for _ in range(60)]
        self.json = [_json(rng) for _ in range(60)]
        self.gzip = [gzip.compress(b, mtime=0) for b in self.html[:20]]
        self.image = [b"\xff\xd8\xff\xe0" + rng.randbytes(rng.randint(4_000, 60_000)) for _ in range(10)]
        self.bulk = [rng.randbytes(16_384) for _ in range(40)]
        self.hello12 = handshake(ssl.TLSVersion.TLSv1_2)
        self.hello13 = handshake(ssl.TLSVersion.TLSv1_3)


def handshake(version: ssl.TLSVersion) -> list[tuple[int, bytes]]:
    """A real handshake over memory buffers, as flights of (side, bytes)."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = client.maximum_version = version
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(_certificate())
        server.load_cert_chain(path)
    buffers = [ssl.MemoryBIO() for _ in range(4)]
    ends = (client.wrap_bio(buffers[0], buffers[1], server_hostname="www.example.org"), server.wrap_bio(buffers[2], buffers[3], server_side=True))
    flights, done = [], [False, False]
    while not all(done):
        for side, end in enumerate(ends):
            try:
                end.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                pass
            out = (buffers[1], buffers[3])[side].read()
            if out:
                flights.append((side, out))
                (buffers[2], buffers[0])[side].write(out)
    return flights


def _certificate() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "www.example.org")])
    begin = datetime(2023, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    cert = built.not_valid_before(begin).not_valid_after(begin + timedelta(days=3650)).sign(key, hashes.SHA256())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + cert.public_bytes(serialization.Encoding.PEM)


class Mix:
    """Makes connections; ``planted`` is the truth."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pool = Pool(self.rng)
        self.planted: list[dict[str, object]] = []
        self.cards: list[str] = []
        self.now = START
        self._port = 1024

    def connection(self, server_host: int, port: int) -> Connection:
        self._port = 1024 + (self._port - 1023) % 60000
        client = _NET | self.rng.randint(1 << 16, (1 << 16) + 4000)
        self.now += self.rng.randint(100_000, 3_000_000)
        made = Connection((client, self._port), (_NET | server_host, port), self.rng, self.now, pace=self.rng.choice((60_000, 200_000, 900_000)))
        made.open()
        return made

    def plant(self, protocol: str, made: Connection, user: str, secret: str) -> None:
        self.planted.append({"protocol": protocol, "server": ".".join(str(b) for b in made.server[0].to_bytes(4, "big")), "port": made.server[1], "username": user, "secret": secret})

    def http(self) -> list[Packet]:
        made = self.connection(self.rng.randint(1, 60), self.rng.choice((80, 80, 8080)))
        for _ in range(self.rng.randint(1, 9)):
            self._request(made)
        made.close()
        return made.packets

    def _request(self, made: Connection) -> None:
        rng = self.rng
        headers = f"Host: app{made.server[0] & 0xFF}.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Bench/1.0\r\nAccept: text/html,application/json;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nConnection: keep-alive\r\n"
        body = b""
        chance = rng.random()
        if chance < 0.012:
            user, secret = f"user{rng.randint(1, 9999)}", f"Pw-{rng.getrandbits(40):x}"
            headers += "Authorization: Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode() + "\r\n"
            self.plant("http", made, user, secret)
        elif chance < 0.024:
            user, secret = f"user{rng.randint(1, 9999)}", f"Pw-{rng.getrandbits(40):x}"
            body = f"username={user}&password={secret}&next=%2Fhome".encode()
            headers += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
            self.plant("http", made, user, secret)
        method = "POST" if body else "GET"
        made.say(0, f"{method} /{rng.choice(_WORDS)}/{rng.getrandbits(24)}?page={rng.randint(1, 99)} HTTP/1.1\r\n{headers}\r\n".encode() + body)
        kind, coding, answer = self._answer()
        made.say(1, f"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: {kind}\r\n{coding}Content-Length: {len(answer)}\r\nConnection: keep-alive\r\n\r\n".encode() + answer)

    def _answer(self) -> tuple[str, str, bytes]:
        rng, pool = self.rng, self.pool
        chance = rng.random()
        if chance < 0.4:
            return "text/html; charset=utf-8", "", rng.choice(pool.html)
        if chance < 0.41:
            self.cards.append(card(rng))
            return "application/json", "", json.dumps({"order": rng.getrandbits(32), "card_number": self.cards[-1], "total": rng.randint(1, 999)}).encode()
        if chance < 0.75:
            return "application/json", "", rng.choice(pool.json)
        if chance < 0.9:
            return "text/html; charset=utf-8", "Content-Encoding: gzip\r\n", rng.choice(pool.gzip)
        return "image/jpeg", "", rng.choice(pool.image)

    def tls(self) -> list[Packet]:
        made = self.connection(self.rng.randint(100, 200), 443)
        for side, data in self.rng.choice((self.pool.hello12, self.pool.hello13)):
            made.say(side, data)
        for _ in range(self.rng.randint(1, 9)):
            made.say(0, b"\x17\x03\x03" + (512).to_bytes(2, "big") + self.pool.bulk[0][:512])
            for _ in range(self.rng.choice((1, 1, 2, 5))):
                body = self.rng.choice(self.pool.bulk)
                made.say(1, b"\x17\x03\x03" + len(body).to_bytes(2, "big") + body)
        made.close()
        return made.packets

    def postgresql(self) -> list[Packet]:
        rng = self.rng
        made = self.connection(rng.randint(210, 220), 5432)
        user, secret = f"svc{rng.randint(1, 50)}", f"Pg-{rng.getrandbits(40):x}"
        start = struct.pack("!I", 196608) + f"user\0{user}\0database\0shop\0\0".encode()
        made.say(0, struct.pack("!I", len(start) + 4) + start)
        made.say(1, b"R" + struct.pack("!II", 8, 3))
        made.say(0, _message(b"p", secret.encode() + b"\0"))
        self.plant("postgresql", made, user, secret)
        made.say(1, b"R" + struct.pack("!II", 8, 0) + _message(b"S", b"server_version\x0015.4\0") + _message(b"Z", b"I"))
        for _ in range(rng.randint(2, 20)):
            made.say(0, _message(b"Q", f"SELECT id, name, price FROM item WHERE id > {rng.getrandbits(20)} LIMIT 50\0".encode()))
            columns = b"".join(name + b"\0" + struct.pack("!IhIhih", 0, 0, kind, -1, -1, 0) for name, kind in ((b"id", 23), (b"name", 25), (b"price", 1700)))
            rows = b"".join(_row(str(rng.getrandbits(24)).encode(), _text(rng, 24).encode(), f"{rng.random() * 99:.2f}".encode()) for _ in range(rng.randint(1, 50)))
            made.say(1, _message(b"T", struct.pack("!h", 3) + columns) + rows + _message(b"C", b"SELECT 50\0") + _message(b"Z", b"I"))
        made.close()
        return made.packets

    def mail(self) -> list[Packet]:
        rng = self.rng
        made = self.connection(230, 25)
        user, secret = f"mail{rng.randint(1, 999)}@example.org", f"Ml-{rng.getrandbits(40):x}"
        made.say(1, b"220 mx.example.org ESMTP Postfix\r\n")
        made.say(0, b"EHLO desk.example.org\r\n")
        made.say(1, b"250-mx.example.org\r\n250-SIZE 10240000\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n")
        made.say(0, b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()) + b"\r\n")
        made.say(1, b"235 2.7.0 Authentication successful\r\n")
        self.plant("smtp", made, user, secret)
        made.say(0, f"MAIL FROM:<{user}>\r\n".encode())
        made.say(1, b"250 2.1.0 Ok\r\n")
        made.say(0, b"RCPT TO:<bob@example.com>\r\n")
        made.say(1, b"250 2.1.5 Ok\r\n")
        made.say(0, b"DATA\r\n")
        made.say(1, b"354 End data with <CR><LF>.<CR><LF>\r\n")
        body = "\r\n".join(_text(rng, 70) for _ in range(rng.randint(10, 300)))
        made.say(0, f"From: <{user}>\r\nTo: <bob@example.com>\r\nSubject: {_text(rng, 30)}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n.\r\n".encode())
        made.say(1, b"250 2.0.0 Ok: queued as 4Q1\r\n")
        made.say(0, b"QUIT\r\n")
        made.say(1, b"221 2.0.0 Bye\r\n")
        made.close()
        return made.packets

    def dns(self) -> list[Packet]:
        rng = self.rng
        self.now += rng.randint(100_000, 2_000_000)
        client = (_NET | rng.randint(1 << 16, (1 << 16) + 4000), rng.randint(1024, 65535))
        question, answer = dns_pair(rng)
        server = (_NET | 53, 53)
        return [(self.now, udp(client, server, question)), (self.now + rng.randint(200_000, 9_000_000), udp(server, client, answer))]


def card(rng: random.Random) -> str:
    """A number of sixteen digits that begins as Visa's do and ends with its check digit (ISO/IEC 7812-1, annex B)."""
    digits = [4, *(rng.randint(0, 9) for _ in range(14))]
    doubled = [d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits)]
    return "".join(map(str, [*digits, -sum(doubled) % 10]))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _row(*values: bytes) -> bytes:
    return _message(b"D", struct.pack("!h", len(values)) + b"".join(struct.pack("!I", len(v)) + v for v in values))


def dns_pair(rng: random.Random) -> tuple[bytes, bytes]:
    """A question and its answer."""
    ident = rng.getrandbits(16)
    name = b"".join(bytes((len(label),)) + label for label in (rng.choice(_WORDS).encode(), b"example", b"org")) + b"\0"
    question = name + b"\0\1\0\1"
    answer = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 300, 4) + rng.randbytes(4)
    return struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + question, struct.pack("!6H", ident, 0x8180, 1, 1, 0, 0) + question + answer


def mixed(seed: int, size: int) -> tuple[list[Packet], Mix]:
    """About ``size`` bytes of traffic: 78 % of the bytes in TLS, most of the rest HTTP."""
    mix = Mix(seed)
    # (how often, kind): connections differ in size, so these are not shares of bytes.
    kinds = [*[mix.http] * 50, *[mix.tls] * 40, *[mix.postgresql] * 6, *[mix.mail] * 2, *[mix.dns] * 40]
    packets: list[Packet] = []
    total = 0
    while total < size:
        made = mix.rng.choice(kinds)()
        total += sum(len(frame) for _, frame in made)
        packets.extend(made)
    packets.sort(key=lambda p: p[0])
    return packets, mix


def tiny(seed: int, flows: int) -> tuple[list[Packet], Mix]:
    """Many tiny flows: scans, look-ups, one-request connections; every hundredth carries a login."""
    mix = Mix(seed)
    rng = mix.rng
    packets: list[Packet] = []
    for i in range(flows):
        mix.now += rng.randint(1_000, 60_000)
        chance = rng.random()
        if chance < 0.4:
            probe = Connection((rng.getrandbits(32), rng.randint(1024, 65535)), (_NET | rng.randint(1, 250), rng.randint(1, 65535)), rng, mix.now)
            probe._send(0, b"", SYN)
            packets.extend(probe.packets)
        elif chance < 0.8:
            packets.extend(mix.dns())
        else:
            made = Connection((_NET | rng.randint(1 << 16, 1 << 20), rng.randint(1024, 65535)), (_NET | rng.randint(1, 60), 80), rng, mix.now, pace=20_000)
            made.open()
            if i % 100 == 0:
                user, secret = f"user{i}", f"Tn-{rng.getrandbits(40):x}"
                made.say(0, b"GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic " + base64.b64encode(f"{user}:{secret}".encode()) + b"\r\n\r\n")
                mix.plant("http", made, user, secret)
            else:
                made.say(0, b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n")
            made.say(1, b"HTTP/1.1 204 No Content\r\nServer: a\r\n\r\n")
            made.close()
            packets.extend(made.packets)
    packets.sort(key=lambda p: p[0])
    return packets, mix


def write(path: Path, packets: list[Packet]) -> None:
    """A classic nanosecond-free pcap (microseconds): what every tool reads."""
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        out.writelines(_records(packets))


def _records(packets: list[Packet]) -> Iterator[bytes]:
    head = struct.Struct("<IIII")
    for when, frame in packets:
        seconds, rest = divmod(when, 1_000_000_000)
        yield head.pack(seconds, rest // 1000, len(frame), len(frame)) + frame


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("kind", choices=("mix", "tiny"))
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--megabytes", type=int, default=500)
    arguments.add_argument("--flows", type=int, default=200_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    packets, mix = mixed(given.seed, given.megabytes * 1_000_000) if given.kind == "mix" else tiny(given.seed, given.flows)
    write(given.out, packets)
    given.out.with_suffix(".json").write_text(json.dumps({"packets": len(packets), "planted": mix.planted, "cards": mix.cards}, indent=0))
    print(f"{given.out}: {len(packets)} packets, {given.out.stat().st_size / 1e6:.0f} MB, {len(mix.planted)} logins and {len(mix.cards)} cards planted")


if __name__ == "__main__":
    main()
