"""Session: one actor, one tenant, one transaction. Every verb here goes through the pipeline (writes) or the lens (reads)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple, cast, overload

from .arguments import (
    check,
    check_entity,
    check_many,
    check_one_of,
    check_record,
    check_record_or_ref,
    check_reference,
    check_text,
)
from .entities.entity import Entity
from .entities.fields import Ref
from .entities.meta import EntityMeta
from .linked_session import LinkedSession
from .permissions.actor import Actor
from .permissions.denial import not_found
from .permissions.predicates import Rule, everything
from .storage.door import typed_errors

if TYPE_CHECKING:
    from sqlalchemy import Executable, Result
    from sqlalchemy.sql.selectable import TypedReturnsRows

    from .crm import CRM
    from .events.event import Event
    from .history import History
    from .hooks.actions import ActionInfo
    from .hooks.dispatch import HookState
    from .hooks.measures import Rollup
    from .past import Past
    from .query import Query
    from .storage.changeset import BulkResult
    from .storage.rollups import Cell
    from .storage.unit import Lease
    from .timeline import Timeline
    from .view360 import View360

E = TypeVar("E", bound=Entity)
S = TypeVar("S")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


@typed_errors
class Session(LinkedSession):
    """What one actor does in one transaction. ``crm.session(actor)`` opens it; leaving it commits."""

    def __init__(
        self,
        crm: CRM,
        actor: Actor,
        lease: Lease,
        *,
        plugin: str = "",
        reason: str | None = None,
        request: str | None = None,
        chain: tuple[str, ...] = (),
        hooks: HookState | None = None,
    ) -> None:
        from .storage.pipeline import Pipeline
        from .storage.reader import Reader

        super().__init__(crm, actor, lease, plugin=plugin, reason=reason, request=request, chain=chain, hooks=hooks)
        self.reader = Reader(self)
        self.pipeline = Pipeline(self)
        self._services: dict[type[Any], Any] = {}

    def can(self, action: str, record: Entity | type[Entity]) -> bool:
        """Say whether the actor may do *action* to a record as it is stored (a new one as it stands), or to some record of an entity."""
        check_text(action)
        if isinstance(record, EntityMeta):
            if action == "read":
                self.crm.ungranted.asked(self.policy, record)
            return not self.policy.is_nothing(self.policy.rule(action, record))
        check_record(record)
        return self.permitted(action, record) if record._origin is None else self.permitted_stored(action, record)

    # -- writing ------------------------------------------------------------------------------------------------------------------

    def create(self, record: E) -> E:
        """Store a new record and return it with its id. ``owner`` becomes the actor where it is None.

        Raises:
            Invalid: all wrong fields at once.
            Denied: the actor may not create such a record.
            Refused: a plugin's veto.
            Conflict: a unique value is taken.
        """
        check_record(record)
        return self._keyed("create", record, lambda: self.reader.revealed(self.pipeline.create([record])[0][0]))

    def create_many(self, records: Iterable[E], *, on_error: Literal["raise", "collect"] = "raise") -> BulkResult[E]:
        """Store many records of one entity as batches.

        Args:
            records: any iterable; it is read in chunks of 1,000.
            on_error: ``raise`` fails whole; ``collect`` leaves out what is wrong and says why by index.
        """
        check_many(records, "an iterable of records")
        check_one_of(on_error, "raise", "collect")
        if self._unit.keyed is None:
            return self.pipeline.create_many(records, collect=on_error == "collect")
        records = list(records)
        return self._keyed("create_many", records, lambda: self.pipeline.create_many(records, collect=on_error == "collect"))

    def save(self, record: E) -> E:
        """Write what differs from the stored record, if it is still at the version that was read, and return the record.

        Raises:
            Conflict: someone else changed it since; ``params`` carry yours, theirs and base.
        """
        check_record(record)
        return self._keyed("save", record, lambda: self.pipeline.save(record))

    def update(self, entity: type[E], id: str | Ref[E], changes: Mapping[str, Any], *, version: int | None = None) -> E:
        """Change fields of a record by name; what is missing stays, None is a value. Plain JSON values are understood.

        Args:
            version: the version the change is based on; another current version is a Conflict.

        Raises:
            NotFound, Denied, Invalid, Refused, Conflict: nothing was changed.
        """
        check_entity(entity)
        id_ = _id(id)
        return self._keyed("update", (entity, id_, changes), lambda: self.pipeline.update(entity, [(id_, changes)], version=version)[0][0])

    def update_where(self, query: Query[E], changes: Mapping[str, Any]) -> int:
        """Change all records of a query in batches, with hooks and a journal row each; return how many.

        Raises:
            Denied, Invalid, Refused, Conflict: nothing was changed.
        """
        from .query import Query
        from .storage.changes import check_changes

        check(query, Query, "a query")
        check_changes(self.codec(query.entity), changes)

        def work() -> int:
            count = 0
            with self._unit.atomic():
                ids = query.ids()
                for start in range(0, len(ids), 1000):
                    done, _ = self.pipeline.update(query.entity, [(i, changes) for i in ids[start : start + 1000]])
                    count += len(done)
            return count

        return self._keyed("update_where", (query.entity, query.described(), changes), work)

    def upsert(self, record: E, *, on: str) -> E:
        """Create a record, or change the living one with the same value in the unique field *on*.

        Fields left at their defaults are not touched in an existing record.

        Raises:
            Invalid: *on* is not a unique field or has no value.
            Conflict: the value belongs to a record that this actor does not see.
        """
        check_record(record)
        check_text(on)
        return self._keyed("upsert", (record, on), lambda: self.pipeline.upsert(record, on))

    def delete(self, record: Entity | Ref[Any]) -> None:
        """Soft-delete a record; :meth:`restore` brings it back.

        Raises:
            Conflict: ``protected``: other records point at it.
        """
        check_record_or_ref(record)
        entity = record.entity if isinstance(record, Ref) else type(record)
        self._keyed("delete", (entity, record.id), lambda: self.pipeline.delete(entity, [record.id]))

    def restore(self, entity: type[E], id: str | Ref[E]) -> E:
        """Bring a soft-deleted record back."""
        check_entity(entity)
        id_ = _id(id)
        return self._keyed("restore", (entity, id_), lambda: self.pipeline.restore(entity, id_))

    def emit(self, *events: Event[Any]) -> None:
        """Publish domain events of the running plugin: a journal row each in this transaction, delivered after its commit.

        Raises:
            Denied: one is not of the running plugin.
        """
        from .storage.emitting import emit

        self._keyed("emit", events, lambda: emit(self, events))

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def get(self, entity: type[E], id: str | Ref[E]) -> E:
        """Return a record.

        Raises:
            NotFound: it is not there, or not there for this actor.
        """
        check_entity(entity)
        found = self.reader.one(entity, _id(id))
        if found is None:
            raise not_found(self, entity, id)
        return found

    def find(self, entity: type[E], id: str | Ref[E] | None) -> E | None:
        """Return a record, or None where it is not there for this actor."""
        check_entity(entity)
        return None if id is None else self.reader.one(entity, _id(id))

    def lock(self, entity: type[E], id: str | Ref[E]) -> E:
        """Return a record as it is now; nobody else changes it until this transaction ends.

        Raises:
            NotFound: it is not there, or not there for this actor.
            ReadOnly: the session was opened with ``write=False``.
        """
        check_entity(entity)
        with self._unit.atomic():
            found = self.reader.locked(entity, [_id(id)]).get(_id(id))
        if not self.pipeline.sees(entity, found) or found is None:
            raise not_found(self, entity, id)
        return self.reader.revealed(found)

    def seen(self, record: E | None) -> E | None:
        """Return a record as this session's actor may see it, or None where it is hidden."""
        if record is None:
            return None
        check_record(record)
        return self.find(type(record), record.id)

    def get_many(self, entity: type[E], ids: Iterable[str | Ref[E]]) -> list[E]:
        """Return the records of *ids* in that order, without duplicates, leaving out what is not there for this actor."""
        check_entity(entity)
        check_many(ids, "an iterable of ids or references")
        wanted = list(dict.fromkeys(_id(i) for i in ids))
        found = self.reader.many(entity, wanted)
        return [found[i] for i in wanted if i in found]

    def query(self, entity: type[E]) -> Query[E]:
        """Start a query."""
        from .query import Query

        check_entity(entity)
        return Query(self, entity)

    @overload
    def execute(self, stmt: TypedReturnsRows[*Ts]) -> Result[*Ts]: ...
    @overload
    def execute(self, stmt: Executable) -> Result[*tuple[Any, ...]]: ...
    def execute(self, stmt: Any) -> Result[*tuple[Any, ...]]:
        """Run any SQLAlchemy Core select over entities, as this actor may see them.

        The mean of whole numbers is ``func.avg(column, type_=Float())``: without the type, each database would answer in another.

        Raises:
            NotReadable: it names a field the actor may not read.
            Refused: it contains something outside the closed list (text, tables, DML, unknown functions).
            MixedCurrency: it would add amounts of unlike currencies.
        """
        return self.reader.execute(stmt)

    def as_of(self, at: datetime) -> Past:
        """Return a view of the records as they were at an instant: ``s.as_of(then).query(Account).page()``."""
        from .past import Past

        check(at, datetime, "a datetime")
        return Past(self, at)

    def cells(self, rollup: Rollup, where: Rule = everything) -> list[Cell] | None:
        """Return the kept sums of the records that the actor sees and for which *where* holds; None where only the records can say."""
        from .hooks.measures import Rollup

        check(rollup, Rollup, "a Rollup")
        check(where, Rule, "a rule like F('stage') == 'won'")
        return self.crm.rollups.cells(self, rollup, where)

    def rebuild(self, rollup: Rollup) -> int:
        """Add a rollup up anew in this tenant, and return how many cells it has. Needs the permission ``core.rollups``."""
        from .hooks.measures import Rollup

        check(rollup, Rollup, "a Rollup")
        return self._keyed("rebuild", rollup.name, lambda: self.crm.rollups.rebuild(self, rollup))

    def related(self, record: Entity, ref: Any) -> Any:
        """Return the record that a preloaded reference points at; None where there is none for this actor. Never a hidden query.

        Raises:
            Invalid: the reference was not preloaded.
        """
        check_record(record)
        check_reference(ref, type(record))
        return self.reader.attached(record, ref.field)

    # -- plugins ------------------------------------------------------------------------------------------------------------------

    def use(self, service: type[S]) -> S:
        """Return a plugin's service, working in this session.

        Raises:
            Invalid: no loaded plugin offers it.
            Denied, Unavailable: ``module_off``: the plugin is off in this tenant; ``plugin_disabled``: it is off everywhere.
        """
        if not isinstance(service, type) or service not in self._services:
            owner = self.crm.registry.service_owner(service)
            self.crm.tenants.check_on(self.actor, owner)
            make: Callable[[Session], S] = service
            found = make(self.derive(plugin=owner))
            if self._unit.keyed is not None:
                from .storage.idempotency import Replayed

                found = cast("S", Replayed(found, self))
            self._services[service] = found
        return cast("S", self._services[service])

    def perform(self, command: Any) -> Any:
        """Run the action that takes *command*; a record it returns is shown as the actor may see it.

        Raises:
            Denied: the actor lacks the action's permission.
        """
        from .hooks.actions import perform
        from .results import shown
        from .storage.kept import returned

        def work() -> Any:
            with self._unit.atomic():
                result = perform(self, command)
            return shown(self, result)

        action = self.hooks.registry.actions.get(type(command))
        return self._keyed("perform", command, work, returns=returned(action.fn) if action else Any)

    def describe(self, entity: type[Entity]) -> dict[str, Any]:
        """Describe an entity for a form: labels, types, options, required, what the actor may read and write; in their language."""
        from .describe import describe

        check_entity(entity)
        return describe(self.crm, entity, self.actor, self.policy, self.custom)

    def actions(self, record: Entity) -> list[ActionInfo]:
        """List the actions on a record, with whether the actor may use them and why not."""
        from .hooks.actions import list_for

        check_record(record)
        return list_for(self, record)

    def view360(self, record: Entity | Ref[Any], *, size: int = 20, at: datetime | None = None) -> View360:
        """Return all that this actor may see around a customer (or any other record): identity, timeline, and the plugins' panels.

        A panel whose plugin fails says so; the others come. A record with an account brings the account's view along.

        Args:
            size: entries of the timeline, at most 1,000.
            at: show who the customer was at this instant, and what had happened until then; panels know no past, so there are none.

        Raises:
            NotFound: the record is not there for this actor, or was not there at that instant.
        """
        from .view360 import view360

        check_record_or_ref(record)
        check(at, (datetime, NoneType), "a datetime")
        return view360(self, record.entity if isinstance(record, Ref) else type(record), record.id, size, at)

    def timeline(self, record: Entity | Ref[Any], *, size: int = 20, after: str | None = None, at: datetime | None = None) -> Timeline:
        """Return interactions and notes linked to a record, newest first, a page at a time; with *at*, those until that instant.

        Raises:
            NotFound: the record is not there for this actor.
            Invalid: the cursor cannot be read; the size is out of range.
        """
        from .timeline import timeline

        check_record_or_ref(record)
        check(at, (datetime, NoneType), "a datetime")
        entity = record.entity if isinstance(record, Ref) else type(record)
        return timeline(self, self.get(entity, record.id).id, size, after, at)

    def history(self, record: Entity | Ref[Any], *, size: int = 20, after: str | None = None) -> History:
        """Return who changed a record, when and what, newest first; of the fields that this actor may read. Raises as :meth:`timeline`."""
        from .history import history

        check_record_or_ref(record)
        entity = record.entity if isinstance(record, Ref) else type(record)
        return history(self, entity, self.get(entity, record.id).id, size, after)

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo everything inside on an error, and go on."""
        keyed = self._unit.keyed
        return self._unit.savepoint() if keyed is None else keyed.savepoint()


def _id(id: str | Ref[Any]) -> str:
    # An id may come from outside: what cannot be one names nothing.
    found = id.id if isinstance(id, Ref) else id
    return found if isinstance(found, str) else ""
