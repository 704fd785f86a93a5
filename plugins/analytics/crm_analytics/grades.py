"""Grades of customers: what each has now, why, since when; and overrides, which have an owner and end [C05]."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from crm_core import Account, Change, Entity, Field, OptionalMoneyField, Ref, Session, WriteCtx, after_write, check_write, field

from .periods import Calendar
from .plugin import plugin
from .settings import Settings


class AccountGrade(Entity):
    """The grade of one customer, with what it was computed from; ``override`` stands before it until ``override_until`` has passed.

    ``recency``, ``frequency`` and ``monetary`` are scores from 1 (worst) to 5; ``last_on``, ``purchases`` and ``spent`` what they were
    given for, on ``as_of``. A customer without purchases has no grade.

    Attributes:
        account: the customer.
        grade: the grade of the figures.
        override_by: who set the override.
        override_reason: why it was set.
    """

    account: Field[Ref[Account]] = field(unique=True, on_delete="cascade")
    grade: Field[str | None] = field(default=None, length=20, index=True)
    recency: Field[int | None] = field(default=None, min=1, max=5)
    frequency: Field[int | None] = field(default=None, min=1, max=5)
    monetary: Field[int | None] = field(default=None, min=1, max=5)
    last_on: Field[date | None] = field(default=None)
    purchases: Field[int] = field(default=0, min=0)
    spent: OptionalMoneyField = field(default=None)
    as_of: Field[date | None] = field(default=None)
    override: Field[str | None] = field(default=None, length=20)
    override_by: Field[str | None] = field(default=None)
    override_until: Field[date | None] = field(default=None)
    override_reason: Field[str | None] = field(default=None, pii=True)


class GradeChange(Entity):
    """One change of a customer's grade: from what to what, when, by whom and why. Written by the module alone.

    Attributes:
        account: the customer.
        before: the grade until then.
        after: the grade from then on.
        why: what changed it: the figures, or somebody.
    """

    __append_only__: ClassVar[bool] = True
    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "at"),)

    account: Field[Ref[Account]] = field(on_delete="cascade", read_only=True)
    at: Field[datetime] = field(read_only=True)
    by: Field[str] = field(read_only=True)
    before: Field[str | None] = field(read_only=True, length=20)
    after: Field[str | None] = field(read_only=True, length=20)
    why: Field[str] = field(read_only=True)


plugin.entities(AccountGrade, GradeChange)


def today(session: Session) -> date:
    """Return the day of the tenant's zone."""
    return Calendar(session.settings(Settings).zone).day_of(session.crm.runtime.clock.now())


def in_force(record: AccountGrade, on: date) -> str | None:
    """Return the grade that counts on a day."""
    return record.override if _overridden(record, on) else record.grade


def explain(record: AccountGrade, on: date) -> str:
    """Say why: ``B: R=4 F=2 M=3``; an override names its owner, its end and its reason, and what it stands before."""
    scores = f"R={record.recency} F={record.frequency} M={record.monetary}"
    computed = "no purchases" if record.grade is None else f"{record.grade}: {scores}"
    if not _overridden(record, on):
        return computed
    return f"{record.override}: set by {record.override_by} until {record.override_until}: {record.override_reason} ({computed})"


def _overridden(record: AccountGrade, on: date) -> bool:
    return record.override is not None and record.override_until is not None and on <= record.override_until


@plugin.hook(check_write, on=AccountGrade)
def check_override(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse an override without owner, reason or end, and one of a grade that there is none."""
    known = list(ctx.session.settings(Settings).grades)
    for change in changes:
        record: Any = change.record
        if record.override is None or ctx.op not in ("create", "update"):
            continue
        if record.override not in known:
            ctx.refuse(record, "analytics.unknown_grade", field="override", given=record.override, known=known)
        if not (record.override_by and record.override_reason and record.override_until):
            ctx.refuse(record, "analytics.override_incomplete", field="override")


@plugin.hook(after_write, on=AccountGrade)
def keep_history(ctx: WriteCtx, changes: list[Change]) -> None:
    """Keep every change of the grade that counts, whichever way it was made."""
    now, on = ctx.session.crm.runtime.clock.now(), today(ctx.session)
    who = ctx.session.actor.on_behalf_of or ctx.session.actor
    found = []
    for change in changes:
        record: Any = change.record
        old: Any = change.old
        # What was in force is what the last change said, not what its end has made of it since.
        before = None if old is None else old.override or old.grade
        after = in_force(record, on)
        if ctx.op in ("create", "update") and before != after:
            found.append(GradeChange(account=record.account, at=now, by=who.id, before=before, after=after, why=explain(record, on)))
    if found:
        with ctx.elevated("history of grades") as history:
            history.create_many(found)
