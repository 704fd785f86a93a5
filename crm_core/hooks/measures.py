"""Measures, dimensions and metrics: what a plugin's figures are, declared beside its entities for whoever reports.

A *measure* adds up over records and so over any grouping of them; a *dimension* is what records are grouped by; a *metric* is computed
from measures (a rate, an average) and does not add up. They are data: the declaring plugin needs no module that reports, and a module
that reports reads them through its actor's lens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from ..entities.money import WIDE, Money
from ..permissions.predicates import Rule, everything
from .parts import Contribution

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from ..session import Session

Better = Literal["higher", "lower"]
Figure = int | Decimal | Money | None


@attrs.frozen(eq=False)
class Measure:
    """A figure that adds up: the number of records of *entity* for which *where* holds, or the sum of one of their fields.

    Attributes:
        plugin, key: its name is ``<plugin>.<key>``.
        entity: whose records.
        label: what people read; a message id or plain text.
        formula: how it is computed, in words.
        unit: what it counts in: ``deals``, ``days``; ``money`` for amounts, each in its currency.
        of: what is summed: the name of a money, whole-number or decimal field, or an expression of whole numbers; None counts records.
        where: which records.
        at: the date or datetime field that says when; None where it has no time.
        weight: a whole-number field in per cent: each amount counts with this share of itself.
        better: which way is good.
        absolute: each amount of money counts without its sign, as where some sources write a return below zero and others do not.
    """

    plugin: str
    key: str
    entity: type[Entity]
    label: str
    formula: str
    unit: str
    of: Any = None
    where: Rule = everything
    at: str | None = None
    weight: str | None = None
    better: Better = "higher"
    absolute: bool = False

    @property
    def name(self) -> str:
        """The plugin and the key: ``sales.won_value``."""
        return f"{self.plugin}.{self.key}"


@attrs.frozen(eq=False)
class Fact:
    """One thing that happened, from a source that is no column: when, how much, and what it is grouped by."""

    at: date | datetime | None
    value: int | Decimal | Money = 1
    dimensions: Mapping[str, Any] = attrs.field(factory=dict)


Facts = Callable[["Session", date | None, date | None], Iterable[Fact]]


@attrs.frozen(eq=False, repr=False)
class Source(Contribution):
    """A measure whose facts the declaring plugin computes, through the same session.

    The function gets the first and the last day that are asked for (inclusive, in whatever zone: a day more does no harm; None is open)
    and yields facts. ``dimensions`` names what they are grouped by, with a label each; ``at`` says what dates them, in words for people
    who compare figures: ``Ticket.created_at``.
    """

    takes: ClassVar[tuple[str, ...]] = ("session", "since", "until")

    label: str
    formula: str
    unit: str
    dimensions: Mapping[str, str] = attrs.field(factory=dict)
    better: Better = "higher"
    at: str | None = None


@attrs.frozen(eq=False)
class Dimension:
    """What records of *entity* are grouped by: a field (a reference is shown by its target's name), or an expression of its columns.

    Attributes:
        plugin, key: its name is ``<plugin>.<key>``.
        of: the field's name or the expression.
    """

    plugin: str
    key: str
    entity: type[Entity]
    of: Any
    label: str

    @property
    def name(self) -> str:
        """The plugin and the key: ``sales.owner``."""
        return f"{self.plugin}.{self.key}"


@attrs.frozen(eq=False)
class Rollup:
    """Sums of an entity's records that are kept with every write: how many there are, and what *of* adds up to by currency.

    Attributes:
        plugin, key: its name is ``<plugin>.<key>``.
        by: the fields whose values make a cell; few different ones together, or a cell saves nothing.
        of: a money field of the usual scale; None counts alone.
    """

    plugin: str
    key: str
    entity: type[Entity]
    by: tuple[str, ...]
    of: str | None = None

    @property
    def name(self) -> str:
        """The plugin and the key: ``sales.pipeline``."""
        return f"{self.plugin}.{self.key}"


@attrs.frozen(eq=False, repr=False)
class Metric(Contribution):
    """A figure computed from measures: it does not add up, so it is computed anew for each group and for the whole.

    The function gets the values of the measures *of* in their order (a Money only where the report is in one currency or grouped by it)
    and returns a figure, or None where there is none.
    """

    label: str
    formula: str
    unit: str
    of: tuple[Measure | Source, ...]
    better: Better = "higher"


def ratio(part: int | Decimal, whole: int | Decimal, places: int = 2) -> Decimal | None:
    """Return *part* of *whole*, rounded to *places*, a half away from zero; None where there is no whole. ``ratio(100 * n, whole)`` is %.

    It is exact before it is rounded, whatever the thread's decimal context is.
    """
    if not whole:
        return None
    exact = Fraction(part) / Fraction(whole) * 10**places
    units = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return WIDE.scaleb(Decimal(-units if exact < 0 else units), -places)
