"""Working time: how much of it lies between two instants, and when a given amount of it is over. Pure functions of a calendar's data.

A calendar is a zone, intervals of wall-clock time for each weekday, and days off. All results are exact: wall-clock times become instants
in UTC first, so a day on which the clocks change has its true length. A wall-clock time that a change skips stands for the instant of
the change; of one that happens twice, the first counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import attrs

from crm_core import Invalid

Interval = tuple[timedelta, timedelta]
Span = tuple[datetime, datetime]
Week = tuple[tuple[Interval, ...], ...]

ZERO = timedelta(0)
DAY = timedelta(days=1)
# A calendar that is closed for longer than this is taken to be closed for ever.
_LONGEST_CLOSURE = 800
# Nor does anybody wait longer than that: with a minute of work a week, a promise of a year ends in no year that there is.
_LONGEST_WAIT = timedelta(days=36_525)


def _never(day: date) -> bool:
    return False


@attrs.frozen
class WorkingTime:
    """When people work.

    Attributes:
        zone: where the wall clock hangs.
        week: for Monday to Sunday, intervals from and to, as time since midnight; in order, without overlap, 24 hours at most.
        is_off: whether a day is a holiday.
    """

    zone: ZoneInfo
    week: Week
    is_off: Callable[[date], bool] = _never
    _days: dict[date, tuple[Span, ...]] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Return the working time from *start* to *end*; zero where *end* is not later."""
        # In UTC: arithmetic between two instants of one zone would count by the wall clock.
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        return sum((min(end, till) - max(start, since) for since, till in self._spans(start, end)), ZERO)

    def after(self, start: datetime, amount: timedelta) -> datetime:
        """Return the earliest instant (UTC) at which *amount* of working time has passed since *start*.

        Raises:
            Invalid: ``service.calendar_closed``, so much working time never comes.
        """
        start, left = start.astimezone(UTC), amount
        if amount <= ZERO:
            return start
        for since, till in self._open_ended(start):
            worked = till - max(start, since)
            if worked >= left:
                return max(start, since) + left
            left -= worked
        raise Invalid("service.calendar_closed", since=start.isoformat())

    def _spans(self, start: datetime, end: datetime) -> Iterator[Span]:
        """Yield the working spans that overlap the given one."""
        if end <= start:
            return
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        while day <= last:
            yield from (span for span in self._day(day) if span[0] < end and span[1] > start)
            day += DAY

    def _open_ended(self, start: datetime) -> Iterator[Span]:
        """Yield the working spans that end after *start*, until none has come for too long or a century is over."""
        day, closed = start.astimezone(self.zone).date(), 0
        last = min(day, date.max - _LONGEST_WAIT - 2 * DAY) + _LONGEST_WAIT
        while closed < _LONGEST_CLOSURE and day < last:
            spans = [span for span in self._day(day) if span[1] > start]
            yield from spans
            closed = 0 if spans else closed + 1
            day += DAY

    def _day(self, day: date) -> tuple[Span, ...]:
        found = self._days.get(day)
        if found is None:
            intervals = () if self.is_off(day) else self.week[day.weekday()]
            made = ((instant(day, since, self.zone), instant(day, till, self.zone)) for since, till in intervals)
            found = self._days[day] = tuple((since, till) for since, till in made if since < till)
        return found


def instant(day: date, since_midnight: timedelta, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which the wall clock of *zone* shows a time of *day*; ``24:00`` is the next day's midnight."""
    wall = datetime.combine(day, time()) + since_midnight
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    return _change(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), found, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Find the instant between two at which the clocks change."""
    old = before.astimezone(zone).utcoffset()
    seconds = int((after - before).total_seconds())
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def worked(calendar: WorkingTime, spans: Iterable[Span]) -> timedelta:
    """Return the working time inside several spans that do not overlap."""
    return sum((calendar.between(since, till) for since, till in spans), ZERO)


def reached(calendar: WorkingTime, spans: Iterable[Span], amount: timedelta) -> datetime | None:
    """Return when *amount* of working time was or will be reached inside spans in order; None where they end before.

    A span may reach into the future (``datetime.max``): its end is not needed.
    """
    left = amount
    for since, till in spans:
        due = calendar.after(since, left)
        if due <= till:
            return due
        left -= calendar.between(since, till)
    return None
