"""Vault: opens what is sealed, with the keys that stand beside it, and seals with keys that are given.

Root key (the provider's) -> tenant key -> the key of one subject -> value. What is cached is cached by the wrapped key itself, which is
read from the database with every value: a key that was destroyed there opens nothing here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...entities.sealing import MASK
from ...errors import CRMError, Unavailable, Unreadable
from .cells import parse, plain
from .envelope import KEY_BYTES, Key, fresh_bytes, key_id, key_of, place, seal, unseal
from .provider import KeyProvider
from .standing import Standing

CACHED_KEYS = 10_000
BLIND_BYTES = 16


class Vault:
    """The keys of one CRM, on their way between the database and values.

    Args:
        provider: has the root keys.

    Attributes:
        standing: reads what stands open still; None where that is refused.
    """

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider
        self.standing: Standing | None = None
        self.tenant_key = lru_cache(1_000)(self._tenant_key)
        self.subject_key = lru_cache(CACHED_KEYS)(self._subject_key)
        self.index_key = lru_cache(1_000)(self._index_key)
        self._field_key = lru_cache(CACHED_KEYS)(_field_key)

    # -- keys ---------------------------------------------------------------------------------------------------------------------

    def new_tenant_key(self, tenant: str, id: str) -> str:
        """Make a tenant key; return it wrapped by the provider."""
        return self._wrapped(fresh_bytes(KEY_BYTES), tenant, id)

    def rewrapped(self, tenant: str, id: str, wrapped: str) -> str:
        """Return a tenant key wrapped under the provider's current root key."""
        return self._wrapped(self._unwrapped(wrapped, tenant, id), tenant, id)

    def new_key(self, parent: Key, tenant: str, id: str, purpose: str) -> tuple[str, bytes]:
        """Make a key under a tenant key; return it wrapped, and its bytes."""
        material = fresh_bytes(KEY_BYTES)
        return self.wrap(parent, tenant, id, purpose, material), material

    def wrap(self, parent: Key, tenant: str, id: str, purpose: str, material: bytes) -> str:
        """Wrap a key under a tenant key."""
        return seal(parent, place(purpose, tenant, id), b64encode(material).decode())

    def unwrap(self, tenant: str, id: str, purpose: str, wrapped: str, tenant_wrapped: str) -> bytes:
        """Unwrap a key with its tenant's key, which is wrapped too.

        Raises:
            Unreadable: one of them was changed, or its key is gone.
            Unavailable: the provider does not answer.
        """
        if not tenant_wrapped:
            raise Unreadable("key_missing")
        parent = self.tenant_key(tenant, key_id(wrapped), tenant_wrapped)
        return b64decode(unseal(parent, place(purpose, tenant, id), wrapped))

    def _tenant_key(self, tenant: str, id: str, wrapped: str) -> Key:
        return key_of(id, self._unwrapped(wrapped, tenant, id))

    def _subject_key(self, tenant: str, id: str, wrapped: str, tenant_wrapped: str) -> Key:
        return key_of(id, self.unwrap(tenant, id, "subject", wrapped, tenant_wrapped))

    def _index_key(self, tenant: str, id: str, wrapped: str, tenant_wrapped: str) -> bytes:
        return self.unwrap(tenant, id, "index", wrapped, tenant_wrapped)

    def _wrapped(self, material: bytes, tenant: str, id: str) -> str:
        try:
            return b64encode(self.provider.wrap(material, _context(tenant, id))).decode()
        except Exception as e:
            raise _named(e) from None  # a provider's words may hold what it was given

    def _unwrapped(self, wrapped: str, tenant: str, id: str) -> bytes:
        try:
            blob = b64decode(wrapped, validate=True)
        except ValueError:
            raise Unreadable("seal_broken") from None
        try:
            return self.provider.unwrap(blob, _context(tenant, id))
        except Exception as e:
            raise _named(e) from None

    # -- values -------------------------------------------------------------------------------------------------------------------

    def seal(self, key: Key, tenant: str, name: str, record: str, kind: str, text: str) -> str:
        """Seal the text of one field of one record."""
        return seal(key, place(tenant, name, record, kind), text)

    def open(self, cell: Any, kind: str) -> str | None:
        """Open the cell of a sealed value; None where it is NULL or its key was destroyed, and a mask stays one.

        Raises:
            Unreadable: it was changed, stands elsewhere than it was sealed for, or its key is not here.
            Unavailable: the provider does not answer.
        """
        if cell is None or cell == MASK:
            return cell  # type: ignore[no-any-return]  # None or a text
        if self.standing is not None and (found := plain(cell)) is not None:
            return self.standing.text(*found)
        name, record, tenant_key, wrapped, envelope, tenant = parse(cell)
        if wrapped is None:
            return None
        key = self.subject_key(tenant, key_id(envelope), wrapped, tenant_key)
        # The same as place(), without a generator: this is done for every value that is read.
        where = f"{len(tenant)}:{tenant}{len(name)}:{name}{len(record)}:{record}{len(kind)}:{kind}"
        return unseal(key, where, envelope)

    # -- the journal --------------------------------------------------------------------------------------------------------------

    def seal_entry(self, key: Key | None, tenant: str, entry: tuple[str, ...], personal: Mapping[str, Any]) -> dict[str, Any]:
        """Seal the personal part of a journal row; the names of its fields stay. Without a key, nothing else does.

        Args:
            entry: entity, record, kind and id of the event.
        """
        named = {"fields": {part: sorted(values) for part, values in personal.items()}}
        return named if key is None else {**named, "sealed": seal(key, place("journal", tenant, *entry), json.dumps(personal))}

    def open_entry(
        self, tenant: str, entry: tuple[str, ...], kept: Mapping[str, Any], wrapped: str | None, parent: str | None
    ) -> Mapping[str, Any] | None:
        """Open the personal part of a journal row; None where its key was destroyed.

        Args:
            wrapped, parent: the key, and the tenant's key that it is wrapped under.
        """
        if "sealed" not in kept or wrapped is None:
            return None
        key = self.subject_key(tenant, key_id(kept["sealed"]), wrapped, parent or "")
        found: Mapping[str, Any] = json.loads(unseal(key, place("journal", tenant, *entry), kept["sealed"]))
        return found

    # -- blind index --------------------------------------------------------------------------------------------------------------

    def blind(self, index_key: bytes, version: int, name: str, text: str) -> str:
        """Return the blind index of a field's value: 128 bits of HMAC-SHA256 over its NFC form, with the key's version before it."""
        key = self._field_key(index_key, name, version)
        digest = hmac.digest(key, unicodedata.normalize("NFC", text).encode(), "sha256")
        return f"{version}:{digest[:BLIND_BYTES].hex()}"


def _field_key(index_key: bytes, name: str, version: int) -> bytes:
    """Derive a field's own key with HKDF-SHA256 (RFC 5869), so that equal values of two fields do not show as equal."""
    info = place("blind", name, str(version)).encode()
    extracted = hmac.digest(bytes(hashlib.sha256().digest_size), index_key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _context(tenant: str, id: str) -> bytes:
    return place("crm tenant key", tenant, id).encode()


def _named(error: Exception) -> CRMError:
    return error if isinstance(error, CRMError) else Unavailable("keys_unreachable", retryable=True)
