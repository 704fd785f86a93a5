"""The canonical value of a column: plain JSON that is the same whichever database it comes from, so that equal rows are equal lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import JSON, Boolean, Column, ColumnElement, Date, Integer, LargeBinary, Text, cast, func, type_coerce
from sqlalchemy.types import NullType

from ...entities.sqltypes import DecimalType, IdType, InstantType, IntegerType, ListType, RefType, scaled, unscaled

Kind = Literal["json", "decimal", "instant", "date", "bool", "int", "bytes", "id", "text"]
Convert = Callable[[Any], Any]
_DENSE = {"ensure_ascii": False, "separators": (",", ":"), "sort_keys": True}
# PostgreSQL keeps JSON numbers as decimals: what Python writes with an exponent comes back as a whole number.
_WHOLE = 1e16


def kind_of(column: Column[Any]) -> Kind:
    """Say how a column's values are written."""
    for kind, types in _KINDS.items():
        if isinstance(column.type, types):
            return kind
    return "text"


_KINDS: dict[Kind, tuple[type[Any], ...]] = {
    "json": (JSON, ListType),
    "decimal": (DecimalType,),
    "instant": (InstantType,),
    "date": (Date,),
    "bool": (Boolean,),
    "int": (Integer, IntegerType),
    "bytes": (LargeBinary,),
    "id": (IdType, RefType),
}


def asked(column: Column[Any], database: str) -> ColumnElement[Any]:
    """Return what to select of a column. PostgreSQL writes most canonical values itself; SQLite gives what it keeps."""
    if database == "sqlite":
        return type_coerce(column, NullType())
    bare: Any = type_coerce(column, NullType())
    match kind_of(column):
        case "instant":
            return func.to_char(func.timezone("UTC", bare), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
        case "date":
            return func.to_char(bare, "YYYY-MM-DD")
        case "bytes":
            return func.encode(bare, "hex")
        case "bool" | "int":
            return type_coerce(column, NullType())
        case _:
            return cast(bare, Text)


def encoders(columns: Sequence[Column[Any]], database: str) -> list[tuple[int, Convert]]:
    """Return what is left to do to a row as it was asked for: which values to turn into canonical ones, and how."""
    made = ((i, _encoder(column, database)) for i, column in enumerate(columns))
    return [(i, convert) for i, convert in made if convert is not None]


def _encoder(column: Column[Any], database: str) -> Convert | None:
    match kind_of(column):
        case "json":
            return _parsed
        case "decimal" if database == "sqlite":
            scale = getattr(column.type, "scale", 6)
            return lambda value: format(unscaled(value, scale), "f")
        case "bool" if database == "sqlite":
            return bool
        case "bytes" if database == "sqlite":
            return bytes.hex
    return None


def line(values: Sequence[Any]) -> bytes:
    """Write canonical values as one line."""
    return json.dumps(values, **_DENSE).encode() + b"\n"  # type: ignore[arg-type]  # the options of dumps, as they are


def decoders(columns: Sequence[Column[Any]]) -> list[tuple[int, Convert]]:
    """Return what turns canonical values into what SQLite keeps."""
    made = ((i, _decoder(column)) for i, column in enumerate(columns))
    return [(i, convert) for i, convert in made if convert is not None]


def _decoder(column: Column[Any]) -> Convert | None:
    match kind_of(column):
        case "json":
            return _dumped
        case "decimal":
            scale = getattr(column.type, "scale", 6)
            return lambda value: scaled(Decimal(value), scale)
        case "bytes":
            return bytes.fromhex
        case "date":
            return lambda value: date.fromisoformat(value).isoformat()
    return None


def from_json(column: Column[Any], index: int) -> str:
    """Return PostgreSQL's expression for a canonical value at a place of the array ``e.value``."""
    text = f"e.value ->> {index}"
    match kind_of(column):
        case "json":
            return f"NULLIF(e.value -> {index}, 'null')"
        case "decimal":
            return f"CAST({text} AS numeric)"
        case "instant":
            return f"CAST({text} AS timestamptz)"
        case "date":
            return f"CAST({text} AS date)"
        case "bool":
            return f"CAST({text} AS boolean)"
        case "int":
            return f"CAST({text} AS bigint)"
        case "bytes":
            return f"decode({text}, 'hex')"
        case "id":
            return f"CAST({text} AS uuid)"
        case "text":
            return text


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_number)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if abs(number) >= _WHOLE else number + 0.0


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
