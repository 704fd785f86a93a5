"""Reports as data: which figures, by what, of when, in which currency; the rows of the answer, and totals that its parts add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, get_args

import attrs

from crm_core import Entity, Invalid, Measure, Metric, MixedCurrency, Money, NotReadable, Ref, Session
from crm_core.rules import Rule, everything

from .customs import CustomMeasure
from .definitions import Additive, dimensions, figures, labels, parts
from .parts import Asked, Value
from .periods import Calendar, Grain, Period, check_day
from .reading import read
from .settings import Settings

Rates = Literal["frozen", "today", "dated"]
_KNOWN: Mapping[str, Sequence[str]] = {"rates": get_args(Rates), "mixed": ("split", "refuse")}
Figure = Value | None


def _as_names(given: Sequence[str] | str, part: str) -> tuple[str, ...]:
    names: tuple[Any, ...] = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise Invalid("analytics.bad_question", part=part, given=type(given).__name__, expected="names")
    return tuple(dict.fromkeys(names))


def _as_metrics(given: Sequence[str] | str) -> tuple[str, ...]:
    return _as_names(given, "metrics")


def _as_dimensions(given: Sequence[str] | str) -> tuple[str, ...]:
    return _as_names(given, "by")


def _is_a(kind: type[Any]) -> Any:
    def check(report: Report, attribute: Any, given: Any) -> None:
        if given is not None and type(given) is not kind:
            raise Invalid("analytics.bad_question", part=attribute.name, given=type(given).__name__, expected=kind.__name__)

    return check


def grain_of(given: Grain | str) -> Grain:
    """Read a grain.

    Raises:
        Invalid: ``analytics.bad_question``.
    """
    try:
        return Grain(given)
    except ValueError:
        raise Invalid("analytics.bad_question", part="grain", given=str(given)[:60], expected=", ".join(g.value for g in Grain)) from None


def _as_grain(given: Grain | str | None) -> Grain | None:
    return None if given is None else grain_of(given)


def _is_day(report: Report, attribute: Any, given: Any) -> None:
    check_day(attribute.name, given)


def _is_one_of(report: Report, attribute: Any, given: Any) -> None:
    known = _KNOWN[attribute.name]
    if given not in known:
        raise Invalid("analytics.bad_question", part=attribute.name, given=str(given)[:60], expected=", ".join(known))


def _is_rule(report: Report, attribute: Any, given: Any) -> None:
    if not isinstance(given, Rule):
        raise Invalid("analytics.bad_question", part="where", given=type(given).__name__, expected="a rule like F('stage') == 'won'")


@attrs.frozen(kw_only=True)
class Report:
    """A question, as data.

    Attributes:
        metrics: names of measures and metrics: ``sales.won_value``, ``sales.win_rate``; ``sales.won_deals.custom.budget`` adds up a custom
            field over the records of a measure.
        by: names of dimensions: ``sales.owner``; ``custom.region`` is a custom field. Each must be one of every measure.
        where: a rule on the records: ``F("source") == "fair"``, ``F("custom.region") == "EU"``.
        grain: ``day``, ``week``, ``month``, ``quarter`` or ``year``, by the date of each measure.
        since, until: days, both inclusive. Without them all records count, those without a date too.
        zone: an IANA zone; the tenant's setting where it is None.
        fiscal_start: the month in which the fiscal year begins; the tenant's setting where it is None.
        currency: convert amounts to this one; None leaves each as its document has it.
        rates: of conversions: ``frozen``, the amount frozen on the document, else today's rate; ``today``; or ``dated``, of the day that
            dates the record (today's where it has none). Each record is rounded half-up to the minor unit, so parts equal the total.
        mixed: what to do with unlike currencies that are not converted: ``split`` the rows by currency, or ``refuse``.
    """

    metrics: Sequence[str] = attrs.field(converter=_as_metrics)
    by: Sequence[str] = attrs.field(default=(), converter=_as_dimensions)
    where: Rule = attrs.field(default=everything, validator=_is_rule)
    grain: Grain | None = attrs.field(default=None, converter=_as_grain)
    since: date | None = attrs.field(default=None, validator=_is_day)
    until: date | None = attrs.field(default=None, validator=_is_day)
    zone: str | None = attrs.field(default=None, validator=_is_a(str))
    fiscal_start: int | None = attrs.field(default=None, validator=_is_a(int))
    currency: str | None = attrs.field(default=None, validator=_is_a(str))
    rates: Rates = attrs.field(default="frozen", validator=_is_one_of)
    mixed: Literal["split", "refuse"] = attrs.field(default="split", validator=_is_one_of)

    def before(self) -> Report:
        """Return the same question about the span just before, of as many days.

        Raises:
            Invalid: ``analytics.bad_question``: no calendar has that span.
        """
        if self.since is None or self.until is None:
            return self
        length = self.until - self.since + timedelta(days=1)
        try:
            return attrs.evolve(self, since=self.since - length, until=self.until - length)
        except OverflowError:
            expected = "a span with room for another before it"
            raise Invalid("analytics.bad_question", part="since", given=f"{self.since} - {self.until}", expected=expected) from None


@attrs.frozen
class Row:
    """One group: its period, the values of its dimensions, its currency where the report is split by it, and its figures by name."""

    period: Period | None
    keys: tuple[Any, ...]
    currency: str | None
    figures: Mapping[str, Figure]

    def __getitem__(self, name: str) -> Figure:
        return self.figures[name]


@attrs.frozen
class Table:
    """The answer.

    Attributes:
        rows: in the order of period, dimensions and currency; what has no date comes last.
        totals: the whole, a row for each currency; additive figures are the sum of the rows', metrics are computed anew.
        names: what references in the rows are called, as far as the actor sees what they point at.
        labels: what figures and dimensions are called in the actor's language, by name; options of fields by ``<dimension>.<value>``.
    """

    report: Report
    rows: Sequence[Row]
    totals: Sequence[Row]
    names: Mapping[str, str]
    labels: Mapping[str, str]

    @property
    def total(self) -> Row:
        """The only total.

        Raises:
            MixedCurrency: there is one for each of several currencies.
        """
        if len(self.totals) != 1:
            raise MixedCurrency("analytics.several_totals", currencies=[t.currency for t in self.totals])
        return self.totals[0]

    def shown(self, key: Any) -> str:
        """Return a dimension's value, a reference by its target's name; empty for none."""
        return _shown(key, self.names)

    def worded(self, dimension: str, key: Any) -> str:
        """Return a dimension's value as people read it, an option in the actor's language; empty for none."""
        shown = self.shown(key)
        return self.labels.get(f"{dimension}.{shown}", shown)


Group = tuple[Period | None, tuple[Any, ...], str | None]
Sums = dict[Group, dict[Additive, Value]]


def run(session: Session, report: Report) -> Table:
    """Answer a report as the session's actor sees the records.

    Raises:
        Invalid: a name or the calendar is wrong, a rate is missing: see :func:`crm_analytics.reading.read`.
        NotReadable: it needs a field that the actor may not read.
        MixedCurrency: amounts are in unlike currencies, and *mixed* is ``refuse``; a custom field is to be converted.
    """
    asked_for = figures(session, report.metrics)
    measures = list(dict.fromkeys(m for figure in asked_for for m in parts(figure)))
    asked = _asked(session, report, measures)
    sums: Sums = {}
    for measure, part in read(session, measures, asked):
        _add(sums, (part.period, part.keys, part.currency), measure, part.value)
    totals: Sums = {}
    for (_, _, currency), values in sums.items():
        for measure, value in values.items():
            _add(totals, (None, (), currency), measure, value)
    if report.mixed == "refuse" and len({c for _, _, c in totals if c}) > 1:
        raise MixedCurrency("analytics.several_totals", currencies=sorted(c for _, _, c in totals if c))
    if not totals:
        totals[None, (), report.currency] = {}
    names = _names(session, sums)
    rows, whole = ([_row(g, of[g], asked_for) for g in sorted(of, key=lambda g: _order(g, names))] for of in (sums, totals))
    return Table(report, rows, whole, names, labels(session, asked_for, asked.by))


def _asked(session: Session, report: Report, measures: Sequence[Additive]) -> Asked:
    settings = session.settings(Settings)
    zone = settings.zone if report.zone is None else report.zone
    fiscal_start = settings.fiscal_start if report.fiscal_start is None else report.fiscal_start
    amounts = [m for m in measures if isinstance(m, Measure) and m.unit == "money"] if report.currency is None else []
    money = {m.entity: m.of for m in amounts if not isinstance(m, CustomMeasure)}
    return Asked(
        by=dimensions(session, report.by, measures),
        where=report.where,
        grain=report.grain,
        since=report.since,
        until=report.until,
        calendar=Calendar(zone, fiscal_start),
        currency=report.currency,
        rates=report.rates,
        money=money,
        single={m.entity: m.currency for m in amounts if isinstance(m, CustomMeasure) and m.entity not in money},
    )


def _add(sums: Sums, group: Group, measure: Additive, value: Value) -> None:
    values = sums.setdefault(group, {})
    known: Any = values.get(measure)
    values[measure] = value if known is None else known + value


def _row(group: Group, values: Mapping[Additive, Value], asked_for: Sequence[Additive | Metric]) -> Row:
    period, keys, currency = group

    def of(measure: Additive) -> Figure:
        found = values.get(measure)
        if found is None and measure.unit == "money":
            return None if currency is None else Money.zero(currency)
        return 0 if found is None else found

    return Row(period, keys, currency, {f.name: _figure(f, of) for f in asked_for})


def _figure(figure: Additive | Metric, of: Any) -> Figure:
    if not isinstance(figure, Metric):
        found: Figure = of(figure)
        return found
    values = [of(m) for m in figure.of]
    return None if None in values else figure.fn(*values)


def _shown(key: Any, names: Mapping[str, str]) -> str:
    if isinstance(key, Ref):
        return names.get(key.id, key.id)
    value = getattr(key, "value", key)
    return "" if value is None else str(value)


def _order(group: Group, names: Mapping[str, str]) -> tuple[Any, ...]:
    period, keys, currency = group
    return period is None, period.first if period else date.min, [(k is None, _shown(k, names), str(k)) for k in keys], currency or ""


def _names(session: Session, groups: Iterable[Group]) -> dict[str, str]:
    """Name what the groups' references point at, as far as it has a name and the actor sees it."""
    wanted: dict[type[Entity], set[str]] = {}
    for _, keys, _ in groups:
        for key in keys:
            if isinstance(key, Ref):
                wanted.setdefault(key.entity, set()).add(key.id)
    named = (e for e in wanted if hasattr(e, "name") and session.can("read", e))
    records = (r for entity in named for r in session.get_many(entity, sorted(wanted[entity])))
    return {r.id: name for r in records if (name := _name(r)) is not None}


def _name(record: Any) -> str | None:
    try:
        name: str | None = record.name
    except NotReadable:
        return None
    return name
