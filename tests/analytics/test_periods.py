"""Periods of a zone and a fiscal calendar: at changes of clocks, at the ends of years, in every zone [C55]."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_analytics.api import Calendar, Grain
from crm_core import Invalid

DAYS = st.dates(date(1975, 1, 1), date(2060, 1, 1))
ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo"]
)


@pytest.mark.parametrize(
    ("day", "grain", "start", "label", "first", "last"),
    [
        ("2026-03-29", "day", 1, "2026-03-29", "2026-03-29", "2026-03-29"),
        ("2027-01-03", "week", 1, "2026-W53", "2026-12-28", "2027-01-03"),
        ("2024-12-30", "week", 1, "2025-W01", "2024-12-30", "2025-01-05"),
        ("2024-02-29", "month", 4, "2024-02", "2024-02-01", "2024-02-29"),
        ("2026-12-31", "quarter", 1, "2026-Q4", "2026-10-01", "2026-12-31"),
        ("2026-03-31", "quarter", 4, "FY2026-Q4", "2026-01-01", "2026-03-31"),
        ("2026-04-01", "quarter", 4, "FY2027-Q1", "2026-04-01", "2026-06-30"),
        ("2026-01-31", "quarter", 2, "FY2026-Q4", "2025-11-01", "2026-01-31"),
        ("2026-12-31", "year", 1, "2026", "2026-01-01", "2026-12-31"),
        ("2026-03-31", "year", 4, "FY2026", "2025-04-01", "2026-03-31"),
    ],
)
def test_c55_a_day_lies_in_the_period_that_the_calendar_says(day: str, grain: str, start: int, label: str, first: str, last: str) -> None:
    period = Calendar("UTC", start).period(date.fromisoformat(day), Grain(grain))
    assert (period.label, period.first.isoformat(), period.last.isoformat()) == (label, first, last)


@given(DAYS, st.sampled_from(Grain), st.integers(1, 12), st.integers(0, 400))
def test_c55_periods_follow_each_other_without_gap_or_overlap(day: date, grain: Grain, start: int, length: int) -> None:
    calendar = Calendar("UTC", start)
    periods = calendar.periods(day, day + timedelta(days=length), grain)
    assert periods[0].first <= day
    assert periods[-1].last >= day + timedelta(days=length)
    assert all(a.last + timedelta(days=1) == b.first for a, b in pairwise(periods))
    assert len({p.label for p in periods}) == len(periods)


@given(DAYS, ZONES)
@example(date(2026, 3, 29), "Europe/Berlin")
@example(date(2018, 11, 4), "America/Sao_Paulo")  # midnight is skipped
@example(date(2011, 12, 30), "Pacific/Apia")  # the whole day is
def test_c55_a_day_begins_at_its_first_instant(day: date, zone: str) -> None:
    calendar = Calendar(zone)
    start, following = calendar.start_of(day), calendar.start_of(day + timedelta(days=1))
    assert start <= following
    assert calendar.day_of(start - timedelta(microseconds=1)) < day
    if start < following:
        assert calendar.day_of(start) == day
        assert calendar.day_of(following - timedelta(microseconds=1)) == day


def test_c55_the_day_of_a_change_of_clocks_has_23_or_25_hours() -> None:
    calendar = Calendar("Europe/Berlin")
    hours = [calendar.start_of(d + timedelta(days=1)) - calendar.start_of(d) for d in (date(2026, 3, 29), date(2026, 10, 25))]
    assert hours == [timedelta(hours=23), timedelta(hours=25)]
    assert calendar.day_of(datetime(2026, 3, 29, 21, 59, tzinfo=UTC)) == date(2026, 3, 29)
    assert datetime(2026, 3, 29, 23, 59, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC).hour == 21


def test_c55_what_is_no_calendar_is_refused() -> None:
    with pytest.raises(Invalid) as zone:
        Calendar("Mars/Olympus")
    with pytest.raises(Invalid) as month:
        Calendar("UTC", 13)
    with pytest.raises(Invalid) as many:
        Calendar().periods(date(2020, 1, 1), date(2024, 1, 1), Grain.DAY)
    assert [e.value.code for e in (zone, month, many)] == ["analytics.unknown_zone", "analytics.bad_month", "analytics.too_many_periods"]
