"""The fence: which statements could fail on a record, and so must not be computed on one before it is known to be seen.

A database computes conditions in the order that costs least, those of the statement before those of the policy where it likes. Nobody
notices, unless one fails: a division by zero, a number out of range, a text that is no number. Then the error would tell of records
that are hidden, of other tenants' too. Where anything but a list of columns could fail, what may be seen is found first, behind OFFSET,
which no database carries a condition over. The lists are closed: what is not known not to fail could.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy.sql import elements, operators, selectable, sqltypes
from sqlalchemy.sql import functions as funcs

from ..entities.columns import EntityColumn, EntityTable, ListContains, MoneyAggregate, MoneyPair, MoneySum

# LIKE is not among them: a pattern that ends with its escape character fails where a text gets that far; these end with %.
_SAFE: Final = frozenset(
    id(known)
    for known in (
        *(operators.and_, operators.or_, operators.inv, operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge),
        *(
            operators.is_,
            operators.is_not,
            operators.is_distinct_from,
            operators.is_not_distinct_from,
            operators.is_true,
            operators.is_false,
        ),
        *(operators.in_op, operators.not_in_op, operators.between_op, operators.not_between_op, operators.concat_op),
        *(operators.startswith_op, operators.not_startswith_op, operators.istartswith_op, operators.not_istartswith_op),
        *(operators.contains_op, operators.not_contains_op, operators.icontains_op, operators.not_icontains_op),
        *(operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op),
        *(operators.distinct_op, operators.exists, operators.comma_op, operators.filter_op, operators.collate),
    )
)
_FUNCTIONS: Final = frozenset(
    {
        *("coalesce", "nullif", "lower", "upper", "length", "trim", "ltrim", "rtrim", "replace"),
        *("count", "sum", "avg", "min", "max", "aggregate_strings"),  # they see what the conditions left
        *("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "lag", "lead", "first_value", "last_value"),
    }
)
_OWN: Final = frozenset({MoneyPair, MoneySum, MoneyAggregate, ListContains})
_JSON: Final = (operators.json_getitem_op, operators.json_path_getitem_op)
_TEXTS: Final = frozenset({sqltypes.String, sqltypes.Text, sqltypes.Unicode, sqltypes.CHAR})


def may_fail(statement: Any) -> bool:
    """Say whether a statement computes what could fail anywhere but in its own list of columns."""
    todo = list(_parts(statement, outermost=True))
    seen: set[int] = set()
    while todo:
        element = todo.pop()
        if id(element) in seen:
            continue
        seen.add(id(element))
        if _fails(element):
            return True
        todo.extend(_parts(element))
    return False


def _parts(element: Any, *, outermost: bool = False) -> Iterator[Any]:
    """Yield what an element holds. Of the columns of the outermost select, which are computed last, the selects within."""
    if type(element) is EntityTable:
        return
    if not (outermost and type(element) is selectable.Select):
        yield from element.get_children()
        return
    listed = {id(column) for column in element._raw_columns}
    yield from (child for child in element.get_children() if id(child) not in listed)
    for column in element._raw_columns:
        yield from _selects(column)


def _selects(element: Any) -> Iterator[Any]:
    todo = [element]
    while todo:
        found = todo.pop()
        if isinstance(found, selectable.SelectBase):
            yield found
        elif type(found) is not EntityTable:
            todo.extend(found.get_children())


def _fails(element: Any) -> bool:
    if isinstance(element, elements.BinaryExpression):
        # What is stored as JSON can be read as such; a text need not.
        stored = element.operator in _JSON and type(element.left) is EntityColumn
        return not (stored or id(element.operator) in _SAFE) or element.modifiers.get("escape") == "%"
    if isinstance(element, elements.UnaryExpression):
        return any(used is not None and id(used) not in _SAFE for used in (element.operator, element.modifier))
    if isinstance(element, elements.ClauseList | elements.ExpressionClauseList):
        return element.operator is not None and id(element.operator) not in _SAFE
    if isinstance(element, funcs.FunctionElement):
        return type(element) not in _OWN and getattr(element, "name", "") not in _FUNCTIONS
    return isinstance(element, elements.Cast) and type(element.type) not in _TEXTS
