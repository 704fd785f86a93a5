"""Working time: golden cases, days on which clocks change, and laws that hold for every calendar [C40]."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core import Invalid
from crm_service.worktime import DAY, Interval, Week, WorkingTime, instant

H = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NINE_TO_FIVE: tuple[Interval, ...] = ((9 * H, 17 * H),)
LUNCH: tuple[Interval, ...] = ((9 * H, 12 * H), (13 * H, 17 * H))


def office(day: tuple[Interval, ...] = NINE_TO_FIVE, zone: str = "UTC", holidays: tuple[date, ...] = ()) -> WorkingTime:
    return WorkingTime(ZoneInfo(zone), (day,) * 5 + ((), ()), lambda d: d in holidays)


def daily(day: tuple[Interval, ...], zone: str) -> WorkingTime:
    return WorkingTime(ZoneInfo(zone), (day,) * 7)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_g1_eight_hours_from_monday_nine_are_over_at_monday_five() -> None:
    assert office().after(at("2026-03-02T09:00"), 8 * H) == at("2026-03-02T17:00")


def test_g1_a_night_without_working_time_costs_nothing() -> None:
    assert office().between(at("2026-03-02T17:00"), at("2026-03-03T09:00")) == timedelta(0)


def test_g2_an_hour_that_begins_before_lunch_ends_after_it() -> None:
    assert office(LUNCH).after(at("2026-03-02T11:30"), H) == at("2026-03-02T13:30")


def test_a_weekend_and_a_holiday_are_left_out() -> None:
    friday, off = at("2026-03-06T16:00"), date(2026, 3, 9)
    assert office().after(friday, 2 * H) == at("2026-03-09T10:00")
    assert office(holidays=(off,)).after(friday, 2 * H) == at("2026-03-10T10:00")


def test_what_begins_outside_of_hours_begins_with_the_next_ones() -> None:
    assert office().after(at("2026-03-07T03:00"), MINUTE) == at("2026-03-09T09:01")


def test_no_time_is_over_at_once() -> None:
    assert office().after(at("2026-03-07T03:00"), timedelta(0)) == at("2026-03-07T03:00")


def test_time_does_not_run_backwards() -> None:
    assert office().between(at("2026-03-03T12:00"), at("2026-03-02T12:00")) == timedelta(0)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_whole_day_has_its_true_length_when_clocks_change(day: str, hours: int) -> None:
    always = daily(((timedelta(0), DAY),), "Europe/Berlin")
    start = at(f"{day}T00:00", "Europe/Berlin")
    end = datetime.combine(start.date() + DAY, time(), start.tzinfo)
    assert always.between(start, end) == hours * H
    assert always.after(start, hours * H) == end


def test_hours_that_a_change_skips_do_not_exist() -> None:
    night = daily(((2 * H, 3 * H),), "Europe/Berlin")
    start = at("2026-03-29T00:00", "Europe/Berlin")
    assert night.between(start, start + 20 * H) == timedelta(0)
    assert night.after(start, 30 * MINUTE) == at("2026-03-30T02:30", "Europe/Berlin")


def test_a_skipped_wall_clock_time_stands_for_the_instant_of_the_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert instant(date(2026, 3, 29), 2 * H + 30 * MINUTE, berlin) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    # A change of half an hour (Lord Howe), and one that skipped a whole day (Apia, 2011-12-30).
    assert instant(date(2026, 10, 4), 2 * H + 15 * MINUTE, ZoneInfo("Australia/Lord_Howe")) == datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    assert instant(date(2011, 12, 30), 9 * H, ZoneInfo("Pacific/Apia")) == datetime(2011, 12, 30, 10, tzinfo=UTC)


def test_a_calendar_closed_for_years_is_an_error_not_an_endless_loop() -> None:
    closed = WorkingTime(ZoneInfo("UTC"), ((),) * 7)
    with pytest.raises(Invalid) as e:
        closed.after(at("2026-03-02T09:00"), H)
    assert e.value.code == "service.calendar_closed"


def test_the_end_of_all_dates_is_an_error_too() -> None:
    with pytest.raises(Invalid) as e:
        office().after(at("9999-12-20T09:00"), 1000 * H)
    assert e.value.code == "service.calendar_closed"


# -- laws -------------------------------------------------------------------------------------------------------------------------

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
]
QUARTERS = st.integers(0, 96).map(lambda n: n * 15 * MINUTE)
INSTANTS = st.timedeltas(timedelta(0), timedelta(days=600)).map(lambda passed: at("2025-09-01T00:00") + passed)
AMOUNTS = st.timedeltas(timedelta(0), timedelta(hours=200))


def _intervals(points: list[timedelta]) -> tuple[Interval, ...]:
    return tuple((a, b) for a, b in zip(points[::2], points[1::2], strict=False))


DAYS = st.lists(QUARTERS, min_size=0, max_size=6, unique=True).map(sorted).map(_intervals)


@st.composite
def calendars(draw: st.DrawFn, days: st.SearchStrategy[tuple[Interval, ...]] = DAYS) -> WorkingTime:
    week: Week = tuple(draw(days) for _ in range(7))
    if not any(week):
        week = (NINE_TO_FIVE, *week[1:])
    holidays = draw(st.frozensets(st.dates(date(2025, 9, 1), date(2027, 6, 1)), max_size=5))
    return WorkingTime(ZoneInfo(draw(st.sampled_from(ZONES))), week, holidays.__contains__)


@settings(max_examples=200)
@given(calendars(), INSTANTS, AMOUNTS)
def test_c40_adding_working_time_and_measuring_it_gives_it_back(calendar: WorkingTime, start: datetime, amount: timedelta) -> None:
    end = calendar.after(start, amount)
    assert calendar.between(start, end) == amount
    if amount:
        assert calendar.between(start, end - timedelta(microseconds=1)) < amount, "an earlier instant would have done"


@settings(max_examples=200)
@given(calendars(), st.lists(INSTANTS, min_size=2, max_size=5).map(sorted))
def test_c40_the_parts_of_a_span_add_up_to_the_whole(calendar: WorkingTime, points: list[datetime]) -> None:
    parts = sum((calendar.between(a, b) for a, b in pairwise(points)), timedelta(0))
    assert parts == calendar.between(points[0], points[-1])


@settings(max_examples=200)
@given(calendars(), INSTANTS, AMOUNTS, AMOUNTS)
def test_c40_adding_in_two_steps_is_adding_at_once(calendar: WorkingTime, start: datetime, one: timedelta, two: timedelta) -> None:
    assert calendar.after(calendar.after(start, one), two) == calendar.after(start, one + two)


# No boundary where clocks change, so that every minute of the wall clock is either in an interval or not.
SAFE = st.lists(st.integers(18, 96).map(lambda n: n * 15 * MINUTE), min_size=0, max_size=6, unique=True).map(sorted).map(_intervals)


CHANGES = st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31"])


@settings(max_examples=40)
@given(
    calendars(SAFE),
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31"]),
    st.integers(0, 1440),
)
def test_c40_measuring_agrees_with_counting_minutes_of_the_wall_clock(calendar: WorkingTime, day: str, offset: int) -> None:
    start = at(f"{day}T00:00") + offset * MINUTE
    counted = sum(_works(calendar, start + n * MINUTE) for n in range(2 * 1440))
    assert calendar.between(start, start + 2 * DAY) == counted * MINUTE


def _works(calendar: WorkingTime, moment: datetime) -> bool:
    local = moment.astimezone(calendar.zone)
    clock = timedelta(hours=local.hour, minutes=local.minute)
    return not calendar.is_off(local.date()) and any(a <= clock < b for a, b in calendar.week[local.weekday()])


def test_c40_the_steps_of_3804_real_tickets_add_up(test_data: Callable[[str], Path]) -> None:
    calendar = office(LUNCH, "Europe/Rome", (date(2010, 12, 25), date(2011, 1, 1)))
    with (test_data("service/helpdesk_event_log_italian") / "helpdesk.csv").open() as file:
        rows = [(row["CaseID"], at(row["CompleteTimestamp"], "Europe/Rome")) for row in csv.DictReader(file)]
    cases = [[moment for _, moment in case] for _, case in groupby(rows, key=lambda row: row[0])]
    assert (len(cases), len(rows)) == (3804, 13710)
    for case in cases:
        parts = sum((calendar.between(a, b) for a, b in pairwise(case)), timedelta(0))
        whole = calendar.between(case[0], case[-1])
        assert parts == whole
        assert calendar.between(case[0], calendar.after(case[0], whole)) == whole
