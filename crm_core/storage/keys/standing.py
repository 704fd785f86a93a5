"""What still stands open: values in the columns of fields that were declared sealed, until ``encrypt`` has come by.

They are told from what is sealed by the key that an envelope names: no key of the tenant is named by a plain value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select

from ...entities.sealed import place_name, sealed_text
from ...entities.sqltypes import unscaled
from ...errors import Unavailable, Unreadable

if TYPE_CHECKING:
    from ...entities.codec import Codec
    from ...entities.fields import FieldSpec
    from ..tables import Tables

ENVELOPE = re.compile(r"1A[0-9a-f]{16}[A-Za-z0-9+/]{38,}={0,2}")


def is_open(tables: Tables, table: Table, field: FieldSpec) -> ColumnElement[bool]:
    """Say which rows of a table have a value of a sealed field that is not sealed."""
    keys, column = tables.system.key.alias("crm_known"), table.c[field.column]
    # By the key's id alone, and compared afterwards: with its tenant among the conditions PostgreSQL walks all keys of the tenant, which
    # are as many as its records, until the table is analysed; and of EXISTS it hashes them all, for each field of each batch.
    owner = select(keys.c.tenant).where(keys.c.id == func.substr(column, 3, 16)).scalar_subquery()
    return and_(column.is_not(None), owner.is_distinct_from(table.c.tenant))


class Standing:
    """Reads values that stand open, for a CRM that runs while they are sealed."""

    def __init__(self, tables: Tables, codecs: Iterable[Codec], *, sqlite: bool) -> None:
        self._tables = tables
        self._sqlite = sqlite
        self._fields = {place_name(c.entity, f): (tables.entities[c.entity], f) for c in codecs for _, f in c.sealed}
        self._none: set[tuple[str, str]] = set()

    def text(self, name: str, raw: str) -> str:
        """Return the text that would be sealed of what stands in the column of a field.

        Raises:
            Unreadable: ``key_missing``: it is sealed, under a key that is not here.
        """
        _, field = self._fields[name]
        if ENVELOPE.fullmatch(raw):
            raise Unreadable("key_missing")
        try:
            return sealed_text(field, self._value(field, raw))
        except (ArithmeticError, ValueError):
            raise Unreadable("seal_broken") from None

    def _value(self, field: FieldSpec, raw: str) -> Any:
        """Read a column's value from what the database makes of it as text."""
        match field.kind:
            case "int":
                return int(raw)
            case "decimal":
                return unscaled(int(raw), field.options.scale) if self._sqlite else Decimal(raw)
            case "bool":
                return raw in ("1", "true")
            case "date":
                return date.fromisoformat(raw)
            case "datetime":
                return datetime.fromisoformat(raw).astimezone(UTC)
            case "enum":
                return field.type(raw)
            case "json":
                return json.loads(raw)
            case _:
                return raw

    def none_left(self, connection: Connection, tenant: str, name: str) -> None:
        """Refuse to search a tenant's field by its blind index while values have none.

        Raises:
            Unavailable: ``still_open``.
        """
        if (tenant, name) in self._none or name not in self._fields:
            return
        table, field = self._fields[name]
        left = select(table.c.id).where(table.c.tenant == tenant, is_open(self._tables, table, field)).limit(1)
        if connection.execute(left).first() is not None:
            raise Unavailable("still_open", retryable=True, field=field.name)
        self._none.add((tenant, name))  # and there will be none: whoever writes now, seals
