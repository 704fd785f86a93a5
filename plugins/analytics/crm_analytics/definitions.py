"""The catalogue of what can be reported: the measures, metrics and dimensions of all loaded plugins, by name [C57]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from crm_core import Dimension, Invalid, Measure, Metric, Session, Source

from .customs import CustomDimension, dimension_named, dimensions_of, measure_named, measures_of

Additive = Measure | Source


@attrs.frozen
class Definition:
    """What a figure means.

    Attributes:
        additive: whether its parts add up to the whole.
        grain: the entity and the field that dates its records or facts; None where it has no date or is computed from others.
        of: the measures it is computed from.
        dimensions: the names of what it can be grouped by.
    """

    name: str
    label: str
    unit: str
    formula: str
    additive: bool
    better: Literal["higher", "lower"]
    grain: str | None
    of: tuple[str, ...]
    dimensions: tuple[str, ...]


def figures(session: Session, names: Sequence[str]) -> list[Additive | Metric]:
    """Find measures and metrics by name; ``<measure>.custom.<field>`` adds up a custom field over the measure's records.

    Raises:
        Invalid: ``analytics.unknown_metric``, ``analytics.no_metric``; of a custom field, see :func:`crm_analytics.customs.measure_named`.
    """
    if not names:
        raise Invalid("analytics.no_metric")
    return [_figure(session, name) for name in names]


def _figure(session: Session, name: str) -> Additive | Metric:
    known = session.crm.registry.figures
    found = known[name] if name in known else measure_named(session, name, session.actor.locale)
    if found is None:
        raise Invalid("analytics.unknown_metric", given=name[:60], known=sorted(known))
    return found


def dimensions(session: Session, names: Sequence[str], measures: Sequence[Additive]) -> list[Dimension | str]:
    """Find dimensions by name, each one of every measure; those of a source are given as their names.

    ``custom.<field>`` is a custom field of the measures' records.

    Raises:
        Invalid: ``analytics.unknown_dimension``, ``analytics.foreign_dimension``; ``unknown_field`` of a custom field.
    """
    known: dict[str, Dimension | str] = {d.name: d for d in session.crm.registry.dimensions}
    known |= {name: name for name in _of_sources(session)}
    found = []
    for name in names:
        dimension = _custom(session, name, measures) or known.get(name)
        if dimension is None:
            raise Invalid("analytics.unknown_dimension", given=name[:60], known=sorted(known))
        found.append(dimension)
    for measure in measures:
        for dimension in found:
            if not _fits(dimension, measure):
                asked = dimension if isinstance(dimension, str) else dimension.name
                raise Invalid("analytics.foreign_dimension", dimension=asked, metric=measure.name)
    return found


def _custom(session: Session, name: str, measures: Sequence[Additive]) -> Dimension | None:
    entity = next((m.entity for m in measures if isinstance(m, Measure)), None)
    return None if entity is None else dimension_named(session, name, entity, session.actor.locale)


def source_dimensions(source: Source) -> dict[str, str]:
    """Return the dimensions of a source by their names, with the keys that its facts have them under."""
    return {f"{source.plugin}.{key}": key for key in source.dimensions}


def _of_sources(session: Session) -> set[str]:
    return {name for source in _sources(session) for name in source_dimensions(source)}


def _sources(session: Session) -> list[Source]:
    return [f for f in session.crm.registry.figures.values() if isinstance(f, Source)]


def _fits(dimension: Dimension | str, measure: Additive) -> bool:
    if isinstance(measure, Source):
        return isinstance(dimension, str) and dimension in source_dimensions(measure)
    return isinstance(dimension, Dimension) and dimension.entity is measure.entity


def parts(figure: Additive | Metric) -> tuple[Additive, ...]:
    """Return the measures that a figure is computed from; a measure is its own."""
    return figure.of if isinstance(figure, Metric) else (figure,)


def catalogue(session: Session, locale: str | None = None) -> list[Definition]:
    """Tell of every figure, by name, in *locale* (the actor's where none is given), custom fields that the actor reads included."""
    locale = locale or session.actor.locale
    known: dict[str, Additive | Metric] = dict(session.crm.registry.figures)
    declared = [f for f in known.values() if isinstance(f, Measure) and session.can("read", f.entity)]
    known |= {custom.name: custom for measure in declared for custom in measures_of(session, measure, locale)}
    return [_definition(session, known[name], locale) for name in sorted(known)]


def labels(session: Session, asked_for: Sequence[Additive | Metric], by: Sequence[Dimension | str]) -> dict[str, str]:
    """Tell what figures and dimensions are called in the actor's language, by name, and options of theirs by ``<dimension>.<value>``."""
    locale, text = session.actor.locale, session.messages.text
    found = {name: text(f"analytics.column.{name}", {}, locale) for name in ("period", "currency")}
    found |= {figure.name: text(figure.label, {}, locale) for figure in asked_for}
    of_sources = {name: source.dimensions[key] for source in _sources(session) for name, key in source_dimensions(source).items()}
    for dimension in by:
        if isinstance(dimension, str):
            found[dimension] = text(of_sources[dimension], {}, locale)
            continue
        found[dimension.name] = text(dimension.label, {}, locale)
        if isinstance(dimension, CustomDimension):
            found |= {f"{dimension.name}.{value}": words for value, words in dimension.options.items()}
        elif isinstance(dimension.of, str):
            field = session.crm.json_schema(dimension.entity, locale)["properties"][dimension.of]
            found |= {f"{dimension.name}.{value}": words for value, words in field.get("x-labels", {}).items()}
    return found


def _definition(session: Session, figure: Additive | Metric, locale: str) -> Definition:
    measures = parts(figure)
    return Definition(
        name=figure.name,
        label=session.messages.text(figure.label, {}, locale),
        unit=figure.unit,
        formula=figure.formula,
        additive=not isinstance(figure, Metric),
        better=figure.better,
        grain=_grain(figure),
        of=tuple(m.name for m in measures) if isinstance(figure, Metric) else (),
        dimensions=_shared(session, measures),
    )


def _grain(figure: Additive | Metric) -> str | None:
    if isinstance(figure, Measure):
        return f"{figure.entity.__name__}.{figure.at}" if figure.at else None
    return figure.at if isinstance(figure, Source) else None


def _shared(session: Session, measures: Sequence[Additive]) -> tuple[str, ...]:
    known: list[Dimension | str] = [*session.crm.registry.dimensions, *_of_sources(session)]
    shared = (d for d in known if all(_fits(d, m) for m in measures))
    entities = {m.entity if isinstance(m, Measure) else None for m in measures}
    custom = [
        name for e in entities if e is not None and len(entities) == 1 and session.can("read", e) for name in dimensions_of(session, e)
    ]
    return tuple(sorted((*custom, *(d if isinstance(d, str) else d.name for d in shared))))
