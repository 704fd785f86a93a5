"""The stages of law 1 in their order: validate, permit, hooks, vetoes, references, rows and journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
from sqlalchemy.exc import DBAPIError

from ..entities.custom_kind import PREFIX
from ..errors import Conflict, CRMError, Denied, Detail, Invalid, Refused
from ..hooks.core_specs import Change, WriteCtx, after_write, before_write, check_write
from ..hooks.refusals import as_details, by_position
from ..permissions.denial import denied
from ..permissions.predicates import Related, Seen, walk
from . import adopted_fits, custom_values
from .changeset import Changeset
from .door import explained
from .failures import translate
from .references import broken
from .shown import Shown, differ
from .writer import JournalRow, created_row, deleted_row, updated_row

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..entities.codec import Codec
    from ..entities.entity import Entity
    from ..session import Session
    from .keys.keyring import Held

Errors = dict[int, CRMError]
Failed = list[tuple[int, CRMError]]
SYSTEM = ("id", "tenant", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at")


class Stages:
    """What every changeset of one session goes through."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._crm = session.crm

    def run(self, codec: Codec, work: Changeset, failed: Failed | None) -> Changeset:
        """Send a changeset through all steps and return what was written of it."""
        work = self._sift(codec, work, self._validate(codec, work), failed)
        work = self._sift(codec, work, self._permit(codec, work), failed)
        if not work.changes:
            return work
        self._admit(work)
        ctx = WriteCtx(session=self._session, entity=work.entity, op=work.op)
        if before_write.plan(ctx):
            work = self._filtered(codec, ctx, work, failed)
        if check_write.plan(ctx):
            work = self._sift(codec, work, self._vetoes(codec, ctx, work), failed)
        work = self._sift(codec, work, broken(self._session, codec, work), failed)
        work = self._sift(codec, work, custom_values.refused(self._session, codec, work), failed)
        if not work.changes:
            return work
        work = self._write(codec, work, failed)
        if work.changes and after_write.plan(ctx):
            shown = Shown(codec, ctx, after_write, work)
            after_write(shown.ctx, shown.changes)
            self._refuse_moved(codec, shown)
        return work

    def _admit(self, work: Changeset) -> None:
        """Refuse to make a record in a table of the host's that would not be its tenant's there."""
        adoption = self._crm.tables.adopted.get(work.entity)
        if adoption is not None and work.op == "create":
            adopted_fits.admit(adoption, self._session.actor.tenant, self._crm.bound.engine.dialect)

    def _refuse_moved(self, codec: Codec, shown: Shown) -> None:
        for _, moved in shown.moved():
            if moved:
                raise Refused("veto_changed_record", entity=codec.facts.name, field=sorted(moved)[0], plugin=shown.plugins)

    def fail(self, failed: Failed | None, row: int, error: CRMError) -> None:
        if failed is None:
            raise error
        self._note(error, "update")
        failed.append((row, error))

    def _sift(self, codec: Codec, work: Changeset, errors: Errors, failed: Failed | None) -> Changeset:
        """Raise what went wrong with all details, or set it aside and go on with the rest."""
        if not errors:
            return work
        errors = {i: self._told(codec, e) for i, e in errors.items()}
        if failed is None:
            raise _combined(list(errors.values()))
        for e in errors.values():
            self._note(e, work.op)
        failed += [(work.rows[i], e) for i, e in sorted(errors.items())]
        return work.only([i for i in range(len(work.changes)) if i not in errors])

    def _told(self, codec: Codec, error: CRMError) -> CRMError:
        """Return an error without the names of fields that the actor may not read, but for those that it gave: there are none."""
        name, levels = codec.facts.name, self._session.levels(codec.entity)
        hidden = {n for n, level in levels.items() if level == "none"}
        told = {d.field for d in error.details if d.entity == name and d.code != "unknown_field"}
        if hidden.isdisjoint(told | {error.params.get("field")}):
            return error
        details = [attrs.evolve(d, field="", value="") if d.entity == name and d.field in hidden & told else d for d in error.details]
        params = {k: v for k, v in error.params.items() if k != "field" or v not in hidden}
        return type(error)(error.code, details=[d for d in details if d.field or d.code != error.code], **params)

    def _note(self, error: CRMError, call: str) -> None:
        """Note what is denied although nothing is raised."""
        if isinstance(error, Denied):
            self._session._unit.denials.note(self._session, error, call)

    def _validate(self, codec: Codec, work: Changeset) -> Errors:
        errors: Errors = {}
        adoption = self._crm.tables.adopted.get(codec.entity)
        many = len(work.changes) > 1
        for i, change in enumerate(work.changes):
            row = work.rows[i] if many else None
            if work.op == "create":
                wrong = self._new(codec, change, row)
            else:
                wrong = codec.check(change.record, row, change.fields) or self._normal(codec, change.record, row, change.fields)
            if adoption is not None:
                known, names = {d.field for d in wrong}, None if work.op == "create" else change.fields
                told = adopted_fits.misfits(adoption, codec, change.record, self._crm.bound.engine.dialect, row, names)
                wrong = [*wrong, *(d for d in told if d.field not in known)]
            if wrong:
                errors[i] = Invalid(details=wrong)
        return errors

    def _normal(self, codec: Codec, record: Any, row: int | None, names: frozenset[str] | None = None) -> list[Detail]:
        return codec.normalise(record, self._crm.region, row, names)

    def _new(self, codec: Codec, change: Change, row: int | None) -> list[Detail]:
        """Check a new record; a field that its actor may not read is unknown to it, whatever value is given."""
        record, given = change.record, change.record._custom
        hidden = {n for n, level in self._session.levels(codec.entity).items() if level == "none"}
        named = (change.fields & hidden) | {n for s in given or () if (n := f"{PREFIX}{s}") in hidden}
        if not named:
            codec.receive(record)
            return codec.check(record, row) or self._normal(codec, record, row)
        record._custom = {s: v for s, v in (given or {}).items() if f"{PREFIX}{s}" not in hidden}
        codec.receive(record)
        wrong = [d for d in codec.check(record, row) if d.field not in named]
        record._custom = given
        return [Detail(codec.facts.name, n, "unknown_field", "", {}, row) for n in sorted(named)] + wrong

    def _permit(self, codec: Codec, work: Changeset) -> Errors:
        """Check that nobody writes a record out of their own sight, or a field they may not."""
        action = {"create": "create", "update": "update", "delete": "delete", "restore": "delete"}[work.op]
        errors: Errors = {}
        if work.op == "create":
            # Records of a batch mostly have the same fields.
            wrong = {fields: self._unwritable(codec, fields) for fields in {c.fields for c in work.changes}}
            errors = {i: Invalid(details=wrong[c.fields]) for i, c in enumerate(work.changes) if wrong[c.fields]}
        policy = self._session.policy
        asked = (action, "read") if action == "update" else (action,)
        if all(policy.is_everything(policy.rule(a, codec.entity)) for a in asked):
            return errors
        self._foresee(action, work)
        for i, change in enumerate(work.changes):
            if i not in errors and not self._permitted(action, change):
                errors[i] = denied(self._session, action, codec.facts.name)
        return errors | self._pointing_at_unseen(codec, work, action, errors)

    def _pointing_at_unseen(self, codec: Codec, work: Changeset, action: str, errors: Errors) -> Errors:
        """Say of what is denied that it points at what is not there: a rule on related records answers for no hidden one."""
        denied = [i for i, e in errors.items() if isinstance(e, Denied)]
        asked = walk(self._session.policy.rule(action, codec.entity))
        if not denied or work.op not in ("create", "update") or not any(isinstance(node, Related | Seen) for node in asked):
            return {}
        return {denied[i]: e for i, e in broken(self._session, codec, work.only(denied)).items()}

    def _unwritable(self, codec: Codec, fields: frozenset[str]) -> list[Detail]:
        levels = self._session.levels(codec.entity)
        wrong = []
        for n in fields & (levels.keys() | codec.read_only):
            level = levels.get(n, "write")
            if level == "none":
                wrong.append(Detail(codec.facts.name, n, "unknown_field"))
            elif not self.settable(codec, n):
                wrong.append(Detail(codec.facts.name, n, "read_only_field"))
            elif level != "write":
                wrong.append(Detail(codec.facts.name, n, "field_not_writable"))
        return wrong

    def _filtered(self, codec: Codec, ctx: WriteCtx, work: Changeset, failed: Failed | None) -> Changeset:
        """Run ``before_write`` and check what it changed, once more and only once."""
        shown = Shown(codec, ctx, before_write, work)
        touched: list[int] = []
        for i, moved in shown.moved(before_write(shown.ctx, shown.changes)):
            change = work.changes[i]
            if moved & frozenset(SYSTEM):
                raise Refused("system_field_changed", entity=codec.facts.name, field=sorted(moved)[0], plugin=shown.plugins)
            if moved:
                touched.append(i)
                old = change.old
                change.fields = (
                    (change.fields | moved)
                    if old is None
                    else frozenset(n for n in change.fields | moved if differ(codec.get(change.record, n), codec.get(old, n)))
                )
        if touched:
            again = work.only(touched)
            errors = self._validate(codec, again)
            action = "create" if work.op == "create" else "update"
            self._foresee(action, again)
            for i, change in enumerate(again.changes):
                if i not in errors and work.op in ("create", "update") and not self._permitted(action, change):
                    errors[i] = denied(self._session, action, codec.facts.name)
            work = self._sift(codec, work, {touched[i]: e for i, e in errors.items()}, failed)
        return work

    def _foresee(self, action: str, work: Changeset) -> None:
        records: list[Entity] = [r for c in work.changes for r in (c.record, c.old) if r is not None]
        self._session.foresee(records, action, *(("read", "assign") if action == "update" else ()))

    def _permitted(self, action: str, change: Change) -> bool:
        """Judge the new state; for who may assign the record, as if it were not given away."""
        record: Entity = change.record
        moved = action == "update" and "owner" in change.fields and change.old is not None
        if moved and self._session.permitted("assign", cast("Entity", change.old)):
            codec = self._session.codec(type(change.record))
            kept = codec.copy(record)
            kept.owner = codec.get(change.old, "owner")
            record = kept
        if action == "update" and not self._session.permitted("read", record):
            return False
        return self._session.permitted(action, record)

    def _vetoes(self, codec: Codec, ctx: WriteCtx, work: Changeset) -> Errors:
        """Ask ``check_write``, which comes after all checks and so may change nothing."""
        errors: Errors = {}
        shown = Shown(codec, ctx, check_write, work)
        refusals = check_write.refusals(shown.ctx, shown.changes)
        self._refuse_moved(codec, shown)
        for at, mine in by_position(refusals, shown.given).items():
            for i in range(len(work.changes)) if at is None else [at]:
                errors[i] = Refused(details=as_details(mine, shown.given), hook=check_write.name, count=len(mine))
        return errors

    # -- writing ------------------------------------------------------------------------------------------------------------------

    def write(self, codec: Codec, work: Changeset) -> None:
        """Write what needs no question asked: rows, journal and rollups."""
        self._write(codec, work, None)

    def _write(self, codec: Codec, work: Changeset, failed: Failed | None) -> Changeset:
        try:
            if failed is None:
                self._rows_and_journal(codec, work)
            else:
                with self._session._unit.savepoint():
                    self._rows_and_journal(codec, work)
            return work
        except DBAPIError as e:
            error = self._explained(codec, e)
            if failed is None or not isinstance(error, Conflict | Invalid):
                raise error from e
            if len(work.changes) == 1:
                failed.append((work.rows[0], error))
                return work.only([])
        # One of many broke a rule of the database: find it by halves, so that the rest is kept.
        middle = len(work.changes) // 2
        left = self._write(codec, work.only(list(range(middle))), failed)
        right = self._write(codec, work.only(list(range(middle, len(work.changes)))), failed)
        return Changeset(work.entity, work.op, left.changes + right.changes, left.rows + right.rows)

    def _explained(self, codec: Codec, e: DBAPIError) -> CRMError:
        unit = self._session._unit
        return explained(e, unit) if unit.overdue else self._told(codec, translate(e, tables=self._crm.tables, entity=codec.entity))

    def _rows_and_journal(self, codec: Codec, work: Changeset) -> None:
        session = self._session
        connection = session._unit.connection
        writer = self._crm.writer(connection)
        if work.op != "create":
            writer.hosts.see(session, codec, (c.old for c in work.changes))
            now = self._crm.runtime.clock.now()
            for change in work.changes:
                record, old = change.record, change.old
                assert old is not None
                record.version, record.updated_at, record.updated_by = old.version + 1, now, session.actor.id
        records = [c.record for c in work.changes]
        held = writer.keys(connection, codec, records, fresh=work.op == "create")
        if work.op == "create":
            writer.insert(connection, codec, records, held)
        else:
            writer.update(connection, codec, records, set().union(*(c.fields for c in work.changes)), held)
        custom_values.write(session, writer, codec, work)
        self._write_down(connection, codec, work, held)

    def observed(self, codec: Codec, work: Changeset) -> None:
        """Write down what the host did to its own rows."""
        session, connection, now = self._session, self._session._unit.connection, self._crm.runtime.clock.now()
        writer = self._crm.writer(connection)
        for change in work.changes:
            record, me = change.record, session.actor.id
            record.version, record.updated_at, record.updated_by = (change.old.version + 1 if change.old else 1), now, me
            if change.old is None:
                record.created_at, record.created_by = now, me
        records, new = [c.record for c in work.changes], work.op == "create"
        if new:
            writer.hosts.renew(connection, self._crm.tables.adopted[codec.entity], records)
        held = writer.keys(connection, codec, records, fresh=new)
        writer.hosts.stamp(connection, codec, records, new=new)
        self._write_down(connection, codec, work, held)

    def _write_down(self, connection: Connection, codec: Codec, work: Changeset, held: Held) -> None:
        """Write journal and rollups of rows that are written."""
        session, records = self._session, [c.record for c in work.changes]
        # The instant that stands in the records, so that as of it they are there.
        origin = attrs.evolve(session.origin(), at=records[0].updated_at)
        self._crm.writer(connection).journal(connection, origin, self._journal_rows(codec, work), held)
        self._crm.rollups.keep(connection, session.actor.tenant, codec, work)
        session._unit.changed()

    def _journal_rows(self, codec: Codec, work: Changeset) -> Iterable[JournalRow]:
        ids = self._crm.runtime.ids.many(len(work.changes))
        for change, event_id in zip(work.changes, ids, strict=True):
            match work.op:
                case "create":
                    yield created_row(codec, change.record, event_id)
                case "update":
                    yield updated_row(codec, change.old, change.record, change.fields, event_id)
                case "restore":
                    yield updated_row(codec, change.old, change.record, change.fields, event_id, verb="restored")
                case "delete":
                    yield deleted_row(codec, change.record, event_id)

    def settable(self, codec: Codec, name: str) -> bool:
        field = codec.fields[name]
        if not field.options.read_only or self._session.actor.is_system:
            return True
        owner = field.extension.__crm_extends__[1] if field.extension else codec.facts.plugin or "core"
        running = self._session.hooks.running
        return owner in (self._session.actor.plugin, running.plugin if running else "")


def _combined(errors: Sequence[CRMError]) -> CRMError:
    """Make one error of many: of the first's kind, with the details of all of that kind."""
    first = errors[0]
    if len(errors) == 1 or not first.details:
        return first
    details = [d for e in errors if type(e) is type(first) for d in e.details]
    return type(first)(first.code, details=details, **first.params)
