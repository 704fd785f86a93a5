"""Milestones: steps that a policy names, with targets, warnings and reports like the others' [C40]."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from crm_core import Actor, Conflict, Denied, Invalid, NotFound, Refused, Role
from crm_service.api import (
    Attainment,
    Clock,
    ClockState,
    Milestone,
    Priority,
    ReachMilestone,
    Service,
    SlaNotice,
    SlaPolicy,
    Ticket,
    TicketMilestone,
    TicketStatus,
)
from tests.service.conftest import AGENT, MANAGER, Desk, MakeDesk
from tests.threads import at_once

H = timedelta(hours=1)
DIAGNOSED = Milestone("diagnosed")
TARGETS = {"normal": {"resolution": 480, "diagnosed": 120}, "urgent": {"resolution": 240, "diagnosed": 30}}


def promise(desk: Desk, **given: Any) -> SlaPolicy:
    return desk.promise(**{"targets": TARGETS, "milestones": ["diagnosed", "on_site"], **given})


def open_ticket(desk: Desk) -> Ticket:
    with desk.crm.session(AGENT) as s:
        return s.create(Ticket(subject="Printer"))


def clock(desk: Desk, ticket: Ticket) -> Clock:
    with desk.crm.session(AGENT, write=False) as s:
        return next(c for c in s.use(Service).sla(ticket) if c.metric == DIAGNOSED)


def test_c40_a_milestone_runs_from_the_opening_until_it_is_reached(desk: Desk) -> None:
    promise(desk)
    ticket = open_ticket(desk)
    assert (clock(desk, ticket).due, clock(desk, ticket).state) == (desk.clock.now() + 2 * H, ClockState.RUNNING)
    desk.at("mon 10:30")
    with desk.crm.session(AGENT) as s:
        s.perform(ReachMilestone(ticket=ticket.ref, milestone="diagnosed"))
    desk.at("tue 12:00")
    found = clock(desk, ticket)
    assert (found.state, found.stopped, found.consumed) == (ClockState.MET, desk.clock.now() - 25.5 * H, 1.5 * H)


def test_c40_a_milestone_pauses_and_follows_the_priority_like_every_target(desk: Desk) -> None:
    promise(desk)
    ticket = open_ticket(desk)
    desk.at("mon 10:00")
    with desk.crm.session(AGENT) as s:
        s.use(Service).move(ticket, TicketStatus.PENDING)
    desk.at("mon 15:00")
    with desk.crm.session(AGENT) as s:
        s.use(Service).move(ticket, TicketStatus.OPEN)
    assert (clock(desk, ticket).consumed, clock(desk, ticket).due) == (H, desk.clock.now() + H)
    with desk.crm.session(AGENT) as s:
        s.update(Ticket, ticket.id, {"priority": "urgent"})
    desk.at("mon 15:01")
    assert (clock(desk, ticket).target, clock(desk, ticket).state) == (H / 2, ClockState.BREACHED)


def test_c40_a_milestone_is_warned_of_and_reported_like_every_target(desk: Desk) -> None:
    promise(desk)
    late, never = open_ticket(desk), open_ticket(desk)
    desk.at("mon 12:00")
    with desk.crm.session(MANAGER) as s:
        s.use(Service).check_slas()
        notices = {(n.metric, n.kind.value) for n in s.query(SlaNotice).where(SlaNotice.ticket == late.ref).all()}
        assert notices == {("diagnosed", "warning"), ("diagnosed", "breach")}
        s.use(Service).reach(late, "diagnosed")
        s.use(Service).solve(never)
        row = s.use(Service).sla_report(date(2026, 3, 1), date(2026, 3, 31))[-1]
    assert row == Attainment("2026-03", Priority.NORMAL, DIAGNOSED, met=0, breached=2, running=0), "a solution stops it, too late as well"


def test_a_milestone_is_reached_once_also_by_ten_at_once(desk: Desk) -> None:
    promise(desk)
    ticket = open_ticket(desk)
    at_once(lambda _: desk.crm.transact(AGENT, lambda s: s.use(Service).reach(ticket, "diagnosed")), range(10))
    with desk.crm.session(AGENT) as s:
        assert s.query(TicketMilestone).count() == 1
        with pytest.raises(Conflict):
            s.create(TicketMilestone(ticket=ticket.ref, name="diagnosed"))


def test_a_milestone_that_the_policy_does_not_name_is_refused(desk: Desk) -> None:
    unmatched = open_ticket(desk)
    promise(desk)
    ticket = open_ticket(desk)
    for which, known in ((ticket, ["diagnosed", "on_site"]), (unmatched, [])):
        with desk.crm.session(AGENT) as s, pytest.raises(Refused) as e:
            s.use(Service).reach(which, "cured")
        assert (e.value.details[0].code, e.value.details[0].params["known"]) == ("service.unknown_milestone", known)


def test_milestones_that_cannot_be_are_refused(desk: Desk) -> None:
    for names in (["Diagnosed"], ["resolution"], [""], ["x" * 41], ["a b"]):
        with pytest.raises(Refused) as e:
            promise(desk, milestones=[*names, "diagnosed"])
        assert e.value.details[0].code == "service.bad_targets"
    with pytest.raises(Invalid) as wrong:
        promise(desk, milestones=[5, "diagnosed"])
    assert wrong.value.details[0].code == "wrong_type"
    with pytest.raises(Refused) as e:
        promise(desk, milestones=["on_site"])
    assert e.value.details[0].code == "service.bad_targets", "a target names a milestone that the policy does not have"


def test_who_may_not_see_or_work_on_the_ticket_reaches_nothing(make_desk: MakeDesk) -> None:
    desk = make_desk(roles=[Role("reader").allow(Ticket, "read")])
    promise(desk)
    ticket = open_ticket(desk)
    with desk.crm.session(Actor("9", roles={"reader"})) as s, pytest.raises(Denied):
        s.use(Service).reach(ticket, "diagnosed")
    with desk.crm.session(Actor("9")) as s, pytest.raises(NotFound):
        s.use(Service).reach(ticket, "diagnosed")
    with desk.crm.session(AGENT) as s, pytest.raises(Invalid):
        s.create(TicketMilestone(ticket=ticket.ref, name="diagnosed", at=desk.clock.now()))
