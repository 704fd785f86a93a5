"""When a rule runs by the clock: every so many minutes, or at a time of day in a zone.

``{"every_minutes": 15}`` counts from midnight UTC of 1970-01-01; ``{"at": "09:00", "zone": "Europe/Berlin", "days": ["mon", "fri"]}`` is
the wall clock's time: one that a zone skips comes as much later as the clock is put forward, one that comes twice counts the first time.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import Invalid

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MINUTES = 7 * 24 * 60
_EXPECTED = '{"every_minutes": 1 to 10080} or {"at": "HH:MM", "zone": an IANA zone, "days": some of mon to sun}'


@attrs.frozen
class Every:
    """Every so many minutes."""

    minutes: int

    def last(self, now: datetime) -> datetime:
        """Return the newest instant of the schedule that is not after *now*."""
        step = timedelta(minutes=self.minutes)
        return _EPOCH + (now - _EPOCH) // step * step


@attrs.frozen
class Daily:
    """At a time of day in a zone, on some days of the week (Monday is 0)."""

    at: time
    zone: ZoneInfo
    days: frozenset[int]

    def last(self, now: datetime) -> datetime:
        """Return the newest instant of the schedule that is not after *now*."""
        today = now.astimezone(self.zone).date()
        for back in range(9):
            day = today - timedelta(days=back)
            slot = datetime.combine(day, self.at, self.zone).astimezone(UTC)
            if day.weekday() in self.days and slot <= now:
                return slot
        raise AssertionError("a week has every day")


def read_schedule(data: Any) -> Every | Daily:
    """Read a schedule from JSON.

    Raises:
        Invalid: ``bad_value``.
    """
    if isinstance(data, dict):
        minutes = data.get("every_minutes")
        if data.keys() == {"every_minutes"} and type(minutes) is int and 0 < minutes <= _MOST_MINUTES:
            return Every(minutes)
        if "at" in data and not data.keys() - {"at", "zone", "days"}:
            return _daily(data)
    raise Invalid("bad_value", reason=_EXPECTED)


def _daily(data: dict[str, Any]) -> Daily:
    from zoneinfo import ZoneInfo

    days = data.get("days", list(DAYS))
    try:
        at, zone = datetime.strptime(data["at"], "%H:%M").time(), ZoneInfo(data.get("zone", "UTC"))  # noqa: DTZ007  # a wall clock's time
        known = frozenset(DAYS.index(day) for day in days)
    except (ValueError, TypeError, OSError, KeyError):
        raise Invalid("bad_value", reason=_EXPECTED) from None
    if not known:
        raise Invalid("bad_value", reason=_EXPECTED)
    return Daily(at, zone, known)
