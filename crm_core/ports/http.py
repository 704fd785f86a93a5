"""Http: calls of web addresses that the host allows, and of no other."""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol, cast, runtime_checkable
from urllib.parse import SplitResult, urlsplit

import attrs

from ..errors import Invalid, Refused, Unavailable
from ..messages import redact

_CHUNK = 65_536
# What says where a call goes, and where it ends: the address says the first, the body the second.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
# What a router turns into an address of IPv4: 6to4 (RFC 3056), which has it in the middle, and NAT64 (RFC 6052), at the end.
_TUNNEL = ipaddress.IPv6Network("2002::/16")
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
# What is routed between strangers is in here (RFC 4291); what of it is not (RFC 9637, RFC 4380), not every Python knows.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL = (ipaddress.IPv6Network("3fff::/20"), ipaddress.IPv6Network("2001::/32"))


@attrs.frozen
class Answer:
    """What a server answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@runtime_checkable
class Http(Protocol):
    """Calls web addresses."""

    def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        """Call a web address; any status is an answer.

        Raises:
            Invalid: ``bad_url``; ``bad_header``: a header that says where the call goes or ends, like ``Host``.
            Refused: ``http_not_allowed``: the host does not allow this address.
            Unavailable: ``port_failed``: no answer, too slow, or too long.
        """
        ...


class GuardedHttp:
    """Calls hosts of a list, none of whose addresses is private, local or reserved; it follows no redirect.

    A name is looked up once, and the connection goes to the address that was looked at, so a name that answers differently the next time
    gains nothing.

    Args:
        allow: host names, exact or ``*.example.org`` for all below it.
        timeout: seconds for the whole call, once the name was looked up: how long that may take is the system's to say.
        longest: bytes that an answer may have.
        inside: networks that are allowed though they are private, such as ``10.1.2.0/24``.
        plain: allow ``http://`` as well as ``https://``.
        context: TLS settings; by default the system's authorities.
    """

    def __init__(
        self,
        *,
        allow: Sequence[str],
        timeout: float = 30.0,
        longest: int = 10_000_000,
        inside: Sequence[str] = (),
        plain: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = tuple(name.lower() for name in allow)
        self._timeout = timeout
        self._longest = longest
        self._inside = tuple(ipaddress.ip_network(network) for network in inside)
        self._schemes = {"https", "http"} if plain else {"https"}
        self._context = context

    def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        """Call a web address."""
        parts = self._allowed(url)
        given = _checked_headers(headers or {})
        ends = time.monotonic() + self._timeout
        address = self._address(parts)
        connection = _Pinned(parts, address, ends, self._context or ssl.create_default_context())
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body=body, headers=given)
            with closing(connection.getresponse()) as response:
                found = self._read(response, connection, ends)
                return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, found)
        except (http.client.HTTPException, OSError) as e:
            raise Unavailable("port_failed", port="Http", reason=type(e).__name__) from e
        except (ValueError, TypeError) as e:  # a header or target with a line break, a method that is none
            raise Invalid("bad_url", given="") from e
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, connection: _Pinned, ends: float) -> bytes:
        parts, size = [], 0
        while chunk := response.read1(_CHUNK):
            size += len(chunk)
            if size > self._longest:
                raise Unavailable("port_failed", port="Http", reason=f"> {self._longest} bytes")
            parts.append(chunk)
            connection.hurry(ends)
        return b"".join(parts)

    def _allowed(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except (ValueError, AttributeError, TypeError):
            raise Invalid("bad_url", given=str(url)[:40]) from None
        if not host or not url.isprintable() or " " in url or parts.username is not None:
            raise Invalid("bad_url", given=url[:40])
        named = any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._allow)
        if parts.scheme not in self._schemes or not named or port == 0:
            raise Refused("http_not_allowed", host=host[:100])
        return parts

    def _address(self, parts: SplitResult) -> tuple[str, int]:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = [entry[4] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except UnicodeError as e:  # a part of the name is empty, or too long
            raise Invalid("bad_url", given=host[:40]) from e
        except OSError as e:
            raise Unavailable("port_failed", port="Http", reason=type(e).__name__) from e
        addresses = [ipaddress.ip_address(str(entry[0]).partition("%")[0]) for entry in found]
        if not addresses or not all(self._public(each) for each in addresses):
            raise Refused("http_not_allowed", host=host[:100])
        return str(addresses[0]), port

    def _public(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return all(any(each in network for network in self._inside) or _is_public(each) for each in _meant(address))


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Refuse headers that are not the caller's: another ``Host`` would reach a server that the list does not name.

    Raises:
        Invalid: ``bad_header``.
    """
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str)) or name.strip().lower() in _OURS:
            raise Invalid("bad_header", header=redact(name))
    return dict(headers)


def _meant(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Sequence[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses that are reached by one: that of IPv4 for one of IPv6 that only carries it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address, ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)] if address in _TUNNEL else [address]


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address not in _UNICAST or any(address in net for net in _NOT_GLOBAL)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was looked at, under the name that was asked for."""

    def __init__(self, parts: SplitResult, address: tuple[str, int], ends: float, context: ssl.SSLContext) -> None:
        super().__init__(parts.hostname or "", address[1])
        self._address = address
        self._ends = ends
        self.response_class = self._answered  # type: ignore[assignment]  # it is called as the class would be
        self._tls: Callable[[socket.socket], socket.socket] | None = None
        if parts.scheme == "https":
            self._tls = lambda plain: context.wrap_socket(plain, server_hostname=self.host)

    def connect(self) -> None:
        """Connect to the address, and speak TLS where it was asked for."""
        plain = socket.create_connection(self._address, timeout=max(self._ends - time.monotonic(), 0.001))
        try:
            self.sock = plain if self._tls is None else self._tls(plain)
        except BaseException:
            plain.close()
            raise
        self.hurry(self._ends)

    def _answered(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        """Read an answer within the time, its head as its body."""
        return hurried(sock, lambda: self.hurry(self._ends), *args, **kwargs)

    def hurry(self, ends: float) -> None:
        """Give the next read what is left of the time."""
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is not None:
            self.sock.settimeout(left)


def hurried(sock: socket.socket, hurry: Callable[[], None], *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
    """Return an answer that is read within a time, its head as its body.

    Args:
        hurry: is called before each read; it raises where the time is over.
    """
    response = http.client.HTTPResponse(sock, *args, **kwargs)
    response.fp = io.BufferedReader(_Hurried(response.fp.detach(), hurry))
    return response


class _Hurried(io.RawIOBase):
    """A stream that asks before each read whether there is time left."""

    def __init__(self, raw: io.RawIOBase, hurry: Callable[[], None]) -> None:
        self._raw = raw
        self._hurry = hurry

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._hurry()
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


@attrs.frozen
class Sent:
    """A call that a :class:`MemoryHttp` kept."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class MemoryHttp:
    """Calls nobody, for tests: it keeps what would be sent and gives each call the same answer.

    Args:
        answer: what every call gets; by default 200 with an empty body.

    Attributes:
        sent: the calls, oldest first.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.sent: list[Sent] = []
        self._answer = answer or Answer(200, {}, b"")

    def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        """Keep a call."""
        self.sent.append(Sent(method, url, dict(headers or {}), body or b""))
        return self._answer
