"""A table with a number in it: the least that transactions can be seen by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from crm_core.storage.engine import Bound

R = TypeVar("R")


def create_counter(bound: Bound) -> None:
    """Make the table, with the number at nought."""
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (1, 0)")


def count(bound: Bound) -> int:
    """Read the number in a transaction of its own."""
    with bound.begin(write=False) as connection:
        return int(connection.exec_driver_sql("SELECT n FROM counter").scalar_one())


def add_one(connection: sa.Connection) -> int:
    """Read the number, write the next, return it."""
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    n = int(connection.exec_driver_sql("SELECT n FROM counter" + lock).scalar_one()) + 1
    connection.exec_driver_sql(f"UPDATE counter SET n = {n}")
    return n


async def arun(bound: Bound, work: Callable[[sa.Connection], R], write: bool = True) -> R:
    """Run *work* in a transaction of its own, where a loop runs."""

    def inside() -> R:
        with bound.begin(write) as connection:
            return work(connection)

    return await bound.run(inside)
