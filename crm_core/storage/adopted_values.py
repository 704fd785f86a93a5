"""How a value becomes one of the host's column, and what stands for it in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum as PythonEnum
from typing import Any

from sqlalchemy import Dialect

from ..entities.fields import NOTHING, FieldSpec
from ..entities.sqltypes import instant_text
from ..errors import Detail, Invalid
from .adopted_fits import exact

HOST = "system:host"
FOUND = {"version": 1, "created_by": HOST, "updated_by": HOST}


def as_number(entity: str, field: FieldSpec) -> Callable[[Any, str], Any]:
    """Return what makes a text the number that the host's column holds, and refuses one that is none."""

    def write(value: Any, _: str) -> Any:
        number = exact(value)
        if number is None:
            raise Invalid(details=[Detail(entity, field.name, "adopted_value", "", {"given": str(value)[:60], "expected": "int"})])
        return number

    return write


def as_instant(zoned: bool) -> Callable[[Any, str], Any]:
    """Return what makes an instant of ours one of the host's column, which has zones or is in UTC."""

    def write(value: Any, dialect: str) -> Any:
        if dialect == "sqlite":
            return str(value)[:26].replace("T", " ")
        return value if zoned else value.astimezone(UTC).replace(tzinfo=None)

    return write


def sqlite_instant(c: str) -> str:
    """Write how SQLite reads the host's column *c* as an instant of ours."""
    # What SQLite cannot read as a time is NULL. Its own %f has milliseconds; SQLAlchemy writes microseconds.
    fraction = (
        f"CASE WHEN length({c}) = 26 AND substr({c}, 20, 1) = '.' THEN substr({c}, 20, 7) ELSE substr(strftime('%f', {c}), 3) || '000' END"
    )
    return f"CASE WHEN strftime('%Y', {c}) > '0000' THEN strftime('%Y-%m-%dT%H:%M:%S', {c}) || {fraction} || '+00:00' END"


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def neutral(field: FieldSpec, since: datetime) -> Any:
    """Return what a field that is never None reads as where the host's column is NULL: its default, else what is next to nothing."""
    if field.system and field.name in FOUND:
        return FOUND[field.name]
    if field.options.default is not NOTHING and field.options.default is not None:
        return field.options.default
    if field.options.factory is not None:
        return field.options.factory()
    empty = {
        "str": "",
        "text": "",
        "int": 0,
        "decimal": Decimal(0),
        "bool": False,
        "date": since.date(),
        "datetime": since,
        "list": [],
        "json": {},
    }
    return empty.get(field.kind)


def literal(field: FieldSpec, value: Any, dialect: Dialect) -> str:
    """Write a field's value as SQL."""
    sqlite = dialect.name == "sqlite"
    match value:
        case bool():
            return str(int(value)) if sqlite else str(value).lower()
        case PythonEnum():
            return quoted(str(value.value))
        case int():
            return str(value)
        case Decimal():
            return str(int(value.scaleb(field.options.scale))) if sqlite else str(value)
        case datetime():
            return quoted(instant_text(value)) if sqlite else f"CAST({quoted(value.isoformat())} AS timestamptz)"
        case date():
            return quoted(value.isoformat()) if sqlite else f"CAST({quoted(value.isoformat())} AS date)"
        case dict() | list():
            return quoted(json.dumps(value)) if sqlite else f"CAST({quoted(json.dumps(value))} AS jsonb)"
    return quoted(str(value))
