"""The keys of rows that an insert makes where its values do not say them: a column's default does, in Python or in the database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Insert, event


@contextmanager
def keys_of_inserts(connection: Connection, key: Column[Any], *, returned: bool) -> Iterator[list[Any]]:
    """Yield a list that fills with the keys of the rows that are inserted into the key's table meanwhile.

    Keys that were in a statement's values are among them, and those of rows that an ``ON CONFLICT`` left out. None stands for what cannot
    be known: the database made the key, or took it from a select, and the statement returns something else, or nothing.

    Args:
        returned: have the database return the keys that it makes.
    """
    found: list[Any] = []
    default: Any = key.default
    returned = returned and (default is None or default.is_clause_element)

    def before(_: object, statement: Any, many: Any, one: Any, __: object) -> tuple[Any, Any, Any]:
        if returned and _inserts_into(key, statement) and not (statement._returning or statement._return_defaults):
            statement = statement.return_defaults(key)
        return statement, many, one

    def after(_: object, statement: Any, __: object, ___: object, ____: object, result: Any) -> None:
        if _inserts_into(key, statement):
            known = [value for row in result.context.compiled_parameters for value in _values(row, key.key)]
            found.extend(known or (row[0] for row in result.context.inserted_primary_key_rows))

    event.listen(connection, "before_execute", before, retval=True)
    event.listen(connection, "after_execute", after)
    try:
        yield found
    finally:
        event.remove(connection, "before_execute", before)
        event.remove(connection, "after_execute", after)


def _inserts_into(key: Column[Any], statement: Any) -> bool:
    return isinstance(statement, Insert) and bool(key.table.compare(statement.table))  # the ORM's is annotated


def _values(row: Mapping[str, Any], name: str) -> Iterator[Any]:
    """Yield what is bound for a column; a statement with several rows has it as ``name_m1``, ``name_m2`` and so on."""
    return (value for bound, value in row.items() if bound == name or re.fullmatch(rf"{re.escape(name)}_m\d+", bound))
