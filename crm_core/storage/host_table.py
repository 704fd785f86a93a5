"""The table of an entity that the host's own table stands for, as statements see it: our columns by our names.

In a FROM it is a select over the host's table, which both databases flatten, so their indexes serve. Only the writer names the host's
columns.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from .adopted import Adoption


class HostTable(Table):
    """An adopted entity's table. ``adoption`` says where its columns are."""

    inherit_cache = True
    adoption: Adoption

    def source(self, dialect: Dialect) -> str:
        """Write the select that it is."""
        known: dict[str, str] = self.__dict__.setdefault("_crm_sources", {})
        if dialect.name not in known:
            known[dialect.name] = self.adoption.source(dialect)
        return known[dialect.name]


@compiles(HostTable)
def _render(
    table: HostTable, compiler: SQLCompiler, asfrom: bool = False, enclosing_alias: Any = None, from_linter: Any = None, **_: Any
) -> str:
    name = compiler.preparer.quote(table.name)
    if not asfrom:
        return name
    if from_linter:
        from_linter.froms[table] = table.name
    body = f"({table.source(compiler.dialect)})"
    # An alias writes AS and its own name behind what it gets.
    return body if enclosing_alias is not None and enclosing_alias.element is table else f"{body} AS {name}"
