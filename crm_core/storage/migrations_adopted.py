"""What a later migration of the host's took away from a table that was adopted, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection, Inspector, inspect

from ..errors import SchemaBehind
from .revisions.adopting import AdoptedPlace
from .revisions.place import Place
from .revisions.steps import AddColumn, CreateIndex, CreateTable, Step

if TYPE_CHECKING:
    from alembic.operations import ops


@attrs.frozen
class Mend:
    """Something of ours that was there and is gone.

    Attributes:
        table: the host's table, or one of ours that pointed at it.
        name: the column, index or column with a foreign key.
        words: what bringing it back is called.
    """

    table: str
    name: str
    words: str
    operation: ops.MigrateOperation


def mends(place: Place, connection: Connection, applied: Iterable[Step]) -> list[Mend]:
    """Compare what revisions did to adopted tables with what is there; columns come first, then indexes, then foreign keys.

    Raises:
        SchemaBehind: ``adopted_table_missing``: the host's table itself is gone.
    """
    if not place.adopted:
        return []
    found: Inspector = inspect(connection)
    steps = list(applied)
    made: list[Mend] = []
    for kind in (CreateTable, AddColumn, CreateIndex):
        for step in steps:
            hosts = place.adopted.get(step.table)
            if hosts is not None and isinstance(step, kind):
                _require(hosts, found)
                made += _of_step(hosts, step, found)
    made.sort(key=lambda each: each.words.startswith("index"))
    return made + list(_keys(place, steps, found))


def lacking(place: Place, connection: Connection) -> None:
    """Look for the host's own columns that are adopted.

    Raises:
        SchemaBehind: ``adopted_columns_missing``: a later migration of the host's dropped or renamed one, or has not run yet.
    """
    found: Inspector = inspect(connection)
    for hosts in place.adopted.values():
        _require(hosts, found)
        adoption = hosts.adoption
        there = {c["name"] for c in found.get_columns(hosts.name, hosts.schema)}
        wanted = {adoption.key.column.name, *(column.name for column in adoption.mapped.values())}
        if wanted - there:
            raise SchemaBehind("adopted_columns_missing", entity=adoption.name, table=hosts.name, columns=sorted(wanted - there))


def _require(hosts: AdoptedPlace, found: Inspector) -> None:
    if not found.has_table(hosts.name, hosts.schema):
        raise SchemaBehind("adopted_table_missing", entity=hosts.adoption.name, table=hosts.name)


def _of_step(hosts: AdoptedPlace, step: Step, found: Inspector) -> Iterator[Mend]:
    from alembic.operations import ops

    there = {c["name"] for c in found.get_columns(hosts.name, hosts.schema)}
    indexes = {i["name"] for i in found.get_indexes(hosts.name, hosts.schema)}
    for operation in hosts.operations(step):
        match operation:
            case ops.AddColumnOp() if operation.column.name not in there:
                yield Mend(hosts.name, operation.column.name, f"column {hosts.name}.{operation.column.name}", operation)
            case ops.CreateIndexOp() if operation.index_name not in indexes:
                yield Mend(hosts.name, str(operation.index_name), f"index {operation.index_name} on {hosts.name}", operation)


def _keys(place: Place, steps: Sequence[Step], found: Inspector) -> Iterator[Mend]:
    """Yield foreign keys from tables of ours: PostgreSQL drops them with the column that they point at (``CASCADE``)."""
    if place.kind != "postgresql":
        return
    for step in steps:
        columns = step.columns if isinstance(step, CreateTable) else (step.column,) if isinstance(step, AddColumn) else ()
        pointing = [c for c in columns if c.references in place.adopted and step.table not in place.adopted]
        table = place.name(step.table)
        if not pointing or not found.has_table(table, place.schema):
            continue
        known = [key["constrained_columns"] for key in found.get_foreign_keys(table, place.schema)]
        for column in pointing:
            if [column.name] not in known:
                # Rows of ours may point at rows that the host's migration did not keep.
                operation = place.foreign_key(step.table, column, checked=False)
                yield Mend(table, column.name, f"foreign key of {table}.{column.name}", operation)
