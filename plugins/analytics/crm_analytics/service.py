"""Analytics: what hosts and other plugins call, ``session.use(Analytics)``."""

from __future__ import annotations

from crm_core import Session

from . import definitions, exports, reports
from .definitions import Definition
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

    def csv(self, report: Report) -> str:
        """Answer a report as CSV."""
        return exports.to_csv(self.run(report))

    def json(self, report: Report) -> str:
        """Answer a report as JSON."""
        return exports.to_json(self.run(report))

    def catalogue(self, locale: str | None = None) -> list[Definition]:
        """Tell of every figure that can be asked for, by name."""
        return definitions.catalogue(self._session, locale)
