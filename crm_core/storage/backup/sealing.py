"""A sealed file: chunks that can be neither read nor changed, cut off, repeated nor put in another order without its key.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015), as Tink and age use it: chunk *n* is sealed by AES-256-GCM under
the nonce ``prefix | n | last``, so a chunk fits its own place alone, and none but the last can end the file. The key is random, used for
this file only, and stands in its head, wrapped by the key of whoever made it; the head is authenticated with every chunk.

A file without a key has the same form; its chunks carry a checksum instead. That finds damage, not a forger.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import os
from collections.abc import Mapping
from typing import IO, Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import BackupRefused
from ..keys.provider import KeyProvider

MAGIC = b"crm-backup 1\n"
CHUNK = 256 * 1024
TAG = 16
_LONGEST_HEAD = 64 * 1024
_AES = "AES-256-GCM"
_NONE = "none"


class _Seal(Protocol):
    def seal(self, nonce: bytes, data: bytes) -> bytes: ...

    def open(self, nonce: bytes, data: bytes) -> bytes: ...


class _Encrypted:
    def __init__(self, key: bytes, head: bytes) -> None:
        self._aead = AESGCM(key)
        self._head = head

    def seal(self, nonce: bytes, data: bytes) -> bytes:
        return self._aead.encrypt(nonce, data, self._head)

    def open(self, nonce: bytes, data: bytes) -> bytes:
        return self._aead.decrypt(nonce, data, self._head)


class _Summed:
    def __init__(self, head: bytes) -> None:
        self._head = head

    def _sum(self, nonce: bytes, data: bytes) -> bytes:
        return hashlib.blake2b(self._head + nonce + data, digest_size=TAG).digest()

    def seal(self, nonce: bytes, data: bytes) -> bytes:
        return data + self._sum(nonce, data)

    def open(self, nonce: bytes, data: bytes) -> bytes:
        if self._sum(nonce, data[:-TAG]) != data[-TAG:]:
            raise InvalidTag
        return data[:-TAG]


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


class SealedWriter:
    """Seals what is written to it, until :meth:`finish`.

    Args:
        key: wraps the file's own key; None: the file is not encrypted.
        context: what the wrapped key is bound to; it stands in the head, for all to read.
    """

    def __init__(self, file: IO[bytes], key: KeyProvider | None, context: Mapping[str, str]) -> None:
        self._file = file
        self._prefix = os.urandom(7)
        head: dict[str, Any] = {"cipher": _NONE if key is None else _AES, "prefix": self._prefix.hex(), "context": dict(context)}
        own = AESGCM.generate_key(256)
        if key is not None:
            head |= {"key": base64.b64encode(key.wrap(own, _bound(context))).decode(), "by": _name(key)}
        text = json.dumps(head, sort_keys=True).encode()
        start = MAGIC + len(text).to_bytes(4, "big") + text
        digest = hashlib.sha256(start).digest()
        self._seal: _Seal = _Summed(digest) if key is None else _Encrypted(own, digest)
        self._waiting = bytearray()
        self._number = 0
        file.write(start)

    def write(self, data: bytes) -> None:
        """Seal every chunk that is full."""
        self._waiting += data
        # One chunk stays here: only at the end is it known which is the last.
        while len(self._waiting) > CHUNK:
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        """Seal the last chunk: without it the file opens for nobody."""
        self._put(bytes(self._waiting), last=True)

    def _put(self, data: bytes, *, last: bool) -> None:
        self._file.write(self._seal.seal(_nonce(self._prefix, self._number, last), data))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Reads what a :class:`SealedWriter` wrote, and gives out no byte that it has not checked.

    Raises:
        BackupRefused: ``backup_not_one``, ``backup_key_needed``, ``backup_not_sealed`` (a key is given, and the file has none),
            ``backup_wrong_key``, ``backup_damaged``.
    """

    def __init__(self, file: IO[bytes], key: KeyProvider | None) -> None:
        self._file = file
        head, digest = _read_head(file)
        try:
            self._prefix = bytes.fromhex(head["prefix"])
            cipher, context = head["cipher"], head["context"]
            wrapped = base64.b64decode(head["key"], validate=True) if cipher != _NONE else b""
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise BackupRefused("backup_damaged", where="head") from None
        self.context: Mapping[str, str] = context
        self._seal = _opened(cipher, key, wrapped, context, digest)
        self._number = 0
        self._next: bytes | None = file.read(CHUNK + TAG)
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what was checked."""
        if not self._ready and not self._take():
            return 0
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _take(self) -> bool:
        """Open the next chunk; say whether there was one with something in it."""
        if self._next is None:
            return False
        sealed = self._next
        following = self._file.read(CHUNK + TAG)
        self._next = following or None
        try:
            data = self._seal.open(_nonce(self._prefix, self._number, not following), sealed)
        except (InvalidTag, ValueError):
            raise BackupRefused("backup_damaged", where=f"chunk {self._number}") from None
        self._number += 1
        self._ready = memoryview(data)
        return bool(data)


def _read_head(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupRefused("backup_not_one")
    size = file.read(4)
    length = int.from_bytes(size, "big")
    text = file.read(length) if length <= _LONGEST_HEAD else b""
    try:
        head = json.loads(text)
    except ValueError:
        head = None
    if not isinstance(head, dict):
        raise BackupRefused("backup_damaged", where="head")
    return head, hashlib.sha256(MAGIC + size + text).digest()


def _opened(cipher: object, key: KeyProvider | None, wrapped: bytes, context: Mapping[str, str], head: bytes) -> _Seal:
    if cipher == _NONE:
        if key is not None:
            raise BackupRefused("backup_not_sealed")
        return _Summed(head)
    if cipher != _AES:
        raise BackupRefused("backup_damaged", where="head")
    if key is None:
        raise BackupRefused("backup_key_needed")
    try:
        return _Encrypted(key.unwrap(wrapped, _bound(context)), head)
    except Exception as e:  # a provider raises what it will
        raise BackupRefused("backup_wrong_key", key=_name(key)) from e


def _bound(context: Mapping[str, str]) -> bytes:
    return json.dumps(dict(context), sort_keys=True).encode()


def _name(key: KeyProvider) -> str:
    return " ".join(key.describe()[part] for part in ("kind", "current"))
