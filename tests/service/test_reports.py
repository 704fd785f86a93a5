"""Reports: tickets by status and kept targets, each through the lens of who asks [C40]."""

from __future__ import annotations

from datetime import date

from crm_core import Actor, Role, owner
from crm_service.api import (
    Attainment,
    BusinessCalendar,
    Metric,
    Priority,
    Service,
    SlaPolicy,
    Ticket,
    TicketChange,
    TicketComment,
    TicketStatus,
)
from tests.service.conftest import AGENT, Desk, MakeDesk

MARCH = (date(2026, 3, 1), date(2026, 3, 31))


def life(desk: Desk) -> None:
    """Of 7 and 8 by turns: two tickets solved in time, one too late, an urgent one too late, one open too late; and one that still runs."""
    desk.promise(targets={"normal": {"resolution": 480}, "urgent": {"resolution": 60}})
    priorities = [Priority.NORMAL, Priority.NORMAL, Priority.NORMAL, Priority.URGENT, Priority.NORMAL]
    tickets = []
    for n, priority in enumerate(priorities):
        with desk.crm.session(Actor("78"[n % 2], roles={"service.agent"})) as s:
            tickets.append(s.create(Ticket(subject=f"#{n}", priority=priority)))
    for when, n in (("mon 12:00", 0), ("mon 13:00", 3), ("mon 17:00", 1), ("tue 12:00", 2)):
        desk.at(when)
        with desk.crm.session(AGENT) as s:
            s.use(Service).solve(tickets[n])
    desk.at("wed 09:00")
    with desk.crm.session(AGENT) as s:
        s.create(Ticket(subject="#5"))


def test_c40_the_report_counts_kept_and_broken_targets_by_month_priority_and_metric(desk: Desk) -> None:
    life(desk)
    with desk.crm.session(AGENT, write=False) as s:
        report = s.use(Service).sla_report(*MARCH)
        assert s.use(Service).sla_report(date(2026, 4, 1), date(2026, 4, 30)) == []
    assert report == [
        Attainment("2026-03", Priority.NORMAL, Metric.RESOLUTION, met=2, breached=2, running=1),
        Attainment("2026-03", Priority.URGENT, Metric.RESOLUTION, met=0, breached=1, running=0),
    ]
    assert [row.percent for row in report] == [50.0, 0.0]
    assert Attainment("2026-03", Priority.LOW, Metric.RESOLUTION, 0, 0, 3).percent is None


def test_tickets_by_status_leaves_out_the_closed_and_names_the_empty(desk: Desk) -> None:
    life(desk)
    with desk.crm.session(AGENT) as s:
        solved = s.query(Ticket).where(Ticket.status == TicketStatus.SOLVED).first()
        assert solved is not None
        s.use(Service).move(solved, TicketStatus.CLOSED)
        assert s.use(Service).tickets_by_status() == {
            TicketStatus.NEW: 2,
            TicketStatus.OPEN: 0,
            TicketStatus.PENDING: 0,
            TicketStatus.ON_HOLD: 0,
            TicketStatus.SOLVED: 3,
        }


def test_who_sees_own_tickets_gets_a_report_of_own_tickets(make_desk: MakeDesk) -> None:
    own = Role("own").allow(Ticket, "read", where=owner)
    for entity in (TicketChange, TicketComment, SlaPolicy, BusinessCalendar):
        own.allow(entity, "read")
    desk = make_desk(roles=[own])
    life(desk)
    with desk.crm.session(Actor("8", roles={"own"}), write=False) as s:
        assert s.use(Service).sla_report(*MARCH) == [
            Attainment("2026-03", Priority.NORMAL, Metric.RESOLUTION, met=1, breached=0, running=0),
            Attainment("2026-03", Priority.URGENT, Metric.RESOLUTION, met=0, breached=1, running=0),
        ]
        assert sum(s.use(Service).tickets_by_status().values()) == 2
    with desk.crm.session(Actor("8"), write=False) as s:
        assert s.use(Service).sla_report(*MARCH) == []
