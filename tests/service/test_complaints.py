"""Complaints: deadlines, steps that follow each other, and an account's owner who hears of it [C37]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_core import Account, Actor, Conflict, Denied, Invalid, Money, Plugin, Refused, Role, Session
from crm_core.rules import F, to_json
from crm_service import plugin
from crm_service.api import (
    AcknowledgeComplaint,
    AnswerOffer,
    Complaint,
    ComplaintEnded,
    ComplaintReceived,
    ComplaintStatus,
    OfferResolution,
    Service,
    Severity,
    Ticket,
    TicketType,
)
from tests.service.conftest import AGENT, MANAGER, MONDAY, Desk, MakeDesk

C = ComplaintStatus
SYSTEM = Actor.system("test", tenant="main")


def complain(desk: Desk, **given: Any) -> Complaint:
    with desk.crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", owner="3"))
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="It burned my desk", account=account.ref))
        return s.create(Complaint(**{"ticket": ticket.ref, "severity": Severity.MAJOR, **given}))


def test_c37_a_complaint_goes_from_the_first_word_to_a_resolution_that_the_customer_accepts(desk: Desk) -> None:
    complaint = complain(desk)
    desk.at("tue 10:00")
    with desk.crm.session(AGENT) as s:
        known = s.perform(AcknowledgeComplaint(complaint=complaint.ref))
        assert (known.status, known.acknowledged_at) == (C.ACKNOWLEDGED, desk.clock.now())
        pay = Money("120.50", "EUR")
        offer = OfferResolution(complaint=complaint.ref, root_cause="A loose wire", resolution="A new desk", compensation=pay)
        assert s.perform(offer).compensation == pay
        again = s.perform(AnswerOffer(complaint=complaint.ref, accepted=False))
        assert (again.status, again.acknowledged_at) == (C.ACKNOWLEDGED, desk.clock.now())
        s.perform(offer)
        ended = s.perform(AnswerOffer(complaint=complaint.ref, accepted=True))
        assert (ended.status, ended.ended_at) == (C.ACCEPTED, desk.clock.now())


def test_c37_a_complaint_has_deadlines_in_calendar_time(make_desk: MakeDesk) -> None:
    desk = make_desk(plugins=[plugin.configured(complaint_acknowledge_hours=24, complaint_answer_days=30)])
    complaint = complain(desk)
    assert (complaint.acknowledge_by, complaint.answer_by) == (MONDAY + timedelta(hours=24), MONDAY + timedelta(days=30))


def test_c37_what_is_overdue_is_listed_until_it_is_done(desk: Desk) -> None:
    complaint = complain(desk)

    def late() -> int:
        with desk.crm.session(AGENT, write=False) as s:
            return len(s.use(Service).overdue_complaints())

    desk.clock.advance(timedelta(hours=48))
    assert late() == 0, "the last instant still counts"
    desk.clock.advance(timedelta(microseconds=1))
    assert late() == 1
    with desk.crm.session(AGENT) as s:
        s.use(Service).acknowledge(complaint)
    assert late() == 0
    desk.clock.advance(timedelta(days=54))
    assert late() == 1, "the final answer is missing"
    with desk.crm.session(AGENT) as s:
        s.use(Service).offer(complaint, root_cause="A loose wire", resolution="A new desk")
        s.use(Service).answer_offer(complaint, accepted=True)
    assert late() == 0


def test_c37_steps_that_do_not_follow_each_other_are_refused(desk: Desk) -> None:
    complaint = complain(desk)
    why: dict[str, Any] = {"root_cause": "A loose wire", "resolution": "A new desk"}
    codes = []

    def step(**changes: Any) -> None:
        with desk.crm.session(AGENT) as s, pytest.raises(Refused) as e:
            s.update(Complaint, complaint.id, changes)
        codes.append(e.value.details[0].code)

    step(status="offered", **why)
    step(status="accepted")
    step(status="closed")
    with desk.crm.session(AGENT) as s:
        s.use(Service).acknowledge(complaint)
    step(status="received")
    step(status="offered")
    step(status="offered", root_cause="A loose wire")
    with desk.crm.session(AGENT) as s:
        s.use(Service).offer(complaint, **why)
        s.update(Complaint, complaint.id, {"status": "closed"})
    step(status="acknowledged")
    step(severity="minor")
    missing, ended, bad = "service.resolution_missing", "service.complaint_ended", "service.bad_complaint_step"
    assert codes == [bad, bad, bad, bad, missing, missing, ended, ended]


def test_a_complaint_begins_at_the_beginning_and_once_a_ticket(desk: Desk) -> None:
    with pytest.raises(Refused):
        complain(desk, status=C.ACCEPTED)
    complaint = complain(desk)
    with desk.crm.session(AGENT) as s:
        other = s.create(Ticket(subject="Plotter"))
        with pytest.raises(Refused) as e, s.savepoint():
            s.update(Complaint, complaint.id, {"ticket": other.ref})
        assert e.value.details[0].code == "service.complaint_ticket"
    with desk.crm.session(AGENT) as s, pytest.raises(Conflict):
        s.create(Complaint(ticket=complaint.ticket, severity=Severity.MINOR))


def test_what_is_paid_is_not_negative_and_deadlines_are_not_set_by_hand(desk: Desk) -> None:
    complaint = complain(desk)
    odd: list[dict[str, Any]] = [{"compensation": Money("-1", "EUR")}, {"answer_by": MONDAY}, {"ended_at": MONDAY}, {"account": None}]
    for changes in odd:
        with desk.crm.session(MANAGER) as s, pytest.raises((Invalid, Denied)):
            s.update(Complaint, complaint.id, changes)


def test_c37_the_accounts_owner_hears_of_beginning_and_end(make_desk: MakeDesk) -> None:
    heard: list[tuple[str, str | None]] = []
    listener = Plugin("listener", version="1.0.0", requires={"service": ">=1"})
    listener.grants("service.complaint:read")

    @listener.on(ComplaintReceived)
    def received(session: Session, event: ComplaintReceived) -> None:
        heard.append((event.severity, event.sales_owner))

    @listener.on(ComplaintEnded)
    def ended(session: Session, event: ComplaintEnded) -> None:
        heard.append((f"{event.accepted} {event.compensation}", event.sales_owner))

    desk = make_desk(plugins=[plugin, listener])
    complaint = complain(desk)
    with desk.crm.session(AGENT) as s:
        service = s.use(Service)
        service.acknowledge(complaint)
        service.offer(complaint, root_cause="A loose wire", resolution="A new desk", compensation=Money("5", "EUR"))
        service.answer_offer(complaint, accepted=True)
    desk.crm.run_pending()
    assert heard == [("major", "3"), (f"True {Money('5', 'EUR')}", "3")]


def test_c37_a_complaint_makes_its_ticket_one_that_policies_can_match(desk: Desk) -> None:
    desk.promise(name="all", position=9)
    strict = desk.promise(name="complaints", match=to_json(F("type") == TicketType.COMPLAINT))
    complaint = complain(desk)
    with desk.crm.session(AGENT, write=False) as s:
        ticket = s.get(Ticket, complaint.ticket)
        assert (ticket.type, ticket.sla, complaint.account) == (TicketType.COMPLAINT, strict.ref, ticket.account)


def test_who_reads_complaints_does_not_step_on(make_desk: MakeDesk) -> None:
    desk = make_desk(roles=[Role("reader").allow(Complaint, "read")])
    complaint = complain(desk)
    with desk.crm.session(Actor("9", roles={"reader"})) as s:
        assert {a.allowed for a in s.actions(complaint)} == {False}
        with pytest.raises(Denied):
            s.perform(AcknowledgeComplaint(complaint=complaint.ref))
