"""Business calendars: when people work, kept as data [C40]."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crm_core import Change, Entity, Field, Invalid, MissingExtra, WriteCtx, check_write, field

from .plugin import plugin
from .worktime import DAY, Interval, WorkingTime

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class BusinessCalendar(Entity):
    """When people work: the hours SLA targets count in.

    ``hours`` are intervals of wall-clock time for each weekday, ``{"mon": [["09:00", "12:00"], ["13:00", "17:00"]]}``; a shift over
    midnight is two intervals (``["22:00", "24:00"]`` and the next day's ``["00:00", "06:00"]``), and a weekday that is not there is
    free. ``holidays`` are days off (ISO dates); ``country`` (ISO 3166), with ``region`` of it, adds its public holidays.

    Attributes:
        zone: the time zone of its hours, such as ``Europe/Berlin``.
    """

    name: Field[str] = field(length=100, unique=True, classified="internal")
    zone: Field[str] = field(default="UTC", length=63)
    hours: Field[dict[str, Any]]
    holidays: Field[list[str]] = field(factory=list)
    country: Field[str | None] = field(default=None, length=2)
    region: Field[str | None] = field(default=None, length=20)


plugin.entities(BusinessCalendar)


def working_time(calendar: BusinessCalendar) -> WorkingTime:
    """Return the calendar ready to count with.

    Raises:
        Invalid: ``service.bad_calendar`` names the field and what is expected.
        MissingExtra: it has a country, and the extra ``calendar`` is not installed.
    """
    week = _week(calendar.hours)
    return WorkingTime(zone=_zone(calendar.zone), week=week, is_off=_days_off(calendar))


@plugin.hook(check_write, on=BusinessCalendar)
def check_calendar(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a calendar that cannot be counted with."""
    for change in changes:
        calendar = change.record
        assert isinstance(calendar, BusinessCalendar)
        try:
            working_time(calendar).between(calendar.created_at, calendar.created_at + DAY)
        except Invalid as e:
            ctx.refuse(calendar, e.code, **e.params)


def _bad(field: str, expected: str) -> Invalid:
    return Invalid("service.bad_calendar", field=field, expected=expected)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise _bad("zone", "a zone of the IANA database, like Europe/Berlin") from None


def _week(hours: Any) -> tuple[tuple[Interval, ...], ...]:
    if not isinstance(hours, dict) or not hours.keys() <= set(WEEKDAYS) or not any(hours.values()):
        raise _bad("hours", 'an object with "mon" to "sun", and at least one interval')
    return tuple(tuple(_intervals(hours.get(day, []))) for day in WEEKDAYS)


def _intervals(day: Any) -> Iterator[Interval]:
    if not isinstance(day, list):
        raise _bad("hours", "a list of intervals a day")
    last = timedelta(0)
    for item in day:
        if not isinstance(item, list) or len(item) != 2 or not all(isinstance(t, str) and _CLOCK.fullmatch(t) for t in item):
            raise _bad("hours", 'intervals like ["09:00", "17:00"]')
        since, till = map(_since_midnight, item)
        if not last <= since < till:
            raise _bad("hours", "intervals in order, without overlap, each with an end after its start")
        last = till
        yield since, till


def _since_midnight(clock: str) -> timedelta:
    hours, _, minutes = clock.partition(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _days_off(calendar: BusinessCalendar) -> Callable[[date], bool]:
    try:
        own = frozenset(date.fromisoformat(day) for day in calendar.holidays)
    except (TypeError, ValueError):
        raise _bad("holidays", "days like 2026-12-25") from None
    public = _public_holidays(calendar.country, calendar.region) if calendar.country else ()
    return lambda day: day in own or day in public


def _public_holidays(country: str, region: str | None) -> Any:
    try:
        import holidays
    except ImportError as e:
        raise MissingExtra(extra="calendar", module="holidays") from e
    try:
        return holidays.country_holidays(country, subdiv=region)
    except NotImplementedError:
        raise _bad("country", "a country (and region) whose holidays are known, like DE and BY") from None
