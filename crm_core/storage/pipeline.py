"""Law 1, the one door in: create, update, delete and restore records as batches, each a Changeset through the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..arguments import check_record
from ..entities.entity import Entity
from ..entities.meta import spec
from ..entities.sealing import MASK
from ..entities.validate import plain, structure
from ..errors import Conflict, CRMError, Denied, Detail, Invalid, NotFound
from ..hooks.core_specs import Change
from ..messages import closest
from ..permissions.denial import denied, unseen
from .changes import check_changes, check_version, flattened
from .changeset import BulkResult, Changeset, Operation
from .stages import SYSTEM, Failed, Stages

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..entities.fields import FieldSpec
    from ..session import Session

E = TypeVar("E", bound=Entity)
BATCH = 1000


class Pipeline:
    """The steps of a write, for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._crm = session.crm
        self._stages = Stages(session)

    # -- create -------------------------------------------------------------------------------------------------------------------

    def create(self, records: Sequence[E], *, collect: bool = False) -> tuple[list[E], Failed]:
        """Create records of one entity; with *collect*, failed ones are returned by index and the rest is kept.

        Raises:
            Invalid, Denied, Refused, Conflict: something is wrong, and *collect* is off; the records are as they were.
        """
        failed: Failed = []
        if not records:
            return [], failed
        entity = type(records[0])
        codec = self._session.codec(entity)
        for row, record in enumerate(records):
            if type(record) is not entity:
                raise Invalid("mixed_entities", entity=spec(entity).name, given=type(record).__name__, row=row)
            if record._origin is not None or _has(record, "version"):
                raise Invalid("already_stored", entity=spec(entity).name)
        given = self._stamp(records)
        me = self._session.actor.id
        changes = [Change(record=r, old=None, fields=codec.given(r, me)) for r in records]
        work = Changeset(entity, "create", changes, list(range(len(records))))
        try:
            with self._session._unit.atomic():
                done = self._stages.run(codec, work, failed if collect else None)
        except BaseException:
            for record, owner in zip(records, given, strict=True):
                _unstamp(record, owner)
            raise
        for row, _ in failed:
            _unstamp(records[row], given[row])
        return cast("list[E]", [c.record for c in done.changes]), failed

    def _stamp(self, records: Sequence[Any]) -> list[Any]:
        """Set what the pipeline alone sets, and return the owners that were given."""
        session = self._session
        now, actor, tenant = self._crm.runtime.clock.now(), session.actor.id, session.actor.tenant
        owned = "owner" in type(records[0]).__crm_options__ and session.actor.kind == "user"
        given = [getattr(r, "owner", None) for r in records] if "owner" in type(records[0]).__crm_options__ else [None] * len(records)
        for record, id_ in zip(records, self._new_ids(type(records[0]), len(records)), strict=True):
            record.id, record.tenant, record.version = id_, tenant, 1
            record.created_at = record.updated_at = now
            record.created_by = record.updated_by = actor
            record.deleted_at = None
            if owned and record.owner is None:
                record.owner = actor
        return given

    def _new_ids(self, entity: type[Any], count: int) -> Sequence[str]:
        if entity not in self._crm.tables.adopted:
            return self._crm.runtime.ids.many(count)
        with self._session._unit.atomic() as connection:
            return self._crm.writer(connection).hosts.ids(connection, entity, self._crm.runtime.ids, count)

    def create_many(self, records: Iterable[E], *, collect: bool) -> BulkResult[E]:
        """Create records of one entity, a thousand at a time, and return them as the actor may see them."""
        result: BulkResult[E] = BulkResult([], [])
        with self._session._unit.atomic():
            source, start = iter(records), 0
            while batch := list(islice(source, BATCH)):
                check_record(*batch)
                done, wrong = self.create(batch, collect=collect)
                result.ok.extend(map(self._session.reader.revealed, done))
                result.failed.extend((start + row, error) for row, error in wrong)
                start += len(batch)
        return result

    # -- update -------------------------------------------------------------------------------------------------------------------

    def update(
        self, entity: type[E], asked: Sequence[tuple[str, Mapping[str, Any]]], *, version: int | None = None, collect: bool = False
    ) -> tuple[list[E], Failed]:
        """Change records by id. Plain JSON values are read as their fields' types.

        Raises:
            NotFound: an id is not there for this actor.
            Conflict: *version* is not the record's version any more.
        """
        failed: Failed = []
        codec = self._session.codec(entity)
        check_version(codec, version)
        structured = [(id_, self.structure(codec, changes)) for id_, changes in asked]
        with self._session._unit.atomic():
            olds = self._session.reader.locked(entity, [id_ for id_, _ in structured])
            self._session.foresee(list(olds.values()), "read", "update")
            work = Changeset(entity, "update", [], [])
            unchanged: dict[int, E] = {}
            for row, (id_, changes) in enumerate(structured):
                old = olds.get(id_)
                error = self._hidden_or_stale(codec, old, changes, version)
                if error is not None:
                    self._stages.fail(failed if collect else None, row, error)
                    continue
                new = codec.copy(old)
                for name, value in changes.items():
                    codec.set(new, name, value)
                changed = frozenset(n for n in changes if _differ(codec.get(new, n), codec.get(old, n)))
                if not changed:
                    unchanged[row] = old  # type: ignore[assignment]  # _hidden_or_stale reports None
                    continue
                work.changes.append(Change(record=new, old=old, fields=changed))
                work.rows.append(row)
            done = self._stages.run(codec, work, failed if collect else None)
        results = unchanged | dict(zip(done.rows, cast("list[E]", [c.record for c in done.changes]), strict=True))
        return [self._session.reader.revealed(results[row]) for row in sorted(results)], failed

    def structure(self, codec: Codec, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Read names and plain values that come from outside. Hidden and unknown fields give the same error.

        Raises:
            Invalid: names that are not fields, are not readable, or may not be set.
        """
        check_changes(codec, changes)
        levels = self._session.levels(codec.entity)
        changes = flattened(codec.facts.name, changes)
        found: dict[str, Any] = {}
        wrong: list[Detail] = []
        for name, value in changes.items():
            field = codec.fields.get(name)
            level = levels.get(name, "write")
            if field is None or level == "none":
                # Of what this actor may set: a suggestion tells of no field that is hidden.
                known = [n for n, f in codec.fields.items() if levels.get(n, "write") == "write" and not f.system]
                wrong.append(Detail(codec.facts.name, str(name)[:60], "unknown_field", "", {"suggestion": closest(name, known)}))
            elif field.system or not self._stages.settable(codec, name):
                wrong.append(Detail(codec.facts.name, name, "read_only_field"))
            elif level != "write":
                wrong.append(Detail(codec.facts.name, name, "field_not_writable"))
            else:
                try:
                    found[name] = structure(codec.facts.name, field, value)
                except Invalid as e:
                    wrong += e.details
        if wrong:
            raise Invalid(details=wrong)
        return found

    def sees(self, entity: type[Any], record: Any) -> bool:
        """Say whether the actor may read a stored record; of one that is not there the same is asked: no clock tells them apart."""
        session = self._session
        if record is not None:
            return session.permitted("read", record)
        if not session.policy.is_everything(session.policy.rule("read", entity)):
            session.facts.shared(spec(entity).name, "", "read")
        return False

    def _hidden_or_stale(self, codec: Codec, old: Any, changes: Mapping[str, Any], version: int | None) -> CRMError | None:
        session = self._session
        name = codec.facts.name
        if not self.sees(codec.entity, old) or old is None:
            return unseen(session, NotFound(entity=name))
        if version is not None and old.version != version:
            readable = [n for n in changes if session.levels(codec.entity).get(n, "write") in ("read", "write")]
            theirs = codec.plain({n: codec.get(old, n) for n in readable})
            yours = {n: plain(codec.fields[n], v) for n, v in changes.items()}
            base = session.reader.base(codec, old, version, theirs)
            # Who must decide between the three sides has to see them; what is sensitive goes no further than its records.
            hidden = {n: MASK for n in changes if codec.fields[n].options.sensitive or codec.fields[n].options.sealed}
            sides = {"yours": yours, "theirs": theirs, "base": base}
            shown: dict[str, Any] = {side: {n: hidden.get(n, v) for n, v in values.items()} for side, values in sides.items()}
            return Conflict("stale_version", entity=name, id=old.id, version=version, current=old.version, **shown)
        if not session.permitted("update", old):
            return denied(session, "update", name)
        if codec.facts.append_only and not session.actor.is_system and not _amends(codec, old, changes):
            return Denied("append_only", entity=name)
        return None

    # -- save and upsert ----------------------------------------------------------------------------------------------------------

    def save(self, record: E) -> E:
        """Write what differs from the record as it was read; see :meth:`Session.save`."""
        session, entity = self._session, type(record)
        codec = self._session.codec(entity)
        check_version(codec, record.version)
        levels = session.levels(entity)
        editable = {
            n: v for n, v in codec.values(record).items() if not codec.fields[n].system and levels.get(n, "write") in ("read", "write")
        }
        current = session.reader.locked(entity, [record.id]).get(record.id)
        if not self.sees(entity, current) or current is None:
            raise unseen(self._session, NotFound(entity=codec.facts.name))
        theirs = {n: codec.get(current, n) for n in editable}
        if current.version == record.version:
            changes = {n: v for n, v in editable.items() if _differ(v, theirs[n])}
        else:
            then = session.reader.base(codec, current, record.version, codec.plain(theirs))
            changes = {n: v for n, v in editable.items() if codec.plain({n: v})[n] != then[n]}
        new = self.update(entity, [(record.id, changes)], version=record.version)[0][0]
        for name, value in codec.values(new).items():
            codec.set(record, name, value)
        return record

    def upsert(self, record: E, on: str) -> E:
        """Create a record or change the living one with the same unique value; see :meth:`Session.upsert`."""
        session, entity = self._session, type(record)
        codec = self._session.codec(entity)
        field = codec.fields.get(on)
        readable = session.levels(entity).get(on, "write") in ("read", "write")
        if field is None or not readable or not field.options.unique or codec.get(record, on) is None:
            raise Invalid("not_a_unique_value", entity=codec.facts.name, field=on)
        wrong = codec.check(record, names=[on])
        if wrong:
            raise Invalid(details=wrong)
        known = session.find(entity, session.reader.taken(entity, on, codec.get(record, on)))
        if known is None:
            # Where it is hidden, the way to the database's own answer tells nothing but that.
            try:
                return session.reader.revealed(self.create([record])[0][0])
            except Conflict as e:
                # Someone else created it between our look and our write.
                known = session.find(entity, session.reader.taken(entity, on, codec.get(record, on)))
                if e.code != "not_unique" or known is None:
                    raise
        return self.update(entity, [(known.id, {n: codec.get(record, n) for n in codec.given(record, session.actor.id)})])[0][0]

    # -- delete and restore -------------------------------------------------------------------------------------------------------

    def delete(self, entity: type[Any], ids: Sequence[str], *, within: frozenset[str] = frozenset()) -> None:
        """Soft-delete records; references to them are protected, set null or cascaded as their fields say.

        Args:
            within: the ids of the records whose deletion led here.

        Raises:
            NotFound: an id is not there for this actor.
            Denied: also ``append_only``.
            Conflict: ``protected``: living records still point at one.
        """
        codec = self._session.codec(entity)
        with self._session._unit.atomic():
            self._session.reader.hold(entity, ids, alone=True)
            olds = self._session.reader.locked(entity, ids)
            self._session.foresee(list(olds.values()), "read", "delete")
            for id_ in ids:
                self._require("delete", entity, olds.get(id_))
            if codec.facts.append_only and not self._session.actor.is_system:
                raise Denied("append_only", entity=codec.facts.name)
            self._release_references(entity, ids, within.union(ids))
            self._stages.run(codec, self._dated(codec, "delete", [olds[i] for i in ids], self._crm.runtime.clock.now()), None)

    def restore(self, entity: type[E], id_: str) -> E:
        """Bring a soft-deleted record back.

        Raises:
            NotFound: no such deleted record for this actor.
            Conflict: a unique value was taken meanwhile.
        """
        codec = self._session.codec(entity)
        with self._session._unit.atomic():
            old = self._session.reader.locked(entity, [id_], deleted=True).get(id_)
            self._require("delete", entity, old)
            done = self._stages.run(codec, self._dated(codec, "restore", [old], None), None)
        return cast("E", self._session.reader.revealed(done.changes[0].record))

    def _require(self, action: str, entity: type[Any], old: Any) -> None:
        if not self.sees(entity, old):
            raise unseen(self._session, NotFound(entity=spec(entity).name))
        if not self._session.permitted(action, old):
            raise denied(self._session, action, spec(entity).name)

    def _dated(self, codec: Codec, op: Operation, olds: Sequence[Any], at: Any) -> Changeset:
        changes = []
        for old in olds:
            new = codec.copy(old)
            new.deleted_at = at
            changes.append(Change(record=new, old=old, fields=frozenset({"deleted_at"})))
        return Changeset(codec.entity, op, changes, list(range(len(changes))))

    def _release_references(self, entity: type[Any], ids: Sequence[str], going: frozenset[str]) -> None:
        """Do to the records that point at *ids* what their fields say, but for those that are *going* with them."""
        for child, field in (*self._crm.references(entity), *self._session.custom.references(entity)):
            pointing = [i for i in self._session.reader.pointing(child, field, ids) if i not in going]
            if not pointing:
                continue
            if field.options.on_delete == "protect":
                raise Conflict("protected", entity=spec(entity).name, **self._named(child, field, pointing))
            with self._session._elevated_core(f"on_delete:{spec(entity).name}") as core:
                if field.options.on_delete == "cascade":
                    core.pipeline.delete(child, pointing, within=going)
                else:
                    core.pipeline.update(child, [(i, {field.name: None}) for i in pointing])

    def _named(self, child: type[Any], field: FieldSpec, pointing: Sequence[str]) -> dict[str, Any]:
        """Name what points at a record, unless the actor may see none of it."""
        session = self._session
        hidden = session.policy.is_nothing(session.policy.rule("read", child)) or field.name not in session.reader.readable(child)
        return {} if hidden or not session.reader.targets(child, pointing, attach=False) else {"by": spec(child).name, "field": field.name}

    # -- erasure ------------------------------------------------------------------------------------------------------------------

    def rewrite(self, codec: Codec, changes: Sequence[Change]) -> None:
        """Change living records with journal and rollups, past hooks, vetoes and rights: for what the law wants, and nobody may refuse."""
        with self._session._unit.atomic():
            self._stages.write(codec, Changeset(codec.entity, "update", list(changes), list(range(len(changes)))))

    # -- what the host wrote to its own rows ----------------------------------------------------------------------------------------

    def release(self, entity: type[Any], ids: Sequence[str]) -> None:
        """Do to the records that point at *ids*, which the host deletes, what their fields say.

        Raises:
            Conflict: ``protected``: living records still point at one.
        """
        with self._session._unit.atomic():
            self._release_references(entity, ids, frozenset(ids))

    def observed(self, codec: Codec, work: Changeset) -> None:
        """Write down, with journal and rollups, what the host did to its own rows: it has happened, and nobody may refuse it."""
        with self._session._unit.atomic():
            self._stages.observed(codec, work)


def _differ(one: Any, other: Any) -> bool:
    """Say whether two values differ; what cannot be compared does, and is judged later."""
    try:
        return bool(one != other)
    except (ArithmeticError, RecursionError):
        return True


def _amends(codec: Codec, old: Entity, changes: Mapping[str, Any]) -> bool:
    """Say whether changes only add to what is written once: in the fields that may be amended, and of a list nothing goes."""
    if not codec.entity.__dict__.get("__amendable__", frozenset()).issuperset(changes):
        return False
    lists = [name for name in changes if codec.fields[name].kind == "list"]
    return all(item in (changes[name] or ()) for name in lists for item in codec.get(old, name))


def _has(record: Any, name: str) -> bool:
    try:
        object.__getattribute__(record, name)
    except AttributeError:
        return False
    return True


def _unstamp(record: Any, owner: str | None) -> None:
    if "owner" in type(record).__crm_options__:
        record.owner = owner
    for name in SYSTEM:
        if _has(record, name):
            delattr(record, name)
