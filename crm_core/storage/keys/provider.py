"""KeyProvider: where the root keys are. Everything else is wrapped, directly or not, under them and stays in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class KeyProvider(Protocol):
    """What keeps the root keys: a file, an environment variable, or a key management service behind a class of yours.

    It is asked once for each tenant's keys and process, so it may be slow; it may be called from several threads at once. What it
    raises becomes ``Unavailable``, code ``keys_unreachable``, without its words. :func:`crm_core.testing.keys.check_key_provider` tests
    an implementation.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key under the current root key, with *context* as additional authenticated data."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what :meth:`wrap` returned, under whichever root key that was.

        Raises:
            Exception: it was changed, the context is another, or the root key is gone.
        """
        ...

    def rotate(self) -> None:
        """Make a new current root key; what was wrapped under older ones is still unwrapped."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return ``kind`` and ``current`` (a name of the current root key), for people to read; never key material."""
        ...
