"""Files in a bucket of Amazon S3, or of a store that speaks like it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

from ..errors import MissingExtra, NotFound, Unavailable
from .files import checked, scope

if TYPE_CHECKING:
    from minio import Minio

T = TypeVar("T")


class S3Files:
    """Files in a bucket. Needs the extra ``s3``.

    Args:
        client: of the package ``minio``: ``Minio("s3.example.org", access_key=..., secret_key=...)``.
        bucket: the name of one that exists.

    Raises:
        MissingExtra: ``minio`` is not installed.
    """

    def __init__(self, client: Minio, bucket: str, *, prefix: str = "") -> None:
        try:
            import minio  # noqa: F401
        except ModuleNotFoundError as e:
            raise MissingExtra(extra="s3", module="minio") from e
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*."""
        name = self._name(key)
        _call(lambda: self._client.put_object(self._bucket, name, io.BytesIO(content), len(content)))

    def get(self, key: str) -> bytes:
        """Return what is kept under *key*."""
        name = self._name(key)

        def read() -> bytes:
            response = self._client.get_object(self._bucket, name)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

        return _call(read, key)

    def delete(self, key: str) -> None:
        """Forget *key*."""
        name = self._name(key)
        _call(lambda: self._client.remove_object(self._bucket, name))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted."""
        start = f"{self._prefix}{prefix}"
        found = _call(lambda: [each.object_name or "" for each in self._client.list_objects(self._bucket, start, recursive=True)])
        yield from sorted(name.removeprefix(self._prefix) for name in found)

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the part that belongs to a plugin in a tenant."""
        return type(self)(self._client, self._bucket, prefix=scope(tenant, plugin))

    def _name(self, key: str) -> str:
        return f"{self._prefix}{checked(key)}"


def _call(work: Callable[[], T], key: str = "") -> T:
    from minio.error import MinioException, S3Error
    from urllib3.exceptions import HTTPError

    try:
        return work()
    except S3Error as e:
        if key and e.code == "NoSuchKey":
            raise NotFound("no_file", key=key) from e
        raise Unavailable("port_failed", port="Files", reason=e.code or "S3Error") from e
    except (MinioException, HTTPError, OSError) as e:
        raise Unavailable("port_failed", port="Files", reason=type(e).__name__) from e
