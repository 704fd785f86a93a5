"""RFM: recency, frequency and monetary value in quintiles, and the grade they give together [C05].

After Hughes, *Strategic Database Marketing* (1994): each score is the fifth of the customers that one stands in. Here it is
``1 + floor(5 * worse / all)``, with *worse* the customers that are strictly worse: equals score alike, so the same purchases give the
same grades in whatever order they come. A score of 5 is the best fifth.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Account, Dimension, Invalid, Measure, MixedCurrency, Money, Ref, Session
from crm_core.rules import everything

from .customs import CustomMeasure
from .definitions import dimensions, figures
from .grades import AccountGrade, today
from .parts import Asked
from .periods import Calendar
from .reading import Selection
from .settings import Settings

BATCH = 500


@attrs.frozen
class Purchases:
    """What one customer bought: how often, when last, for how much."""

    customer: str
    last_on: date
    count: int
    spent: Money


@attrs.frozen
class Scores:
    """Fifths, 1 to 5."""

    recency: int
    frequency: int
    monetary: int

    @property
    def total(self) -> int:
        return self.recency + self.frequency + self.monetary


def scores(customers: Sequence[Purchases]) -> dict[str, Scores]:
    """Score customers against each other, by id."""
    lasts = sorted(c.last_on for c in customers)
    counts = sorted(c.count for c in customers)
    amounts = sorted(c.spent.amount for c in customers)

    def fifth(ordered: Sequence[Any], value: Any) -> int:
        return 1 + 5 * bisect_left(ordered, value) // len(ordered)

    return {c.customer: Scores(fifth(lasts, c.last_on), fifth(counts, c.count), fifth(amounts, c.spent.amount)) for c in customers}


def grade_of(found: Scores, grades: Mapping[str, int]) -> str:
    """Return the best grade whose least sum of scores is reached; the last of *grades* where none is."""
    ordered = sorted(grades, key=lambda g: -grades[g])
    return next((g for g in ordered if found.total >= grades[g]), ordered[-1])


def regrade(session: Session, as_of: date | None = None) -> int:
    """Grade all customers that the actor sees by their purchases up to a day, and return how many grades were written.

    What counts as a purchase is a setting: a measure of amounts, and the dimension that says whose. The same purchases give the same
    grades, so a second run writes nothing. Overrides that have ended are cleared.

    Raises:
        Invalid: ``analytics.no_purchases``: the settings name no measure of dated amounts, or no reference to accounts.
        MixedCurrency: purchases are in unlike currencies, and the settings name none to convert to.
    """
    on = as_of or today(session)
    customers = purchases(session, on)
    found = scores(customers)
    grades = session.settings(Settings).grades
    known = {g.account.id: g for g in session.query(AccountGrade).stream(BATCH)}
    written = 0
    stream = iter(customers)
    while batch := list(islice(stream, BATCH)):
        written += _write(session, known, {c.customer: _values(c, found[c.customer], grades, on) for c in batch})
    return written + _write(session, known, {id_: _NOTHING for id_ in known if id_ not in found})


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("grade", "recency", "frequency", "monetary", "last_on", "spent", "as_of")),
    "purchases": 0,
}


def _values(customer: Purchases, found: Scores, grades: Mapping[str, int], on: date) -> dict[str, Any]:
    return {
        "grade": grade_of(found, grades),
        "recency": found.recency,
        "frequency": found.frequency,
        "monetary": found.monetary,
        "last_on": customer.last_on,
        "purchases": customer.count,
        "spent": customer.spent,
        "as_of": on,
    }


def _write(session: Session, known: Mapping[str, AccountGrade], wanted: Mapping[str, Mapping[str, Any]]) -> int:
    """Create what is new, and change what differs in more than the day it was computed for."""
    fresh = [AccountGrade(account=Ref(Account, id_), **values) for id_, values in wanted.items() if id_ not in known]
    session.create_many(fresh)
    changed = 0
    for id_, values in wanted.items():
        record = known.get(id_)
        if record is None:
            continue
        ended = record.override_until is not None and record.override_until < today(session)
        changes = {**values, **(_NO_OVERRIDE if ended else {})}
        if any(getattr(record, name) != value for name, value in changes.items() if name != "as_of"):
            session.update(AccountGrade, record.id, changes)
            changed += 1
    return len(fresh) + changed


_NO_OVERRIDE: Mapping[str, Any] = dict.fromkeys(("override", "override_by", "override_until", "override_reason"))


def purchases(session: Session, until: date) -> list[Purchases]:
    """Add up what each customer bought up to a day, as the actor sees it; in the order of their ids.

    Raises:
        Invalid, MixedCurrency: see :func:`regrade`.
    """
    settings = session.settings(Settings)
    measure, customer = purchase_facts(session)
    calendar = Calendar(settings.zone)
    asked = Asked(
        by=[customer], where=everything, grain=None, since=None, until=until, calendar=calendar, currency=settings.grade_currency,
        rates="frozen", money={},
    )  # fmt: skip
    selection = Selection(session, [measure], asked)
    key = selection.column(customer)
    currency = [c for c in [selection.split()] if c is not None]
    statement = select(key, func.max(selection.at), func.count(), selection.value(measure), *currency).where(*selection.criteria)
    rows: Any = session.execute(statement.where(key.is_not(None)).group_by(key, *currency).order_by(key))
    return list(_purchases(rows, calendar, asked.currency))


def _purchases(rows: Any, calendar: Calendar, target: str | None) -> Iterator[Purchases]:
    only = target
    for customer, last, count, amount, *currency in rows:
        only = only or currency[0]
        if currency and currency[0] != only:
            raise MixedCurrency(one=only, other=currency[0])
        yield Purchases(customer.id, calendar.day_of(last), count, Money(amount, only))


def purchase_facts(session: Session) -> tuple[Measure, Dimension]:
    """Return the measure that counts as purchases, and the dimension that says whose they are, as the settings name them.

    Raises:
        Invalid: ``analytics.no_purchases``.
    """
    settings = session.settings(Settings)
    if not settings.purchases or not settings.customer:
        raise Invalid("analytics.no_purchases", metric=settings.purchases, dimension=settings.customer)
    (measure,) = figures(session, [settings.purchases])
    if not isinstance(measure, Measure) or isinstance(measure, CustomMeasure) or measure.unit != "money" or measure.at is None:
        raise Invalid("analytics.no_purchases", metric=settings.purchases, dimension=settings.customer)
    (dimension,) = dimensions(session, [settings.customer], [measure])
    assert isinstance(dimension, Dimension)
    return measure, dimension
