"""The hand-over from sales: a won deal opens one onboarding request, with what was promised to win it [C24, C38].

A companion: it exists in a CRM that has both modules, and sees of sales what it needs and no more.
"""

from __future__ import annotations

from datetime import timedelta

from crm_core import Plugin, Session
from crm_sales.api import Commitment as Made
from crm_sales.api import Opportunity, OpportunityWon

from .requests import Commitment
from .service import Service
from .settings import Settings

plugin = Plugin("service.handover", version="1.0.0", requires={"sales": ">=1,<2", "service": ">=1,<2"}, label="Hand-over from sales")
plugin.grants(
    "account:read",
    "sales.opportunity:read",
    "sales.commitment:read",
    "service.service_request:read,create",
    "service.checklist_item:read,create",
    "service.promise:read,create",
)


@plugin.on(OpportunityWon)
def open_onboarding(session: Session, event: OpportunityWon) -> None:
    """Open the deal's onboarding request; delivered again, or for a deal that is won again, it only adds new promises.

    A deal that was closed so long ago that its onboarding would be overdue is history: somebody imports it.
    """
    if event.at - event.closed_at > timedelta(days=session.settings(Settings).onboarding_days):
        return
    deal = session.find(Opportunity, event.record)
    if deal is None:
        return
    made = session.query(Made).where(Made.opportunity == deal.ref).order_by(Made.id).all()
    session.use(Service).open_onboarding(
        source=f"sales.opportunity:{deal.id}",
        deal=deal.name,
        account=deal.account,
        owner=deal.owner,
        commitments=[_carried(c) for c in made],
    )


def _carried(made: Made) -> Commitment:
    return Commitment(what=made.what, source=f"sales.commitment:{made.id}", who=made.who, due=made.due, fulfilled=made.fulfilled)
