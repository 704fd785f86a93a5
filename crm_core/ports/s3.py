"""Files in a bucket of Amazon S3, or of a store that speaks like it."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..errors import MissingExtra, NotFound, Unavailable
from .files import checked, is_key, scope

if TYPE_CHECKING:
    from minio import Minio

T = TypeVar("T")
_PAGE = 10_000_000
_MOST = 1_000_000
_SUM = "x-amz-meta-sha256"


class S3Files:
    """Files in a bucket. Needs the extra ``s3``.

    It asks the address that the client has and follows no redirect; a store that is down for a moment is asked three times. A file is kept
    with its SHA-256, and one that comes back with another is refused.

    Args:
        client: of the package ``minio``: ``Minio("s3.example.org", access_key=..., secret_key=...)``; its TLS settings and its proxy hold.
        bucket: the name of one that exists.
        timeout: seconds for a whole call.
        longest: bytes that a file may have.

    Raises:
        MissingExtra: ``minio`` is not installed.
    """

    def __init__(self, client: Minio, bucket: str, *, prefix: str = "", timeout: float = 300.0, longest: int = 1_000_000_000) -> None:
        try:
            import minio  # noqa: F401
        except ModuleNotFoundError as e:
            raise MissingExtra(extra="s3", module="minio") from e
        from .bounded import Bounded

        given: Any = client
        self._client = copy.copy(given)  # the host's own stays as it is
        self._http = self._client._http = Bounded(given._http, longest=longest, longest_page=_PAGE)
        self._bucket = bucket
        self._prefix = prefix
        self._timeout = timeout
        self._longest = longest

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*."""
        name = self._name(key)
        if len(content) > self._longest:
            raise Unavailable("port_failed", port="Files", reason=f"> {self._longest} bytes")
        metadata = {_SUM: hashlib.sha256(content).hexdigest()}
        put = self._client.put_object  # in this thread, whose time it is
        kept = self._call(lambda: put(self._bucket, name, io.BytesIO(content), len(content), metadata=metadata, num_parallel_uploads=1))
        if not kept.etag:
            raise Unavailable("port_failed", port="Files", reason="no ETag")

    def get(self, key: str) -> bytes:
        """Return what is kept under *key*."""
        name = self._name(key)
        answer = self._call(lambda: self._client.get_object(self._bucket, name), key)
        content: bytes = answer.read()
        if answer.status != 200:
            raise Unavailable("port_failed", port="Files", reason=f"HTTP {answer.status}")
        if answer.headers.get(_SUM, found := hashlib.sha256(content).hexdigest()) != found:
            raise Unavailable("port_failed", port="Files", reason="SHA-256")
        return content

    def delete(self, key: str) -> None:
        """Forget *key*."""
        name = self._name(key)
        self._call(lambda: self._client.remove_object(self._bucket, name))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted; a million at most."""
        start = f"{self._prefix}{prefix}"
        listing = self._client.list_objects(self._bucket, start, recursive=True)
        names: list[str] = self._call(lambda: [each.object_name or "" for each in islice(listing, _MOST + 1)])
        if len(names) > _MOST:
            raise Unavailable("port_failed", port="Files", reason=f"> {_MOST} keys")
        # A store may answer what it was not asked for.
        found = (name.removeprefix(self._prefix) for name in names if name.startswith(start))
        yield from sorted(filter(is_key, found))

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the part that belongs to a plugin in a tenant."""
        part = copy.copy(self)
        part._prefix = scope(tenant, plugin)
        return part

    def _name(self, key: str) -> str:
        return f"{self._prefix}{checked(key)}"

    def _call(self, work: Callable[[], T], key: str = "") -> T:
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            with self._http.within(self._timeout):
                return work()
        except S3Error as e:
            if key and e.code == "NoSuchKey":
                raise NotFound("no_file", key=key) from e
            code = e.code if e.code and e.code.isascii() and e.code.isalnum() else "S3Error"
            raise Unavailable("port_failed", port="Files", reason=code[:60]) from e
        # What is no answer of a store (no XML, or another's) ends the client in one of the latter.
        except (MinioException, HTTPError, OSError, SyntaxError, ValueError, LookupError, TypeError, AttributeError) as e:
            raise Unavailable("port_failed", port="Files", reason=type(e).__name__) from e
