"""Tickets: states, their log, comments and who may do what [C36]."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from crm_core import Account, Actor, Conflict, Contact, Denied, Invalid, NotFound, Refused, Role, Session
from crm_service import plugin
from crm_service.api import (
    AssignTicket,
    ReopenTicket,
    ReplyToTicket,
    Service,
    SolveTicket,
    Ticket,
    TicketChange,
    TicketComment,
    TicketStatus,
)
from tests.service.conftest import AGENT, MANAGER, Desk, MakeDesk

S = TicketStatus


def test_c36_every_path_that_changes_a_ticket_leaves_a_step_in_its_log(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
        desk.at("mon 10:00")
        s.update(Ticket, ticket.id, {"status": "open"})
        desk.at("mon 11:00")
        ticket = s.get(Ticket, ticket.id)
        ticket.status = S.PENDING
        s.save(ticket)
        desk.at("mon 12:00")
        s.update_where(s.query(Ticket).where(Ticket.subject == "Printer"), {"status": "on_hold", "priority": "high"})
        desk.at("mon 13:00")
        s.perform(SolveTicket(ticket=ticket.ref))
        log = s.query(TicketChange).order_by(TicketChange.at).all()
    assert [(c.at.hour, c.status_before, c.status, c.by) for c in log] == [
        (9, None, S.NEW, "7"),
        (10, S.NEW, S.OPEN, "7"),
        (11, S.OPEN, S.PENDING, "7"),
        (12, S.PENDING, S.ON_HOLD, "7"),
        (13, S.ON_HOLD, S.SOLVED, "7"),
    ]
    assert [c.priority.value for c in log] == ["normal", "normal", "normal", "high", "high"]


def test_a_change_of_something_else_leaves_no_step(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
        s.update(Ticket, ticket.id, {"subject": "Printer on fire"})
        assert s.query(TicketChange).count() == 1


def test_nobody_writes_the_log_by_hand(desk: Desk) -> None:
    with desk.crm.session(MANAGER) as s:
        ticket = s.create(Ticket(subject="Printer"))
        step = s.query(TicketChange).one()
        with pytest.raises(Invalid), s.savepoint():
            s.create(TicketChange(ticket=ticket.ref, at=desk.clock.now(), by="9", status=S.SOLVED, priority=ticket.priority))
        with pytest.raises((Denied, Invalid)), s.savepoint():
            s.update(TicketChange, step.id, {"by": "9"})
        with pytest.raises(Invalid), s.savepoint():
            s.update(Ticket, ticket.id, {"solved_at": desk.clock.now()})


def _moves(s: Session, ticket: Ticket, after: TicketStatus) -> bool:
    try:
        with s.savepoint():
            s.update(Ticket, ticket.id, {"status": after.value})
    except Refused:
        return False
    return True


def test_c36_a_step_that_cannot_follow_says_which_ones_can(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s, pytest.raises(Refused) as e:
        s.update(Ticket, s.create(Ticket(subject="Printer", status=S.SOLVED)).id, {"status": "on_hold"})
    assert (e.value.details[0].code, e.value.details[0].params["allowed"]) == ("service.bad_transition", ["open", "closed"])


def test_c36_a_ticket_takes_exactly_the_steps_that_may_follow_each_other(desk: Desk) -> None:
    reached: dict[TicketStatus, set[TicketStatus]] = {status: set() for status in S}
    with desk.crm.session(AGENT) as s:
        for before, after in product(S, S):
            if before is not after:
                ticket = s.create(Ticket(subject="Printer", status=before))
                if _moves(s, ticket, after):
                    reached[before].add(after)
    assert reached == {
        S.NEW: {S.OPEN, S.PENDING, S.ON_HOLD, S.SOLVED},
        S.OPEN: {S.PENDING, S.ON_HOLD, S.SOLVED},
        S.PENDING: {S.OPEN, S.ON_HOLD, S.SOLVED},
        S.ON_HOLD: {S.OPEN, S.PENDING, S.SOLVED},
        S.SOLVED: {S.OPEN, S.CLOSED},
        S.CLOSED: set(),
    }


def test_c36_a_solved_ticket_opens_again_within_its_window_alone(make_desk: MakeDesk) -> None:
    desk = make_desk(plugins=[plugin.configured(reopen_days=2)])
    with desk.crm.session(AGENT) as s:
        ticket = s.use(Service).solve(s.create(Ticket(subject="Printer")))
        assert ticket.solved_at == desk.clock.now()
        desk.clock.advance(timedelta(days=2))
        reopened = s.perform(ReopenTicket(ticket=ticket.ref, reason="still burning"))
        assert (reopened.status, reopened.solved_at) == (S.OPEN, None)
        s.use(Service).solve(ticket)
        desk.clock.advance(timedelta(days=2, microseconds=1))
        with pytest.raises(Refused) as e:
            s.use(Service).reopen(ticket)
        assert (e.value.details[0].code, e.value.details[0].params["days"]) == ("service.reopen_window_passed", 2)
    assert desk.kinds("service.ticket") == ["service.ticket_solved.v1", "service.ticket_reopened.v1", "service.ticket_solved.v1"]


def test_c36_what_the_customer_says_opens_a_pending_or_solved_ticket(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        service = s.use(Service)
        for status in (S.PENDING, S.SOLVED):
            ticket = service.move(s.create(Ticket(subject="Printer")), status)
            service.receive(ticket, "It burns again")
            assert s.get(Ticket, ticket.id).status is S.OPEN
        held = service.move(s.create(Ticket(subject="Printer")), S.ON_HOLD)
        service.receive(held, "And?")
        assert s.get(Ticket, held.id).status is S.ON_HOLD


def test_what_the_customer_says_on_a_closed_ticket_asks_for_a_new_one(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        service = s.use(Service)
        ticket = service.move(service.solve(s.create(Ticket(subject="Printer"))), S.CLOSED)
        with pytest.raises(Refused) as e:
            service.receive(ticket, "It burns again")
        assert e.value.details[0].code == "service.reopen_window_passed"
        assert s.query(TicketComment).count() == 0


def test_c36_an_internal_remark_is_no_answer_and_moves_nothing(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
        s.perform(ReplyToTicket(ticket=ticket.ref, body="Who owns this?", internal=True))
        assert s.get(Ticket, ticket.id).status is S.NEW
        s.perform(ReplyToTicket(ticket=ticket.ref, body="We look into it"))
        assert s.get(Ticket, ticket.id).status is S.OPEN
        with pytest.raises(Refused, match=r"service\.internal_inbound"), s.savepoint():
            s.create(TicketComment(ticket=ticket.ref, body="?", internal=True, inbound=True))


def test_a_comment_stays_as_it_was_said(desk: Desk) -> None:
    with desk.crm.session(MANAGER) as s:
        comment = s.use(Service).reply(s.create(Ticket(subject="Printer")), "We look into it")
        with pytest.raises(Denied), s.savepoint():
            s.update(TicketComment, comment.id, {"body": "I never said that"})


def test_the_log_names_the_agent_whose_answer_moved_the_ticket(desk: Desk) -> None:
    with desk.crm.session(MANAGER) as s:
        ticket = s.create(Ticket(subject="Printer"))
    with desk.crm.session(AGENT) as s:
        s.use(Service).reply(ticket, "We look into it")
        assert [c.by for c in s.query(TicketChange).order_by(TicketChange.at, TicketChange.id).all()] == ["1", "7"]


def test_a_ticket_is_given_to_somebody_else(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.perform(AssignTicket(ticket=s.create(Ticket(subject="Printer")).ref, to="8"))
        assert ticket.owner == "8"


def test_actions_say_who_may_and_why_not_in_the_actors_language(desk: Desk) -> None:
    reader = Actor("9", roles={"reader"}, locale="zh_CN")
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
        assert {a.name.rpartition(".")[2]: (a.label, a.allowed) for a in s.actions(ticket)} == {
            "assign_ticket": ("Assign", True),
            "reply_to_ticket": ("Reply", True),
            "solve_ticket": ("Solve", True),
            "reopen_ticket": ("Reopen", True),
            "reach_milestone": ("Reach a milestone", True),
        }
    with desk.crm.session(reader) as s, pytest.raises(NotFound):
        s.perform(SolveTicket(ticket=ticket.ref))


def test_who_reads_tickets_but_does_not_work_on_them_is_denied(make_desk: MakeDesk) -> None:
    desk = make_desk(roles=[Role("reader").allow(Ticket, "read")])
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
    with desk.crm.session(Actor("9", roles={"reader"}, locale="zh_CN")) as s:
        assert {a.label for a in s.actions(ticket) if not a.allowed and a.why_not} == {"分配", "回复", "解决", "重新打开", "达到里程碑"}
        with pytest.raises(Denied):
            s.perform(SolveTicket(ticket=ticket.ref))


def test_a_customers_portal_opens_tickets_without_seeing_policies_or_logs(make_desk: MakeDesk) -> None:
    desk = make_desk(roles=[Role("portal").allow(Ticket, "read", "create")])
    policy = desk.promise()
    with desk.crm.session(Actor("c1", roles={"portal"})) as s:
        ticket = s.create(Ticket(subject="Printer"))
        assert s.use(Service).sla(ticket) == []
        assert s.query(TicketChange).count() == 0
    with desk.crm.session(AGENT) as s:
        assert s.get(Ticket, ticket.id).sla == policy.ref
        assert s.query(TicketChange).one().by == "c1"


def test_a_ticket_keeps_its_account_and_goes_with_nothing_else(desk: Desk) -> None:
    with desk.crm.session(Actor.system("test", tenant="main")) as s:
        account = s.create(Account(name="Acme"))
        contact = s.create(Contact(name="Jo"))
        ticket = s.create(Ticket(subject="Printer", account=account.ref, contact=contact.ref))
        s.delete(contact)
        assert s.get(Ticket, ticket.id).contact is None
        with pytest.raises(Conflict, match="refer"), s.savepoint():
            s.delete(account)
        s.delete(ticket)
        assert s.query(TicketChange).count() == 0


def test_many_tickets_are_created_as_one_batch(desk: Desk) -> None:
    desk.promise()
    with desk.crm.session(AGENT) as s:
        done = s.create_many([Ticket(subject=f"Printer {n}") for n in range(300)])
        assert (len(done.ok), done.failed) == (300, [])
        assert (s.query(TicketChange).count(), s.query(Ticket).where(Ticket.sla.is_(None)).count()) == (300, 0)


def test_what_is_done_under_an_idempotency_key_is_done_once(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
    for _ in range(2):
        with desk.crm.session(AGENT, idempotency_key="mail-4711") as s:
            s.use(Service).receive(ticket, "It burns")
            s.perform(SolveTicket(ticket=ticket.ref, answer="Not any more"))
    with desk.crm.session(AGENT) as s:
        assert (s.query(TicketComment).count(), s.query(TicketChange).count()) == (2, 3)
