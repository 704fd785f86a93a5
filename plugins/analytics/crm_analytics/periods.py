"""Days, weeks, months, quarters and years of a zone and a fiscal calendar, as instants that no change of clocks shifts [C55].

Databases do not agree on zones (SQLite has none), so the bounds are computed here and handed to them as plain instants.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from crm_core import Invalid

FIRST_YEAR, LAST_YEAR = 10, 9990
MAX_PERIODS = 1_000


class Grain(Enum):
    """How long a period is. Weeks begin on Monday and are numbered as ISO 8601 has it."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@attrs.frozen(order=True)
class Period:
    """A span of days, both inclusive.

    Attributes:
        label: ``2026-03-29``, ``2026-W13``, ``2026-03``, ``2026-Q1``, ``2026``; ``FY2026-Q4``, ``FY2026`` where the fiscal year is not
            the calendar's.
    """

    first: date
    last: date
    label: str


def check_day(part: str, given: Any) -> None:
    """Check that an end of a question is a day, with room for a period and a zone beside it.

    Raises:
        Invalid: ``analytics.bad_question``.
    """
    if given is not None and not (type(given) is date and FIRST_YEAR <= given.year <= LAST_YEAR):
        expected = f"a date of the years {FIRST_YEAR} to {LAST_YEAR}, like date(2026, 3, 2)"
        raise Invalid("analytics.bad_question", part=part, given=str(given)[:60], expected=expected)


@attrs.frozen
class Calendar:
    """A zone, and the month in which its fiscal year begins.

    Raises:
        Invalid: ``analytics.unknown_zone``, ``analytics.bad_month``.
    """

    zone: str = "UTC"
    fiscal_start: int = 1

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.fiscal_start <= 12:
            raise Invalid("analytics.bad_month", given=self.fiscal_start)
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Invalid("analytics.unknown_zone", given=self.zone[:60]) from None

    def start_of(self, day: date) -> datetime:
        """Return the instant at which a day begins in the zone, in UTC; where midnight is skipped, the first instant after it."""
        return datetime.combine(day, time(), ZoneInfo(self.zone)).astimezone(UTC)

    def day_of(self, at: datetime | date) -> date:
        """Return the day of an instant in the zone; a date is its own."""
        return at.astimezone(ZoneInfo(self.zone)).date() if isinstance(at, datetime) else at

    def period(self, day: date, grain: Grain) -> Period:
        """Return the period that a day lies in."""
        match grain:
            case Grain.DAY:
                return Period(day, day, day.isoformat())
            case Grain.WEEK:
                year, week, weekday = day.isocalendar()
                first = day - timedelta(days=weekday - 1)
                return Period(first, first + timedelta(days=6), f"{year}-W{week:02}")
            case Grain.MONTH:
                return self._months(day, 1, f"{day:%Y-%m}")
        year, month = self._fiscal(day)
        name = f"{year}" if self.fiscal_start == 1 else f"FY{year}"
        if grain is Grain.QUARTER:
            return self._months(day, 3, f"{name}-Q{(month - 1) // 3 + 1}")
        return self._months(day, 12, name)

    def periods(self, first: date, last: date, grain: Grain) -> list[Period]:
        """Return the periods that the days from *first* to *last* lie in, without a gap.

        Raises:
            Invalid: ``analytics.too_many_periods``: more than 1,000.
        """
        found: list[Period] = []
        for period in self._walk(first, last, grain):
            if len(found) == MAX_PERIODS:
                raise Invalid("analytics.too_many_periods", limit=MAX_PERIODS, grain=grain.value)
            found.append(period)
        return found

    def _walk(self, first: date, last: date, grain: Grain) -> Iterator[Period]:
        period = self.period(first, grain)
        while period.first <= last:
            yield period
            period = self.period(period.last + timedelta(days=1), grain)

    def _fiscal(self, day: date) -> tuple[int, int]:
        """Return the fiscal year, and the month within it from 1 on."""
        month = (day.month - self.fiscal_start) % 12 + 1
        begins = day.year if day.month >= self.fiscal_start else day.year - 1
        return begins + (self.fiscal_start > 1), month

    def _months(self, day: date, length: int, label: str) -> Period:
        into = (day.month - self.fiscal_start) % 12 % length
        count = day.year * 12 + day.month - 1 - into
        return Period(_month(count), _month(count + length) - timedelta(days=1), label)


def _month(count: int) -> date:
    return date(count // 12, count % 12 + 1, 1)
