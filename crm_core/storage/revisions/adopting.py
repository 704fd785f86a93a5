"""What steps on an adopted entity do to the host's table: columns of ours are added to it, and nothing else is ever changed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Computed, Inspector, text

from ...entities.sqltypes import IdType
from ..adopted import Adoption
from ..tables import shortened
from .steps import AddColumn, ColumnStep, CreateIndex, CreateTable, Step, type_of

if TYPE_CHECKING:
    from alembic.operations import ops


class AdoptedPlace:
    """The host's table of one entity, on one kind of database."""

    def __init__(self, adoption: Adoption, prefix: str, kind: str) -> None:
        self.adoption = adoption
        self._prefix = prefix
        self._kind = kind

    @property
    def name(self) -> str:
        """The host's table."""
        return self.adoption.table.name

    @property
    def schema(self) -> str | None:
        """Its schema."""
        return self.adoption.table.schema

    @property
    def key(self) -> str:
        """The column that references of ours point at."""
        return self.adoption.id_column

    @property
    def index(self) -> str:
        """The unique index over it, by which we know that the table was adopted."""
        return shortened(f"{self._prefix}{self.name}_{self.key}_key")

    def operations(self, step: Step) -> Iterator[ops.MigrateOperation]:
        """Turn a step into Alembic's operations."""
        from alembic.operations import ops

        match step:
            case CreateTable():
                yield ops.AddColumnOp(self.name, self._id(), schema=self.schema)
                yield ops.CreateIndexOp(self.index, self.name, [self.key], schema=self.schema, unique=True)
                for column in self.added(step):
                    yield ops.AddColumnOp(self.name, self._own(column), schema=self.schema)
            case AddColumn(_, column):
                if self._is_ours(column):
                    yield ops.AddColumnOp(self.name, self._own(column), schema=self.schema)
            case CreateIndex():
                yield from self._index(step)

    def added(self, step: CreateTable) -> list[ColumnStep]:
        """Return the columns that the table does not have, but for the id."""
        return [c for c in step.columns if c.name != "id" and self._is_ours(c)]

    def is_there(self, step: Step, found: Inspector) -> bool:
        """Say whether the database has what *step* makes."""
        match step:
            case CreateTable():
                return found.has_index(self.name, self.index, self.schema)
            case AddColumn(_, column):
                known = {c["name"] for c in found.get_columns(self.name, self.schema)}
                return not self._is_ours(column) or column.name == "id" or f"{self._prefix}{column.name}" in known
            case CreateIndex(name):
                return self._columns(step) is None or found.has_index(self.name, shortened(self._prefix + name), self.schema)

    def _is_ours(self, step: ColumnStep) -> bool:
        place = self.adoption.places.get(step.name)
        return place is None or (place.ours and bool(place.name))

    def _own(self, step: ColumnStep) -> Column[Any]:
        return Column(f"{self._prefix}{step.name}", type_of(step.type), nullable=True)

    def _id(self) -> Column[Any]:
        quoted = f'"{self.adoption.key.column.name}"'
        # SQLite adds a computed column only where it is not stored; PostgreSQL indexes only one that is.
        formula = Computed(self.adoption.key.sql(quoted, self._kind), persisted=self._kind == "postgresql")
        return Column(self.key, IdType(), formula)

    def _columns(self, step: CreateIndex) -> list[str] | None:
        """Return the host's columns for an index; None where one is read in another form than it is kept, so that it would not serve."""
        places = [self.adoption.places[c] for c in step.columns if c in self.adoption.places]
        wanted = [p for p in places if p.name]
        return [p.name for p in wanted] if wanted and all(p.plain for p in wanted) and step.columns != ("tenant", "id") else None

    def _index(self, step: CreateIndex) -> Iterator[ops.MigrateOperation]:
        from alembic.operations import ops

        columns = self._columns(step)
        if columns is None:
            return
        # What is unique among the host's own values is the host's to say; the CRM still looks before it writes.
        unique = step.unique and all(self.adoption.places[c].ours for c in step.columns)
        deleted = self.adoption.places["deleted_at"].name
        where = re.sub(r"\bdeleted_at\b", deleted, step.where)
        only: dict[str, Any] = {f"{kind}_where": text(where) for kind in ("sqlite", "postgresql") if where}
        yield ops.CreateIndexOp(shortened(self._prefix + step.name), self.name, columns, schema=self.schema, unique=unique, **only)
