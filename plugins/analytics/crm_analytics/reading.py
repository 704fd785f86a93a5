"""From a measure to its figures: one Core select through the session's lens, grouped by period, dimensions and currency [C55]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, select

from crm_core import Dimension, Invalid, Measure, MixedCurrency, Money, Session, Source
from crm_core.rules import criterion, everything

from .customs import CustomMeasure
from .definitions import Additive, source_dimensions
from .parts import Asked, Part
from .periods import Period, check_day
from .rolledup import rolled_up

NO_DATE = -1


def read(session: Session, measures: Sequence[Additive], asked: Asked) -> Iterator[tuple[Additive, Part]]:
    """Yield the measures' figures, one or more for each group that has any; those of the same records are read together.

    Raises:
        Invalid: ``analytics.no_date``, ``analytics.no_filter``, ``analytics.too_many_periods``, ``missing_rate``, or what is wrong with
            the rule.
        NotReadable: the actor may not read a field that it needs.
    """
    together: dict[Any, list[Measure]] = {}
    for measure in measures:
        if isinstance(measure, Source):
            yield from ((measure, part) for part in _from_source(session, measure, asked))
        elif (kept := rolled_up(session, measure, asked)) is not None:
            yield from ((measure, part) for part in kept)
        else:
            records = (measure.entity, measure.where, measure.at, measure.weight, _amount(measure, asked))
            together.setdefault(records, []).append(measure)
    for alike in together.values():
        yield from Selection(session, alike, asked).parts()


def _amount(measure: Measure, asked: Asked) -> str | None:
    """Return the money field whose currency splits a measure's figures; None where nothing does."""
    if asked.currency is not None:
        return None
    if measure.unit == "money":
        return None if isinstance(measure, CustomMeasure) else str(measure.of)
    return asked.money.get(measure.entity)


