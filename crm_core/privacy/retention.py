"""Retention: what is older than its rule allows is emptied or deleted, batch by batch, but for what a hold keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import ColumnElement, and_, exists, func, select

from ..audit.kinds import ERASED, RETAINED
from ..core_settings import CoreSettings
from ..entities.meta import spec
from ..errors import Conflict, Denied, Invalid, PluginFailed, Refused
from ..hooks.retention import Retention, RetentionAction, before
from ..messages import closest
from ..permissions.binding import bind
from ..permissions.to_sql import SqlEnv, to_sql
from ..storage.writer import chunks
from .planning import needed
from .removal import BATCH, remove
from .subject import as_officer, need
from .traces import trace

if TYPE_CHECKING:
    from ..crm import CRM
    from ..permissions.actor import Actor
    from ..session import Session

Held = Mapping[type[Any], frozenset[str]]
_KEEPS = (Refused, Conflict, Denied, Invalid, PluginFailed)


@attrs.define
class Due:
    """What a rule of retention asks for, or did.

    Attributes:
        rule: its name.
        before: what counts from an earlier instant is due.
        count: records that are due, or were done; those held and refused are not among them.
        held: records that a hold or a restriction keeps.
        refused: records that were kept, by the code of the error.
        suggested: the period, where the rule is only suggested and the tenant has set none: nothing is done by it.
    """

    rule: str
    entity: str
    action: RetentionAction
    before: datetime
    count: int = 0
    held: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    suggested: str = ""


def due(session: Session) -> list[Due]:
    """Say what :func:`retain` would do in a session's tenant; nothing is changed. Rules of which nothing is due are left out.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: ``retention_unknown``: the tenant's settings name a rule that no plugin has.
    """
    with as_officer(session, "retention") as core:
        holds = Holds()
        found = [_Rule(core, rule, at, holds).counted() for rule, at in _rules(core)]
    return [each for each in found if each.count or each.held]


def suggested(session: Session) -> list[Due]:
    """Say what the rules that are only suggested would ask for in a session's tenant, those too of which nothing is due.

    A tenant takes one by setting its period: ``session.change_settings(CoreSettings, {"keep": {"sales.leads": "3 years"}})``.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
    """
    with as_officer(session, "retention") as core:
        holds, own, now = Holds(), core.settings(CoreSettings).keep, core.crm.runtime.clock.now().astimezone(UTC)
        found = [r for r in core.crm.registry.retentions if r.suggested and r.name not in own]
        return [attrs.evolve(_Rule(core, r, before(now, r.keep), holds).counted(), suggested=r.keep) for r in found]


def retain(crm: CRM, actor: Actor) -> list[Due]:
    """Empty or delete all that is due in an actor's tenant; return what was done by rule.

    Each batch is a transaction with its own entry in the journal; one that fails leaves those before it, and the next run goes on. What a
    legal hold or a restriction keeps, a plugin refuses, other records need or somebody works on just now is left.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: ``retention_unknown``.
    """
    with crm.session(actor) as session:
        need(session)
        rules = _rules(session)
    done = [_run(crm, actor, rule, at) for rule, at in rules]
    return [each for each in done if each.count or each.held or each.refused]


def _rules(session: Session) -> list[tuple[Retention, datetime]]:
    """Return the rules in force in the tenant, each with the instant before which it asks for."""
    known = {rule.name: rule for rule in session.crm.registry.retentions}
    own = session.settings(CoreSettings).keep
    for name in own:
        if name not in known:
            raise Invalid("retention_unknown", given=name[:60], suggestion=closest(name, known))
    now = session.crm.runtime.clock.now().astimezone(UTC)
    return [(rule, before(now, keep)) for name, rule in known.items() if (keep := own.get(name, "" if rule.suggested else rule.keep))]


def _run(crm: CRM, actor: Actor, rule: Retention, at: datetime) -> Due:
    report, after, holds = Due(rule.name, spec(rule.entity).name, rule.action, at), "", Holds()
    while True:
        with crm.session(actor, reason=f"retention: {rule.name}") as session, _all_or_nothing(session) as core:
            ids = _Rule(core, rule, at, holds).batch(report, after)
        if not ids:
            return report
        after = ids[-1]


@contextmanager
def _all_or_nothing(session: Session) -> Iterator[Session]:
    with session._unit.atomic(), as_officer(session, "retention") as core:
        yield core


class _Rule:
    """A rule in one transaction."""

    def __init__(self, core: Session, rule: Retention, at: datetime, holds: Holds) -> None:
        self._core = core
        self._rule = rule
        self._at = at
        self._held = holds.of(core)
        self._table = core.crm.tables.entities[rule.entity]

    def counted(self) -> Due:
        """Count what is due."""
        table, connection = self._table, self._core._unit.connection
        count = select(func.count()).select_from(table).where(self._is_due())
        kept = 0
        for part in chunks(sorted(self._held.get(self._rule.entity, ()))):
            kept += connection.execute(count.where(table.c.id.in_(part)), self._core.binds).scalar_one()
        every = connection.execute(count, self._core.binds).scalar_one()
        return Due(self._rule.name, spec(self._rule.entity).name, self._rule.action, self._at, every - kept, kept)

    def batch(self, report: Due, after: str) -> Sequence[str]:
        """Deal with the next batch after an id; return the ids looked at."""
        table = self._table
        wanted = select(table.c.id).where(self._is_due(), *([table.c.id > after] if after else ())).order_by(table.c.id).limit(BATCH)
        locked = wanted.with_for_update(of=table, skip_locked=True)
        ids = [str(i) for i in self._core._unit.connection.execute(locked, self._core.binds).scalars()]
        held = self._held.get(self._rule.entity, frozenset())
        free = [i for i in ids if i not in held]
        refused = report.refused.total()
        self._done(report, free)
        report.held += len(ids) - len(free)
        count = len(free) - (report.refused.total() - refused)
        report.count += count
        if count:
            note = {"rule": self._rule.name, "action": self._rule.action, "before": self._at.isoformat(), "records": count}
            self._core.note(RETAINED, {**note, "entity": report.entity})
        return ids

    def _done(self, report: Due, ids: Sequence[str]) -> None:
        """Do it to all at once; where one is refused, to each that is not."""
        if not ids:
            return
        try:
            with self._core.savepoint():
                self._remove(ids)
        except _KEEPS as e:
            if len(ids) == 1:
                report.refused[e.code] += 1
                return
            for id_ in ids:
                self._done(report, [id_])

    def _remove(self, ids: Sequence[str]) -> None:
        entity = self._rule.entity
        if self._rule.action == "empty":
            remove(self._core, {entity: ids}, {}, self._rule.name)
            return
        protected = needed(self._core, entity, ids)
        going = [i for i in ids if i not in protected]
        parts = self._parts(going)
        for part, theirs in parts.items():
            for id_ in self._held.get(part, frozenset()).intersection(theirs):
                raise Refused("retention_held", entity=spec(part).name, record=id_)
        remove(self._core, {**parts, entity: ids}, {entity: going}, self._rule.name)

    def _parts(self, ids: Sequence[str]) -> dict[type[Any], list[str]]:
        """Return what is deleted with records, deleted ones too, by entity."""
        core, found, todo = self._core, dict[type[Any], list[str]](), [(self._rule.entity, list(ids))]
        while todo:
            entity, above = todo.pop()
            for child, field in core.crm.references(entity):
                if field.options.on_delete != "cascade":
                    continue
                table, theirs = core.crm.tables.entities[child], list[str]()
                for part in chunks(above):
                    wanted = select(table.c.id).where(table.c.tenant == core.actor.tenant, table.c[field.column].in_(part))
                    theirs += map(str, core._unit.connection.execute(wanted).scalars())
                fresh = sorted({*theirs}.difference(found.get(child, ()), ids if child is self._rule.entity else ()))
                if fresh:
                    found.setdefault(child, []).extend(fresh)
                    todo.append((child, fresh))
        return found

    def _is_due(self) -> ColumnElement[bool]:
        """Say which records are due: old enough, of the rule, and not dealt with since they were last changed."""
        core, table, facts = self._core, self._table, spec(self._rule.entity)
        system, tables = core.crm.tables.system, core.crm.tables
        field = facts.fields[self._rule.since]
        since = table.c[field.column]
        env = SqlEnv(table, tables.named, system.member, system.team_member, system.share)
        journal = system.journal
        dealt = exists().where(journal.c.record == table.c.id, journal.c.kind == ERASED, journal.c.at >= table.c.updated_at)
        where = to_sql(bind(self._rule.where, facts, extensions=core.crm.registry.extensions), env)
        old = since < (self._at.date() if field.kind == "date" else self._at)
        return and_(table.c.tenant == core.actor.tenant, old, where, ~dealt)


class Holds:
    """All records about people whom a hold or a restriction marks; looked for again where the marks changed."""

    def __init__(self) -> None:
        self._marks: list[tuple[str, str]] = []
        self._records: Held = {}

    def of(self, core: Session) -> Held:
        """Return them as a transaction sees them, by entity."""
        marks = core.crm.tables.system.person_mark
        wanted = select(marks.c.entity, marks.c.record).distinct().where(marks.c.tenant == core.actor.tenant)
        found = [(name, str(record)) for name, record in core._unit.connection.execute(wanted.order_by(marks.c.entity, marks.c.record))]
        if found != self._marks:
            people: dict[type[Any], list[str]] = {}
            for name, record in found:
                people.setdefault(core.crm.entity(name), []).append(record)
            self._marks, self._records = found, {e: frozenset(ids) for e, ids in trace(core, people).records.items()}
        return self._records
