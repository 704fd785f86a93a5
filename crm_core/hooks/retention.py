"""Retention: how long records are needed, as plugins declare it and tenants change it."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ..classes import frozen
from ..errors import Invalid
from ..permissions.predicates import Rule, everything

if TYPE_CHECKING:
    from ..entities.entity import Entity

RetentionAction = Literal["empty", "delete"]
_PERIOD = r"([1-9][0-9]{0,2}) (month|year)s?|([1-9][0-9]{0,4}) days?"


@frozen(eq=False)
class Retention:
    """How long records of *entity* are needed, and what is done with them afterwards.

    Attributes:
        plugin, key: its name is ``<plugin>.<key>``.
        keep: the period, by the calendar: ``90 days``, ``18 months``, ``3 years``.
        since: the date or datetime field that it counts from; a record without a value is kept.
        action: ``empty`` their personal fields and keep the records, or ``delete`` them too.
        where: which records.
        suggested: it is in force only in tenants that set a period for it.
    """

    plugin: str
    key: str
    entity: type[Entity]
    keep: str
    since: str
    action: RetentionAction
    where: Rule = everything
    suggested: bool = False

    @property
    def name(self) -> str:
        """The plugin and the key: ``club.calls``."""
        return f"{self.plugin}.{self.key}"


def check_period(keep: str) -> re.Match[str]:
    """Return the parts of a period.

    Raises:
        Invalid: ``retention_period``.
    """
    found = re.fullmatch(_PERIOD, keep) if isinstance(keep, str) else None
    if found is None:
        raise Invalid("retention_period", given=str(keep)[:40])
    return found


def before(now: datetime, keep: str) -> datetime:
    """Return the instant a period before *now*; of a month that is too short, its last day.

    Raises:
        Invalid: ``retention_period``.
    """
    found = check_period(keep)
    if found[3]:
        return now - timedelta(days=int(found[3]))
    months = now.year * 12 + now.month - 1 - int(found[1]) * (12 if found[2] == "year" else 1)
    year, month = months // 12, months % 12 + 1
    return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
