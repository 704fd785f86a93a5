"""Pages in the order of a custom field: first the records that have a value, along its index, and then those that have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.custom import CustomSpec

if TYPE_CHECKING:
    from ..entities.columns import EntityTable
    from ..paging import Order


@attrs.frozen
class Step:
    """One statement of a page.

    Attributes:
        keys: what its records are sorted by.
        criteria: which records they are.
        last: what the last record of the page before has of the keys; None to begin at the first.
        source: what they are read from, where it is not the entity alone.
    """

    keys: Sequence[Order]
    criteria: Sequence[Any]
    last: Sequence[Any] | None
    source: Any = None


def steps(
    keys: Sequence[Order], criteria: Sequence[Any], table: EntityTable, last: Sequence[Any] | None, *, walked: bool
) -> Iterator[Step]:
    """Yield the statements whose results, one after the other, are a page: one, but for the order of a custom field.

    Args:
        walked: go along the values in their order, and not from the records to their values: for who sees most of them.
    """
    from ..entities.custom_columns import CustomColumn

    first = keys[0]
    if not isinstance(first.field, CustomSpec):
        yield Step(keys, criteria, last)
        return
    about = [c for c in criteria if _is_about(c, first.field)]
    if not walked and not about:
        yield Step(keys, criteria, last)
        return
    if last is None or last[0] is not None:
        yield _valued(keys, first.field, criteria, table, last)
    if not about:
        rest = None if last is None or last[0] is not None else last[1:]
        yield Step(keys[1:], [*criteria, CustomColumn(first.field, table.c.id).is_(None)], rest)


def _is_about(criterion: Any, field: CustomSpec) -> bool:
    """Say whether a criterion wants something of the values that a page is sorted by."""
    from ..entities.custom_columns import CustomMatch

    return isinstance(criterion, CustomMatch) and criterion.column.name == field.name


def _valued(keys: Sequence[Order], field: CustomSpec, criteria: Sequence[Any], table: EntityTable, last: Sequence[Any] | None) -> Step:
    from ..entities.custom_columns import CustomOrder

    values = CustomOrder(field, table)
    along = [attrs.evolve(keys[0], column=values.c.value, field=attrs.evolve(field, nullable=False))]
    along += [attrs.evolve(k, column=values.c.record) if k.field.kind == "id" else k for k in keys[1:]]
    here = [values.matching(c) if _is_about(c, field) else c for c in criteria]
    return Step(along, here, last, values.join(table, values.c.record == table.c.id))
