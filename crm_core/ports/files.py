"""Files: bytes under a key, in a directory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from ..disk import sync_folder
from ..errors import Invalid, NotFound, Unavailable

_PART = re.compile(r"[A-Za-z0-9_@+=-][A-Za-z0-9._@+=-]{0,199}")
_LONGEST = 900


@runtime_checkable
class Files(Protocol):
    """Keeps bytes under keys: parts of letters, digits and ``._@+=-`` joined by ``/``, at most 900 characters.

    A key is written whole or not at all; who reads meanwhile gets the old bytes or the new ones.
    """

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*, in place of what is there.

        Raises:
            Invalid: ``bad_file_key``.
            Unavailable: ``port_failed``.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return what is kept.

        Raises:
            NotFound: ``no_file``.
        """
        ...

    def delete(self, key: str) -> None:
        """Forget a key; one that is not there is no error."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted."""
        ...

    def scoped(self, tenant: str, plugin: str) -> Files:
        """Return the part that belongs to a plugin in a tenant, under keys of its own."""
        ...


def checked(key: str) -> str:
    """Return *key* if it is one.

    Raises:
        Invalid: ``bad_file_key``: it is empty, too long, or has a part that is ``..``, hidden or of other characters.
    """
    sound = isinstance(key, str) and 0 < len(key) <= _LONGEST and all(_PART.fullmatch(part) for part in key.split("/"))
    if not sound:
        raise Invalid("bad_file_key", given=str(key)[:60])
    return key


def scope(tenant: str, plugin: str) -> str:
    """Return the prefix of a plugin's keys in a tenant; what a key cannot hold in a tenant's name is written as ``=`` and its number."""
    name = re.sub(r"[^A-Za-z0-9_@+-]", lambda m: "".join(f"={byte:02x}" for byte in m[0].encode()), tenant)
    return f"{name}/{plugin}/"


class DirectoryFiles:
    """Files in a directory, each written beside its place, synced and renamed.

    Args:
        path: of the directory; it is made if it is not there.
    """

    def __init__(self, path: str | Path, *, prefix: str = "") -> None:
        self._root = Path(path)
        self._prefix = prefix

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*."""
        place = self._place(key)
        with _failing():
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", dir=place.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(temporary).replace(place)
            except BaseException:
                with suppress(OSError):
                    Path(temporary).unlink()
                raise
            sync_folder(place.parent)

    def get(self, key: str) -> bytes:
        """Return what is kept under *key*."""
        with _failing(key):
            return self._place(key).read_bytes()

    def delete(self, key: str) -> None:
        """Forget *key*."""
        with _failing():
            self._place(key).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted."""
        top = self._root / self._prefix
        found = (path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file() and not path.name.startswith("."))
        yield from sorted(key for key in found if key.startswith(prefix))

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the part that belongs to a plugin in a tenant."""
        return type(self)(self._root, prefix=scope(tenant, plugin))

    def _place(self, key: str) -> Path:
        return self._root / f"{self._prefix}{checked(key)}"


class MemoryFiles:
    """Files in memory, for tests."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._prefix = ""

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*."""
        self._kept[self._prefix + checked(key)] = bytes(content)

    def get(self, key: str) -> bytes:
        """Return what is kept under *key*."""
        try:
            return self._kept[self._prefix + checked(key)]
        except KeyError as e:
            raise NotFound("no_file", key=key) from e

    def delete(self, key: str) -> None:
        """Forget *key*."""
        self._kept.pop(self._prefix + checked(key), None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted."""
        mine = sorted(key.removeprefix(self._prefix) for key in self._kept if key.startswith(self._prefix))
        yield from (key for key in mine if key.startswith(prefix))

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the part that belongs to a plugin in a tenant."""
        part = type(self)()
        part._kept, part._prefix = self._kept, scope(tenant, plugin)
        return part


@contextmanager
def _failing(key: str = "") -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as e:
        if key:
            raise NotFound("no_file", key=key) from e
        raise Unavailable("port_failed", port="Files", reason=type(e).__name__) from e
    except OSError as e:
        raise Unavailable("port_failed", port="Files", reason=os.strerror(e.errno or 0)) from e
