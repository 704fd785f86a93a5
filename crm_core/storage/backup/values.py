"""The canonical value of a column: plain JSON that is the same whichever database it comes from, so that equal rows are equal lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Boolean, Column, ColumnElement, Date, Integer, Text, cast, func, type_coerce
from sqlalchemy.types import NullType

from ...entities.sqltypes import DecimalType, IdType, InstantType, IntegerType, JsonType, ListType, RefType, scaled, unscaled

Kind = Literal["json", "decimal", "instant", "date", "bool", "int", "id", "text"]
Convert = Callable[[Any], Any]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
# PostgreSQL keeps JSON numbers as decimals: what Python writes with an exponent comes back as a whole number.
_WHOLE = 1e16


def kind_of(column: Column[Any]) -> Kind:
    """Say how a column's values are written."""
    for kind, types in _KINDS.items():
        if isinstance(column.type, types):
            return kind
    return "text"


_KINDS: dict[Kind, tuple[type[Any], ...]] = {
    "json": (JsonType, ListType),
    "decimal": (DecimalType,),
    "instant": (InstantType,),
    "date": (Date,),
    "bool": (Boolean,),
    "int": (Integer, IntegerType),
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
            scale = _scale(column)
            return lambda value: format(unscaled(value, scale), "f")
        case "bool" if database == "sqlite":
            return bool
    return None


def line(values: Sequence[Any]) -> bytes:
    """Write canonical values as one line."""
    return _encode(values).encode() + b"\n"


def decoders(columns: Sequence[Column[Any]]) -> list[tuple[int, Convert]]:
    """Return what turns canonical values into what SQLite keeps."""
    made = ((i, _decoder(column)) for i, column in enumerate(columns))
    return [(i, convert) for i, convert in made if convert is not None]


def _decoder(column: Column[Any]) -> Convert | None:
    match kind_of(column):
        case "json":
            return _dumped
        case "decimal":
            scale = _scale(column)
            return lambda value: scaled(Decimal(value), scale)
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
        case "id":
            return f"CAST({text} AS uuid)"
        case "text":
            return text


def _scale(column: Column[Any]) -> int:
    assert isinstance(column.type, DecimalType)
    return column.type.scale


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if abs(number) >= _WHOLE else number + 0.0


_parsed = json.JSONDecoder(parse_float=_number).decode
_dumped = json.JSONEncoder(ensure_ascii=False).encode
