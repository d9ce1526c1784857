"""The endpoint: formats, checks, TLS, passwords, slow and many clients, files that change, where it may listen."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time

import bcrypt
import pytest

from sniffer.errors import UsageError
from sniffer.metrics import Endpoint, Metrics, endpoint, passwords
from sniffer.metrics.request import MAX_REQUEST, prefers_openmetrics
from tests.sniffer.metrics_lab import HASH, PASSWORD, USER, Authority, basic, get, until

TLS = "tls_server_config:\n  cert_file: s.crt\n  key_file: s.key\n"
AUTH = f"basic_auth_users:\n  {USER}: {HASH}\n"


@pytest.fixture
def metrics():
    return Metrics(["eth0"], ["siem"])


@pytest.fixture
def serve(metrics, monkeypatch):
    """Starts endpoints, and stops them at the end."""
    monkeypatch.setattr(passwords, "FAILED_DELAY", 0.05)
    monkeypatch.setattr(endpoint, "_POLL", 0.01)
    started = []

    def start(web_config="", *, listen="127.0.0.1:0", healthy=lambda: None, ready=lambda: None, **more):
        server = Endpoint(metrics, listen, str(web_config), healthy, ready, **more)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
    assert not [t for t in threading.enumerate() if t.name == "metrics"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    for name in ("s", "renewed", "client"):
        authority.issue(name)
    authority.issue("named", "prometheus.example")
    return authority


@pytest.fixture
def web(authority, tmp_path):
    """Writes a web configuration beside the certificates."""
    for file in authority.where.iterdir():
        shutil.copy(file, tmp_path)

    def write(text, name="web.yml"):
        file = tmp_path / name
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        fresh.replace(file)
        return file

    return write


def client(authority, name=None):
    context = ssl.create_default_context(cafile=authority.file)
    if name:
        context.load_cert_chain(authority.where / f"{name}.crt", authority.where / f"{name}.key")
    return context


def url(server, path="/metrics", scheme="http"):
    host, port = server.address
    return f"{scheme}://{host}:{port}{path}"


def refused(metrics, reason):
    return metrics.snapshot()["cleartap_endpoint_refused_total"][(reason,)]


def test_formats_by_what_is_asked_for(serve, metrics):
    server = serve()
    status, headers, body = get(url(server))
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == metrics.render()
    assert "Server" not in headers
    assert headers["Content-Encoding"] is None
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    status, headers, body = get(url(server), {"Accept": accept, "Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body == metrics.render(openmetrics=True)
    assert int(headers["Content-Length"]) < len(body) / 5
    status, headers, body = get(url(server, "/metrics?x=y"), {"Accept-Encoding": "gzip;q=0"}, method="HEAD")
    assert (status, body, headers["Content-Encoding"]) == (200, b"", None)
    assert int(headers["Content-Length"]) == len(metrics.render())
    assert raw(server, b"HEAD /metrics HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False), ("*/*", False), ("text/plain", False), ("application/openmetrics-text", True), ("APPLICATION/OpenMetrics-Text; q=0.5", True),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", False), ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nan", False), ("application/openmetrics-text;version=\r\nX: y", True), (",;,;q=,q", False),
    ],
)  # fmt: skip
def test_accept(accept, expected):
    assert prefers_openmetrics(accept) is expected


def test_checks_and_what_there_is_not(serve, metrics):
    reasons = {"ready": None}
    server = serve(ready=lambda: reasons["ready"])
    assert get(url(server, "/-/healthy"))[::2] == (200, b"ok\n")
    assert get(url(server, "/-/ready"))[::2] == (200, b"ok\n")
    reasons["ready"] = "eth0 is down\r\nX: y\x1b[31m" + "z" * 1000
    status, headers, body = get(url(server, "/-/ready"))
    assert status == 503
    assert body.startswith(b"eth0 is down  X: y ")
    assert body.count(b"\n") == 1
    assert len(body) < 400
    assert headers["X"] is None
    assert get(url(server, "/-/ready"), method="HEAD")[::2] == (503, b"")
    for path in ("/", "/metrics/", "/%2e%2e/etc/passwd", "/<script>"):
        assert get(url(server, path))[::2] == (404, b"Not Found\n")
    status, headers, body = get(url(server), method="POST")
    assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"Method Not Allowed\n")
    assert metrics.snapshot()["cleartap_bugs_total"] == {(): 0}


def test_a_check_that_breaks_is_counted_and_the_rest_goes_on(serve, metrics):
    server = serve(healthy=lambda: 1 / 0)
    with pytest.raises(OSError):
        get(url(server, "/-/healthy"))
    assert get(url(server))[0] == 200
    assert metrics.snapshot()["cleartap_bugs_total"] == {(): 1}


def raw(server, data, wait=5):
    """What comes back for bytes, until the other end closes."""
    with socket.create_connection(server.address, timeout=wait) as connection:
        connection.sendall(data)
        out = b""
        try:
            while piece := connection.recv(65536):
                out += piece
        except ConnectionResetError:  # closed with bytes of ours unread
            pass
        return out


@pytest.mark.parametrize(
    "data",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"GET /\xff\x00 HTTP/9.9\r\n\r\n", b"<script>\r\n\r\n", b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
     b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100_000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
     b"GET /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: x\r\n\r\n", b"GET http://x/metrics HTTP/1.1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_gets_little(serve, metrics, data):
    server = serve()
    answer = raw(server, data + b"\r\n\r\n")
    assert b"script" not in answer
    assert b"Python" not in answer
    assert b"BaseHTTP" not in answer
    assert get(url(server))[0] == 200
    assert metrics.snapshot()["cleartap_bugs_total"] == {(): 0}


def test_no_more_than_a_bound_is_read(serve):
    server = serve()
    lines = [b"X%d: " % n + b"a" * 1000 for n in range(MAX_REQUEST // 2000)]
    assert raw(server, b"\r\n".join([b"GET /metrics HTTP/1.1", *lines, b"", b""])).startswith(b"HTTP/1.1 200")
    assert b" 200 " not in raw(server, b"\r\n".join([b"GET /metrics HTTP/1.1", *lines * 4, b"", b""]))
    with socket.create_connection(server.address, timeout=5) as connection:  # sent no more than is read, so that the answer arrives
        connection.sendall(b"\r\n".join([b"GET /metrics HTTP/1.1", *lines * 4])[:MAX_REQUEST])
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")
    host, port = server.address
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        sent = 0
        with pytest.raises(OSError):  # the other end has closed long before  # noqa: PT012
            while sent < 64 << 20:
                sent += connection.send(b"X" * 65536)


def test_slow_clients_are_cut_and_others_served(serve, monkeypatch, metrics):
    monkeypatch.setattr(endpoint, "DEADLINE", 1.0)
    server = serve()
    start = time.monotonic()
    with socket.create_connection(server.address, timeout=5) as slow, socket.create_connection(server.address, timeout=5) as silent:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        late = socket.create_connection(server.address, timeout=5)
        begun = time.monotonic()

        def drip():
            try:
                while time.monotonic() < start + 4:
                    slow.sendall(b"X")
                    time.sleep(0.05)
            except OSError:
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        assert get(url(server))[0] == 200
        time.sleep(max(0, begun + 0.8 - time.monotonic()))
        with late:  # says something shortly before the end: gets no more time for it
            late.sendall(b"G")
            late.recv(100)
            assert time.monotonic() - begun < 1.6
        assert silent.recv(100) == b""
        thread.join()
    assert time.monotonic() - start < 3
    assert metrics.snapshot()["cleartap_bugs_total"] == {(): 0}


def test_a_client_that_does_not_read_is_cut(serve, monkeypatch, metrics):
    monkeypatch.setattr(endpoint, "DEADLINE", 0.5)
    monkeypatch.setattr(metrics, "render", lambda **_: b"x" * (64 << 20))
    server = serve()
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        until(lambda: not server._server._open, "the connection to be cut", 5)


def test_connections_are_bounded(serve, metrics):
    server = serve()
    held = [socket.create_connection(server.address, timeout=5) for _ in range(endpoint.MAX_CONNECTIONS_EACH)]
    try:
        until(lambda: len(server._server._open) == endpoint.MAX_CONNECTIONS_EACH, "all to be open")
        with pytest.raises(OSError):
            get(url(server))
        assert refused(metrics, "busy") == 1
    finally:
        for connection in held:
            connection.close()
    until(lambda: not server._server._open, "all to be closed")
    assert get(url(server))[0] == 200


def test_stop_cuts_connections_at_once(serve):
    server = serve()
    with socket.create_connection(server.address, timeout=5) as held:
        held.sendall(b"GET")
        until(lambda: server._server._open, "the connection")
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 1.5
        assert held.recv(10) == b""


def test_never_started_stops_too(metrics):
    Endpoint(metrics, "127.0.0.1:0", "", lambda: None, lambda: None).stop()


def test_passwords(serve, metrics, web):
    server = serve(web(AUTH))
    assert get(url(server), basic())[0] == 200
    assert get(url(server, "/-/healthy"), basic())[0] == 200
    for path in ("/metrics", "/-/healthy", "/nothing"):
        status, headers, body = get(url(server, path))
        assert (status, headers["WWW-Authenticate"], body) == (401, 'Basic realm="metrics", charset="UTF-8"', b"Unauthorized\n")
    start = time.monotonic()
    assert get(url(server), basic(password="wrong"))[0] == 401
    assert time.monotonic() - start >= passwords.FAILED_DELAY
    assert get(url(server), basic(user="nobody"))[0] == 401
    assert refused(metrics, "unauthorized") == 5


def test_guesses_at_once_are_throttled_and_a_known_user_passes(serve, metrics, web, monkeypatch):
    monkeypatch.setattr(passwords, "FAILED_DELAY", 1.0)
    server = serve(web(AUTH))
    assert get(url(server), basic())[0] == 200
    got = []
    threads = [threading.Thread(target=lambda n=n: got.append(get(url(server), basic(password=f"wrong{n}"))[0])) for n in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: got.count(429) == 3, "three to be throttled")
    assert get(url(server), basic())[0] == 200
    for thread in threads:
        thread.join()
    assert sorted(got) == [401, 401, 429, 429, 429]
    assert refused(metrics, "throttled") == 3


def test_tls_and_a_plain_request_to_it(serve, metrics, web, authority):
    server = serve(web(TLS + AUTH + "http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=9\n"))
    status, headers, _ = get(url(server, scheme="https"), basic(), client(authority))
    assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=9")
    assert get(url(server, scheme="https"), {}, client(authority))[0] == 401
    assert b"cleartap" not in raw(server, b"GET /metrics HTTP/1.1\r\n\r\n")
    with pytest.raises(OSError):
        get(url(server, scheme="https"), basic(), ssl.create_default_context())
    assert get(url(server, scheme="https"), basic(), client(authority))[0] == 200
    assert metrics.snapshot()["cleartap_bugs_total"] == {(): 0}


def test_versions_and_suites(serve, web, authority):
    server = serve(web(TLS + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n  curve_preferences: [CurveP384]\n"))
    with socket.create_connection(server.address, timeout=5) as plain, client(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secured:
        assert secured.version() == "TLSv1.2"
        assert secured.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    other = client(authority)
    other.set_ecdh_curve("prime256v1")
    with pytest.raises(OSError):
        get(url(server, scheme="https"), {}, other)
    newer = serve(web(TLS + "  min_version: TLS13\n", "newer.yml"))
    older = client(authority)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        get(url(newer, scheme="https"), {}, older)
    assert get(url(newer, scheme="https"), {}, client(authority))[0] == 200


def test_client_certificates(serve, metrics, web, authority, tmp_path):
    required = TLS + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
    server = serve(web(required), listen=":0")  # authenticated, so it may
    local = f"https://127.0.0.1:{server.address[1]}/metrics"
    assert get(local, {}, client(authority, "client"))[0] == 200
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere")
    stranger.issue("client")
    for context in (client(authority), _with(client(authority), stranger)):
        with pytest.raises(OSError):
            get(local, {}, context)
    chosen = serve(web(required + "  client_allowed_sans: [prometheus.example]\n", "chosen.yml"))
    assert get(url(chosen, scheme="https"), {}, client(authority, "named"))[0] == 200
    with pytest.raises(OSError):
        get(url(chosen, scheme="https"), {}, client(authority, "client"))
    assert refused(metrics, "unauthorized") == 1
    given = serve(web(TLS + "  client_ca_file: ca.crt\n  client_auth_type: VerifyClientCertIfGiven\n", "given.yml"))
    assert get(url(given, scheme="https"), {}, client(authority))[0] == 200
    with pytest.raises(OSError):
        get(url(given, scheme="https"), {}, _with(client(authority), stranger))


def _with(context, authority):
    context.load_cert_chain(authority.where / "client.crt", authority.where / "client.key")
    return context


def serial(server, authority):
    with socket.create_connection(server.address, timeout=5) as plain, client(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secured:
        return secured.getpeercert()["serialNumber"]


def test_files_are_read_again_when_they_change(serve, metrics, web, authority, tmp_path):
    file = web(TLS + AUTH)
    server = serve(file)
    before = serial(server, authority)
    good = "cleartap_endpoint_config_last_reload_successful"
    shutil.copy(tmp_path / "renewed.crt", tmp_path / "s.crt")  # the key does not fit yet
    assert serial(server, authority) == before
    assert "not a certificate and its key" in server.problem
    assert metrics.snapshot()[good] == {(): 0}
    shutil.copy(tmp_path / "renewed.key", tmp_path / "s.key")
    assert serial(server, authority) != before
    assert server.problem is None
    assert metrics.snapshot()[good] == {(): 1}
    other = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
    assert get(url(server, scheme="https"), basic(), client(authority))[0] == 200
    web(TLS + f"basic_auth_users:\n  {USER}: {other}\n")
    assert get(url(server, scheme="https"), basic(), client(authority))[0] == 401  # no verdict outlives its hash
    assert get(url(server, scheme="https"), basic(password="another"), client(authority))[0] == 200
    web("nonsense: 1")
    assert get(url(server, scheme="https"), basic(password="another"), client(authority))[0] == 200
    assert "not a known key" in server.problem
    file.unlink()
    assert get(url(server, scheme="https"), basic(password="another"), client(authority))[0] == 200
    assert "No such file" in server.problem


def test_protection_does_not_go_away_by_a_change(serve, web, authority):
    server = serve(web(TLS + AUTH), listen=":0")
    local = f"https://127.0.0.1:{server.address[1]}/metrics"
    web(TLS)
    assert get(local, {}, client(authority))[0] == 401
    assert "authentication is missing" in server.problem


@pytest.mark.parametrize(
    ("text", "missing"),
    [(None, "TLS and authentication is missing"), ("", "TLS and authentication"), (TLS, "authentication is missing"), (AUTH, "TLS is missing")],
    ids=["none", "empty", "tls", "users"],
)
@pytest.mark.parametrize("listen", [":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:9476"])
def test_only_loopback_without_protection(metrics, web, listen, text, missing):
    config = "" if text is None else str(web(text))
    with pytest.raises(UsageError) as caught:
        Endpoint(metrics, listen, config, lambda: None, lambda: None)
    assert missing in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_protection_can_be_waived(serve):
    server = serve(listen=":0", allow_insecure=True)
    assert get(f"http://127.0.0.1:{server.address[1]}/metrics")[0] == 200


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")  # noqa: PTH110
def test_ipv6_loopback(serve):
    server = serve(listen="[::1]:0")
    assert get(f"http://[::1]:{server.address[1]}/metrics")[0] == 200


def test_a_port_that_is_taken(serve, metrics):
    host, port = serve().address
    with pytest.raises(UsageError, match=rf"metrics.listen {host}:{port}: Address already in use"):
        Endpoint(metrics, f"{host}:{port}", "", lambda: None, lambda: None)


def test_no_password_is_in_what_is_said(serve, metrics, web, capfd):
    server = serve(web(AUTH))
    said = b""
    for headers in (basic(), basic(user=PASSWORD), basic(password=PASSWORD + "x"), {"Authorization": PASSWORD}):
        status, answered, body = get(url(server, "/" + PASSWORD), headers)
        said += body + str(answered).encode()
        assert status in (401, 404)
    said += metrics.render() + repr(vars(server)).encode() + repr(server._access.current()).encode()
    out, err = capfd.readouterr()
    assert PASSWORD.encode() not in said + out.encode() + err.encode()
    assert HASH.encode() not in said


def test_its_scheme_is_what_it_speaks(serve, web):
    assert [serve().scheme, serve(web(AUTH, "users.yml")).scheme, serve(web(TLS + AUTH)).scheme] == ["http", "http", "https"]
