"""Tickets with a past: rebuilt from another system's log, once, whole, and living on from there [C40]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest

from crm_core import Account, Actor, Conflict, Denied, Invalid, NotFound, Role, owner
from crm_core.rules import F, to_json
from crm_service.api import (
    Case,
    CaseStep,
    ClockState,
    Metric,
    Priority,
    Rebuilt,
    Service,
    SlaPolicy,
    Throughput,
    Ticket,
    TicketChange,
    TicketStatus,
)
from tests.service.conftest import AGENT, MANAGER, MONDAY, Desk, MakeDesk

S = TicketStatus
H = timedelta(hours=1)
BEFORE = MONDAY - timedelta(days=28)  # a Monday at 09:00, too


def step(hours: float, status: TicketStatus, priority: Priority = Priority.NORMAL, by: str = "") -> CaseStep:
    return CaseStep(BEFORE + hours * H, status, priority, by)


def case(ref: str, *steps: CaseStep) -> Case:
    return Case(ref=ref, subject=f"Case {ref}", steps=steps or (step(0, S.NEW), step(2, S.OPEN), step(7, S.SOLVED)))


def rebuild(desk: Desk, *cases: Case) -> Rebuilt:
    with desk.crm.session(MANAGER) as s:
        return s.use(Service).rebuild(cases)


def ticket(desk: Desk, ref: str) -> Ticket:
    with desk.crm.session(AGENT, write=False) as s:
        return s.query(Ticket).where(Ticket.external_ref == ref).one()


def test_c40_a_rebuilt_ticket_has_its_own_instants_and_the_sla_that_would_have_held(desk: Desk) -> None:
    desk.promise()
    steps = (step(0, S.NEW, by="ana"), step(1, S.PENDING), step(4, S.OPEN, Priority.URGENT, by="ben"), step(6, S.SOLVED, Priority.URGENT))
    assert rebuild(desk, case("a", *steps)) == Rebuilt(tickets=1, steps=4, known=0)
    found = ticket(desk, "a")
    assert (found.opened_at, found.solved_at, found.status, found.rebuilt) == (BEFORE, BEFORE + 6 * H, S.SOLVED, True)
    with desk.crm.session(AGENT, write=False) as s:
        log = s.query(TicketChange).order_by(TicketChange.at).all()
        assert [(c.at, c.status, c.by) for c in log] == [(p.at, p.status, p.by or "1") for p in steps]
        assert [(c.status_before, c.priority_before) for c in log] == [(None, None), *((p.status, p.priority) for p in steps[:-1])]
        resolution = s.use(Service).sla(found)[-1]
    assert (resolution.metric, resolution.consumed, resolution.target, resolution.state) == (
        Metric.RESOLUTION,
        3 * H,
        4 * H,
        ClockState.MET,
    )


def test_c40_the_past_is_told_to_nobody_and_noticed_by_no_job(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 60}})
    rebuild(desk, case("a"))
    with desk.crm.session(MANAGER) as s:
        assert s.use(Service).check_slas() == 0
    assert desk.kinds("service.") == []


def test_a_log_that_is_taken_in_twice_gives_each_case_once(desk: Desk) -> None:
    rebuild(desk, case("a"), case("b"))
    assert rebuild(desk, case("b"), case("c"), case("c")) == Rebuilt(tickets=1, steps=3, known=2)
    with desk.crm.session(AGENT, write=False) as s:
        assert (s.query(Ticket).count(), s.query(TicketChange).count()) == (3, 9)


def test_a_log_is_taken_in_whole_or_not_at_all(desk: Desk) -> None:
    def cases() -> Iterator[Case]:
        yield from (case(f"{n:04}") for n in range(700))
        yield case("bad", step(3, S.NEW), step(1, S.OPEN))

    with desk.crm.session(MANAGER) as s:
        with pytest.raises(Invalid):
            s.use(Service).rebuild(cases())
        assert (s.query(Ticket).count(), s.query(TicketChange).count()) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (case(""), "a ref"),
        (Case(ref="x", subject="x", steps=()), "at least one step"),
        (case("x", step(2, S.NEW), step(1, S.OPEN)), "steps in order, none of them in the future"),
        (case("x", step(24 * 29, S.NEW)), "steps in order, none of them in the future"),
        (case("x", CaseStep(datetime.fromisoformat("2026-02-02T09:00"), S.NEW)), "instants with a time zone"),
    ],
)
def test_a_case_that_cannot_be_is_named(desk: Desk, wrong: Case, expected: str) -> None:
    with pytest.raises(Invalid) as e:
        rebuild(desk, wrong)
    assert (e.value.code, e.value.params) == ("service.bad_case", {"case": wrong.ref, "expected": expected})


def test_who_may_not_write_the_log_takes_nothing_in(make_desk: MakeDesk) -> None:
    narrow = Role("narrow", extends=["service.manager"]).restrict(Account, "read", where=owner)
    desk = make_desk(roles=[narrow])
    with desk.crm.session(Actor.system("test", tenant="main")) as s:
        account = s.create(Account(name="Acme", owner="3")).ref
    with desk.crm.session(AGENT) as s, pytest.raises(Denied):
        s.use(Service).rebuild([case("a")])
    with desk.crm.session(Actor("5", roles={"narrow"})) as s, pytest.raises(NotFound):
        s.use(Service).rebuild([Case(ref="a", subject="A", steps=case("a").steps, account=account)])
    for changes in ({"opened_at": BEFORE}, {"rebuilt": True}):
        with desk.crm.session(MANAGER) as s, pytest.raises(Invalid):
            s.create(Ticket(subject="Forged", **changes))


def test_a_tenant_takes_in_its_own_cases(desk: Desk) -> None:
    rebuild(desk, case("a"))
    with desk.crm.session(Actor("1", tenant="other", roles={"service.manager"})) as s:
        assert s.use(Service).rebuild([case("a")]).tickets == 1


def test_a_rebuilt_ticket_lives_on(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 480}})
    rebuild(desk, case("living", step(0, S.NEW), step(7, S.OPEN)), case("done", step(24 * 27, S.NEW), step(24 * 27 + 2, S.SOLVED)))
    desk.at("mon 10:00")
    with desk.crm.session(AGENT) as s:
        service = s.use(Service)
        service.solve(ticket(desk, "living"))
        service.reopen(ticket(desk, "done"))
        assert service.sla(ticket(desk, "living"))[-1].state is ClockState.BREACHED
    assert ticket(desk, "living").solved_at == desk.clock.now()
    assert sorted(desk.kinds()) == [
        "service.sla_breached.v1",
        "service.sla_warned.v1",
        "service.ticket_reopened.v1",
        "service.ticket_solved.v1",
    ]


def test_a_ticket_made_by_hand_is_opened_when_it_is_created(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        made = s.create(Ticket(subject="Printer"))
        assert (made.opened_at, made.rebuilt) == (MONDAY, False)
        with pytest.raises(Conflict):
            rebuilt = s.create(Ticket(subject="Printer", external_ref="a"))
            s.create(Ticket(subject="Printer", external_ref=rebuilt.external_ref))


def test_throughput_is_told_by_the_month_in_which_tickets_were_opened(desk: Desk) -> None:
    lengths = (1, 2, 3, 4, 100)
    rebuild(
        desk,
        *(case(f"{n}", step(0, S.NEW), step(n, S.SOLVED)) for n in lengths),
        case("open", step(0, S.NEW)),
        case("again", step(0, S.NEW), step(1, S.SOLVED), step(2, S.OPEN)),
        case("march", step(24 * 27, S.NEW), step(24 * 27 + 1, S.SOLVED)),
    )
    with desk.crm.session(AGENT, write=False) as s:
        assert s.use(Service).throughput_report(date(2026, 1, 1), date(2026, 3, 31)) == [
            Throughput("2026-02", 5, 22 * H, 3 * H, 100 * H, 100 * H),
            Throughput("2026-03", 1, H, H, H, H),
        ]


def test_policies_are_matched_by_what_the_case_became(desk: Desk) -> None:
    urgent = desk.promise(name="urgent", match=to_json(F("priority") == Priority.URGENT))
    rebuild(desk, case("a", step(0, S.NEW), step(1, S.SOLVED, Priority.URGENT)), case("b"))
    assert (ticket(desk, "a").sla, ticket(desk, "b").sla) == (urgent.ref, None)
    with desk.crm.session(MANAGER) as s:
        s.update(SlaPolicy, urgent.id, {"active": False})
    assert ticket(desk, "a").sla == urgent.ref
