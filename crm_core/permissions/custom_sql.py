"""How custom fields are written: as a look into the table of their values, for the fields that the actor's values name alone."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from ..entities.columns import EntityTable, entity_table
from ..entities.custom_columns import COMPARED, CustomColumn, CustomDocument, CustomMatch, CustomOrder
from ..errors import Refused
from .views import View, entity_name, views_of

SEEN = "crm_custom"
"""The bind that holds the custom fields an actor may read in their tenant: a JSON object of the definitions' ids by
``<entity>.<name>:<form>``."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_FORM = re.compile(r"[a-z]+(\.[A-Za-z0-9_.]+)?\Z")
_INNER = ("add_to_result_map", "within_columns_clause")


def _seen(compiler: SQLCompiler) -> str:
    return compiler.process(bindparam(SEEN, None, type_=String()))


def _which(name: str, form: str, entity: str, compiler: SQLCompiler) -> str:
    """Write the id of the field of a name and form, as the actor's values say."""
    short = name.removeprefix("custom.")
    if not _NAME.match(short) or not _FORM.match(form) or not re.fullmatch(r"[a-z0-9_.]+", entity):
        raise Refused("forbidden_name", name=name[:60])
    key = f"{entity}.{short}:{form}"
    if compiler.dialect.name == "sqlite":
        return f"json_extract({_seen(compiler)}, '$.\"{key}\"')"
    return f"CAST(CAST({_seen(compiler)} AS JSONB) ->> '{key}' AS UUID)"


def _place(id: Any, compiler: SQLCompiler) -> tuple[EntityTable, View] | None:
    views, table = views_of(compiler, "custom fields"), entity_table(getattr(id, "table", None))
    if views is None:
        return None
    if table is None or id.name != "id":
        raise Refused("forbidden_element", element="custom field without an entity")
    return table, views[table]


def _values(view: View, compiler: SQLCompiler) -> str:
    if view.custom is None:
        raise Refused("forbidden_element", element="custom field")
    return compiler.process(view.custom.alias("crm_value"), asfrom=True)


def _inside(element: ColumnElement[Any], compiler: SQLCompiler, kw: dict[str, Any]) -> str:
    # What stands inside is no column of the result.
    return compiler.process(element, **{k: v for k, v in kw.items() if k not in _INNER})


@compiles(CustomColumn)
def _column(element: CustomColumn, compiler: SQLCompiler, **kw: Any) -> str:
    id_ = _inside(element.id, compiler, kw)
    place = _place(element.id, compiler)
    if place is None:
        return f"custom_field({id_}, '{element.name}')"
    table, view = place
    kept = "number" if element.field.is_number else "text"
    sql = (
        f"(SELECT crm_value.{kept} FROM {_values(view, compiler)}"
        f" WHERE crm_value.field = {_which(element.name, element.field.form, entity_name(table), compiler)} AND crm_value.record = {id_})"
    )
    if kw.get("add_to_result_map"):
        kw["add_to_result_map"](element.name, element.name, (element, element.name), element.type)
    return sql


@compiles(CustomOrder)
def _order(element: CustomOrder, compiler: SQLCompiler, asfrom: bool = False, from_linter: Any = None, **_: Any) -> str:
    views = views_of(compiler, "custom fields")
    if views is None or not asfrom:
        return element.name
    if element.kept not in ("text", "number"):
        raise Refused("forbidden_name", name=str(element.kept)[:60])
    if from_linter:
        from_linter.froms[element] = element.name
    kept, which = f"crm_value.{element.kept}", _which(element.field_name, element.form, entity_name(element.entity), compiler)
    return (
        f"(SELECT crm_value.record AS record, {kept} AS value FROM {_values(views[element.entity], compiler)}"
        f" WHERE crm_value.field = {which} AND {kept} IS NOT NULL)"
        f" AS {element.name}"
    )


@compiles(CustomMatch)
def _match(element: CustomMatch, compiler: SQLCompiler, **kw: Any) -> str:
    column = element.column
    id_, *values = (_inside(e, compiler, kw) for e in (column.id, *element.values))
    place = _place(column.id, compiler)
    if place is None:
        return f"custom_match({', '.join([id_, repr(column.name), repr(element.operator), *values])})"
    table, view = place
    kept = "crm_value.number" if column.field.is_number else "crm_value.text"
    found = (
        f"FROM {_values(view, compiler)} WHERE crm_value.field = {_which(column.name, column.field.form, entity_name(table), compiler)}"
        f" AND {_compared(element.operator, kept, values)}"
    )
    # As a set, which SQLite reads first and whole; of a page, which ends early, many are looked at record by record.
    if element.narrow or getattr(compiler.statement, "_limit_clause", None) is None:
        return f"({id_} IN (SELECT crm_value.record {found}))"
    return f"(EXISTS (SELECT 1 {found} AND crm_value.record = {id_}))"


def _compared(operator: str, kept: str, values: list[str]) -> str:
    if operator == "IS NOT NULL":
        return f"{kept} IS NOT NULL"
    if operator == "STARTS":
        return f"{kept} >= {values[0]} AND {kept} < {values[1]}"
    if operator in ("IN", "NOT IN"):
        return f"{kept} {operator} ({', '.join(values)})" if values else "1 = 0" if operator == "IN" else f"{kept} IS NOT NULL"
    if operator not in COMPARED.values():
        raise Refused("forbidden_operator", operator=operator[:60])
    return f"{kept} {operator} {values[0]}"


@compiles(CustomDocument)
def _document(element: CustomDocument, compiler: SQLCompiler, **kw: Any) -> str:
    id_ = _inside(element.id, compiler, kw)
    place = _place(element.id, compiler)
    if place is None:
        return f"custom_fields({id_})"
    seen, values = _seen(compiler), _values(place[1], compiler)
    if compiler.dialect.name == "sqlite":
        made = "json_group_object(crm_value.field, coalesce(crm_value.text, crm_value.number))"
        known = f"SELECT value FROM json_each({seen})"
    else:
        made = "CAST(jsonb_object_agg(crm_value.field, coalesce(to_jsonb(crm_value.text), to_jsonb(crm_value.number))) AS TEXT)"
        known = f"SELECT CAST(value AS UUID) FROM jsonb_each_text(CAST({seen} AS JSONB))"
    sql = f"(SELECT {made} FROM {values} WHERE crm_value.record = {id_} AND crm_value.field IN ({known}))"
    if kw.get("add_to_result_map"):
        kw["add_to_result_map"]("crm_custom", "crm_custom", (element,), element.type)
    return sql
