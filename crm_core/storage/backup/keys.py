"""Who wraps a backup's own key: a file with a key, or whatever a host has for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import BackupRefused

_BYTES = 32
_NONCE = 12


class KeyWrapper(Protocol):
    """Wraps and unwraps keys without giving its own away: a key file, or a key management service."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt *key*, with *context* as additional authenticated data."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key again.

        Raises:
            Exception: key, context or *wrapped* are not those of before.
        """
        ...

    def describe(self) -> Mapping[str, str]:
        """Say which key it is, for people to read, without its secret."""
        ...


class KeyFile:
    """A key of 32 random bytes in a file that its owner alone may read. Keep a copy elsewhere: without it no backup opens.

    Raises:
        BackupRefused: ``key_file_missing``, ``key_file_open`` (others may read it), ``key_file_bad`` (not 32 bytes).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            with self._path.open("rb") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise BackupRefused("key_file_open", path=self._path.name)
                self._key = file.read(_BYTES + 1)
        except OSError as e:
            raise BackupRefused("key_file_missing", path=self._path.name, reason=e.strerror or "") from e
        if len(self._key) != _BYTES:
            raise BackupRefused("key_file_bad", path=self._path.name, bytes=_BYTES)

    def __repr__(self) -> str:
        return f"<KeyFile {self._path.name}>"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make a new key; a file that is there is left as it is.

        Raises:
            BackupRefused: ``key_file_exists``, ``key_file_missing`` (its folder is not there).
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BackupRefused("key_file_exists", path=Path(path).name) from None
        except OSError as e:
            raise BackupRefused("key_file_missing", path=Path(path).name, reason=e.strerror or "") from e
        with open(descriptor, "wb") as file:
            file.write(os.urandom(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return cls(path)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt *key* by AES-256-GCM, bound to *context*."""
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key).encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key again.

        Raises:
            BackupRefused: ``backup_wrong_key``.
        """
        try:
            return AESGCM(self._key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (InvalidTag, ValueError):
            raise BackupRefused("backup_wrong_key", key=self._path.name) from None

    def describe(self) -> Mapping[str, str]:
        """Name the file."""
        return {"kind": "file", "current": self._path.name}
