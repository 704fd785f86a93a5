"""Where steps are taken: names, types and Alembic's operations for the tables of one CRM on one kind of database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Column, ForeignKey, Identity, Inspector, text

from ..tables import shortened
from .adopting import AdoptedPlace
from .steps import AddColumn, ColumnStep, CreateIndex, CreateTable, Step, type_of

if TYPE_CHECKING:
    from alembic.operations import ops


@attrs.frozen
class Place:
    """The prefix and schema of one CRM's tables, the kind of database, and the host's tables that stand for ours, by our bare names."""

    prefix: str
    schema: str | None
    kind: str
    adopted: Mapping[str, AdoptedPlace] = attrs.field(factory=dict)

    def name(self, bare: str) -> str:
        """Return a table's or index's name here."""
        return shortened(self.prefix + bare)

    def operations(self, steps: Iterable[Step]) -> list[ops.MigrateOperation]:
        """Turn steps into Alembic's operations; each reversed, in reversed order, they undo the steps."""
        from alembic.operations import ops

        made: list[ops.MigrateOperation] = []
        keys: list[ops.MigrateOperation] = []
        for step in steps:
            columns: Sequence[ColumnStep] = ()
            hosts = self.adopted.get(step.table)
            if hosts is not None:
                made += hosts.operations(step)
                continue
            match step:
                case CreateTable(name, columns, autoincrement):
                    options: dict[str, Any] = {"sqlite_autoincrement": True} if autoincrement else {}
                    made.append(ops.CreateTableOp(self.name(name), [self._column(c) for c in columns], schema=self.schema, **options))
                case AddColumn(name, column):
                    columns = (column,)
                    inline = self.kind == "sqlite"
                    made.append(
                        ops.AddColumnOp(self.name(name), self._column(self._filled(column)), schema=self.schema, inline_references=inline)
                    )
                case CreateIndex():
                    made.append(self._index(step))
            if self.kind == "postgresql":
                keys += [self.foreign_key(step.table, c) for c in columns if c.references]
        return made + keys

    def is_there(self, step: Step, found: Inspector) -> bool:
        """Say whether the database has what *step* makes."""
        hosts = self.adopted.get(step.table)
        if hosts is not None:
            return hosts.is_there(step, found)
        table = self.name(step.table)
        if not found.has_table(table, self.schema):
            return False
        match step:
            case CreateTable():
                return True
            case AddColumn():
                return any(c["name"] == step.column.name for c in found.get_columns(table, self.schema))
            case CreateIndex():
                return found.has_index(table, self.name(step.name), self.schema)

    def describe(self, step: Step) -> str:
        """Say in words what *step* does here."""
        hosts = self.adopted.get(step.table)
        table = self.name(step.table) if hosts is None else hosts.name
        match step:
            case CreateTable() if hosts is not None:
                return f"adopt table {table} ({len(hosts.added(step)) + 1} columns more)"
            case CreateTable():
                return f"create table {table} ({len(step.columns)} columns)"
            case AddColumn():
                return f"add column {table}.{step.column.name} ({step.column.type})"
            case CreateIndex():
                return f"create {'unique ' * step.unique}index {self.name(step.name)} on {table} ({', '.join(step.columns)})"

    def _filled(self, step: ColumnStep) -> ColumnStep:
        """Let the rows that are there have the value of ``fill``, and those that are written without the column's plugin."""
        if step.fill is None:
            return step
        scale = re.fullmatch(r"decimal\((\d+)\)", step.type)
        if scale is None or self.kind != "sqlite":
            return attrs.evolve(step, default=step.fill)
        return attrs.evolve(step, default=str(int(Decimal(step.fill).scaleb(int(scale[1])))))

    def _column(self, step: ColumnStep) -> Column[Any]:
        items: list[Any] = [Identity(always=True)] if step.identity else []
        # SQLite takes a foreign key only together with its column, PostgreSQL only once both tables are there.
        if step.references and self.kind == "sqlite":
            table, schema, key = self._target(step)
            items.append(ForeignKey(f"{schema}.{table}.{key}" if schema else f"{table}.{key}", ondelete=step.on_delete or None))
        return Column(
            step.name,
            type_of(step.type),
            *items,
            nullable=step.nullable,
            primary_key=step.primary_key,
            unique=step.unique or None,
            autoincrement=step.identity,
            server_default=step.default if step.expression is None else text(step.expression),
        )

    def foreign_key(self, table: str, step: ColumnStep, *, checked: bool = True) -> ops.CreateForeignKeyOp:
        """Return what makes a column's foreign key on PostgreSQL; where it is not *checked*, rows that are there may break it."""
        from alembic.operations import ops

        target, schema, key = self._target(step)
        return ops.CreateForeignKeyOp(
            shortened(f"{self.prefix}fk_{table}_{step.name}"),
            self.name(table),
            target,
            [step.name],
            [key],
            source_schema=self.schema,
            referent_schema=schema,
            ondelete=step.on_delete or None,
            **({} if checked else {"postgresql_not_valid": True}),
        )

    def _target(self, step: ColumnStep) -> tuple[str, str | None, str]:
        """Return the table, its schema and the column that a reference points at."""
        hosts = self.adopted.get(step.references)
        return (self.name(step.references), self.schema, "id") if hosts is None else (hosts.name, hosts.schema, hosts.key)

    def _index(self, step: CreateIndex) -> ops.CreateIndexOp:
        from alembic.operations import ops

        where: dict[str, Any] = {f"{kind}_where": text(step.where) for kind in ("sqlite", "postgresql") if step.where}
        columns = list(step.columns)
        return ops.CreateIndexOp(self.name(step.name), self.name(step.table), columns, schema=self.schema, unique=step.unique, **where)
