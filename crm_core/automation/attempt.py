"""One rule tried on one record: whether it runs, what it does, and what the log says about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.automation import AutomationRule, AutomationRun, RunOutcome
from ..entities.meta import spec
from ..errors import CRMError, Denied, Invalid, NotFound, NotReadable
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
    """A rule with its author's session: what the two may do together, worked out once for a batch.

    Attributes:
        session: the author's; None where nobody is the author any more.
        definition: the rule as the author may know it; None where it does not fit any more, ``unfit`` says why.
    """

    def __init__(self, session: Session, rule: AutomationRule) -> None:
        self.rule = rule
        self.session: Session | None = None
        self.definition: Definition | None = None
        self.unfit = ""
        actor = revived(session, rule.runs_as)
        if actor is not None:
            self.session = session.derive(actor=actor, reason=f"automation rule {rule.id}")
            try:
                self.definition = read_definition(self.session, rule)
            except Invalid as e:
                self.unfit = "; ".join(d.message() for d in e.details) or e.message()

    def trouble(self, log: Log, record: str | None) -> AutomationRun | None:
        """Return the row that says why the rule cannot run at all; None where it can."""
        if self.session is None:
            return log.row(RunOutcome.DENIED, "automation_no_author", record, author=str(self.rule.runs_as.get("id", "")))
        if self.definition is None:
            return log.row(RunOutcome.FAILED, "automation_unfit", record, what=self.unfit)
        return None


def on_event(author: Author, what: Occurrence, log: Log) -> AutomationRun | None:
    """Try a rule on what happened; None where it has nothing to say to it, or the record does not exist for its author."""
    record, session, definition = what.entry.record, author.session, author.definition
    if session is None or definition is None:
        return author.trouble(log, record)
    if not definition.concerns(what) or not visible(session, definition, what.new):
        return None
    if not definition.fits(what):
        return log.row(RunOutcome.NO_MATCH, "automation_other_change", record, fields=sorted(what.changed & definition.changed.keys()))
    session.chain = (*what.entry.chain, f"{what.entry.kind} > {marker(author.rule, record)}")
    return _attempt(author, record, what.old, what.new, log)


def _attempt(author: Author, record: str, old: Values, new: Values, log: Log) -> AutomationRun:
    session, definition = author.session, author.definition
    assert session is not None
    assert definition is not None
    if not definition.holds(session, old, new):
        return log.row(RunOutcome.NO_MATCH, "automation_no_match", record)
    *before, _ = session.chain
    runs = [step for step in before if " > core.automation:" in step]
    if any(step.endswith(marker(author.rule, record)) for step in runs):
        return log.row(RunOutcome.LOOP, "automation_loop", record, chain=before)
    if len(runs) >= MAX_RULES:
        return log.row(RunOutcome.LOOP, "automation_too_deep", record, limit=MAX_RULES, chain=before)
    return _done(session, definition, record, old, new, log)


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
        outcome = RunOutcome.DENIED if isinstance(e, Denied | NotFound | NotReadable) else RunOutcome.FAILED
        return log.row(outcome, "automation_failed", record, action=label, error=e.code, fields=sorted({d.field for d in e.details}))
    return log.row(RunOutcome.DONE, "automation_done", record, actions=[act.label for act in definition.acts])


def on_time(author: Author, log: Log, keep: Callable[[AutomationRun], Any]) -> None:
    """Try a rule on every record that its author sees, one after the other; *keep* gets the rows of those on which it ran."""
    session, definition = author.session, author.definition
    trouble = author.trouble(log, None)
    if session is None or definition is None or trouble is not None:
        if trouble is not None:
            keep(trouble)
        return
    entity, codec = definition.codec.entity, definition.codec
    name = spec(entity).name
    for record in session.query(entity).stream():
        values = codec.values(record)
        if definition.holds(session, {}, values):
            session.chain = (f"{name} > {marker(author.rule, record.id)}",)
            keep(_done(session, definition, record.id, {}, values, log))
