"""Analytics: what hosts and other plugins call, ``session.use(Analytics)``."""

from __future__ import annotations

from datetime import date

from crm_core import Account, Ref, Session

from . import cohorts, definitions, exports, grades, reports, rfm
from .cohorts import Cohort
from .definitions import Definition
from .grades import AccountGrade, GradeChange
from .periods import Grain
from .plugin import plugin
from .reports import Report, Table


@plugin.service
class Analytics:
    """Analytics in one session, with its actor's rights. Each method is told in the file of its capability."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Reports

    def run(self, report: Report) -> Table:
        """Answer a report as the actor sees the records: see :func:`crm_analytics.reports.run`."""
        return reports.run(self._session, report)

    def csv(self, report: Report, *, labelled: bool = False) -> str:
        """Answer a report as CSV; *labelled* names columns and options as people read them, in the actor's language."""
        return exports.to_csv(self.run(report), labelled=labelled)

    def json(self, report: Report) -> str:
        """Answer a report as the text of a JSON document."""
        return exports.to_json(self.run(report))

    def catalogue(self, locale: str | None = None) -> list[Definition]:
        """Tell of every figure that can be asked for, by name."""
        return definitions.catalogue(self._session, locale)

    # Customers

    def regrade(self, as_of: date | None = None) -> int:
        """Grade all customers that the actor sees by their purchases up to a day: see :func:`crm_analytics.rfm.regrade`."""
        return rfm.regrade(self._session, as_of)

    def grade(self, account: Account | Ref[Account]) -> str | None:
        """Return the grade that a customer has today; None without one."""
        record = self._grade(account)
        return grades.in_force(record, grades.today(self._session)) if record else None

    def explain(self, account: Account | Ref[Account]) -> str:
        """Say why a customer has its grade: ``B: R=4 F=2 M=3``."""
        record = self._grade(account)
        return grades.explain(record, grades.today(self._session)) if record else "no purchases"

    def history(self, account: Account | Ref[Account]) -> list[GradeChange]:
        """Return how a customer's grade came to be, in order."""
        query = self._session.query(GradeChange).where(GradeChange.account == _id(account))
        return query.order_by(GradeChange.at, GradeChange.id).all()

    def cohorts(self, grain: Grain | str = Grain.MONTH, *, since: date | None = None, until: date | None = None) -> list[Cohort]:
        """Return how many of the customers who bought first in a period bought again: see :func:`crm_analytics.cohorts.cohorts`."""
        return cohorts.cohorts(self._session, reports.grain_of(grain), since=since, until=until)

    def _grade(self, account: Account | Ref[Account]) -> AccountGrade | None:
        return self._session.query(AccountGrade).where(AccountGrade.account == _id(account)).first()


def _id(account: Account | Ref[Account]) -> str:
    return account.id
