"""A store of files that answers what it likes, over real sockets: errors of ours, soon, and nothing told to others [A10, A22, A25]."""

from __future__ import annotations

import hashlib
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from minio import Minio
from urllib3 import PoolManager

from crm_core import CRMError, NotFound, Unavailable
from crm_core.ports import S3Files
from tests.attacks.raid import MEGABYTES
from tests.ports.test_http import certificate

TOKEN, SECRET = "S3SSI0N-T0K3N", "s3cr3t-k3y-of-th3-host"
SECONDS = 1.5
LONGEST = 1_000_000
XML = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
ITEM = b"<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>"
PAGE = (
    b"<ListBucketResult><Name>crm</Name><IsTruncated>%s</IsTruncated><NextContinuationToken>t</NextContinuationToken>%s</ListBucketResult>"
)
Reply = Callable[[socket.socket], None]


@attrs.define(eq=False)
class Store:
    """A server that answers each call as *reply* does, and keeps what it was sent.

    Attributes:
        deaf: it reads nothing.
        tls: what it speaks, if it does.
        heard: the calls, head and body.
    """

    reply: Reply
    deaf: bool = False
    tls: ssl.SSLContext | None = None
    heard: list[bytes] = attrs.field(factory=list)
    _door: socket.socket = attrs.field(factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def address(self) -> str:
        host, port = self._door.getsockname()
        return f"{host}:{port}"

    def open(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with suppress(OSError), caller, self.tls.wrap_socket(caller, server_side=True) if self.tls else caller as caller:
            caller.settimeout(30)
            got = b"\r\n\r\n" if self.deaf else b""
            while b"\r\n\r\n" not in got:
                if not (more := caller.recv(65_536)):
                    return
                got += more
            head, _, body = got.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            while lengths and len(body) < int(lengths[0].split(b":")[1]):
                body += caller.recv(65_536)
            self.heard.append(head + b"\r\n\r\n" + body)
            self.reply(caller)


Open = Callable[[Reply], Store]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open stores."""
    made: list[Store] = []

    def make(reply: Reply) -> Store:
        made.append(Store(reply))
        made[-1].open()
        return made[-1]

    yield make
    for store in made:
        store.close()


def files(store: Store, *, timeout: float = SECONDS, longest: int = LONGEST) -> S3Files:
    client = Minio(store.address, access_key="AKEY", secret_key=SECRET, session_token=TOKEN, secure=False, region="us-east-1")
    return S3Files(client, "crm", timeout=timeout, longest=longest)


def says(answer: bytes) -> Reply:
    return lambda caller: caller.sendall(answer)


def xml(body: bytes, status: bytes = b"200 OK") -> Reply:
    return says(XML % (status, len(body), body))


def found(head: bytes, body: bytes = b"", status: bytes = b"200 OK") -> Reply:
    return says(b'HTTP/1.1 %s\r\nETag: "x"\r\n%s\r\n\r\n%s' % (status, head, body))


def endless(head: bytes, again: bytes, pause: float = 0) -> Reply:
    def reply(caller: socket.socket) -> None:
        caller.sendall(head)
        while True:
            caller.sendall(again)
            time.sleep(pause)

    return reply


def late(caller: socket.socket) -> None:
    time.sleep(20)


OK = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
) + b"]><Error><Code>&j;</Code></Error>"  # fmt: skip
WRONG: dict[str, Reply] = {
    "shorter than it says": found(b"Content-Length: 100", b"abc"),
    "never ends": endless(OK + b"\r\n", b"x" * 65_536),
    "never ends, in chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "says it is huge": found(b"Content-Length: 1000000000000", b"x"),
    "has a head that never ends": endless(OK, b"X-A: b\r\n"),
    "has a head of one endless line": endless(OK, b"x" * 65_536),
    "only ever promises": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "comes byte by byte": endless(OK + b"Content-Length: 1000\r\n\r\n", b"x", 0.2),
    "has a head that comes byte by byte": endless(OK, b"x", 0.2),
    "has a chunk that never ends": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.2),
    "does not come": late,
    "is nothing": says(b""),
    "is no HTTP": says(b"220 mail.example.org ESMTP\r\n"),
    "is empty, with 204": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "is a part, with 206": found(b"Content-Length: 2", b"ab", b"206 Partial Content"),
    "has an odd status": found(b"Content-Length: 2", b"ab", b"299 Fine"),
    "has no status": says(b"HTTP/1.1 \r\n\r\n"),
    "is busy for a year": found(b"Retry-After: 31536000\r\nContent-Length: 0", status=b"503 Busy"),
    "is busy without end": endless(b"HTTP/1.1 503 Busy\r\n\r\n", b"x" * 65_536),
    "is a page of another server": found(b"Content-Type: text/html\r\nContent-Length: 3", b"404", b"404 Not Found"),
    "is broken XML": xml(b"<Error><Code>NoSu", b"404 Not Found"),
    "is XML of another kind": xml(b"<a/>", b"404 Not Found"),
    "is no text": xml(b"\xff\xfe\x00", b"404 Not Found"),
    "is a bomb": xml(BOMB, b"404 Not Found"),
    "has another sum": found(b"X-Amz-Meta-Sha256: " + b"0" * 64 + b"\r\nContent-Length: 3", b"abc"),
    "has a code with line breaks": xml(b"<Error><Code>a\n2026-11-21 INFO ok \x7f</Code></Error>", b"403 No"),
    "has a long code": xml(b"<Error><Code>" + b"x" * 900_000 + b"</Code></Error>", b"403 No"),
}  # fmt: skip
CALLS: dict[str, Callable[[S3Files], object]] = {
    "get": lambda f: f.get("a/b"),
    "put": lambda f: f.put("a/b", b"content"),
    "delete": lambda f: f.delete("a/b"),
    "keys": lambda f: list(f.keys("a")),
}


def withstood(call: Callable[[S3Files], object], of: S3Files, *, seconds: float = SECONDS + 1.5) -> CRMError:
    """Return the error that a call ends in, soon and without much memory."""
    begun, size = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CRMError) as caught:
        call(of)
    assert time.monotonic() - begun < seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) / 1024 < MEGABYTES
    said = f"{caught.value} {caught.value.problem()}"
    assert len(said) < 500
    assert "\n" not in str(caught.value)
    assert TOKEN not in said
    assert SECRET not in said
    return caught.value


@pytest.mark.parametrize("answer", WRONG)
def test_a22_a_file_whose_answer_is_wrong_is_unavailable_soon(opened: Open, answer: str) -> None:
    assert isinstance(withstood(CALLS["get"], files(opened(WRONG[answer]))), Unavailable)


@pytest.mark.parametrize("answer", [a for a in WRONG if "sum" not in a])
def test_a22_a_listing_whose_answer_is_wrong_is_unavailable_soon(opened: Open, answer: str) -> None:
    assert isinstance(withstood(CALLS["keys"], files(opened(WRONG[answer]))), Unavailable)


@pytest.mark.parametrize("call", ["put", "delete"])
def test_a22_what_is_told_to_a_store_that_does_not_answer_ends_soon(opened: Open, call: str) -> None:
    for name in ("has a head that never ends", "only ever promises", "has a head that comes byte by byte", "does not come", "is nothing"):
        assert isinstance(withstood(CALLS[call], files(opened(WRONG[name]))), Unavailable), name
    for name in ("is busy for a year", "is busy without end", "is a bomb", "is a page of another server"):
        assert isinstance(withstood(CALLS[call], files(opened(WRONG[name]))), Unavailable), name


def test_a22_a_file_is_not_kept_where_the_store_gives_it_no_etag(opened: Open) -> None:
    assert isinstance(withstood(CALLS["put"], files(opened(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))), Unavailable)


def test_a22_an_upload_that_is_read_slowly_ends_in_time(opened: Open) -> None:
    store = opened(late)
    store.deaf = True
    big = files(store, longest=30_000_000)
    assert isinstance(withstood(lambda f: f.put("a", b"x" * 30_000_000), big), Unavailable)


@pytest.mark.parametrize("status", [b"301", b"302", b"303", b"307", b"308"])
@pytest.mark.parametrize("call", CALLS)
def test_a10_no_redirect_is_followed_and_nobody_else_is_told_anything(opened: Open, status: bytes, call: str) -> None:
    """The token of a session went to whatever host a redirect named, with the file's bytes, and its answer came back as the file."""
    other = opened(found(b"Content-Length: 6", b"SECRET"))
    places = [f"http://{other.address}/x", "http://169.254.169.254/latest/meta-data", "//localhost:1/x", "file:///etc/passwd"]
    for place in places:
        to = b"Location: %s\r\nContent-Length: 0\r\nx-amz-bucket-region: eu-west-1" % place.encode()
        store = opened(found(to, status=status + b" Elsewhere"))
        assert isinstance(withstood(CALLS[call], files(store)), Unavailable), place
        assert TOKEN.encode() in store.heard[0]
    assert other.heard == []


def test_a22_a_listing_without_end_ends(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    again = opened(xml(PAGE % (b"true", b"".join(ITEM % b"a%d" % n for n in range(1_000)))))
    assert isinstance(withstood(CALLS["keys"], files(again)), Unavailable)
    assert isinstance(withstood(CALLS["keys"], files(opened(xml(PAGE % (b"true", b""))))), Unavailable), "pages without a key"
    monkeypatch.setattr("crm_core.ports.s3._MOST", 3_000)
    assert withstood(CALLS["keys"], files(again, timeout=20)).params["reason"] == "> 3000 keys"


def test_a25_a_listing_tells_of_no_key_that_was_not_asked_for(opened: Open) -> None:
    names = [b"main/p/a", b"other/p/b", b"main/p/../x", b"main/p/", b"/etc/passwd", b"main/p/ok", b"main/p/a&#10;b"]
    store = opened(xml(PAGE % (b"false", b"".join(ITEM % name for name in names))))
    assert list(files(store).scoped("main", "p").keys()) == ["a", "ok"]


def test_a22_what_comes_after_a_file_is_not_the_next_one(opened: Open) -> None:
    """Bytes behind the end of an answer, with a head of their own, are nobody's answer."""
    smuggled = b'HTTP/1.1 200 OK\r\nETag: "y"\r\nContent-Length: 4\r\n\r\nEVIL'
    store = opened(found(b"Content-Length: 3", b"abc" + smuggled))
    of = files(store)
    assert [of.get("a"), of.get("b"), of.get("c")] == [b"abc"] * 3
    assert len(store.heard) == 3


def test_a_file_that_is_not_there_is_not_found_and_an_outage_of_a_moment_is_waited_for(opened: Open) -> None:
    gone = opened(xml(b"<Error><Code>NoSuchKey</Code></Error>", b"404 Not Found"))
    assert isinstance(withstood(CALLS["get"], files(gone)), NotFound)
    answers = iter([found(b"Content-Length: 0", status=b"503 Busy"), says(b""), found(b"Content-Length: 3", b"abc")])
    assert files(opened(lambda caller: next(answers)(caller))).get("a") == b"abc"


def test_a_file_goes_with_its_sum_and_a_longer_one_than_may_be_does_not_go(opened: Open) -> None:
    store = opened(found(b"Content-Length: 0"))
    files(store).put("a", b"content")
    assert hashlib.sha256(b"content").hexdigest().encode() in store.heard[0]
    assert isinstance(withstood(lambda f: f.put("a", b"x" * (LONGEST + 1)), files(store)), Unavailable)
    assert len(store.heard) == 1


def test_a10_over_tls_the_hosts_own_settings_hold_and_nothing_goes_to_plain_http(opened: Open, tmp_path: Path) -> None:
    """The copy of the client calls with the TLS of the client that the host gave."""
    certificate(tmp_path / "server.pem")
    certificate(tmp_path / "another.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")

    def over(store: Store, *, host: str = "localhost", trusted: str = "server.pem") -> S3Files:
        store.tls = tls
        pool = PoolManager(ca_certs=str(tmp_path / trusted), cert_reqs="CERT_REQUIRED")
        at = f"{host}:{store.address.rpartition(':')[2]}"
        client = Minio(at, access_key="AKEY", secret_key=SECRET, session_token=TOKEN, region="us-east-1", http_client=pool)
        return S3Files(client, "crm", timeout=SECONDS, longest=LONGEST)

    good = opened(found(b"Content-Length: 3", b"abc"))
    assert over(good).get("a") == b"abc"
    for wrong in (over(good, host="127.0.0.1"), over(good, trusted="another.pem")):
        assert isinstance(withstood(CALLS["get"], wrong), Unavailable)
    assert len(good.heard) == 1
    for answer in ("never ends", "comes byte by byte", "has a head that comes byte by byte"):
        assert isinstance(withstood(CALLS["get"], over(opened(WRONG[answer]))), Unavailable), answer
    plain = opened(found(b"Content-Length: 3", b"abc"))
    to = b"Location: http://%s/x\r\nContent-Length: 0" % plain.address.encode()
    for call in CALLS.values():
        assert isinstance(withstood(call, over(opened(found(to, status=b"307 There")))), Unavailable)
    assert plain.heard == []
