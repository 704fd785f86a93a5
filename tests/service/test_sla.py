"""SLA clocks, computed from a log: pauses, priorities, answers, solutions and reopenings [C40]."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from crm_service.policies import Targets
from crm_service.sla import Clock, ClockState, Message, Step, clocks
from crm_service.states import DONE, RUNNING, Metric, Priority, Recurrence, TicketStatus
from crm_service.worktime import WorkingTime

H = timedelta(hours=1)
OFFICE = WorkingTime(ZoneInfo("UTC"), ((((9 * H), (17 * H)),),) * 5 + ((), ()))
NORMAL, HIGH, URGENT = Priority.NORMAL, Priority.HIGH, Priority.URGENT
NEW, OPEN, PENDING, HOLD = TicketStatus.NEW, TicketStatus.OPEN, TicketStatus.PENDING, TicketStatus.ON_HOLD
SOLVED, CLOSED = TicketStatus.SOLVED, TicketStatus.CLOSED
TARGETS: Targets = {
    (NORMAL, Metric.FIRST_RESPONSE): 2 * H,
    (NORMAL, Metric.NEXT_RESPONSE): 3 * H,
    (NORMAL, Metric.RESOLUTION): 8 * H,
    (HIGH, Metric.RESOLUTION): 6 * H,
    (URGENT, Metric.RESOLUTION): 2 * H,
}


def at(text: str) -> datetime:
    """Read ``mon 09:00``, of the week that begins on 2026-03-02, or ``mon2 09:00`` of the next."""
    day, clock = text.split()
    number = ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day[:3]) + (7 if day.endswith("2") else 0)
    return datetime.fromisoformat(f"2026-03-02T{clock}+00:00") + timedelta(days=number)


def step(when: str, status: TicketStatus, priority: Priority = NORMAL) -> Step:
    return Step(at(when), status, priority)


def resolution(log: list[Step], now: str) -> Clock:
    return next(c for c in clocks(TARGETS, OFFICE, log, [], at(now)) if c.metric is Metric.RESOLUTION)


def response(metric: Metric, messages: list[Message], now: str, log: list[Step] | None = None) -> Clock | None:
    found = clocks(TARGETS, OFFICE, log or [step("mon 09:00", NEW)], messages, at(now))
    return next((c for c in found if c.metric is metric), None)


def said(when: str, *, inbound: bool = False) -> Message:
    return Message(at(when), inbound)


def test_g1_a_pause_over_night_does_not_move_the_due_instant() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 17:00", HOLD), step("tue 09:00", OPEN)], "tue 09:00")
    assert (clock.due, clock.consumed) == (at("mon 17:00"), 8 * H)


def test_g1_the_same_pause_an_hour_earlier_gives_back_that_hour_alone() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 16:00", HOLD), step("tue 09:00", OPEN)], "tue 09:30")
    assert (clock.due, clock.consumed, clock.state) == (at("tue 10:00"), 7.5 * H, ClockState.RUNNING)


def test_a_new_ticket_has_consumed_nothing() -> None:
    clock = resolution([step("mon 09:00", NEW)], "mon 09:00")
    assert (clock.consumed, clock.due, clock.state) == (timedelta(0), at("mon 17:00"), ClockState.RUNNING)


def test_while_a_ticket_is_paused_it_has_no_due_instant_and_time_stands() -> None:
    log = [step("mon 09:00", OPEN), step("mon 12:00", PENDING)]
    for now in ("mon 12:00", "mon 16:00", "thu 12:00"):
        clock = resolution(log, now)
        assert (clock.consumed, clock.remaining, clock.due, clock.state) == (3 * H, 5 * H, None, ClockState.PAUSED)


def test_a_solution_in_time_meets_the_target_and_stops_the_clock() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 15:00", SOLVED)], "fri 12:00")
    assert (clock.state, clock.stopped, clock.consumed, clock.due) == (ClockState.MET, at("mon 15:00"), 6 * H, at("mon 17:00"))


def test_a_solution_at_the_very_instant_is_in_time_and_later_is_not() -> None:
    assert resolution([step("mon 10:00", OPEN), step("tue 10:00", SOLVED)], "fri 12:00").state is ClockState.MET
    late = resolution([step("mon 10:00", OPEN), step("tue 10:01", SOLVED)], "fri 12:00")
    assert (late.state, late.due, late.remaining) == (ClockState.BREACHED, at("tue 10:00"), timedelta(minutes=-1))


def test_closing_a_solved_ticket_keeps_when_it_was_solved() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 15:00", SOLVED), step("fri 15:00", CLOSED)], "fri 16:00")
    assert (clock.stopped, clock.state) == (at("mon 15:00"), ClockState.MET)


def test_a_reopened_ticket_goes_on_where_it_stopped() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 15:00", SOLVED), step("wed 09:00", OPEN)], "wed 10:00")
    assert (clock.stopped, clock.consumed, clock.due, clock.state) == (None, 7 * H, at("wed 11:00"), ClockState.RUNNING)


def test_a_higher_priority_sets_its_target_and_keeps_what_was_consumed() -> None:
    clock = resolution([step("mon 09:00", OPEN), step("mon 12:00", OPEN, HIGH)], "mon 12:00")
    assert (clock.target, clock.consumed, clock.remaining, clock.due) == (6 * H, 3 * H, 3 * H, at("mon 15:00"))


def test_a_target_overrun_by_the_new_priority_is_due_at_the_change_not_before() -> None:
    log = [step("mon 09:00", OPEN), step("mon 12:00", OPEN, URGENT)]
    assert (resolution(log, "mon 12:00").due, resolution(log, "mon 12:00").state) == (at("mon 12:00"), ClockState.RUNNING)
    assert resolution(log, "mon 12:01").state is ClockState.BREACHED


def test_a_change_of_priority_after_the_solution_changes_nothing() -> None:
    log = [step("mon 09:00", OPEN), step("mon 15:00", SOLVED), step("mon 16:00", SOLVED, URGENT)]
    assert resolution(log, "tue 12:00").target == 8 * H


def test_a_priority_without_a_target_has_no_clock() -> None:
    assert clocks(TARGETS, OFFICE, [step("mon 09:00", OPEN, Priority.LOW)], [], at("mon 12:00")) == []


def test_the_first_public_answer_stops_the_first_response() -> None:
    clock = response(Metric.FIRST_RESPONSE, [said("mon 09:30", inbound=True), said("mon 10:00"), said("mon 16:00")], "tue 12:00")
    assert clock is not None
    assert (clock.stopped, clock.consumed, clock.state) == (at("mon 10:00"), H, ClockState.MET)


def test_without_an_answer_the_first_response_is_breached_after_its_target() -> None:
    clock = response(Metric.FIRST_RESPONSE, [], "mon 11:01")
    assert clock is not None
    assert (clock.due, clock.state) == (at("mon 11:00"), ClockState.BREACHED)


def test_a_solution_without_a_word_is_a_response_too() -> None:
    clock = response(Metric.FIRST_RESPONSE, [], "tue 12:00", [step("mon 09:00", NEW), step("mon 10:00", SOLVED)])
    assert clock is not None
    assert (clock.stopped, clock.state) == (at("mon 10:00"), ClockState.MET)


def test_the_next_response_counts_from_the_customers_first_unanswered_word() -> None:
    messages = [said("mon 10:00"), said("mon 11:00", inbound=True), said("mon 12:00", inbound=True)]
    waiting = response(Metric.NEXT_RESPONSE, messages, "mon 13:00")
    assert waiting is not None
    assert (waiting.started, waiting.due, waiting.state) == (at("mon 11:00"), at("mon 14:00"), ClockState.RUNNING)
    answered = response(Metric.NEXT_RESPONSE, [*messages, said("mon 15:00")], "tue 13:00")
    assert answered is not None
    assert (answered.stopped, answered.state) == (at("mon 15:00"), ClockState.BREACHED)


def test_before_the_first_answer_there_is_no_next_response() -> None:
    assert response(Metric.NEXT_RESPONSE, [said("mon 10:00", inbound=True)], "mon 13:00") is None


# The customer asks at 10 (answered at 10:30), at 11 (answered at 12:30) and at 12:45 (answered at 16:00); the target is three hours.
TALK = [
    said("mon 09:30"),
    said("mon 10:00", inbound=True),
    said("mon 10:30"),
    said("mon 11:00", inbound=True),
    said("mon 12:30"),
    said("mon 12:45", inbound=True),
    said("mon 16:00"),
]


def waits(recurrence: Recurrence, now: str = "tue 12:00") -> list[tuple[datetime, datetime | None, ClockState]]:
    found = clocks(TARGETS, OFFICE, [step("mon 09:00", OPEN)], TALK, at(now), recurrence)
    return [(c.started, c.due, c.state) for c in found if c.metric is Metric.NEXT_RESPONSE]


def test_c40_independent_waits_have_a_target_each() -> None:
    assert waits(Recurrence.INDEPENDENT) == [
        (at("mon 10:00"), at("mon 13:00"), ClockState.MET),
        (at("mon 11:00"), at("mon 14:00"), ClockState.MET),
        (at("mon 12:45"), at("mon 15:45"), ClockState.BREACHED),
    ]


def test_c40_without_recurrence_the_first_wait_alone_has_a_target() -> None:
    assert waits(Recurrence.NONE) == [(at("mon 10:00"), at("mon 13:00"), ClockState.MET)]


def test_c40_sequential_waits_begin_when_the_target_before_is_used_up() -> None:
    assert waits(Recurrence.SEQUENTIAL) == [
        (at("mon 10:00"), at("mon 13:00"), ClockState.MET),
        (at("mon 13:00"), at("mon 16:00"), ClockState.MET),
    ], "the wait from 11 to 12:30 ended before its target began, the one from 12:45 began with it at 13"


def test_c40_a_sequential_target_that_has_not_begun_is_not_there_yet() -> None:
    assert waits(Recurrence.SEQUENTIAL, now="mon 12:50") == [(at("mon 10:00"), at("mon 13:00"), ClockState.MET)]
    assert waits(Recurrence.SEQUENTIAL, now="mon 13:10")[1:] == [(at("mon 13:00"), at("mon 16:00"), ClockState.RUNNING)]


def test_what_came_after_an_instant_is_not_known_at_it() -> None:
    log = [step("mon 09:00", OPEN), step("mon 12:00", PENDING), step("tue 09:00", SOLVED)]
    assert resolution(log, "mon 11:00") == resolution(log[:1], "mon 11:00")
    assert clocks(TARGETS, OFFICE, log, [], at("mon 08:00")) == []


STATUSES = st.sampled_from(TicketStatus)
LOGS = st.lists(st.tuples(st.integers(0, 14 * 24 * 60), STATUSES, st.sampled_from([NORMAL, HIGH, URGENT])), min_size=1, max_size=10)


def _log(drawn: list[tuple[int, TicketStatus, Priority]]) -> list[Step]:
    steps = sorted(drawn, key=lambda d: d[0])
    return [Step(at("mon 00:00") + timedelta(minutes=m), s, p) for m, s, p in steps]


@given(LOGS, st.integers(0, 20 * 24 * 60))
def test_c40_consumed_time_is_the_working_time_outside_of_pauses(drawn: list[tuple[int, TicketStatus, Priority]], minutes: int) -> None:
    log, now = _log(drawn), at("mon 00:00") + timedelta(minutes=minutes)
    found = clocks(TARGETS, OFFICE, log, [], now)
    assert bool(found) is (log[0].at <= now)
    for clock in found:
        end = clock.stopped or now
        running = [(s.at, min(f.at, end)) for s, f in zip(log, [*log[1:], Step(end, OPEN, NORMAL)], strict=True) if s.status in RUNNING]
        expected = sum((OFFICE.between(since, till) for since, till in running), timedelta(0))
        assert clock.consumed == expected


@given(LOGS, st.integers(0, 20 * 24 * 60))
def test_c40_a_breach_says_that_more_was_consumed_than_promised_or_that_the_instant_passed(
    drawn: list[tuple[int, TicketStatus, Priority]], minutes: int
) -> None:
    log, now = _log(drawn), at("mon 00:00") + timedelta(minutes=minutes)
    for clock in clocks(TARGETS, OFFICE, log, [], now):
        if clock.consumed > clock.target:
            assert clock.breached or clock.due == (clock.stopped or now), "only the instant of the change itself is not late"
        if clock.breached:
            assert clock.consumed >= clock.target
        if clock.stopped is None and log[-1].at <= now:
            assert log[-1].status not in DONE or clock.metric is not Metric.RESOLUTION


@given(LOGS, st.integers(0, 20 * 24 * 60), st.integers(0, 20 * 24 * 60))
def test_c40_a_breach_of_an_unsolved_ticket_stays_one_as_time_passes(
    drawn: list[tuple[int, TicketStatus, Priority]], one: int, two: int
) -> None:
    log = [Step(s.at, s.status, NORMAL) for s in _log(drawn)]
    early, late = (at("mon 00:00") + timedelta(minutes=m) for m in sorted((one, two)))
    broken = {c.metric for c in clocks(TARGETS, OFFICE, log, [], early) if c.breached}
    assert broken <= {c.metric for c in clocks(TARGETS, OFFICE, log, [], late) if c.breached}
