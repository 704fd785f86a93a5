"""The HTTP client of a store of files, kept within a time and a size: whoever answers decides neither."""

from __future__ import annotations

import copy
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from urllib3 import HTTPResponse, PoolManager
from urllib3.exceptions import HTTPError

from .http import hurried

_TRIES = 3
_AGAIN = frozenset({500, 502, 503, 504})
_CHUNK = 65_536


class TooLong(HTTPError):
    """An answer has more bytes than it may have."""


class Bounded:
    """Calls as *manager* would, with its TLS and its proxy, but with connections of its own.

    It follows no redirect, since only the address that the host gave may see what is sent, and it waits for none of ``Retry-After``.

    Args:
        manager: the host's; nothing in it is changed.
        longest: bytes that an answer may have, when they are asked for, and of a page that the store writes itself.
    """

    def __init__(self, manager: PoolManager, *, longest: int, longest_page: int) -> None:
        self._manager = copy.copy(manager)
        self._manager.pools = type(manager.pools)(4)
        kinds: Mapping[str, Any] = manager.pool_classes_by_scheme
        self._manager.pool_classes_by_scheme = {
            scheme: type(kind.__name__, (kind,), {"ConnectionCls": self._ending(kind.ConnectionCls)}) for scheme, kind in kinds.items()
        }
        self._longest = longest
        self._longest_page = longest_page
        self._now = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let all calls of this thread in the block end within a time."""
        self._now.ends = time.monotonic() + seconds
        yield

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        left: float = self._now.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def urlopen(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, preload_content: bool = True
    ) -> HTTPResponse:
        """Call, and return the answer when all of it is there; one that failed is asked for again, if that does no harm."""
        longest = self._longest_page if preload_content else self._longest
        for again in range(_TRIES - 1, -1, -1):
            try:
                answer = self._call(method, url, body, headers, longest)
                if answer.status not in _AGAIN or not again or method == "POST":
                    return answer
            except TooLong:
                raise
            except HTTPError:
                if not again or method == "POST":
                    raise
            time.sleep(min(0.1 * (_TRIES - again), self.left()))
        raise AssertionError("unreachable")

    def _call(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, longest: int) -> HTTPResponse:
        answer = self._manager.urlopen(
            method, url, body=body, headers=headers, preload_content=False, redirect=False, retries=False, timeout=self.left()
        )
        got, size = io.BytesIO(), 0
        try:
            while chunk := answer.read(_CHUNK, decode_content=False):
                size += len(chunk)
                if size > longest:
                    raise TooLong
                got.write(chunk)
        except BaseException:
            answer.close()  # what is left of it would be read as the next one
            raise
        answer.release_conn()
        got.seek(0)
        return HTTPResponse(got, answer.headers, answer.status, preload_content=False, decode_content=False, request_method=method)

    def clear(self) -> None:
        """Close the connections."""
        self._manager.clear()

    def _ending(self, kind: Any) -> Any:
        """Return connections of a kind that wait no longer than is left."""
        left = self.left

        class Ending(kind):  # type: ignore[misc]  # the kind is known when it runs
            def connect(self) -> None:
                self.timeout = left()
                super().connect()

            def send(self, data: Any) -> None:
                if self.sock is not None:
                    self.sock.settimeout(left())
                super().send(data)

            def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
                return hurried(sock, lambda: sock.settimeout(left()), *args, **kwargs)

        return Ending
