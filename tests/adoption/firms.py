"""A host with one plain table, of firms, and a CRM for which they are accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table

import crm_sales
from crm_core import CRM, Account
from crm_core.adoption import Adopted
from crm_core.testing.databases import Database
from tests.adoption.shop import an_engine

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def firms(*columns: Column[Any], title: int = 50) -> Table:
    """Return a table with a number, a title of so many characters, and more columns."""
    known: tuple[Any, ...] = Column("id", Integer, primary_key=True), Column("title", String(title), nullable=False)
    return Table("firms", MetaData(), *known, *columns, sqlite_autoincrement=True)


@contextmanager
def adopting(database: Database, table: Table, rows: Rows = MappingProxyType({}), **columns: str) -> Iterator[CRM]:
    """Make the host's tables with *rows* by table, and open a CRM that adopted one of them, by its *columns* besides the title."""
    engine = an_engine(database.url)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        for name, given in rows.items():
            connection.execute(table.metadata.tables[name].insert(), [*given])
    crm = CRM(engine, plugins=[crm_sales.plugin], adopt={Account: Adopted(table, {"name": "title", **columns})})
    crm.migrate()
    try:
        yield crm
    finally:
        crm.close()
        engine.dispose()
