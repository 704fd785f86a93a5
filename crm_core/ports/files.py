"""Files: bytes under a key, in a directory."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Protocol, Self, runtime_checkable

from ..errors import Invalid, NotFound, Unavailable

_PART = re.compile(r"[A-Za-z0-9_@+=-][A-Za-z0-9._@+=-]{0,199}")
_LONGEST = 900
_LONGEST_NAME = 200
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\Z)", re.IGNORECASE)  # of Windows, whatever stands behind a dot
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # and no waiting for who writes to a pipe


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


def is_key(key: object) -> bool:
    """Say whether a text is a key on every system: no part is ``..``, hidden, of other characters, ends in a dot or is a device's name."""
    return isinstance(key, str) and 0 < len(key) <= _LONGEST and all(map(_is_part, key.split("/")))


def _is_part(part: str) -> bool:
    return _PART.fullmatch(part) is not None and not part.endswith(".") and _DEVICE.match(part) is None


def checked(key: str) -> str:
    """Return *key* if it is one.

    Raises:
        Invalid: ``bad_file_key``: see :func:`is_key`.
    """
    if not is_key(key):
        raise Invalid("bad_file_key", given=str(key)[:60])
    return key


def scope(tenant: str, plugin: str) -> str:
    """Return the prefix of a plugin's keys in a tenant.

    What a key cannot hold in a tenant's name is written as ``=`` and its number, and so are capitals, which some systems take for small
    letters; of a name that is too long for a folder there is the beginning and a hash.
    """
    name = re.sub(r"[^a-z0-9_@+-]", lambda m: "".join(f"={byte:02x}" for byte in m[0].encode(errors="surrogatepass")), tenant)
    if _DEVICE.match(name):
        name = f"={ord(name[0]):02x}{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[:60]}=h{hashlib.sha256(tenant.encode(errors='surrogatepass')).hexdigest()}"
    return f"{name}/{plugin}/"


class DirectoryFiles:
    """Files in a directory, each written beside its place, synced and renamed. Below the directory no link is followed.

    Args:
        path: of the directory; it is made if it is not there.
    """

    def __init__(self, path: str | Path, *, prefix: str = "") -> None:
        self._root = Path(path)
        self._prefix = prefix

    def put(self, key: str, content: bytes) -> None:
        """Keep *content* under *key*."""
        folder, name = self._place(key)
        with _failing():
            self._root.mkdir(parents=True, exist_ok=True)
            with _opened(self._root, folder, make=True) as (at, place):
                temporary = f"{place}.{token_hex(8)}"
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600, dir_fd=at)
                try:
                    with os.fdopen(handle, "wb") as stream:
                        stream.write(content)
                        stream.flush()
                        os.fsync(stream.fileno())
                    os.replace(temporary, place + name, src_dir_fd=at, dst_dir_fd=at)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=at)
                    raise
                if at is not None:
                    os.fsync(at)

    def get(self, key: str) -> bytes:
        """Return what is kept under *key*."""
        folder, name = self._place(key)
        with _failing(key), _opened(self._root, folder) as (at, place):
            handle = os.open(place + name, os.O_RDONLY | _NO_LINK | _BINARY, dir_fd=at)
            with os.fdopen(handle, "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise FileNotFoundError
                return stream.read()

    def delete(self, key: str) -> None:
        """Forget *key*."""
        folder, name = self._place(key)
        with _failing(), suppress(FileNotFoundError), _opened(self._root, folder) as (at, place):
            os.unlink(place + name, dir_fd=at)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, sorted."""
        top = self._root / self._prefix
        files = (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
        found = (path.relative_to(top).as_posix() for path in files)
        yield from sorted(key for key in found if key.startswith(prefix) and is_key(key))

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the part that belongs to a plugin in a tenant."""
        return type(self)(self._root, prefix=scope(tenant, plugin))

    def _place(self, key: str) -> tuple[list[str], str]:
        *folder, name = f"{self._prefix}{checked(key)}".split("/")
        return folder, name


@contextmanager
def _opened(root: Path, folder: Sequence[str], *, make: bool = False) -> Iterator[tuple[int | None, str]]:
    """Open a folder part by part, so that nobody puts a link in between a look at it and its use.

    Yields:
        the folder's descriptor, and what to put before a name; where the system has no such descriptors, None and the folder's path.
    """
    if os.open not in os.supports_dir_fd:
        path = root.joinpath(*folder)
        if any(root.joinpath(*folder[: n + 1]).is_symlink() for n in range(len(folder))):
            raise FileNotFoundError
        if make:
            path.mkdir(parents=True, exist_ok=True)
        yield None, f"{path}{os.sep}"
        return
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folder:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=at)
            os.close(at)
            at = below
        yield at, ""
    finally:
        os.close(at)


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
    except OSError as e:
        if key and (isinstance(e, FileNotFoundError | IsADirectoryError | NotADirectoryError) or e.errno in (errno.ELOOP, errno.ENXIO)):
            raise NotFound("no_file", key=key) from e
        raise Unavailable("port_failed", port="Files", reason=os.strerror(e.errno or 0)) from e
