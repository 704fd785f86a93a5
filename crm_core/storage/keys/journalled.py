"""What the journal says in plain of fields that are sealed today: it was written before they were, and never changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

if TYPE_CHECKING:
    from ...entities.codec import Codec
    from ..tables import Tables

_PARTS = ("new", "changes", "old")


def told_openly(connection: Connection, tables: Tables, codecs: Iterable[Codec], tenant: str | None) -> dict[str, int]:
    """Count the journal's rows with a plain value of a sealed field, by tenant; those that have none are left out.

    It reads all rows of the entities with sealed fields.
    """
    found: Counter[str] = Counter()
    for codec in codecs:
        for name, count in connection.execute(_counted(tables, codec, tenant)):
            found[name] += count
    return dict(sorted(found.items()))


def _counted(tables: Tables, codec: Codec, tenant: str | None) -> Select[Any]:
    journal = tables.system.journal
    said = (_says(column, part, name) for column in (journal.c.payload, journal.c.personal) for part in _PARTS for name in _names(codec))
    rows = select(journal.c.tenant, func.count()).where(journal.c.entity == codec.facts.name, or_(*said)).group_by(journal.c.tenant)
    return rows if tenant is None else rows.where(journal.c.tenant == tenant)


def _names(codec: Codec) -> list[str]:
    return [name for name, field in codec.fields.items() if field.options.sealed]


def _says(column: Any, part: str, name: str) -> ColumnElement[bool]:
    """Say which rows have a value there; an empty one, alone or before and after a change, is none."""
    said: ColumnElement[str] = column[(part, name)].as_string()
    return said.not_in(["[null,null]", "[null, null]"])
