"""When a job is due: cron expressions of five fields, by the wall clock of a named zone (Debian's cron decides about summer time)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

_MINUTE = timedelta(minutes=1)


def last(every: str, zone: str, now: datetime) -> datetime:
    """Return the newest instant of a schedule that is not after *now*, in UTC.

    Raises:
        MissingExtra: ``jobs``.
    """
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    return next(_slots(every, (minute + _MINUTE).astimezone(ZoneInfo(zone)), reverse=True)).astimezone(UTC)


def following(every: str, zone: str, now: datetime) -> datetime:
    """Return the first instant of a schedule after *now*, in UTC.

    Raises:
        MissingExtra: ``jobs``.
    """
    return next(_slots(every, now.astimezone(ZoneInfo(zone)))).astimezone(UTC)


def _slots(every: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    try:
        from cronsim import CronSim
    except ModuleNotFoundError as e:
        raise MissingExtra(extra="jobs", module=e.name or "") from e
    return CronSim(every, start, reverse=reverse)
