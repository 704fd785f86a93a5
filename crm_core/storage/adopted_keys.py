"""The keys of a host's own table, and the ids that stand for them."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import attrs
from sqlalchemy import Column, Integer, Uuid

from ..arguments import check
from ..entities.meta import spec

MIDDLE = "-8000-8000-"
LOW = (1 << 48) - 1


@attrs.frozen(eq=False)
class Key:
    """How the host's primary key and our ids become each other: ids hold the key, so they need no place of their own."""

    entity: type[Any]
    column: Column[Any]

    @property
    def numeric(self) -> bool:
        """Whether it is a number, given by the database; a ``Uuid`` is given by us."""
        return isinstance(self.column.type, Integer)

    def holds(self, kind: Any) -> bool:
        """Say whether a column of the host's can hold such keys."""
        return isinstance(kind, Integer if self.numeric else Uuid)

    @property
    def _mark(self) -> str:
        # Ids are unique in the world: customer 1 and contact 1 are two.
        return hashlib.sha256(spec(self.entity).name.encode()).hexdigest()[:8]

    def sql(self, column: str, dialect: str) -> str:
        """Write the id that a column's value stands for."""
        if not self.numeric:
            if dialect == "postgresql":
                return f"CAST({column} AS uuid)"
            parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
            return "lower(" + " || '-' || ".join(f"substr({column}, {start}, {length})" for start, length in parts) + ")"
        if dialect == "sqlite":
            return f"printf('{self._mark}-%04x{MIDDLE}%012x', ({column} >> 48) & 65535, {column} & {LOW})"
        whole = f"CAST({column} AS bigint)"
        high, low = f"lpad(to_hex(({whole} >> 48) & 65535), 4, '0')", f"lpad(to_hex({whole} & {LOW}), 12, '0')"
        return f"CAST('{self._mark}-' || {high} || '{MIDDLE}' || {low} AS uuid)"

    def id(self, value: Any) -> str:
        """Return the id of a primary key's value.

        Raises:
            WrongArgument: it is no value of the host's primary key.
        """
        check(value, int if self.numeric else (UUID, str, bytes), f"a value of {self.column}, {'an int' if self.numeric else 'a UUID'}")
        if not self.numeric:
            text = str(value).replace("-", "").lower()
            return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        return f"{self._mark}-{(value >> 48) & 65535:04x}{MIDDLE}{value & LOW:012x}"

    def value(self, id_: str, dialect: str) -> Any:
        """Return the primary key's value, as the driver takes it, that an id stands for."""
        if not self.numeric:
            return id_ if dialect == "postgresql" and getattr(self.column.type, "native_uuid", False) else id_.replace("-", "")
        number = int(id_[9:13] + id_[24:], 16)
        return number - (1 << 64) if number >> 63 else number