class Selection:
    """The records that a question is about, for measures that are of the same ones.

    Attributes:
        at: the column that says when; None where the measures have no date.
        criteria: what the records fulfil.
    """

    def __init__(self, session: Session, measures: Sequence[Measure], asked: Asked) -> None:
        measure = measures[0]
        self._session, self._measures, self._measure, self._asked = session, measures, measure, asked
        self._entity = measure.entity
        check_day("since", asked.since)
        check_day("until", asked.until)
        rule = measure.where & asked.where
        self.criteria: list[Any] = [] if rule == everything else [criterion(rule, self._entity, session)]
        self.at: Any = None if measure.at is None else getattr(self._entity, measure.at)
        if measure.at is None and (asked.grain or asked.since or asked.until):
            raise Invalid("analytics.no_date", metric=measure.name)
        at = self.at
        self.criteria += [] if asked.since is None else [at >= self._bound(asked.since)]
        self.criteria += [] if asked.until is None else [at < self._bound(asked.until + timedelta(days=1))]

    def parts(self) -> Iterator[tuple[Additive, Part]]:
        """Read the figures."""
        measure, asked = self._measure, self._asked
        periods = self.periods() if asked.grain else []
        split = self.split()
        weight = None if measure.weight is None else getattr(self._entity, measure.weight)
        keys = [self.bucket(periods)] if periods else []
        keys += [self.column(d) for d in asked.by] + [c for c in (split, weight) if c is not None]
        statement = select(*keys, *map(self.value, self._measures), func.count()).select_from(self._entity).where(*self.criteria)
        for row in self._session.execute(statement.group_by(*keys) if keys else statement):
            if row[-1]:  # without keys, no records at all are a row, too
                yield from self._parts(list(row[:-1]), periods, split is not None)

    def _parts(self, row: list[Any], periods: Sequence[Period], split: bool) -> Iterator[tuple[Additive, Part]]:
        asked, many = self._asked, len(self._measures)
        row, values = row[:-many], row[-many:]
        percent = row.pop() if self._measure.weight else 100
        currency = row.pop() if split else asked.currency or asked.single.get(self._entity)
        index = row.pop(0) if periods else NO_DATE
        period = None if index == NO_DATE else periods[index]
        for measure, found in zip(self._measures, values, strict=True):
            if measure.unit != "money":
                yield measure, Part(period, tuple(row), currency, found or 0)
                continue
            own = measure.currency if isinstance(measure, CustomMeasure) else currency
            assert own is not None
            amount = found if isinstance(found, Money) else Money(found or 0, own)
            yield measure, Part(period, tuple(row), own, amount * (percent or 0) / 100 if measure.weight else amount)

    def value(self, measure: Measure) -> Any:
        """Return what a measure adds up, as an aggregate; amounts as they are, without their weight."""
        asked = self._asked
        if measure.of is None:
            return func.count()
        column = getattr(self._entity, measure.of) if isinstance(measure.of, str) else measure.of
        if measure.unit != "money":
            return func.sum(column)
        if isinstance(measure, CustomMeasure):  # it is kept in one currency, and no rate is frozen with it
            if asked.currency not in (None, measure.currency):
                raise MixedCurrency(one=asked.currency, other=measure.currency)
            return func.sum(column)
        column = abs(column) if measure.absolute else column
        if asked.currency is None:
            return column.total()
        rates: Any = self.at if asked.rates == "dated" else asked.rates
        return func.sum(column.to(asked.currency, rates))

    def split(self) -> Any:
        """Return the column of the currency that these figures are in, where the report is not in one."""
        name = _amount(self._measure, self._asked)
        return getattr(self._entity, name).currency if name else None

    def column(self, dimension: Dimension | str) -> Any:
        """Return a dimension's column or expression."""
        assert isinstance(dimension, Dimension)
        return getattr(self._entity, dimension.of) if isinstance(dimension.of, str) else dimension.of

    def bucket(self, periods: Sequence[Period]) -> ColumnElement[int]:
        """Return the number of the period that a record lies in; ``NO_DATE`` where it has no date."""
        return bucket(self.at, [self._bound(p.first) for p in periods])

    def periods(self) -> list[Period]:
        """Return the periods that are asked for; those that there are records in, where no days are given."""
        asked = self._asked
        assert asked.grain is not None
        first, last = asked.since, asked.until
        if first is None or last is None:
            ends = self._session.execute(select(func.min(self.at), func.max(self.at)).where(*self.criteria)).one()
            if ends[0] is None:
                return []
            first, last = (asked.calendar.day_of(end) for end in ends)
        return asked.calendar.periods(first, last, asked.grain)

    def _bound(self, day: date) -> Any:
        return self._asked.calendar.start_of(day) if self.at.field.kind == "datetime" else day


def bucket(column: Any, starts: Sequence[date | datetime]) -> ColumnElement[int]:
    """Number the period that each value lies in, by the periods' starts; a tree of CASEs, so that a thousand cost ten comparisons."""

    def tree(low: int, high: int) -> Any:
        if high - low == 1:
            return literal(low)
        middle = (low + high) // 2
        return case((column < starts[middle], tree(low, middle)), else_=tree(middle, high))

    return case((column.is_(None), literal(NO_DATE)), else_=tree(0, len(starts)))


def _from_source(session: Session, source: Source, asked: Asked) -> Iterator[Part]:
    """Group the facts that a source yields as the database groups records."""
    if asked.where != everything:
        raise Invalid("analytics.no_filter", metric=source.name)
    keys = source_dimensions(source)
    names = [keys[d] for d in asked.by if isinstance(d, str)]
    for fact in source.fn(session, asked.since, asked.until):
        day = None if fact.at is None else asked.calendar.day_of(fact.at)
        dated = asked.since is not None or asked.until is not None
        if dated and (day is None or (asked.since and day < asked.since) or (asked.until and day > asked.until)):
            continue
        period = asked.calendar.period(day, asked.grain) if asked.grain and day else None
        currency = fact.value.currency if isinstance(fact.value, Money) else asked.currency
        if asked.currency is not None and currency != asked.currency:
            raise MixedCurrency(one=asked.currency, other=currency)
        yield Part(period, tuple(fact.dimensions.get(n) for n in names), currency, fact.value)
