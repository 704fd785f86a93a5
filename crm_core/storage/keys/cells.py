"""The cell of a sealed value: what a select gives for it, so that it can be opened wherever it comes out.

``<entity>.<field>:<record id>:<tenant key>:<subject's key>:<envelope>:<tenant>``, where both keys are wrapped. Without such a key,
``+<length of the tenant>`` and nothing stand for the two: what follows may be a plain value, with colons of its own. The database puts it
together in the statement that reads the value, so a key that was destroyed or replaced a moment ago counts at once, in every process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Table, Text, cast, func, literal, select

from ...errors import Unreadable

_ID = 36
_DESTROYED = "-"
_UNKNOWN = "+"


def cell(name: str, table: Table, column: Column[Any], keys: Table) -> ColumnElement[str]:
    """Return the expression for a sealed column of *table*; NULL where the value is."""
    key, tenant_key = keys.alias("crm_key"), keys.alias("crm_tenant_key")
    wrapped = func.coalesce(tenant_key.c.wrapped, "").concat(":").concat(func.coalesce(key.c.wrapped, _DESTROYED))
    found = (
        select(wrapped)
        .select_from(key.outerjoin(tenant_key, tenant_key.c.id == key.c.parent))
        .where(key.c.id == func.substr(column, 3, 16), key.c.tenant == table.c.tenant)
        .correlate(table)
        .scalar_subquery()
    )
    unknown = literal(_UNKNOWN, Text()).concat(cast(func.length(table.c.tenant), Text())).concat(":")
    head = literal(f"{name}:", Text()).concat(cast(table.c.id, Text())).concat(":").concat(func.coalesce(found, unknown)).concat(":")
    return head.concat(column).concat(":").concat(table.c.tenant).label(column.name)


class Cell(NamedTuple):
    """A cell taken apart. ``key`` is None where it was destroyed."""

    name: str
    record: str
    tenant_key: str
    key: str | None
    envelope: str
    tenant: str


def plain(text: str) -> tuple[str, str] | None:
    """Return field and value of a cell whose value names no key of its tenant; None where it does."""
    name, _, rest = text.partition(":")
    head, _, value = rest[_ID + 1 :].partition("::")
    if not head.startswith(_UNKNOWN) or not head[1:].isdecimal():
        return None
    return name, value[: len(value) - int(head[1:]) - 1]


def parse(text: str) -> Cell:
    """Take a cell apart.

    Raises:
        Unreadable: ``seal_broken``: it is none. ``key_missing``: there is no such key.
    """
    name, _, rest = text.partition(":")
    parts = rest[_ID:].split(":", 4)
    if len(parts) != 5 or parts[0]:
        raise Unreadable("seal_broken")
    _, tenant_key, key, envelope, tenant = parts
    if not key:
        raise Unreadable("key_missing")
    return Cell(name, rest[:_ID], tenant_key, None if key == _DESTROYED else key, envelope, tenant)
