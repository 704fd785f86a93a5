"""How a search for a sealed value is written: by the blind index, which is in no view, so no statement can read or name it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CompoundSelect, Select, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import elements, operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ScalarSelect, _CompoundSelectKeyword

from ..entities.columns import entity_table
from ..entities.sealed import SealedMatch, SealedType
from ..errors import Invalid, NotReadable
from .views import entity_name, tenant, views_of


@compiles(SealedMatch)
def _match(element: SealedMatch, compiler: SQLCompiler, **kw: Any) -> str:
    column: Any = element.column
    # What stands inside is no column of the result.
    inner = {k: v for k, v in kw.items() if k not in ("add_to_result_map", "within_columns_clause")}
    column_sql, id_sql, *values = (compiler.process(c, **inner) for c in (column, element.id, *element.values))
    views, table = views_of(compiler, column.name), entity_table(column.table)
    if views is None or table is None:
        return f"sealed_match({', '.join([column_sql, id_sql, *values])})"
    if views.is_masked(column):
        raise NotReadable("masked_only_listed", entity=entity_name(table), field=column.name)
    physical = views.column(table, column).table
    name = compiler.preparer.quote(physical.name)
    blind = compiler.preparer.quote(column.field.blind_column)
    # Of the past it is a select, which has to be written out.
    source = compiler.preparer.format_table(physical) if isinstance(physical, Table) else compiler.process(physical, asfrom=True)
    found = f"SELECT {name}.id FROM {source} WHERE {name}.tenant = {compiler.process(tenant())}"
    return f"({id_sql} IN ({found} AND {name}.{blind} IN ({', '.join(values)})))" if values else "1 = 0"


def check_sealed(element: Any, child: Any, where: str) -> None:
    """Let a sealed column stand in a list of columns, beside IS NULL and in a search by its blind index, and nowhere else.

    Args:
        element: what holds *child*.
        where: the name of its part that does.

    Raises:
        Invalid: ``sealed_operator``.
    """
    type_ = getattr(child, "type", None)
    if type(type_) is not SealedType:
        return
    match element:
        case Select():
            fine = where == "_raw_columns" and not element._distinct
        case elements.BinaryExpression():
            fine = element.operator in (operators.is_, operators.is_not) and isinstance(element.right, elements.Null)
        case SealedMatch() | elements.Label() | elements.Grouping() | ScalarSelect():
            fine = True
        case _:
            fine = False
    if not fine:
        raise Invalid("sealed_operator", field=type_.field.name)


def check_sealed_names(statement: Any) -> None:
    """Refuse a select that compares or sorts the sealed columns it lists without naming them: UNION, ORDER BY a name.

    Raises:
        Invalid: ``sealed_operator``.
    """
    selects = statement.selects if isinstance(statement, CompoundSelect) else [statement]
    listed = [(c, c.type) for s in selects for c in s.selected_columns if isinstance(c.type, SealedType)]
    compared = isinstance(statement, CompoundSelect) and statement.keyword is not _CompoundSelectKeyword.UNION_ALL
    clauses = [*statement._order_by_clauses, *statement._group_by_clauses]
    named = {e.element for c in clauses for e in [c, getattr(c, "element", None)] if isinstance(e, elements._textual_label_reference)}
    for column, type_ in listed:
        if compared or column.key in named or getattr(column, "name", None) in named:
            raise Invalid("sealed_operator", field=type_.field.name)
