"""Actions on grades, and the panel beside a customer."""

from __future__ import annotations

from datetime import date
from typing import Any

import attrs

from crm_core import Account, Ref, Session

from . import grades, rfm, rolledup
from .grades import AccountGrade, GradeChange
from .plugin import plugin


@attrs.define
class RegradeCustomers:
    """Grade all customers by their purchases up to a day; today where none is given."""

    as_of: date | None = None


@attrs.define
class OverrideGrade:
    """Give a customer another grade until a day, inclusive, and say why."""

    account: Ref[Account]
    grade: str
    until: date
    reason: str


@attrs.define
class RebuildRollups:
    """Add up anew the sums that are kept with every write, for this tenant."""


@plugin.action(permission="analytics.rebuild", label="analytics.action.rebuild")
def rebuild_rollups(session: Session, command: RebuildRollups) -> int:
    """Build every rollup; returns how many there are."""
    return rolledup.rebuild(session)


@plugin.action(permission="analytics.grade", label="analytics.action.regrade")
def regrade_customers(session: Session, command: RegradeCustomers) -> int:
    """Grade all customers; returns how many grades were written."""
    return rfm.regrade(session, command.as_of)


@plugin.action(on=Account, permission="analytics.grade", label="analytics.action.override")
def override_grade(session: Session, command: OverrideGrade) -> AccountGrade:
    """Override a grade; the actor becomes the override's owner."""
    session.get(Account, command.account)
    wanted = AccountGrade(
        account=command.account,
        override=command.grade,
        override_by=session.actor.id,
        override_until=command.until,
        override_reason=command.reason,
    )
    return session.upsert(wanted, on="account")


@plugin.panel(Account, label="analytics.panel.grade", reads=[AccountGrade])
def grade_of_account(session: Session, account: Account) -> dict[str, Any]:
    """The customer's grade, why, and how it came to be."""
    on = grades.today(session)
    record = session.query(AccountGrade).where(AccountGrade.account == account.ref).first()
    history = session.query(GradeChange).where(GradeChange.account == account.ref).order_by(GradeChange.at.desc(), GradeChange.id.desc())
    changes = [{"at": c.at.isoformat(), "by": c.by, "before": c.before, "after": c.after, "why": c.why} for c in history.page(20)]
    if record is None:
        return {"grade": None, "why": None, "history": changes}
    return {"grade": grades.in_force(record, on), "why": grades.explain(record, on), "history": changes}
