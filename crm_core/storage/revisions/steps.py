"""Schema changes as plain data: what a revision consists of, and what the declared tables ask for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, String, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import sort_tables_and_constraints
from sqlalchemy.types import TypeEngine

from ...entities.fields import FieldSpec
from ...entities.money import Money
from ...entities.sqltypes import (
    PLAIN_JSON,
    DecimalType,
    EnumType,
    IdType,
    InstantType,
    IntegerType,
    JsonType,
    ListType,
    RefType,
    instant_text,
    text_type,
)
from ...errors import LoadError
from ..system import Xid
from ..tables import Tables

if TYPE_CHECKING:
    from cattrs import Converter


@attrs.frozen
class ColumnStep:
    """A column. ``type`` is a word of :func:`type_of`; ``references`` a table whose id it holds; ``default`` is the database's.

    ``fill`` is what rows get that are there when the column is added, or come without it; no later step may depend on it.
    """

    name: str
    type: str
    nullable: bool = True
    primary_key: bool = False
    unique: bool = False
    identity: bool = False
    references: str = ""
    on_delete: str = ""
    default: str | None = None
    expression: str | None = None
    fill: str | None = attrs.field(default=None, eq=False)


@attrs.frozen
class CreateTable:
    """A new table; ``autoincrement`` keeps SQLite from giving a number twice."""

    table: str
    columns: tuple[ColumnStep, ...]
    autoincrement: bool = False


@attrs.frozen
class AddColumn:
    """A column for a table that is there: what an extension adds to another plugin's entity, or a later version to its own."""

    table: str
    column: ColumnStep


@attrs.frozen
class CreateIndex:
    """An index, unique and partial where it says so."""

    name: str
    table: str
    columns: tuple[str, ...]
    unique: bool = False
    where: str = ""


Step = CreateTable | AddColumn | CreateIndex

_DATE_CHAR: TypeEngine[Any] = sqlite.DATE(storage_format="%(year)04d%(month)02d%(day)02d")  # type: ignore[no-untyped-call]  # SQLAlchemy's

_WORDS: Mapping[str, TypeEngine[Any]] = {
    "id": IdType(),
    "instant": InstantType(),
    "json": PLAIN_JSON,
    "text": text_type(None),
    "bool": Boolean(),
    # DATE_CHAR on SQLite, as of a format of digits alone: a host's converters, such as Django's, take columns that say DATE.
    "date": Date().with_variant(_DATE_CHAR, "sqlite"),
    "int": Integer(),
    "bigint": BigInteger(),
    # SQLite numbers rows only in a column that says INTEGER.
    "serial": BigInteger().with_variant(Integer(), "sqlite"),
    "xid": Xid().with_variant(Integer(), "sqlite"),
}


def type_of(word: str) -> TypeEngine[Any]:
    """Return the column type of a word: ``id``, ``instant``, ``str(63)`` (sorted by code point), ``code(3)``, ``decimal(6)``, ..."""
    name, _, number = word.rstrip(")").partition("(")
    match name:
        case "str":
            return text_type(int(number))
        case "code":
            return String(int(number))
        case "decimal":
            return DecimalType(int(number))
    return _WORDS[word]


def word_of(kind: TypeEngine[Any]) -> str:
    """Return the word of a declared column's type.

    Raises:
        LoadError: there is none: the type cannot be part of a revision.
    """
    match kind:
        case IdType() | RefType():
            return "id"
        case InstantType():
            return "instant"
        case DecimalType():
            return f"decimal({kind.scale})"
        case EnumType():
            return "str(63)"
        case ListType() | JsonType():
            return "json"
        case Xid():
            return "xid"
        case Text():
            return "text"
        case String() if kind.length:
            return f"{'str' if 'postgresql' in kind._variant_mapping else 'code'}({kind.length})"
        case IntegerType():
            return "bigint"
        case BigInteger():
            return "serial" if "sqlite" in kind._variant_mapping else "bigint"
        case Integer():
            return "int"
        case Boolean():
            return "bool"
        case Date():
            return "date"
    raise LoadError("type_without_word", type=repr(kind))


