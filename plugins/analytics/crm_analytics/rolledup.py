"""Figures from the sums that are kept with every write, where they say the same as the records would (DESIGN, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crm_core import Cell, Dimension, Measure, Money, Rollup, Session

from .customs import CustomMeasure
from .parts import Asked, Part
from .plugin import plugin

plugin.grants("core.rollups")


def rolled_up(session: Session, measure: Measure, asked: Asked) -> list[Part] | None:
    """Return a measure's figures from the first rollup that has them; None where none does, or not for this actor."""
    for rollup in session.crm.registry.rollups:
        if rollup.entity is measure.entity and _has(rollup, measure, asked):
            cells = session.cells(rollup, measure.where & asked.where)
            if cells is not None:
                return list(_parts(cells, measure, asked))
    return None


def rebuild(session: Session) -> int:
    """Add all rollups up anew in the session's tenant, and return how many there are. Needed once, before the first is used."""
    with session.elevated("rollups are added up anew") as elevated:
        for rollup in session.crm.registry.rollups:
            elevated.rebuild(rollup)
    return len(session.crm.registry.rollups)


def _has(rollup: Rollup, measure: Measure, asked: Asked) -> bool:
    """Say whether the cells hold all that is asked; the rule on the records is the cells' own matter."""
    dated = asked.grain is not None or asked.since is not None or asked.until is not None
    fields: list[Any] = [d.of if isinstance(d, Dimension) else None for d in asked.by]
    fields += ([measure.at] if dated else []) + ([measure.weight] if measure.weight else [])
    if isinstance(measure, CustomMeasure) or measure.absolute:  # a cell's sum has the amounts with their signs
        return False
    amounts = {measure.of, asked.money.get(measure.entity)} - {None}
    # What is converted is rounded record by record.
    converted = measure.of is not None and asked.currency is not None
    return not converted and all(isinstance(f, str) and f in rollup.by for f in fields) and all(a == rollup.of for a in amounts)


def _parts(cells: list[Cell], measure: Measure, asked: Asked) -> Iterator[Part]:
    for cell in cells:
        day = cell.values[measure.at] if measure.at and (asked.grain or asked.since or asked.until) else None
        if (asked.since or asked.until) and (day is None or not _within(day, asked)):
            continue
        period = asked.calendar.period(day, asked.grain) if asked.grain and day else None
        keys = tuple(cell.values[d.of] for d in asked.by if isinstance(d, Dimension))
        currency = cell.currency if measure.entity in asked.money else asked.currency or asked.single.get(measure.entity)
        yield Part(period, keys, currency, _value(cell, measure))


def _within(day: Any, asked: Asked) -> bool:
    return (asked.since is None or day >= asked.since) and (asked.until is None or day <= asked.until)


def _value(cell: Cell, measure: Measure) -> int | Money:
    if measure.of is None:
        return cell.records
    amount = Money(cell.amount, cell.currency or "")
    return amount * (cell.values[measure.weight] or 0) / 100 if measure.weight else amount
