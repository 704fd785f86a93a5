"""Root keys of our own: in a file that only its owner reads, or, for development, in an environment variable."""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ...disk import sync_folder
from ...errors import LoadError, Refused, Unreadable
from .envelope import KEY_BYTES, Key, fresh_bytes, key_id, key_of, place, seal, unseal


class _Roots:
    """Root keys in the order from the current one to the oldest, each known by a hash of itself."""

    def __init__(self, keys: Sequence[bytes], source: str) -> None:
        self._keys: dict[str, Key] = {}
        for material in keys:
            if len(material) != KEY_BYTES:
                raise LoadError("bad_root_key", source=source)
            name = hashlib.sha256(b"crm root key" + material).hexdigest()[:16]
            self._keys[name] = key_of(name, material)
        if not self._keys:
            raise LoadError("bad_root_key", source=source)

    @property
    def current(self) -> Key:
        return next(iter(self._keys.values()))

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return seal(self.current, place("root", context.hex()), b64encode(key).decode()).encode()

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        envelope = wrapped.decode()
        key = self._keys.get(key_id(envelope))
        if key is None:
            raise Unreadable("key_missing")
        return b64decode(unseal(key, place("root", context.hex()), envelope))

    def knows(self, wrapped: bytes) -> bool:
        return key_id(wrapped.decode(errors="replace")) in self._keys

    def describe(self, kind: str) -> Mapping[str, str]:
        return {"kind": kind, "current": self.current.id, "keys": str(len(self._keys))}


class FileKeys:
    """Root keys in a text file, one in base64 a line, the current one first.

    Keep the file apart from the database and its backups: with both, everything is readable; without the file, nothing sealed is.

    Args:
        path: of the file; :meth:`create` makes one.

    Raises:
        LoadError: there is no such file, others than its owner may read it, or it holds no keys.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._roots = self._read()

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make a file with one new key, readable for its owner alone.

        Raises:
            LoadError: ``key_file_exists``: the file is there already, and its keys may be in use.
        """
        try:
            _write(Path(path), [fresh_bytes(KEY_BYTES)], new=True)
        except FileExistsError as e:
            raise LoadError("key_file_exists", path=str(path)) from e
        return cls(path)

    def __repr__(self) -> str:
        return f"FileKeys({str(self._path)!r})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See :class:`KeyProvider`."""
        return self._roots.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See :class:`KeyProvider`."""
        if not self._roots.knows(wrapped):
            self._roots = self._read()  # another process may have added a key
        return self._roots.unwrap(wrapped, context)

    def rotate(self) -> None:
        """Put a new key in front, keeping the others. The file is replaced in one step."""
        self._read()
        lines = [b64decode(line) for line in self._path.read_text().split()]
        _write(self._path, [fresh_bytes(KEY_BYTES), *lines], new=False)
        self._roots = self._read()

    def describe(self) -> Mapping[str, str]:
        """See :class:`KeyProvider`."""
        return self._roots.describe("file")

    def _read(self) -> _Roots:
        try:
            mode = self._path.stat().st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise LoadError("key_file_open", path=str(self._path))
            return _Roots(_decoded(self._path.read_text(), str(self._path)), str(self._path))
        except OSError as e:
            raise LoadError("key_file_missing", path=str(self._path)) from e


class EnvironmentKeys:
    """Root keys in an environment variable, for development: 32 bytes in base64, several separated by commas, the current one first.

    Args:
        name: of the variable. :meth:`new` makes a value for it.

    Raises:
        LoadError: it is not set, or holds no keys.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        if not os.environ.get(name):
            raise LoadError("key_variable_missing", name=name)
        self._roots = _Roots(_decoded(os.environ[name].replace(",", " "), name), name)

    @staticmethod
    def new() -> str:
        """Return a new key, as the variable takes it."""
        return b64encode(fresh_bytes(KEY_BYTES)).decode()

    def __repr__(self) -> str:
        return f"EnvironmentKeys({self._name!r})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See :class:`KeyProvider`."""
        return self._roots.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See :class:`KeyProvider`."""
        return self._roots.unwrap(wrapped, context)

    def rotate(self) -> None:
        """Refuse: a process cannot change the environment it was started in.

        Raises:
            Refused: ``keys_fixed``: put a new key in front of the others yourself, and start again.
        """
        raise Refused("keys_fixed", name=self._name)

    def describe(self) -> Mapping[str, str]:
        """See :class:`KeyProvider`."""
        return self._roots.describe("environment")


def _decoded(text: str, source: str) -> list[bytes]:
    try:
        return [b64decode(line, validate=True) for line in text.split()]
    except ValueError:
        raise LoadError("bad_root_key", source=source) from None  # its words would quote the key


def _write(path: Path, keys: Sequence[bytes], *, new: bool) -> None:
    """Write a key file and make sure it is on the disk before it counts."""
    text = "".join(f"{b64encode(key).decode()}\n" for key in keys)
    target = path if new else path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC)
    with os.fdopen(os.open(target, flags, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if not new:
        target.replace(path)
    sync_folder(path.parent)
