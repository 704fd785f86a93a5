"""One rule tried on one record: whether it runs, what it does, and what the log says about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.automation import AutomationRule, AutomationRun, RunOutcome
from ..errors import CRMError, Denied, Invalid, NotReadable
from ..permissions.to_python import holds
from ..storage.failures import retryable
from .author import revived
from .definition import Definition, read_definition

if TYPE_CHECKING:
    from datetime import datetime

    from ..permissions.to_python import Values
    from ..session import Session
    from .occurrence import Occurrence

MAX_RULES = 8


def visible(session: Session, definition: Definition, values: Values) -> bool:
    """Say whether the session's actor may see a record with these values."""
    rule = session.policy.rule("read", definition.codec.entity)
    return session.policy.is_everything(rule) or holds(rule, values, session.facts)


def marker(rule: AutomationRule, record: str) -> str:
    """Return what a chain of events says of a rule's run for a record."""
    return f"core.automation:{rule.id}:{record}"


@attrs.frozen
class Log:
    """Makes the rows of the log, of one rule, for one event or instant."""

    rule: AutomationRule
    at: datetime
    source: str
    event: str | None = None

    def row(self, outcome: RunOutcome, reason: str, record: str | None = None, **params: Any) -> AutomationRun:
        """Return a row; its key is taken once."""
        return AutomationRun(
            rule=self.rule.ref,
            key=":".join(part for part in (self.rule.id, self.source, record if self.event is None else None) if part),
            at=self.at,
            entity=self.rule.entity,
            record=record,
            event=self.event,
            outcome=outcome,
            reason=reason,
            params=params,
            owner=self.rule.owner,
        )


class Author:
    """A rule with its author: what the two may do together, worked out once for a batch.

    Attributes:
        definition: the rule as the author may know it; None where there is no author any more, or the rule does not fit.
    """

    def __init__(self, session: Session, rule: AutomationRule) -> None:
        self.rule = rule
        self.definition: Definition | None = None
        self._handler = session
        self._actor = revived(session, rule.runs_as)
        self._unfit: list[str] = []
        if self._actor is not None:
            try:
                self.definition = read_definition(self.session(()), rule)
            except Invalid as e:
                self._unfit = [f"{d.field} ({d.code})" for d in e.details]

    def session(self, chain: tuple[str, ...]) -> Session:
        """Return a session of the author's own; what is written in it stands in the journal as caused by *chain*."""
        session = self._handler.derive(actor=self._actor, reason=f"automation rule {self.rule.id}")
        session.chain = chain
        return session

    def trouble(self, log: Log) -> AutomationRun:
        """Return the row that says why the rule cannot run at all; it names no record, which its author may not see."""
        if self._actor is None:
            return log.row(RunOutcome.DENIED, "automation_no_author", author=str(self.rule.runs_as.get("id", "")))
        return log.row(RunOutcome.FAILED, "automation_unfit", what=self._unfit)


def on_event(author: Author, definition: Definition, what: Occurrence, log: Log) -> AutomationRun | None:
    """Try a rule on what happened; None where it has nothing to say to it, or the record does not exist for its author."""
    record, before = what.entry.record, what.entry.chain
    session = author.session((*before, f"{what.entry.kind} > {marker(author.rule, record)}"))
    if not definition.concerns(what) or not visible(session, definition, what.new):
        return None
    if not definition.fits(what):
        return log.row(RunOutcome.NO_MATCH, "automation_other_change", record, fields=sorted(what.changed & definition.changed.keys()))
    if not definition.holds(session, what.old, what.new):
        return log.row(RunOutcome.NO_MATCH, "automation_no_match", record)
    runs = [step for step in before if " > core.automation:" in step]
    if any(step.endswith(marker(author.rule, record)) for step in runs):
        return log.row(RunOutcome.LOOP, "automation_loop", record, chain=list(before))
    if len(runs) >= MAX_RULES:
        return log.row(RunOutcome.LOOP, "automation_too_deep", record, limit=MAX_RULES, chain=list(before))
    return _done(session, definition, record, what.old, what.new, log)


def _done(session: Session, definition: Definition, record: str, old: Values, new: Values, log: Log) -> AutomationRun:
    """Do what the rule says, wholly or not at all."""
    label = ""
    try:
        with session.savepoint():
            for act, values in definition.plan(record, old, new):
                label = act.label
                act.run(session, definition.codec.entity, record, values)
    except CRMError as e:
        if retryable(e):
            raise
        outcome = RunOutcome.DENIED if isinstance(e, Denied | NotReadable) else RunOutcome.FAILED
        return log.row(outcome, "automation_failed", record, action=label, error=e.code, fields=sorted({d.field for d in e.details}))
    return log.row(RunOutcome.DONE, "automation_done", record, actions=[act.label for act in definition.acts])


def on_time(author: Author, log: Log, keep: Callable[[AutomationRun], Any]) -> None:
    """Try a rule on every record that its author sees, one after the other; *keep* gets the rows of those on which it ran."""
    definition = author.definition
    if definition is None:
        keep(author.trouble(log))
        return
    entity, codec = definition.codec.entity, definition.codec
    reader = author.session(())
    for record in reader.query(entity).stream():
        values = codec.values(record)
        if definition.holds(reader, {}, values):
            session = author.session((f"{codec.facts.name} > {marker(author.rule, record.id)}",))
            keep(_done(session, definition, record.id, {}, values, log))
