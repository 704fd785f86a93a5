"""Runs rules: on what the journal delivers, once an event; by the clock, once a slot, whoever else runs too."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection, select

from ..entities.automation import AutomationRule, AutomationRun, RuleTrigger, RunOutcome
from ..entities.meta import spec
from ..errors import Conflict, Invalid
from ..events.journal import Entry, history
from ..events.subscribers import Subscriber
from ..logs import facts
from .attempt import Author, Log, on_event, on_time
from .author import captured
from .definition import read_definition
from .dry_run import DryRun, replay
from .occurrence import TRIGGERS, Occurrence
from .schedule import read_schedule

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.core_specs import Change
    from ..session import Session

_log = logging.getLogger(__name__)
_WAKING = frozenset({"active", "deleted_at"})
_DEFINITION = frozenset({"entity", "runs_on", "changed", "schedule", "condition", "actions", "runs_as"})


@attrs.frozen
class Slot:
    """A rule whose time came."""

    tenant: str
    rule: str
    at: datetime

    @property
    def source(self) -> str:
        """What the log's key says of it."""
        return self.at.isoformat()


class Automation:
    """The automation of one CRM, as ``crm.automation``."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self.idle = Subscriber(
            "core.automation", "core", self.handle, frozenset(), batch=True, external=False, on_failure="hold", from_start=False, raw=True
        )

    # -- for people ---------------------------------------------------------------------------------------------------------------

    def dry_run(
        self, session: Session, rule: AutomationRule, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1_000
    ) -> DryRun:
        """Say what a rule, stored or not, would have done in history, writing nothing; one by the clock, what it would do now.

        The session's actor takes the author's place: what they may not see does not count.

        Args:
            since, until: the instants between which to look, the first included; without them, all that the journal has.
            limit: how many matches to return at most.

        Raises:
            Invalid: ``details`` name all that is wrong with the rule.
        """
        return replay(session, rule, since, until, limit)

    def reason(self, run: AutomationRun, locale: str = "en") -> str:
        """Say in words why a rule ran, or why it did not."""
        return self._crm.messages.text(run.reason, run.params, locale)

    # -- storing rules ------------------------------------------------------------------------------------------------------------

    def check(self, session: Session, changes: Sequence[Change]) -> None:
        """Check rules on their way into the database, and note with whose rights they run: those of whoever says what they do."""
        for change in changes:
            rule = change.record
            assert isinstance(rule, AutomationRule)
            woken = bool(change.fields & _WAKING) and rule.active
            if change.old is None or woken or change.fields & _DEFINITION:
                read_definition(session, rule)
                rule.runs_as = captured(session.actor)

    # -- by events ----------------------------------------------------------------------------------------------------------------

    def listening(self, connection: Connection) -> Subscriber:
        """Return the subscriber with the events that the active rules of all tenants wait for."""
        table = self._crm.tables.entities[AutomationRule]
        statement = select(table.c.entity, table.c.runs_on).distinct().where(table.c.active, table.c.deleted_at.is_(None))
        waited = frozenset(f"{row.entity}.{row.runs_on.value}" for row in connection.execute(statement) if row.runs_on.value in TRIGGERS)
        return attrs.evolve(self.idle, events=waited)

    def handle(self, session: Session, entries: Sequence[Entry]) -> None:
        """Try the tenant's rules on what happened, in the transaction that moves the subscription on."""
        rules = session.query(AutomationRule).where(AutomationRule.active, AutomationRule.runs_on != RuleTrigger.SCHEDULE)
        waiting: dict[str, list[AutomationRule]] = {}
        for rule in rules.order_by(AutomationRule.position, AutomationRule.id).all():
            waiting.setdefault(f"{rule.entity}.{rule.runs_on.value}", []).append(rule)
        pairs = [(entry, rule) for entry in entries for rule in waiting.get(entry.name, ())]
        known = self._known(session, [f"{rule.id}:{entry.event_id}" for entry, rule in pairs])
        authors: dict[str, Author] = {}
        begun: dict[str, int] = {}
        happened: dict[int, Occurrence] = {}
        read = lru_cache(100)(partial(history, session._unit.connection, self._crm.tables, session.actor.tenant))
        runs: list[AutomationRun] = []
        for entry, rule in pairs:
            if rule.id not in authors:
                authors[rule.id] = Author(session, rule)
                begun[rule.id] = self._woken(session._unit.connection, rule.tenant, rule.id).id
            if entry.id <= begun[rule.id] or f"{rule.id}:{entry.event_id}" in known:
                continue
            author, log = authors[rule.id], Log(rule, self._now(), entry.event_id, entry.event_id)
            if author.definition is None:
                runs.append(author.trouble(log))
                continue
            if entry.id not in happened:
                happened[entry.id] = Occurrence(entry, author.definition.codec, partial(read, entry.entity, entry.record))
            run = on_event(author, author.definition, happened[entry.id], log)
            if run is not None:
                runs.append(run)
        session.create_many(runs)

    def _known(self, session: Session, keys: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for start in range(0, len(keys), 500):
            query = select(AutomationRun.key).where(AutomationRun.key.in_(keys[start : start + 500]))
            found.update(session.execute(query).scalars())
        return frozenset(found)

    def _woken(self, connection: Connection, tenant: str, rule: str) -> Entry:
        """Return the journal's row by which a rule became active: what happened before is none of its business."""
        rows = history(connection, self._crm.tables, tenant, spec(AutomationRule).name, rule)
        return [e for e in rows if not e.name.endswith(".updated") or e.changes.get("active") == [False, True]][-1]

    # -- by the clock -------------------------------------------------------------------------------------------------------------

    def due(self, connection: Connection) -> list[Slot]:
        """Return the rules whose time came and that have not run since. Of several times missed, the last one counts."""
        table, runs, now = self._crm.tables.entities[AutomationRule], self._crm.tables.entities[AutomationRun], self._now()
        statement = select(table.c.tenant, table.c.id, table.c.schedule, table.c.updated_at).where(
            table.c.active, table.c.runs_on == RuleTrigger.SCHEDULE, table.c.deleted_at.is_(None)
        )
        slots: dict[str, tuple[Slot, datetime]] = {}
        for tenant, rule, schedule, changed in connection.execute(statement):
            try:
                slot = Slot(tenant, rule, read_schedule(schedule).last(now))
                slots[f"{rule}:{slot.source}"] = slot, changed
            except Invalid:
                _log.warning("the schedule of rule %s cannot be read", rule, extra=facts("rule_unreadable", tenant=tenant, rule=rule))
        done = set(connection.execute(select(runs.c.key).where(runs.c.key.in_(slots))).scalars()) if slots else set()
        left = [pair for key, pair in slots.items() if key not in done]
        return [s for s, changed in left if s.at > changed or s.at > self._woken(connection, s.tenant, s.rule).at]

    def run_slot(self, session: Session, slot: Slot) -> None:
        """Run a rule for its slot, unless it was stopped meanwhile.

        Raises:
            Conflict: somebody else took the slot at the same time.
        """
        rule = session.find(AutomationRule, slot.rule)
        if rule is None or not rule.active:
            return
        log = Log(rule, self._now(), slot.source)
        session.create(log.row(RunOutcome.DONE, "automation_slot", at=slot.source))
        on_time(Author(session, rule), attrs.evolve(log, source=f"{slot.source}:run"), session.create)

    def _now(self) -> datetime:
        return self._crm.runtime.clock.now()


def taken(error: Exception) -> bool:
    """Say whether an error only tells that another process has the slot."""
    return isinstance(error, Conflict) and error.code == "not_unique"
