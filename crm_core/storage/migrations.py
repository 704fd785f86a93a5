"""The schema's history: one branch of revisions a plugin, applied in the order in which plugins require each other.

Alembic's operations run on explicit contexts; its process-wide proxies are never touched, so several CRMs migrate side by side.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, delete, func, insert, inspect, literal, select, table
from sqlalchemy.schema import CreateSchema

from ..arguments import check
from ..entities.sqltypes import text_type
from ..errors import Conflict, Invalid, SchemaBehind
from ..logs import facts
from .branches import HEADS, Branch
from .engine import Bound
from .join import begin_on
from .migrations_adopted import Mend, lacking, mends
from .revisions.adopting import AdoptedPlace
from .revisions.history import Revision, names
from .revisions.place import Place
from .revisions.steps import AddColumn, CreateIndex, CreateTable, Step
from .tables import Tables

if TYPE_CHECKING:
    from alembic.operations import ops

    from ..hooks.registry import Registry

BASE = "base"
log = logging.getLogger("crm_core.migrations")


class Migrations:
    """What a host does with the schema: ``plan``, ``upgrade``, ``check`` at boot, ``include_name`` for its own Alembic.

    Args:
        bound: the CRM's database.
        tables: the declared schema.
        registry: the plugins in load order.
        subscribe: called in an upgrade's transaction once the schema is whole: new subscriptions begin there, not at the first
            delivery, which may come later than the first event.
    """

    def __init__(self, bound: Bound, tables: Tables, registry: Registry, subscribe: Callable[[Connection], None] | None = None) -> None:
        self._bound = bound
        self._subscribe = subscribe
        self._tables = tables
        self._registry = registry
        hosts = {tables.name(e).removeprefix(tables.prefix): AdoptedPlace(a, tables.prefix, bound.kind) for e, a in tables.adopted.items()}
        self._place = Place(tables.prefix, tables.schema, bound.kind, hosts)
        self._version = Table(
            self._place.name("version"),
            MetaData(schema=tables.schema),
            Column("plugin", text_type(63), primary_key=True),
            Column("revision", text_type(63), nullable=False),
        )
        self._branches_made: list[Branch] | None = None
        self._compared = False

    @property
    def _branches(self) -> list[Branch]:
        if self._branches_made is None:
            self._branches_made = [Branch(p, self._tables) for p in self._registry.plugins]
        return self._branches_made

    # -- asking -------------------------------------------------------------------------------------------------------------------

    def current(self, connection: Connection | None = None) -> dict[str, str]:
        """Return the revision of each plugin in the database, also of plugins that this CRM does not have.

        Args:
            connection: one to ask on; else one of its own.
        """
        if connection is not None:
            return self._current(connection)
        with self._bound.begin(write=False, unlimited=True) as own:
            return self._current(own)

    def plan(self, to: str = HEADS) -> list[str]:
        """Say step by step what :meth:`upgrade` would do; empty where there is nothing to do.

        Raises:
            SchemaBehind, Conflict, Invalid: as :meth:`upgrade`.
        """
        with self._bound.begin(write=False, unlimited=True) as connection:
            lines = [] if self._has_schema(connection) else [f"create schema {self._tables.schema}"]
            lines += [f"make again what a later migration took away: {mend.words}" for mend in self._mends(connection)]
            for branch, revision, steps in self._pending(connection, to):
                self._refuse_unready(connection, branch, steps)
                lines += [f"{branch.name} {revision.id}: {self._place.describe(step)}" for step in steps]
                if not steps:
                    lines.append(f"{branch.name} {revision.id}: note the revision")
            return lines

    def check(self, connection: Connection | None = None) -> None:
        """Compare the database with this code, at boot: cheap, and changes nothing.

        Args:
            connection: one to ask on, in whose transaction the schema may be new; else one of its own.

        Raises:
            SchemaBehind: ``schema_missing`` (nothing is there), ``schema_not_ours`` (tables of our names without our version table),
                ``schema_behind``, ``schema_newer`` (made by later code), ``schema_damaged`` (tables are gone), ``adopted_columns_gone``
                (columns of ours in an adopted table are; :meth:`upgrade` makes them again), ``adopted_columns_missing`` (columns
                of the host's that are adopted are), ``adopted_table_missing``.
        """
        if connection is None:
            with self._bound.begin(write=False, unlimited=True) as own:
                self.check(own)
            return
        if not self._current(connection):
            self._refuse_strangers(connection)
            raise SchemaBehind("schema_missing", prefix=self._tables.prefix)
        behind = [branch.name for branch, *_ in self._pending(connection, HEADS)]
        if behind:
            raise SchemaBehind("schema_behind", plugins=behind)
        there = set(inspect(connection).get_table_names(self._tables.schema))
        gone = sorted(self._names() - there)
        if gone:
            raise SchemaBehind("schema_damaged", tables=gone)
        self.check_adopted(connection)

    def check_adopted(self, connection: Connection) -> None:
        """Compare adopted tables alone with what the CRM needs of them; a migration of the host's may have made one anew.

        Raises:
            SchemaBehind: ``adopted_columns_gone``, ``adopted_columns_missing``, ``adopted_table_missing``.
        """
        gone = self._mends(connection)
        if gone:
            raise SchemaBehind("adopted_columns_gone", tables=sorted({m.table for m in gone}), names=sorted(m.name for m in gone)[:20])
        lacking(self._place, connection)

    def refuse_newer(self, connection: Connection | None = None) -> None:
        """Refuse a database that has none of our tables, or that later code made; asked until it fits, at the first session of a process.

        Older ones are not refused: what lacks there is an error where it is used, and :meth:`check` at boot says so before.

        Args:
            connection: one to ask on; else one of its own, so that no session begins with a read that keeps others from committing.

        Raises:
            SchemaBehind: ``schema_missing``, ``schema_newer``.
        """
        if self._compared:
            return
        if connection is None:
            with self._bound.begin(write=False, unlimited=True) as own:
                self.refuse_newer(own)
            return
        current = self._current(connection)
        if not current:
            raise SchemaBehind("schema_missing", prefix=self._tables.prefix)
        for plugin in self._registry.plugins:
            # The files' names are enough where all is well; reading them takes longer than a session.
            known = names(plugin.package) if plugin.package else set()
            revision = current.get(plugin.name)
            if revision is not None and revision not in known and (known or not revision.startswith("declared.")):
                self._position(next(b for b in self._branches if b.name == plugin.name), current)
        self._compared = True

    def include_name(self, name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
        """Keep the host's ``alembic revision --autogenerate`` off our tables: ``context.configure(include_name=...)`` in its env.py.

        Tables that begin with our prefix are taken as ours, so that those of a plugin that is gone are not dropped by accident.
        """
        hosts = {adoption.table.name: adoption.table for adoption in self._tables.adopted.values()}
        within = hosts.get(parent_names.get("table_name") or "")
        if name is not None and within is not None:
            return name in within.c or not name.startswith(self._tables.prefix)  # of an adopted table, only what we added is ours
        if type_ == "table" and name in hosts:
            return True
        if type_ != "table" or name is None or parent_names.get("schema_name") != self._tables.schema:
            return True
        return not (name in self._names() or (self._tables.prefix and name.startswith(self._tables.prefix)))

    # -- changing -----------------------------------------------------------------------------------------------------------------

    def upgrade(self, connection: Connection | None = None, to: str | Mapping[str, str] = HEADS) -> None:
        """Bring the schema to *to*: all of it or nothing. Columns of ours that a later migration of the host's took out of an adopted table
        are made again, empty, and the log says which (``adopted_mended``).

        Args:
            connection: the host's, as ``op.get_bind()`` gives it in its own revision: nothing is committed there. Without it, an own
                transaction.
            to: ``heads``, or a revision such as ``2026.11``, so that the host's revision does the same for ever; or a revision of each
                plugin that is to be there. A plugin that froze no revision yet is brought to what it declares.

        Raises:
            SchemaBehind: ``schema_newer``, ``schema_not_ours``, ``adopted_table_missing``.
            WrongArgument: *connection* is none.
            Conflict: ``column_needs_default``: a new column is never NULL, has no default, and its table has rows.
            Invalid: ``unknown_revision``.
        """
        with self.alone(connection) as on:
            if not self._has_schema(on):
                on.execute(CreateSchema(str(self._tables.schema), if_not_exists=True))
            pending = list(self._pending(on, to))
            again = self._mends(on)
            if again:
                self._run(on, [mend.operation for mend in again])
                told = [mend.words for mend in again]
                log.warning("What a later migration took away is made again: %s", ", ".join(told), extra=facts("adopted_mended", made=told))
            for branch, _, steps in pending:
                self._refuse_unready(on, branch, steps)
            self._version.create(on, checkfirst=True)
            for branch, revision, steps in pending:
                self._run(on, self._place.operations(steps))
                self._note(on, branch.name, revision.id)
            if self._subscribe is not None and not list(self._pending(on, HEADS)):
                self._subscribe(on)

    def downgrade(self, connection: Connection | None, plugin: str, to: str = BASE) -> None:
        """Undo a plugin's revisions after *to*; ``base`` removes its tables and columns with what is in them.

        Raises:
            Conflict: ``plugin_required``: another plugin in the database needs it.
            Invalid: ``unknown_plugin``, ``unknown_revision``.
        """
        branch = next((b for b in self._branches if b.name == plugin), None)
        if branch is None:
            raise Invalid("unknown_plugin", given=plugin, known=[b.name for b in self._branches])
        with self.alone(connection) as on:
            current = self._current(on)
            position = self._position(branch, current)
            target = 0 if to == BASE else self._known(to) and branch.target(to)
            if target == 0:
                self._refuse_required(branch, current)
            for revision in reversed(branch.revisions[target:position]):
                self._undo(on, branch, revision)
            self._note(on, plugin, branch.revisions[target - 1].id if target else None)
            if not self._current(on):
                self._version.drop(on, checkfirst=True)

    def remove(self, connection: Connection, plugin: str, steps: Sequence[Step]) -> None:
        """Take out what *steps* made, in a transaction that :meth:`alone` began, whether the plugin's code is there or not."""
        found: Inspector = inspect(connection)
        there = [s for s in steps if self._place.is_there(s, found)]
        gone = {s.table for s in there if isinstance(s, CreateTable)}
        # What it added to others goes first: it may point at its tables, and nothing else may.
        kinds: tuple[type[Step], ...] = (CreateTable, AddColumn, CreateIndex)
        ordered = [s for kind in kinds for s in there if isinstance(s, kind) and (kind is CreateTable or s.table not in gone)]
        if self._bound.kind == "sqlite":
            self._let_go(connection, ordered)
        self._run(connection, [operation.reverse() for operation in reversed(self._place.operations(ordered))])
        self._note(connection, plugin, None)

    def steps(self, plugin: str) -> list[Step]:
        """Return what a loaded plugin's revisions consist of, the oldest first."""
        return [s for b in self._branches if b.name == plugin for r in b.revisions for s in r.steps]

    def pending(self, connection: Connection) -> list[str]:
        """Name the plugins whose revisions are behind."""
        return sorted({branch.name for branch, *_ in self._pending(connection, HEADS)})

    def has(self, connection: Connection, table: Table) -> bool:
        """Say whether one of our tables is there."""
        return inspect(connection).has_table(table.name, table.schema)

    def made(self, step: Step) -> tuple[str, str | None, str]:
        """Return the table of a step, its schema, and, where it adds a column, that one's name here."""
        hosts = self._place.adopted.get(step.table)
        column = step.column.name if isinstance(step, AddColumn) else ""
        if hosts is None:
            return self._place.name(step.table), self._tables.schema, column
        return hosts.name, hosts.schema, f"{self._tables.prefix}{column}" if column else ""

    @contextmanager
    def alone(self, connection: Connection | None = None) -> Iterator[Connection]:
        """Begin a transaction in which nobody else migrates: SQLite's BEGIN IMMEDIATE is one, PostgreSQL is asked for a lock.

        Args:
            connection: the host's, on which nothing is committed; else one of its own.
        """
        if connection is None:
            with self._bound.begin(unlimited=True) as own, self.alone(own) as on:
                yield on
            return
        check(connection, Connection, "a connection (of engine.begin(); of an asynchronous one, its run_sync)")
        begin_on(connection)
        if self._bound.kind == "postgresql":
            key = hashlib.sha256(self._version.fullname.encode()).digest()[:8]
            connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(key, "big", signed=True))))
        yield connection

    # -- inside -------------------------------------------------------------------------------------------------------------------

    def _pending(self, connection: Connection, to: str | Mapping[str, str]) -> Iterator[tuple[Branch, Revision, Sequence[Step]]]:
        self._known(to)
        current = self._current(connection)
        if not current:
            self._refuse_strangers(connection)
        self._refuse_late(connection)
        for branch in self._branches:
            position = self._position(branch, current)
            for revision in branch.revisions[position : branch.target(to)]:
                yield branch, revision, revision.steps if branch.frozen else self._missing(connection, revision.steps)

    def _mends(self, connection: Connection) -> list[Mend]:
        current = self._current(connection) if self._place.adopted else {}
        applied = (step for b in self._branches for r in b.revisions[: b.position(current.get(b.name)) or 0] for step in r.steps)
        return mends(self._place, connection, applied)

    def _refuse_unready(self, connection: Connection, branch: Branch, steps: Sequence[Step]) -> None:
        found: Inspector = inspect(connection)
        for step in steps:
            hosts = self._place.adopted.get(step.table)
            if isinstance(step, CreateTable) and hosts is not None and not found.has_table(hosts.name, hosts.schema):
                raise SchemaBehind("adopted_table_missing", entity=hosts.adoption.name, table=hosts.name)
            if not isinstance(step, AddColumn) or step.column.nullable or step.table in self._place.adopted:
                continue
            name = self._place.name(step.table)
            has_value = step.column.default is not None or step.column.expression is not None or step.column.fill is not None
            if not has_value and found.has_table(name, self._tables.schema):
                rows = select(literal(1)).select_from(table(name, schema=self._tables.schema)).limit(1)
                if connection.scalar(rows) is not None:
                    raise Conflict("column_needs_default", plugin=branch.name, table=name, column=step.column.name)

    def _missing(self, connection: Connection, steps: Sequence[Step]) -> list[Step]:
        """Leave out what is there: a schema that is not frozen only ever grows."""
        found: Inspector = inspect(connection)
        making = {step.table for step in steps if isinstance(step, CreateTable) and not self._place.is_there(step, found)}
        added: list[Step] = []
        for step in steps:
            if step.table in making or not self._place.is_there(step, found):
                added.append(step)
            elif isinstance(step, CreateTable):
                added += [AddColumn(step.table, c) for c in step.columns if not self._place.is_there(AddColumn(step.table, c), found)]
        return added

    def _undo(self, connection: Connection, branch: Branch, revision: Revision) -> None:
        found: Inspector = inspect(connection)
        steps = revision.steps if branch.frozen else [s for s in revision.steps if self._place.is_there(s, found)]
        if self._bound.kind == "sqlite":
            self._let_go(connection, steps)
        self._run(connection, [operation.reverse() for operation in reversed(self._place.operations(steps))])

    def _let_go(self, connection: Connection, steps: Sequence[Step]) -> None:
        """Empty the references between rows about to go: SQLite checks them while it drops a table."""
        quote = connection.dialect.identifier_preparer.quote
        for step in steps:
            if isinstance(step, CreateTable) and step.table not in self._place.adopted:
                for column in (c for c in step.columns if c.references and c.nullable):
                    connection.exec_driver_sql(f"UPDATE {quote(self._place.name(step.table))} SET {quote(column.name)} = NULL")

    def _run(self, connection: Connection, operations: Sequence[ops.MigrateOperation]) -> None:
        # Alembic takes half a second to import, and a host that is up to date never needs it.
        from alembic.operations import Operations
        from alembic.runtime.migration import MigrationContext

        alembic = Operations(MigrationContext.configure(connection))
        for operation in operations:
            alembic.invoke(operation)

    def _note(self, connection: Connection, plugin: str, revision: str | None) -> None:
        connection.execute(delete(self._version).where(self._version.c.plugin == plugin))
        if revision is not None:
            connection.execute(insert(self._version).values(plugin=plugin, revision=revision))

    def _current(self, connection: Connection) -> dict[str, str]:
        if not inspect(connection).has_table(self._version.name, self._tables.schema):
            return {}
        return {row.plugin: row.revision for row in connection.execute(select(self._version))}

    def _position(self, branch: Branch, current: Mapping[str, str]) -> int:
        found = branch.position(current.get(branch.name))
        if found is None:
            raise SchemaBehind("schema_newer", plugin=branch.name, found=current[branch.name], known=branch.revisions[-1].id)
        return found

    def _known(self, to: str | Mapping[str, str]) -> bool:
        known = sorted({r.id for b in self._branches if b.frozen for r in b.revisions})
        if isinstance(to, str):
            wrong = [] if to == HEADS or to in known else [to]
        else:
            wrong = sorted(to[b.name] for b in self._branches if b.position(to.get(b.name)) is None)
        if wrong:
            raise Invalid("unknown_revision", given=wrong[0][:120], known=[HEADS, *known])
        return True

    def _names(self) -> set[str]:
        adopted = {self._tables.name(entity) for entity in self._tables.adopted}
        return {*self._tables.names - adopted, self._version.name}

    def _has_schema(self, connection: Connection) -> bool:
        return self._tables.schema is None or inspect(connection).has_schema(self._tables.schema)

    def _refuse_strangers(self, connection: Connection) -> None:
        """Refuse tables that have our names and are not ours: nothing here may change or hide them."""
        if not self._has_schema(connection):
            return
        strange = sorted(self._names() & set(inspect(connection).get_table_names(self._tables.schema)))
        if strange:
            raise SchemaBehind("schema_not_ours", tables=strange, prefix=self._tables.prefix)

    def _refuse_late(self, connection: Connection) -> None:
        """Refuse to adopt for an entity that has records in a table of its own."""
        if not self._tables.adopted:
            return
        found: Inspector = inspect(connection)
        for entity, adoption in self._tables.adopted.items():
            if found.has_table(self._tables.name(entity), self._tables.schema):
                raise SchemaBehind("adopted_late", entity=adoption.name, table=adoption.table.name)

    def _refuse_required(self, branch: Branch, current: Mapping[str, str]) -> None:
        needs = {b.name: b.requires for b in self._branches}
        by = sorted(name for name in current if branch.name in needs.get(name, {"core"}) and name != branch.name)
        if by:
            raise Conflict("plugin_required", plugin=branch.name, by=by)
