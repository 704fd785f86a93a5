"""Checkpoints: the end of a chain, signed, and sent where whoever can write the database cannot."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import attrs

from ..errors import Invalid
from .canonical import checkpoint_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer(Protocol):
    """Signs checkpoints with Ed25519 (RFC 8032); the key may stay in a vault."""

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature of 64 bytes."""
        ...


class FileSigner:
    """Signs with a key that is a file of PKCS #8 in PEM.

    Raises:
        Invalid: ``audit_key_open``: others than its owner may read the file; ``audit_key_unreadable``: it holds no Ed25519 key.
    """

    def __init__(self, path: Path | str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        path = Path(path)
        try:
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise Invalid("audit_key_open", path=str(path))
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as e:
            raise Invalid("audit_key_unreadable", path=str(path), reason=str(e)[:200]) from e
        if not isinstance(key, Ed25519PrivateKey):
            raise Invalid("audit_key_unreadable", path=str(path), reason=type(key).__name__)
        self._key: Ed25519PrivateKey = key

    @classmethod
    def create(cls, path: Path | str) -> Self:
        """Make a key file that its owner alone can read.

        Raises:
            Invalid: ``audit_key_unreadable``: the file is there, or cannot be written.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            with open(path, "xb", opener=_for_the_owner) as file:
                file.write(made)
        except OSError as e:
            raise Invalid("audit_key_unreadable", path=str(path), reason=e.strerror or str(e)) from e
        return cls(path)

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the signature of 64 bytes."""
        return self._key.sign(data)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@attrs.frozen
class Checkpoint:
    """Where a tenant's chain ended at an instant.

    Attributes:
        number: how many rows were sealed.
        head: the hash of the last seal.
        key_id: which key signed it; None where none did.
        signature: over all but the key's id, in base64.
    """

    tenant: str
    number: int
    head: str
    at: datetime
    key_id: str | None = None
    signature: str | None = None

    def signed(self, signer: Signer) -> Self:
        """Return it with a signature."""
        signature = signer.sign(checkpoint_bytes(self.tenant, self.number, self.head, self.at))
        return attrs.evolve(self, key_id=key_id(signer.public), signature=b64encode(signature).decode())

    def is_signed_by(self, keys: Mapping[str, bytes]) -> bool:
        """Say whether one of the public *keys*, by their ids, signed it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        key = keys.get(self.key_id or "")
        if key is None or self.signature is None:
            return False
        try:
            signature = b64decode(self.signature, validate=True)
            Ed25519PublicKey.from_public_bytes(key).verify(signature, checkpoint_bytes(self.tenant, self.number, self.head, self.at))
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_line(self) -> str:
        """Write it as one line of JSON."""
        return json.dumps({**attrs.asdict(self), "at": self.at.isoformat(timespec="microseconds")})

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read a line of JSON.

        Raises:
            ValueError: it is none of a checkpoint.
        """
        try:
            given = json.loads(line)
            found = cls(**{**given, "at": datetime.fromisoformat(given["at"])})
            if not (isinstance(found.number, int) and isinstance(found.tenant, str) and isinstance(found.head, str) and found.at.tzinfo):
                raise ValueError("no checkpoint")
        except (TypeError, KeyError, RecursionError) as e:
            raise ValueError("no checkpoint") from e
        return found


def key_id(public: bytes) -> str:
    """Name a public key by its hash."""
    return hashlib.sha256(public).hexdigest()[:16]


class Sink(Protocol):
    """Where checkpoints go besides the database: a place that is only ever added to."""

    def add(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint for good. It may come twice; where this raises, it comes again."""
        ...


class FileSink:
    """A file that checkpoints are appended to, a line of JSON each, on the disk before they count.

    It is worth as much as the place it is in: another machine's, a write-once share, another account's.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def add(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint; of several processes, each writes whole lines."""
        with open(self.path, "ab", buffering=0, opener=_for_the_owner) as file:
            file.write(checkpoint.to_line().encode() + b"\n")
            os.fsync(file.fileno())


def read_lines(path: Path | str) -> Iterator[tuple[int, Checkpoint | None]]:
    """Yield the checkpoints of a :class:`FileSink` with their lines' numbers; None for a line that holds none.

    Raises:
        Invalid: ``audit_sink_unreadable``.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _read(line)
    except OSError as e:
        raise Invalid("audit_sink_unreadable", path=str(path), reason=e.strerror or str(e)) from e


def _read(line: str) -> Checkpoint | None:
    try:
        return Checkpoint.from_line(line)
    except ValueError:
        return None


@attrs.frozen(kw_only=True)
class Audit:
    """How a CRM's chains are sealed: ``CRM(..., audit=Audit(signer=FileSigner("audit.key"), sink=FileSink("/mnt/worm/crm.jsonl")))``.

    Attributes:
        signer: signs checkpoints; without one they, and the chain, prove nothing against who can write the database.
        sink: where checkpoints go besides the database.
        every: how many sealed rows of a tenant make a checkpoint due.
        within: how long a sealed row may wait for one, where deliveries run.
        trusted: public keys of former signers.
    """

    signer: Signer | None = None
    sink: Sink | None = None
    every: int = 1_000
    within: timedelta = timedelta(minutes=1)
    trusted: tuple[bytes, ...] = ()

    @property
    def keys(self) -> dict[str, bytes]:
        """The public keys whose checkpoints count, by their ids."""
        own = () if self.signer is None else (self.signer.public,)
        return {key_id(public): public for public in (*self.trusted, *own)}
