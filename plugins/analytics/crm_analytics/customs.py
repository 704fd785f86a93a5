"""What a tenant added, in reports: a custom field groups as ``custom.<field>`` and adds up as ``<measure>.custom.<field>`` [C76]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from crm_core import Dimension, Entity, Invalid, Measure, Session

PREFIX = "custom"
_SUMMED = frozenset({"int", "decimal", "money"})


@attrs.frozen(eq=False)
class CustomMeasure(Measure):
    """The sum of a custom field over the records that a declared measure counts, dated as they are.

    Attributes:
        currency: of its amounts; empty where it adds up numbers.
    """

    currency: str = ""


@attrs.frozen(eq=False)
class CustomDimension(Dimension):
    """A custom field that records are grouped by.

    Attributes:
        options: what the values of a choice are called.
    """

    options: Mapping[str, str] = attrs.field(factory=dict)


def measure_named(session: Session, name: str, locale: str) -> CustomMeasure | None:
    """Find ``sales.won_deals.custom.budget``; None where the name is not of that form.

    Raises:
        Invalid: ``unknown_field``: there is no such custom field, or not for this actor; ``analytics.bad_question``: it does not add up.
    """
    base, is_custom, short = name.rpartition(f".{PREFIX}.")
    counted = session.crm.registry.figures.get(base)
    if not is_custom or not isinstance(counted, Measure):
        return None
    session.custom_fields.column(counted.entity, short)
    found = next((m for m in measures_of(session, counted, locale) if m.name == name), None)
    if found is None:
        raise Invalid("analytics.bad_question", part="metrics", given=name[:60], expected="a custom field of numbers or amounts")
    return found


def measures_of(session: Session, counted: Measure, locale: str) -> Iterator[CustomMeasure]:
    """Yield the custom fields that add up over the records of a declared measure, as its reader sees them."""
    words = _words(session, counted.entity, locale)
    for name, field in session.readable_custom(counted.entity).items():
        if field.kind in _SUMMED:
            yield CustomMeasure(
                plugin=counted.plugin, key=f"{counted.key}.{name}", entity=counted.entity, label=words[field.short]["title"],
                formula=f"sum of {name} over the records of {counted.name}", unit="money" if field.currency else "number",
                of=session.custom_fields.column(counted.entity, field.short), where=counted.where, at=counted.at, currency=field.currency,
            )  # fmt: skip


def dimension_named(session: Session, name: str, entity: type[Entity], locale: str) -> CustomDimension | None:
    """Find ``custom.region`` among the fields of an entity; None where the name is not of that form.

    Raises:
        Invalid: ``unknown_field``: there is no such custom field, or not for this actor.
    """
    prefix, is_custom, short = name.partition(".")
    if not is_custom or prefix != PREFIX:
        return None
    column = session.custom_fields.column(entity, short)
    words = _words(session, entity, locale)[short]
    return CustomDimension(PREFIX, short, entity, column, words["title"], words.get("x-labels", {}))


def dimensions_of(session: Session, entity: type[Entity]) -> list[str]:
    """Name the custom fields that the records of an entity can be grouped by."""
    return list(session.readable_custom(entity))


def _words(session: Session, entity: type[Entity], locale: str) -> Mapping[str, Any]:
    """Return what the schema says of an entity's custom fields, by their own names."""
    properties: Mapping[str, Any] = session.json_schema(entity, locale)["properties"].get(PREFIX, {"properties": {}})["properties"]
    return properties
