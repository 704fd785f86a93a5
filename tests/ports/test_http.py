"""Http: what is allowed goes out, to the address that was looked at, and nothing else does."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crm_core import CRMError, Refused, Unavailable
from crm_core.ports import GuardedHttp
from crm_core.testing.ports import check_http

LOCAL = ["127.0.0.0/8", "::1/128"]


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got; /to leads elsewhere, /slow drips, /long does not end."""

    seen: list[str]

    def do_POST(self) -> None:  # http.server's name
        self.seen.append(self.path)
        if self.path == "/drip":
            for byte in b"HTTP/1.0 200 OK\r\nX-A: " + b"a" * 50:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(302 if self.path == "/to" else 200)
        self.send_header("Location", "http://127.0.0.1/stolen")
        self.end_headers()
        if self.path == "/slow":
            for _ in range(50):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.1)
        elif self.path == "/long":
            for _ in range(100):
                self.wfile.write(b"x" * 10_000)
        else:
            self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Echo.seen = []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what the test is about
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def at(server: ThreadingHTTPServer, path: str = "/", host: str = "localhost") -> str:
    return f"http://{host}:{server.server_port}{path}"


def test_the_contract_is_kept(server: ThreadingHTTPServer) -> None:
    http = GuardedHttp(allow=["localhost"], inside=LOCAL, plain=True)
    check_http(http, at(server), f"http://127.0.0.1:{server.server_port}/")


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost/", "https://localhost/", "https://127.0.0.1/", "https://2130706433/", "https://[::1]/", "https://0.0.0.0/"),
        *("https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://[fe80::1]/"),
        *("https://192.168.1.1/", "https://100.64.0.1/", "file:///etc/passwd", "gopher://localhost/", "https://224.0.0.1/"),
    ],
)
def test_what_is_private_or_local_is_refused_though_its_name_is_allowed(url: str) -> None:
    host = urlsplit(url).hostname or ""
    http = GuardedHttp(allow=[host])
    with pytest.raises(CRMError) as caught:
        http.request("GET", url)
    assert caught.value.code in ("http_not_allowed", "bad_url")


def test_a_name_that_is_not_on_the_list_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: asked.append(host))
    http = GuardedHttp(allow=["*.example.org"])
    for host in ("example.org", "evil.org", "example.org.evil.org", "xexample.org"):
        with pytest.raises(Refused):
            http.request("GET", f"https://{host}/")
    assert asked == []


def test_a_name_that_answers_differently_the_second_time_gains_nothing(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, *rest: Any, **options: Any) -> Any:
        if host == "rebind.example.org":
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "10.0.0.1", *rest, **options)
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    http = GuardedHttp(allow=["rebind.example.org"], inside=LOCAL, plain=True)
    assert http.request("POST", at(server, host="rebind.example.org"), body=b"x").body == b"x"
    assert len(asked) == 1


def test_a_name_of_which_one_address_is_private_is_refused(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: both)
    with pytest.raises(Refused):
        GuardedHttp(allow=["two.example.org"], plain=True).request("GET", "http://two.example.org/")


def test_no_redirect_is_followed(server: ThreadingHTTPServer) -> None:
    answer = GuardedHttp(allow=["localhost"], inside=LOCAL, plain=True).request("GET", at(server, "/to"))
    assert (answer.status, answer.headers["location"], Echo.seen) == (302, "http://127.0.0.1/stolen", ["/to"])


def test_an_answer_that_drips_ends_with_the_time_and_one_without_end_with_its_length(server: ThreadingHTTPServer) -> None:
    http = GuardedHttp(allow=["localhost"], inside=LOCAL, plain=True, timeout=0.5, longest=20_000)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        http.request("GET", at(server, "/slow"))
    assert time.monotonic() - begun < 3
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        http.request("GET", at(server, "/drip"))
    assert time.monotonic() - begun < 3, "a head that drips"
    with pytest.raises(Unavailable) as caught:
        http.request("GET", at(server, "/long"))
    assert "20000" in caught.value.params["reason"]


def test_a_header_with_a_line_break_does_not_go_out(server: ThreadingHTTPServer) -> None:
    http = GuardedHttp(allow=["localhost"], inside=LOCAL, plain=True)
    with pytest.raises(CRMError):
        http.request("GET", at(server), headers={"X-A": "b\r\nX-Evil: 1"})
    assert Echo.seen == []


def certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def serve_once(listening: socket.socket, path: Path) -> None:
    """Shake hands with one client and answer it, or see it go."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    plain, _ = listening.accept()
    with plain, suppress(OSError):
        plain.settimeout(10)
        with tls.wrap_socket(plain, server_side=True) as talking:
            talking.recv(10_000)
            talking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@pytest.mark.parametrize(
    ("host", "trusts", "answered"), [("localhost", True, True), ("127.0.0.1", True, False), ("localhost", False, False)]
)
def test_a_certificate_for_the_name_is_asked_for(host: str, trusts: bool, answered: bool, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    certificate(path)
    trusting = ssl.create_default_context(cafile=str(path)) if trusts else None
    http = GuardedHttp(allow=[host], inside=LOCAL, context=trusting, timeout=10)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve_once, args=(listening, path))
        thread.start()
        url = f"https://{host}:{listening.getsockname()[1]}/"
        if answered:
            assert http.request("GET", url).body == b"hello"
        else:
            with pytest.raises(Unavailable) as caught:
                http.request("GET", url)
            assert caught.value.params["reason"] == "SSLCertVerificationError"
        thread.join()
