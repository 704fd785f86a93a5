"""Secrets by reference: settings say where a secret is, never what it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs

from .errors import Invalid, Unavailable
from .messages import redact

Resolver = Callable[[str, str], str | None]
"""What a host gives as ``CRM(secrets=...)``: returns the secret of a reference, such as ``vault:acme/token``, for a tenant; None where
there is none."""

OF_THE_HOST: Final = ("env", "file")
_LONGEST = 255


class Secret:
    """A secret's reference, as settings keep it: ``{"secret": "env:ACME_TOKEN"}``.

    ``env:NAME`` is a variable of the process, ``file:/run/secrets/acme`` a file's text without the line break at its end; any other
    scheme is the host's: ``CRM(secrets=...)``. The value is read when it is asked for (``session.secret(...)``) and kept nowhere.

    Args:
        reference: a scheme, a colon, and what the scheme understands.

    Raises:
        Invalid: ``secret_by_reference``: it is no reference; the error does not quote it, for it may be the secret.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        scheme, colon, rest = reference.partition(":") if isinstance(reference, str) else ("", "", "")
        good = colon and rest and scheme.isidentifier() and scheme.islower() and len(reference) <= _LONGEST and reference.isprintable()
        if not good:
            raise Invalid("secret_by_reference", given=redact(reference))
        self.reference = reference

    @property
    def scheme(self) -> str:
        """What stands before the colon."""
        return self.reference.partition(":")[0]

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def read(self, resolver: Resolver | None = None, *, tenant: str = "main") -> str:
        """Return the secret itself.

        Args:
            resolver: knows the schemes other than ``env`` and ``file``.

        Raises:
            Unavailable: ``secret_missing``: nothing is there, or nobody knows the scheme; it names the reference alone.
        """
        name = self.reference.partition(":")[2]
        found: str | None = None
        try:
            if self.scheme == "env":
                found = os.environ.get(name)
            elif self.scheme == "file":
                found = Path(name).read_text(encoding="utf-8").removesuffix("\n")
            elif resolver is not None:
                found = resolver(self.reference, tenant)
        except (OSError, ValueError):
            found = None
        if not found:
            raise Unavailable("secret_missing", reference=self.reference) from None
        return found

    def to_json(self) -> dict[str, str]:
        """Return the reference as plain JSON."""
        return {"secret": self.reference}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read a reference from plain JSON.

        Raises:
            Invalid: ``secret_by_reference``.
        """
        if not isinstance(data, Mapping) or data.keys() != {"secret"}:
            raise Invalid("secret_by_reference", given=redact(data))
        return cls(data["secret"])


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield the secrets that settings, or a part of them, refer to."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secrets_in(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from secrets_in(each)
    elif attrs.has(type(value)):
        for a in attrs.fields(type(value)):
            yield from secrets_in(getattr(value, a.name))
