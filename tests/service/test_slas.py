"""SLAs of stored tickets: which policy holds, what it says now and then, and notices that come once [C40]."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest

from crm_core import CRM, Account, Actor, Conflict, Denied, Entity, Invalid, MissingExtra, Refused, Runtime, Session
from crm_core.errors import Detail
from crm_core.rules import F, related, to_json
from crm_service import plugin
from crm_service.api import (
    BusinessCalendar,
    Clock,
    ClockState,
    Metric,
    NoticeKind,
    Priority,
    Recurrence,
    Service,
    SlaNotice,
    SlaPolicy,
    SolveTicket,
    Ticket,
    TicketStatus,
    working_time,
)
from tests.service.conftest import AGENT, MANAGER, OFFICE, Desk, MakeDesk
from tests.threads import at_once

H = timedelta(hours=1)


def open_ticket(desk: Desk, **given: object) -> Ticket:
    with desk.crm.session(AGENT) as s:
        return s.create(Ticket(**{"subject": "Printer", **given}))  # type: ignore[arg-type]  # fields by name


def move(desk: Desk, ticket: Ticket, status: TicketStatus) -> None:
    with desk.crm.session(AGENT) as s:
        s.use(Service).move(ticket, status)


def clock(desk: Desk, ticket: Ticket, metric: Metric = Metric.RESOLUTION) -> Clock:
    with desk.crm.session(AGENT, write=False) as s:
        return next(c for c in s.use(Service).sla(ticket) if c.metric is metric)


def notices(desk: Desk) -> list[tuple[str, str]]:
    with desk.crm.session(AGENT, write=False) as s:
        return [(n.metric, n.kind.value) for n in s.query(SlaNotice).order_by(SlaNotice.created_at, SlaNotice.id).all()]


def check(desk: Desk) -> int:
    with desk.crm.session(MANAGER) as s:
        return s.use(Service).check_slas()


# -- golden cases -----------------------------------------------------------------------------------------------------------------


def test_g1_on_hold_over_night_leaves_the_due_instant_where_it_was(desk: Desk) -> None:
    desk.promise()
    ticket = open_ticket(desk)
    assert clock(desk, ticket).due == desk.clock.now() + 8 * H
    due = desk.at("mon 17:00")
    move(desk, ticket, TicketStatus.ON_HOLD)
    desk.at("tue 09:00")
    move(desk, ticket, TicketStatus.OPEN)
    assert (clock(desk, ticket).due, clock(desk, ticket).consumed) == (due, 8 * H)


def test_g2_an_hour_promised_before_lunch_is_due_after_it(desk: Desk) -> None:
    with desk.crm.session(MANAGER) as s:
        lunch = s.create(BusinessCalendar(name="lunch", hours={day: [["09:00", "12:00"], ["13:00", "17:00"]] for day in OFFICE}))
        s.create(SlaPolicy(name="hour", calendar=lunch.ref, targets={"normal": {"resolution": 60}}))
    desk.at("mon 11:30")
    ticket = open_ticket(desk)
    assert clock(desk, ticket).due == desk.at("mon 13:30")


def test_c40_a_pause_gives_back_the_working_time_in_it_and_no_more(desk: Desk) -> None:
    desk.promise()
    ticket = open_ticket(desk)
    desk.at("mon 16:00")
    move(desk, ticket, TicketStatus.PENDING)
    assert (clock(desk, ticket).state, clock(desk, ticket).due) == (ClockState.PAUSED, None)
    desk.at("tue 10:00")
    move(desk, ticket, TicketStatus.OPEN)
    assert (clock(desk, ticket).consumed, clock(desk, ticket).due) == (7 * H, desk.at("tue 11:00"))


def test_c40_a_higher_priority_sets_another_target_and_keeps_what_was_consumed(desk: Desk) -> None:
    desk.promise()
    ticket = open_ticket(desk)
    desk.at("mon 12:00")
    with desk.crm.session(AGENT) as s:
        s.update(Ticket, ticket.id, {"priority": "urgent"})
    now = clock(desk, ticket)
    assert (now.target, now.consumed, now.remaining, now.due) == (4 * H, 3 * H, 1 * H, desk.at("mon 13:00"))


def test_c40_the_sla_of_the_past_can_be_asked_for(desk: Desk) -> None:
    desk.promise()
    ticket = open_ticket(desk)
    ten = desk.at("mon 10:00")
    desk.at("mon 15:00")
    with desk.crm.session(AGENT) as s:
        s.perform(SolveTicket(ticket=ticket.ref, answer="Turned it off and on"))
        then = {c.metric: (c.consumed, c.state) for c in s.use(Service).sla(ticket, at=ten)}
        now = {c.metric: (c.consumed, c.state) for c in s.use(Service).sla(ticket)}
    assert then == {Metric.FIRST_RESPONSE: (H, ClockState.RUNNING), Metric.RESOLUTION: (H, ClockState.RUNNING)}
    assert now == {Metric.FIRST_RESPONSE: (6 * H, ClockState.BREACHED), Metric.RESOLUTION: (6 * H, ClockState.MET)}


# -- which policy -----------------------------------------------------------------------------------------------------------------


def test_c40_the_first_active_policy_that_matches_holds(desk: Desk) -> None:
    desk.promise(name="all", position=9)
    desk.promise(name="off", position=1, active=False)
    urgent = desk.promise(name="urgent", position=5, match=to_json(F("priority") == Priority.URGENT))
    tech = desk.promise(name="tech", position=2, match=to_json(related("account", F("industry") == "tech")))
    with desk.crm.session(Actor.system("test", tenant="main")) as s:
        account = s.create(Account(name="Acme", industry="tech"))
    assert open_ticket(desk, priority=Priority.URGENT, account=account.ref).sla == tech.ref
    ticket = open_ticket(desk)
    with desk.crm.session(AGENT) as s:
        assert s.get(Ticket, ticket.id).sla not in (None, urgent.ref, tech.ref)
        assert s.update(Ticket, ticket.id, {"priority": "urgent"}).sla == urgent.ref


def test_a_clock_is_asked_for_an_instant_with_a_zone_and_within_a_century(desk: Desk) -> None:
    ticket = open_ticket(desk)
    odd = {"naive_datetime": datetime(2026, 3, 2), "service.bad_span": datetime(9999, 1, 1, tzinfo=UTC)}  # noqa: DTZ001
    with desk.crm.session(AGENT) as s:
        for code, at in odd.items():
            with pytest.raises(Invalid) as e:
                s.use(Service).sla(ticket, at=at)
            assert e.value.code == code


def test_without_a_matching_policy_there_is_no_sla(desk: Desk) -> None:
    desk.promise(match=to_json(F("priority") == Priority.URGENT))
    ticket = open_ticket(desk)
    with desk.crm.session(AGENT) as s:
        assert (ticket.sla, s.use(Service).sla(ticket)) == (None, [])


def test_a_solved_ticket_keeps_the_policy_it_was_solved_under(desk: Desk) -> None:
    policy = desk.promise()
    ticket = open_ticket(desk)
    move(desk, ticket, TicketStatus.SOLVED)
    with desk.crm.session(MANAGER) as s:
        s.update(SlaPolicy, policy.id, {"active": False})
    with desk.crm.session(AGENT) as s:
        assert s.update(Ticket, ticket.id, {"subject": "Plotter"}).sla == policy.ref


def test_a_policy_that_cannot_be_read_is_refused(desk: Desk) -> None:
    targets: list[object] = [
        {},
        {"normal": 5},
        {"normal": {"resolution": 0}},
        {"normal": {"resolution": True}},
        {"normal": {"resolution": 10**9}},
        {"normal": {"happiness": 5}},
        {"mild": {"resolution": 5}},
    ]
    matches: list[object] = [{"op": "eq", "field": "colour", "value": "red"}, {"op": "grep"}, {}]
    policy = desk.promise()
    with desk.crm.session(MANAGER) as s:
        codes = [_refusal(s, SlaPolicy, policy.id, {"targets": each}).code for each in targets]
        codes += [_refusal(s, SlaPolicy, policy.id, {"match": each}).code for each in matches]
    assert codes == ["service.bad_targets"] * 7 + ["service.bad_match"] * 3


def test_a_calendar_that_cannot_be_counted_with_is_refused(desk: Desk) -> None:
    odd: list[tuple[str, object]] = [
        ("zone", "Mars/Olympus"),
        ("zone", "../../etc/passwd"),
        ("hours", {}),
        ("hours", {"mon": []}),
        ("hours", {"monday": [["09:00", "17:00"]]}),
        ("hours", {"mon": [["17:00", "09:00"]]}),
        ("hours", {"mon": [["09:00", "13:00"], ["12:00", "17:00"]]}),
        ("hours", {"mon": [["09:00", "25:00"]]}),
        ("hours", {"mon": ["09:00-17:00"]}),
        ("hours", {"mon": "09:00"}),
        ("holidays", ["Christmas"]),
        ("country", "ZZ"),
    ]
    with desk.crm.session(MANAGER) as s:
        calendar = s.create(BusinessCalendar(name="odd", hours=OFFICE))
        found = [_refusal(s, BusinessCalendar, calendar.id, {field: value}) for field, value in odd]
        with pytest.raises(Invalid) as wrong:
            s.update(BusinessCalendar, calendar.id, {"holidays": [20261225]})
    assert [(d.code, d.field) for d in found] == [("service.bad_calendar", field) for field, _ in odd]
    assert wrong.value.details[0].code == "wrong_type"


def _refusal(s: Session, entity: type[Entity], id: str, changes: dict[str, object]) -> Detail:
    with pytest.raises(Refused) as e, s.savepoint():
        s.update(entity, id, changes)
    return e.value.details[0]


def test_c40_holidays_are_the_calendars_own_and_its_countrys(desk: Desk) -> None:
    pytest.importorskip("holidays")
    with desk.crm.session(MANAGER) as s:
        bavaria = BusinessCalendar(name="Munich", zone="Europe/Berlin", hours=OFFICE, holidays=["2026-01-07"], country="DE", region="BY")
        calendar = working_time(s.create(bavaria))
    start = desk.clock.now().replace(month=1, day=5, hour=0)
    days = [calendar.between(start + timedelta(days=n), start + timedelta(days=n + 1)) / H for n in range(5)]
    assert days == [8, 0, 0, 8, 8], "Epiphany is a holiday in Bavaria, the day after it is the office's own"


def test_public_holidays_without_their_extra_say_which_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "holidays", None)
    with desk.crm.session(MANAGER) as s, pytest.raises(MissingExtra) as e:
        s.create(BusinessCalendar(name="Berlin", hours=OFFICE, country="DE"))
    assert e.value.params["extra"] == "calendar"


def test_a_calendar_with_policies_stays(desk: Desk) -> None:
    policy = desk.promise()
    with desk.crm.session(MANAGER) as s, pytest.raises(Conflict):
        s.delete(policy.calendar)


# -- notices ----------------------------------------------------------------------------------------------------------------------


def test_c40_a_warning_and_a_breach_are_noticed_exactly_once(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 480}})
    open_ticket(desk)
    seen = []
    for now in ("mon 10:00", "mon 15:23", "mon 15:24", "mon 17:00", "tue 08:00", "tue 09:00", "wed 09:00"):
        desk.at(now)
        seen.append((now, check(desk), check(desk)))
    assert seen == [
        ("mon 10:00", 0, 0),
        ("mon 15:23", 0, 0),
        ("mon 15:24", 1, 0),
        ("mon 17:00", 0, 0),
        ("tue 08:00", 1, 0),
        ("tue 09:00", 0, 0),
        ("wed 09:00", 0, 0),
    ], "80 % of 8 hours are 6:24; the target is broken once its last instant has passed"
    assert notices(desk) == [("resolution", "warning"), ("resolution", "breach")]
    assert desk.kinds("service.sla_") == ["service.sla_warned.v1", "service.sla_breached.v1"]


def test_c40_a_breach_between_two_checks_is_noticed_when_the_clock_stops(desk: Desk) -> None:
    desk.promise()
    ticket = open_ticket(desk)
    desk.at("mon 12:00")
    with desk.crm.session(AGENT) as s:
        s.use(Service).reply(ticket, "Sorry for the wait")
    assert notices(desk) == [("first_response", "warning"), ("first_response", "breach")]
    desk.at("tue 10:00")
    move(desk, ticket, TicketStatus.SOLVED)
    assert notices(desk)[2:] == [("resolution", "warning"), ("resolution", "breach")]
    assert check(desk) == 0


def test_a_reopened_ticket_is_not_noticed_again_for_the_same_target(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 60}})
    ticket = open_ticket(desk)
    desk.at("mon 12:00")
    move(desk, ticket, TicketStatus.SOLVED)
    move(desk, ticket, TicketStatus.OPEN)
    desk.at("mon 16:00")
    assert (check(desk), notices(desk)) == (0, [("resolution", "warning"), ("resolution", "breach")])


def test_c40_each_customers_wait_is_a_target_of_its_own(desk: Desk) -> None:
    desk.promise(targets={"normal": {"next_response": 60}})
    ticket = open_ticket(desk)
    with desk.crm.session(AGENT) as s:
        s.use(Service).reply(ticket, "We look into it")
    for asked, answered in (("mon 10:00", "mon 12:00"), ("mon 13:00", "mon 15:00")):
        desk.at(asked)
        with desk.crm.session(AGENT) as s:
            s.use(Service).receive(ticket, "And?")
        desk.at(answered)
        with desk.crm.session(AGENT) as s:
            s.use(Service).reply(ticket, "Soon")
    assert notices(desk) == [("next_response", "warning"), ("next_response", "breach")] * 2


def test_the_warning_comes_at_the_percentage_of_the_settings(make_desk: MakeDesk) -> None:
    desk = make_desk(plugins=[plugin.configured(warn_percent=50)])
    desk.promise(targets={"normal": {"resolution": 480}})
    open_ticket(desk)
    desk.at("mon 12:59")
    assert check(desk) == 0
    desk.at("mon 13:00")
    assert (check(desk), notices(desk)) == (1, [("resolution", "warning")])


def test_c40_two_workers_that_check_at_once_notice_it_once(desk: Desk) -> None:
    desk.promise()
    for _ in range(5):
        open_ticket(desk)
    desk.at("tue 12:00")
    counts = at_once(lambda _: desk.crm.transact(MANAGER, lambda s: s.use(Service).check_slas()), range(3))
    assert sum(counts) == len(notices(desk)) == 5 * 4
    assert len(desk.kinds("service.sla_")) == 5 * 4


def test_c40_after_a_restart_nothing_is_noticed_again_and_nothing_is_missed(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 480}})
    open_ticket(desk)
    desk.at("mon 16:00")
    assert check(desk) == 1
    with closing(CRM(desk.crm.url, plugins=[plugin], runtime=Runtime.seeded(2, clock=desk.clock))) as restarted:
        again = Desk(restarted, desk.clock)
        assert check(again) == 0
        again.at("tue 09:00")
        assert (check(again), check(again)) == (1, 0)
    assert check(desk) == 0
    assert desk.kinds("service.sla_") == ["service.sla_warned.v1", "service.sla_breached.v1"]


def test_c40_a_worker_that_dies_before_its_commit_leaves_the_notice_to_the_next(desk: Desk) -> None:
    desk.promise(targets={"normal": {"resolution": 480}})
    open_ticket(desk)
    desk.at("tue 09:00")
    with pytest.raises(KeyboardInterrupt), desk.crm.session(MANAGER) as s:
        assert s.use(Service).check_slas() == 2
        raise KeyboardInterrupt
    assert (notices(desk), desk.kinds("service.sla_")) == ([], [])
    assert (check(desk), check(desk)) == (2, 0)


def test_c40_the_policy_says_which_waits_have_a_target_and_the_report_counts_each(desk: Desk) -> None:
    policy = desk.promise(targets={"normal": {"next_response": 60}})
    ticket = open_ticket(desk)
    with desk.crm.session(AGENT) as s:
        s.use(Service).reply(ticket, "We look into it")
    for asked, answered in (("mon 10:00", "mon 10:30"), ("mon 11:00", "mon 13:00")):
        for when, ask in ((asked, True), (answered, False)):
            desk.at(when)
            with desk.crm.session(AGENT) as s:
                s.use(Service).receive(ticket, "And?") if ask else s.use(Service).reply(ticket, "Soon")
    counted = {}
    for recurrence in Recurrence:
        with desk.crm.session(MANAGER) as s:
            s.update(SlaPolicy, policy.id, {"recurrence": recurrence.value})
            (row,) = s.use(Service).sla_report(date(2026, 3, 1), date(2026, 3, 31))
            counted[recurrence] = (row.met, row.breached)
    assert counted == {Recurrence.NONE: (1, 0), Recurrence.INDEPENDENT: (1, 1), Recurrence.SEQUENTIAL: (1, 1)}


def test_a_notice_is_not_written_by_hand(desk: Desk) -> None:
    ticket = open_ticket(desk)
    with desk.crm.session(MANAGER) as s, pytest.raises(Denied):
        s.create(SlaNotice(ticket=ticket.ref, kind=NoticeKind.BREACH, metric="resolution", key="x"))


def test_another_tenant_has_policies_of_its_own(desk: Desk) -> None:
    desk.promise()
    with desk.crm.session(Actor("7", tenant="other", roles={"service.agent"})) as s:
        assert s.create(Ticket(subject="Printer")).sla is None


def test_the_job_of_the_module_looks_every_five_minutes(desk: Desk) -> None:
    ours = [(j.name, j.every, j.per_tenant) for j in desk.crm.registry.jobs if j.plugin == "service"]
    assert ours == [("service.check_slas", "*/5 * * * *", True)]
