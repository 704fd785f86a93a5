"""Pages in the order of a custom field: first the records that have a value, along its index, and then those that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        last: what the last record of the page before has of those; None to begin at the first.
        narrowed: leaves the records of this step in a select.
    """

    keys: Sequence[Order]
    last: Sequence[Any] | None
    narrowed: Callable[[Any], Any]


def steps(keys: Sequence[Order], table: EntityTable, last: Sequence[Any] | None) -> Iterator[Step]:
    """Yield the statements whose results, one after the other, are a page: one, but for the order of a custom field."""
    first = keys[0]
    if not isinstance(first.field, CustomSpec):
        yield Step(keys, last, lambda statement: statement)
        return
    if last is None or last[0] is not None:
        yield _valued(keys, first.field, table, last)
    without = first.column.is_(None)
    rest = None if last is None or last[0] is not None else last[1:]
    yield Step(keys[1:], rest, lambda statement: statement.where(without))


def _valued(keys: Sequence[Order], field: CustomSpec, table: EntityTable, last: Sequence[Any] | None) -> Step:
    from ..entities.custom_columns import CustomOrder

    values = CustomOrder(field, table)
    along = [attrs.evolve(keys[0], column=values.c.value, field=attrs.evolve(field, nullable=False))]
    along += [attrs.evolve(k, column=values.c.record) if k.field.kind == "id" else k for k in keys[1:]]
    return Step(along, last, lambda statement: statement.where(values.c.record == table.c.id))
