"""What a session reads: through the actor's lens for callers, physically (tenant only) for the pipeline's own checks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.exc import DBAPIError, StatementError

from ..entities.custom import CustomSpec
from ..entities.custom_kind import PREFIX
from ..entities.entity import Entity
from ..entities.fields import FieldSpec
from ..entities.meta import logical_table, spec
from ..entities.sealed import opening, place_name, sealed_text
from ..entities.validate import is_id
from ..errors import Invalid
from ..events.journal import history
from ..permissions.money_sql import converts
from .custom_values import pointing, taken_by
from .door import explained
from .writer import chunks

if TYPE_CHECKING:
    from sqlalchemy import Result

    from ..entities.codec import Codec
    from ..session import Session

E = TypeVar("E", bound=Entity)
# A prepared read of one record costs a tenth of a statement with a list.
ONE_BY_ONE = 5


class Reader:
    """The reads of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._crm = session.crm

    # -- for the pipeline: tenant only, never handed out as they are --------------------------------------------------------------

    def locked(self, entity: type[E], ids: Sequence[str], *, deleted: bool = False) -> dict[str, E]:
        """Read whole records for a write, locked until the transaction ends."""
        return {record.id: record for record in self.whole(self._session.codec(entity), ids, deleted=deleted)}

    def whole(self, codec: Codec, ids: Sequence[str], *, deleted: bool = False) -> list[Any]:
        """Read whole records by a codec, locked until the transaction ends."""
        session = self._session
        wanted = [i for i in ids if is_id(i)]
        connection = session._unit.connection
        rows = self._crm.writer(connection).locked(connection, codec, session.actor.tenant, wanted, deleted=deleted)
        _, load = codec.loader(codec.every)
        records = list(map(load, rows))
        self._crm.custom_fields.fill(session, codec, records)
        return records

    def pointing(self, child: type[Any], field: FieldSpec, ids: Sequence[str]) -> list[str]:
        """Return the ids of living records whose *field* points at one of *ids*."""
        table = self._crm.tables.entities[child]
        found: list[str] = []
        for part in chunks(ids):
            points = table.c[field.column].in_(part) if field.columns else table.c.id.in_(pointing(self._crm.tables, field, part))
            statement = select(table.c.id).where(table.c.tenant == self._session.actor.tenant, points, table.c.deleted_at.is_(None))
            found += self._session._unit.connection.execute(statement).scalars()
        return found

    def hold(self, entity: type[Any], ids: Sequence[str], *, alone: bool = False) -> None:
        """Keep records from being deleted until this transaction ends; *alone*, also from being pointed at anew.

        Who points at a record and who deletes it wait for each other; SQLite has one writer anyway.
        """
        if self._crm.bound.kind == "sqlite":
            return
        table = self._crm.tables.entities[entity]
        for part in chunks(sorted(i for i in ids if is_id(i))):
            statement = select(table.c.id).where(table.c.tenant == self._session.actor.tenant, table.c.id.in_(part)).order_by(table.c.id)
            self._session._unit.connection.execute(statement.with_for_update(read=not alone, key_share=not alone))

    def base(self, codec: Codec, current: Any, version: int, theirs: dict[str, Any]) -> dict[str, Any]:
        """Return the values that the fields of *theirs* had at *version*, undoing the journal's changes from the newest back."""
        base = dict(theirs)
        entries = history(self._session._unit.connection, self._crm.tables, self._session.actor.tenant, codec.facts.name, current.id)
        for entry in sorted(entries, key=lambda e: -e.version):
            if entry.version > version:
                base |= {n: pair[0] for n, pair in entry.changes.items() if n in base}
        return base

    # -- for callers: through the lens --------------------------------------------------------------------------------------------

    def readable(self, entity: type[Any]) -> frozenset[str]:
        """Return the names of the fields that the actor may read, masked ones included."""
        levels = self._session.levels(entity)
        return frozenset(n for n in self._session.codec(entity).fields if levels.get(n, "write") != "none")

    def one(self, entity: type[E], id_: str) -> E | None:
        """Read one record by id."""
        if not is_id(id_):
            return None
        try:
            found: E | None = self._session.shape.get(self._session, entity, id_)
        except DBAPIError as e:
            raise explained(e, self._session._unit) from e
        if found is not None:
            self.given(entity, [found])
        return found

    def many(self, entity: type[E], ids: Sequence[str]) -> dict[str, E]:
        """Read records by id; those hidden or gone are missing."""
        table = logical_table(entity)
        wanted = [i for i in dict.fromkeys(ids) if is_id(i)]
        if len(wanted) <= ONE_BY_ONE:
            return {id_: found for id_ in wanted if (found := self.one(entity, id_)) is not None}
        statement, load = self._session.shape.reading(self._session, entity)
        rows = (row for part in chunks(wanted) for row in self.rows(statement.where(table.c.id.in_(part)), entity))
        records = {record.id: record for record in map(load, rows)}
        self.given(entity, list(records.values()))
        return records

    def attach(self, records: Sequence[Entity], field: FieldSpec) -> None:
        """Read what a reference of *records* points at, in one go."""
        refs = [r for r in records if field.name in dict(r._items())]
        wanted = [ref.id for r in refs if (ref := getattr(r, field.name)) is not None]
        assert field.target is not None
        found = self.many(field.target, wanted) if wanted else {}
        for record in refs:
            ref = getattr(record, field.name)
            record._related = {**(record._related or {}), field.name: found.get(ref.id) if ref else None}

    def rows(self, statement: Any, entity: type[Any]) -> list[Any]:
        """Run a select of an entity's records as the actor may see it; return the driver's rows, whose values no type has read."""
        try:
            with self._keys():
                found = self._session.shape.rows(self._session, statement)
        except (StatementError, OverflowError, UnicodeEncodeError) as e:
            raise explained(e, self._session._unit) from e
        if self._crm.tables.sensitive:
            self._session._unit.reads.statement(self._session, statement, len(found), whole=entity)
        return found

    def given(self, entity: type[Any], records: Sequence[Any]) -> None:
        """Note that the actor was given records, where that is to be journalled."""
        if entity in self._crm.tables.sensitive:
            self._session._unit.reads.records(self._session, entity, [record.id for record in records])

    def execute(self, statement: Any) -> Result[*tuple[Any, ...]]:
        """Run a statement of the caller's as the actor may see it."""
        unit = self._session._unit
        # A statement that fails halfway (a missing rate) spoils a PostgreSQL transaction: keep what is before it.
        spoils = self._crm.bound.kind == "postgresql" and not unit.looks and converts(statement)
        try:
            with unit.savepoint() if spoils else nullcontext(), self._keys():
                # Read to the end: a failing row is then an error of this call. Long results go through `stream`.
                found = self._session.shape.execute(self._session, statement).freeze()
        except (StatementError, OverflowError, UnicodeEncodeError) as e:
            raise explained(e, self._session._unit) from e
        if self._crm.tables.sensitive:
            unit.reads.statement(self._session, statement, len(found.data))
        return found()

    def _keys(self) -> AbstractContextManager[None]:
        """Let a statement open sealed values and find records by them."""
        sealer = self._crm.tables.sealer
        if sealer is None:
            return nullcontext()
        return opening(sealer.finder(self._session._unit.connection, self._session.actor.tenant))

    def attached(self, record: Entity, field: FieldSpec) -> Any:
        """Return what :meth:`attach` read for a reference of a record."""
        name = field.name
        if getattr(record, name) is None:
            return None
        if record._related is None or name not in record._related:
            raise Invalid("not_preloaded", entity=spec(type(record)).name, field=name)
        return record._related[name]

    def targets(self, entity: Any, ids: Sequence[str], *, attach: bool) -> dict[str, Any]:
        """Return which of *ids* exist for the actor, and will until the end: with their records where *attach*, else with None."""
        self.hold(entity, ids)
        return dict(self.many(entity, ids)) if attach else dict.fromkeys(self.there(entity, ids))

    def there(self, entity: type[Any], ids: Sequence[str]) -> set[str]:
        """Return which of *ids* exist for the actor."""
        table = logical_table(entity)
        found: set[str] = set()
        for part in chunks([i for i in ids if is_id(i)]):
            found.update(self._session.execute(select(table.c.id).where(table.c.id.in_(part))).scalars())
        return found

    def taken(self, entity: type[Any], name: str, value: Any) -> str | None:
        """Return the id of the living record that has a unique value, whoever may see it."""
        table = self._crm.tables.entities[entity]
        field, sealer, tenant = self._session.codec(entity).fields[name], self._crm.tables.sealer, self._session.actor.tenant
        if isinstance(field, CustomSpec):
            return taken_by(self._session._unit.connection, self._crm.tables, field, value)
        taken: Any
        if field.blind_column is not None and sealer is not None:
            text = sealed_text(field, value)
            blinds = sealer.blinds(self._session._unit.connection, tenant, place_name(entity, field), text)
            taken = table.c[field.blind_column].in_(blinds)
        else:
            taken = table.c[field.column] == bindparam("value", value, table.c[field.column].type)
        statement = select(table.c.id).where(table.c.tenant == tenant, taken, table.c.deleted_at.is_(None))
        return self._session._unit.connection.execute(statement).scalar()

    def revealed(self, record: E) -> E:
        """Return a record, just written, as the actor may see it: hidden fields unset, masked ones masked."""
        entity = type(record)
        if record.version > 1:  # a new one tells nothing but what was given
            self.given(entity, [record])
        levels = self._session.levels(entity)
        if all(level in ("read", "write") for level in levels.values()):
            record._origin = True
            return record
        codec = self._session.codec(entity)
        seen = codec.copy(record)
        seen._origin = True
        for name, level in levels.items():
            field = codec.fields[name]
            if not field.columns:
                if level == "none":
                    seen.custom.pop(name.removeprefix(PREFIX), None)
                continue
            holder = seen if field.extension is None else seen[field.extension]
            holder._origin = True
            if level == "none":
                delattr(holder, field.name)
            elif level == "masked" and codec.get(record, name) is not None:
                setattr(holder, field.name, "***")
        return seen  # type: ignore[no-any-return]  # a copy of the record given