def declared(tables: Tables, plugin: str) -> list[Step]:
    """Return the steps that make what *plugin* declares: its tables, its columns in other plugins' tables, and their indexes."""

    def bare(name: str) -> str:
        return name.removeprefix(tables.prefix)

    steps: list[Step] = []
    for table, _ in sort_tables_and_constraints(tables.metadata.tables.values()):  # type: ignore[no-untyped-call]  # SQLAlchemy's
        if table is None:
            continue
        mine = [_column_step(c, tables.prefix) for c in table.c if _owner(table, c) == plugin]
        if _owner(table) == plugin:
            steps.append(CreateTable(bare(table.name), tuple(mine), bool(table.dialect_kwargs.get("sqlite_autoincrement"))))
        else:
            steps += [AddColumn(bare(table.name), column) for column in mine]
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            if _index_owner(table, index) == plugin:
                where = index.dialect_kwargs.get("sqlite_where")
                names = tuple(c.name for c in index.columns)
                text = "" if where is None else str(where)
                steps.append(CreateIndex(bare(str(index.name)), bare(table.name), names, bool(index.unique), text))
    return steps


def _column_step(column: Column[Any], prefix: str) -> ColumnStep:
    key = next(iter(column.foreign_keys), None)
    default: Any = getattr(column.server_default, "arg", None)
    literal = isinstance(default, str)
    return ColumnStep(
        column.name,
        word_of(column.type),
        nullable=bool(column.nullable),
        primary_key=column.primary_key,
        unique=bool(column.unique),
        identity=column.identity is not None,
        references=key.column.table.name.removeprefix(prefix) if key else "",
        on_delete=key.ondelete or "" if key else "",
        default=default if literal else None,
        expression=None if literal or default is None else str(default),
        fill=_fill(column) if default is None and not column.nullable else None,
    )


def _fill(column: Column[Any]) -> str | None:
    """Write a field's default as text that both databases read in a column of its type; None where there is none to write."""
    field: FieldSpec | None = column.info.get("field")
    if field is None or field.system or field.required:
        return None
    value = field.options.factory() if field.options.factory else field.options.default
    match value:
        case Money():
            return value.currency if column.name == field.columns[-1] else str(value.amount)
        case Enum():
            return str(value.value)
        case bool():
            return str(int(value))
        case datetime():
            return instant_text(value)
        case str() | int() | Decimal() | date():
            return str(value)
        case dict() | list() if field.kind == "json" or not value:
            return json.dumps(value)
    return None


def _owner(table: Table, column: Column[Any] | None = None) -> str:
    of_table = table.info["plugin"] or "core"
    return str(of_table if column is None else column.info.get("plugin", of_table) or "core")


def _index_owner(table: Table, index: Index) -> str:
    """An index belongs to the extension of which a column is in it."""
    own = _owner(table)
    return next((o for c in index.columns if (o := _owner(table, c)) != own), own)


@cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.strategies import configure_tagged_union

    converter = Converter(omit_if_default=True)
    configure_tagged_union(Step, converter, tag_name="step")
    return converter


def to_plain(step: Step) -> dict[str, Any]:
    """Turn a step into plain JSON; what is as usual is left out."""
    plain = _converter().unstructure(step, unstructure_as=Step)
    if isinstance(step, CreateTable):
        for column in plain["columns"]:
            column.pop("fill", None)
    return {"step": plain.pop("step"), **plain}


def from_plain(data: Mapping[str, Any]) -> Step:
    """Read what :func:`to_plain` wrote."""
    step: Step = _converter().structure(data, Step)  # type: ignore[arg-type]  # cattrs takes unions too
    return step


def digest(steps: Iterable[Step]) -> str:
    """Return a revision's name for a schema that is not frozen, whatever the order of its steps."""
    lines = "\n".join(sorted(json.dumps(to_plain(s), sort_keys=True) for s in steps))
    return f"declared.{hashlib.sha256(lines.encode()).hexdigest()[:16]}"
