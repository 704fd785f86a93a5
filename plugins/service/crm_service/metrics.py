"""What service is measured by, declared for whoever reports: tickets, and how many SLA targets were kept [C40, C57]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from crm_core import Fact, Session, ratio
from crm_core.rules import F

from .measuring import BATCH, batches, measure
from .plugin import plugin
from .sla import ClockState
from .tickets import Ticket

plugin.dimension("owner", Ticket, "owner", label="service.dimension.owner")
plugin.dimension("status", Ticket, "status", label="service.dimension.status")
plugin.dimension("ticket_priority", Ticket, "priority", label="service.dimension.priority")
plugin.dimension("type", Ticket, "type", label="service.dimension.type")
plugin.dimension("channel", Ticket, "channel", label="service.dimension.channel")
plugin.dimension("account", Ticket, "account", label="service.dimension.account")

tickets = plugin.measure(
    "tickets", Ticket, at="created_at", unit="tickets", label="service.metric.tickets", formula="number of tickets, by their creation"
)
solved = plugin.measure(
    "solved_tickets",
    Ticket,
    at="solved_at",
    where=~F("solved_at").is_null(),
    unit="tickets",
    label="service.metric.solved_tickets",
    formula="number of tickets that are solved or closed, by the instant of their solution",
)

_BY = {"priority": "service.dimension.priority", "target": "service.dimension.target"}


@plugin.source(label="service.metric.targets_kept", unit="targets", dimensions=_BY, at="Ticket.created_at")
def targets_kept(session: Session, since: date | None, until: date | None) -> Iterator[Fact]:
    """Number of SLA targets that were kept, by the creation of their tickets."""
    return _targets(session, since, until, kept=True)


@plugin.source(label="service.metric.targets_broken", unit="targets", dimensions=_BY, better="lower", at="Ticket.created_at")
def targets_broken(session: Session, since: date | None, until: date | None) -> Iterator[Fact]:
    """Number of SLA targets that were broken, be it that they run still, by the creation of their tickets."""
    return _targets(session, since, until, kept=False)


@plugin.metric(targets_kept, targets_broken, label="service.metric.sla_attainment", unit="%")
def sla_attainment(kept: int, broken: int) -> Decimal | None:
    """Kept targets of those that are decided, in per cent with two places, rounded half-up."""
    return ratio(100 * kept, kept + broken)


def _targets(session: Session, since: date | None, until: date | None, *, kept: bool) -> Iterator[Fact]:
    query = session.query(Ticket).where(Ticket.sla.is_not(None))
    if since is not None:  # a day more on either side, for a zone's days are not those of UTC
        query = query.where(Ticket.created_at >= datetime.combine(since - timedelta(days=1), time(), UTC))
    if until is not None:
        query = query.where(Ticket.created_at < datetime.combine(until + timedelta(days=2), time(), UTC))
    for batch in batches(query.stream(BATCH)):
        found = measure(session, batch)
        for ticket in batch:
            for clock in found.get(ticket.id, ()):
                if clock.state is ClockState.MET if kept else clock.breached:
                    yield Fact(ticket.created_at, dimensions={"priority": ticket.priority, "target": clock.metric})
