"""The contract of a key provider, as one function to call from a test."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..storage.keys.provider import KeyProvider


def check_key_provider(make: Callable[[], KeyProvider], *, rotates: bool = True) -> None:
    """Check that a provider keeps the contract of :class:`crm_core.KeyProvider`; raise AssertionError with the rule it breaks.

    Args:
        make: returns a provider of the same root keys at each call, like a second process would.
        rotates: False where :meth:`rotate` is not its to do.
    """
    provider, key, context = make(), os.urandom(32), b"tenant main"
    wrapped = provider.wrap(key, context)
    assert key not in wrapped, "a wrapped key must not show the key"
    assert provider.wrap(key, context) != wrapped, "wrapping must not be deterministic: equal keys would show"
    assert provider.unwrap(wrapped, context) == key, "what was wrapped must come back"
    assert make().unwrap(wrapped, context) == key, "another process must unwrap it too"
    _refused(provider, wrapped, b"tenant other", "another context must be refused: it is authenticated data")
    for at in range(0, len(wrapped), max(1, len(wrapped) // 16)):
        changed = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
        _refused(provider, changed, context, f"a changed byte {at} must be refused")
    _refused(provider, wrapped[:-1], context, "a cut end must be refused")
    facts = provider.describe()
    assert facts.get("kind"), "describe() must name the kind"
    assert facts.get("current"), "describe() must name the current root key"
    assert all(isinstance(v, str) for v in facts.values()), "describe() must be plain text"
    if rotates:
        provider.rotate()
        assert provider.describe()["current"] != facts["current"], "rotate() must make another key the current one"
        assert provider.unwrap(wrapped, context) == key, "what was wrapped before rotate() must still be unwrapped"
        assert make().unwrap(provider.wrap(key, context), context) == key, "another process must know the new root key"


def _refused(provider: KeyProvider, wrapped: bytes, context: bytes, rule: str) -> None:
    try:
        provider.unwrap(wrapped, context)
    except Exception:
        return
    raise AssertionError(rule)
