"""What is read for a report, and the parts that come back, whether from records, kept sums or facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from crm_core import Dimension, Money
from crm_core.rules import Rule

from .periods import Calendar, Grain, Period

Value = int | Decimal | Money


@attrs.frozen
class Asked:
    """What is read, with its names resolved: see :class:`crm_analytics.reports.Report`.

    Attributes:
        money: for each entity the money field whose currency splits its figures; none where all are converted.
        single: for each entity without one the only currency of its figures, that of a custom field.
    """

    by: Sequence[Dimension | str]
    where: Rule
    grain: Grain | None
    since: date | None
    until: date | None
    calendar: Calendar
    currency: str | None
    rates: str
    money: dict[type[Any], str]
    single: dict[type[Any], str] = attrs.field(factory=dict)


@attrs.frozen
class Part:
    """The value of one measure in one group."""

    period: Period | None
    keys: tuple[Any, ...]
    currency: str | None
    value: Value
