"""A TCP proxy on real sockets that fails on purpose: it cuts, delays, trickles, or answers in the server's stead."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Fault = Callable[["TcpProxy", socket.socket], None]


class TcpProxy:
    """Stands before *target*; each of :attr:`faults` befalls one connection, in order, then it passes everything on.

    Use it in a ``with``; connect to :attr:`address`.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.faults: deque[Fault] = deque()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return host, port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.popleft() if self.faults else pass_on
            threading.Thread(target=self._serve, args=(fault, client), daemon=True).start()

    def _serve(self, fault: Fault, client: socket.socket) -> None:
        client.settimeout(30)
        with client, suppress(OSError):
            fault(self, client)


def request_of(client: socket.socket) -> bytes:
    """Read one HTTP request, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = client.recv(65536)
        if not block:
            return data
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        block = client.recv(65536)
        if not block:
            break
        data, missing = data + block, missing - len(block)
    return data


def _forwarded(proxy: TcpProxy, client: socket.socket) -> bytes:
    """Send one request on, and return the whole reply; the server closes after it."""
    with socket.create_connection(proxy.target, timeout=30) as server:
        server.sendall(request_of(client).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        reply = b""
        while block := server.recv(65536):
            reply += block
    return reply


def pass_on(proxy: TcpProxy, client: socket.socket) -> None:
    """Do nothing wrong."""
    client.sendall(_forwarded(proxy, client))


def cut_reply(proxy: TcpProxy, client: socket.socket) -> None:
    """Let the request through, and the reply never arrive: the server has done it, and the client cannot know."""
    _forwarded(proxy, client)


def cut_request(proxy: TcpProxy, client: socket.socket) -> None:
    """Hang up before anything reaches the server."""


def answer(status: str, *headers: str) -> Fault:
    """Answer in the server's stead: ``answer("429 Too Many Requests", "Retry-After: 7")``."""

    def fault(proxy: TcpProxy, client: socket.socket) -> None:
        request_of(client)
        lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    return fault


def silent(seconds: float) -> Fault:
    """Take the request and say nothing, until the client's patience ends."""

    def fault(proxy: TcpProxy, client: socket.socket) -> None:
        request_of(client)
        client.settimeout(seconds)
        client.recv(1)

    return fault


def trickle(seconds: float) -> Fault:
    """Let the reply come byte by byte, each after so many seconds: a slow loris."""

    def fault(proxy: TcpProxy, client: socket.socket) -> None:
        pause = threading.Event()
        for byte in _forwarded(proxy, client):
            client.sendall(bytes([byte]))
            pause.wait(seconds)

    return fault
