"""Elements, types and tables of somebody's own, which write SQL or pretend to be ours."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql import functions as sql_functions
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import TypeDecorator, UserDefinedType

from crm_core.entities.columns import EntityColumn, EntityTable
from crm_core.entities.meta import logical_table
from tests.permissions.lens_world import Company, Deal, Firm

SECRET = "(SELECT max(salary) FROM crm_firm)"


class Base(DeclarativeBase):
    """A host's mapping onto one of our tables."""


class MappedDeal(Base):
    __tablename__ = "crm_deal"
    id: Mapped[str] = mapped_column(primary_key=True)


class Loophole(TypeDecorator[Any]):
    """A type that writes SQL of its own around what it reads."""

    impl = sa.String
    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        return sa.literal_column(SECRET)

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.literal_column(SECRET)


class LoopholeType(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return f"TEXT) || {SECRET} || CAST('' AS TEXT"


class LoudString(sa.String):
    cache_ok = True


class OwnSelect(sa.Select[Any]):
    inherit_cache = True


class OwnColumn(sa.ColumnElement[Any]):
    inherit_cache = True
    type = sa.String()


@compiles(OwnColumn)
def _own_column(element: Any, compiler: Any, **_: Any) -> str:
    return SECRET


class OwnFunction(sql_functions.FunctionElement[Any]):
    inherit_cache = True
    name = "count"
    type = sa.String()


@compiles(OwnFunction)
def _own_function(element: Any, compiler: Any, **_: Any) -> str:
    return SECRET


class Uncacheable(sql_functions.FunctionElement[Any]):
    inherit_cache = False
    name = "uncacheable"
    type = sa.String()


@compiles(Uncacheable)
def _uncacheable(element: Any, compiler: Any, **_: Any) -> str:
    return SECRET


class LoudCount(sql_functions.count):
    inherit_cache = True
    _register = False


class OwnGeneric(GenericFunction[Any]):
    inherit_cache = True
    type = sa.String()
    name = "lower"
    identifier = "lower_of_a_plugin"


class OwnBinary(sa.BinaryExpression[Any]):
    inherit_cache = True


class Look(custom_op[Any]):
    """An operator that says it is AND."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(sa.sql.operators.eq)


def forged_label(name: str) -> Any:
    return Deal.name.label(quoted_name(name, quote=False))


def with_name(element: Any, **changes: Any) -> Any:
    element.__dict__.update(changes)
    return element


def forged_table() -> Any:
    table = EntityTable("crm_firm", sa.MetaData(), EntityColumn("salary", sa.Integer))
    return select(table.c.salary)


def stray_column() -> Any:
    return select(EntityColumn("salary", sa.Integer)).select_from(logical_table(Firm))


def disguised_column(company: Company) -> Any:
    column = sa.column("salary", sa.Integer)
    column.table = company.tables.entities[Firm]
    return select(column)
