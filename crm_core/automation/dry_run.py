"""Dry runs: what a rule would have done in history, read from the journal in one actor's sight; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import attrs

from ..entities.automation import AutomationRule, RuleTrigger
from ..errors import Invalid
from ..events.journal import changes, history
from .attempt import visible
from .definition import Act, Definition, Plain, read_definition
from .occurrence import Occurrence

if TYPE_CHECKING:
    from ..session import Session

CHUNK = 500


@attrs.frozen
class Match:
    """A record on which the rule would have run.

    Attributes:
        record: its id.
        at: when it happened.
        event: the event's id; None for a rule by the clock.
        actions: what would have been done: ``{"set": {...}}`` or ``{"perform": "...", "with": {...}}``, with the record's values.
    """

    record: str
    at: datetime
    event: str | None
    actions: tuple[Plain, ...]


@attrs.frozen
class DryRun:
    """What a rule would have done.

    Attributes:
        looked_at: how many changes (or records, for a rule by the clock) it would have been tried on.
        matches: those on which it would have run, the oldest first.
        more: whether there are more than were asked for.
    """

    looked_at: int
    matches: tuple[Match, ...]
    more: bool


def replay(session: Session, rule: AutomationRule, since: datetime | None, until: datetime | None, limit: int) -> DryRun:
    """See :meth:`Automation.dry_run`."""
    for name, at in (("since", since), ("until", until)):
        if at is not None and at.utcoffset() is None:
            raise Invalid("naive_datetime", field=name)
    definition = read_definition(session, rule)
    by_clock = definition.trigger is RuleTrigger.SCHEDULE
    tried = _records(session, definition) if by_clock else _happened(session, definition, since, until)
    looked_at = 0
    matches: list[Match] = []
    for match in tried:
        looked_at += 1
        if match is not None:
            if len(matches) == limit:
                return DryRun(looked_at, tuple(matches), True)
            matches.append(match)
    return DryRun(looked_at, tuple(matches), False)


def _records(session: Session, definition: Definition) -> Iterator[Match | None]:
    now, codec = session.crm.runtime.clock.now(), definition.codec
    for record in session.query(codec.entity).stream():
        values = codec.values(record)
        found = definition.holds(session, {}, values)
        yield Match(record.id, now, None, _planned(definition.plan(record.id, {}, values))) if found else None


def _happened(session: Session, definition: Definition, since: datetime | None, until: datetime | None) -> Iterator[Match | None]:
    """Yield a match, or None, for each change in history that the rule is about and whose record the actor sees today."""
    crm, tenant, codec = session.crm, session.actor.tenant, definition.codec
    name, connection = codec.facts.name, session._unit.connection

    read = lru_cache(100)(partial(history, connection, crm.tables, tenant, name))
    after = None
    while entries := changes(
        connection, crm.tables, tenant, f"{name}.{definition.trigger.value}", since=since, until=until, after=after, limit=CHUNK
    ):
        after = entries[-1].id
        living = session.get_many(codec.entity, [e.record for e in entries])
        seen = {r.id for r in living}
        for entry in entries:
            what = Occurrence(entry, codec, partial(read, entry.record))
            if (entry.record in seen or _is_gone(session, definition, what)) and definition.concerns(what):
                if not visible(session, definition, what.new):
                    continue
                found = definition.fits(what) and definition.holds(session, what.old, what.new)
                plan = definition.plan(entry.record, what.old, what.new) if found else []
                yield Match(entry.record, entry.at, entry.event_id, _planned(plan)) if found else None


def _is_gone(session: Session, definition: Definition, what: Occurrence) -> bool:
    """Say whether the record was deleted, and would be seen with its last values."""
    last = [e for e in what.read() if e.is_automatic][-1]
    return last.name.endswith(".deleted") and visible(session, definition, Occurrence(last, what.codec, what.read).new)


def _planned(plan: list[tuple[Act, Plain]]) -> tuple[Plain, ...]:
    return tuple({"set": values} if act.action is None else {"perform": act.action.name, "with": values} for act, values in plan)
