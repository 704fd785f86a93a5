"""Money in statements: amounts of unlike currencies never add, compare or sort, and decimals mean the same on both databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import CompoundSelect, Select
from sqlalchemy.sql import elements, operators, selectable
from sqlalchemy.sql import functions as funcs
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.types import Integer, NullType

from ..entities.columns import Converted, EntityColumn, MoneyAggregate, MoneyPair, MoneySum
from ..entities.sqltypes import DecimalType, EnumType, IdType, InstantType, IntegerType, ListType, MoneyType, RefType
from ..errors import MixedCurrency, Refused

_AGGREGATES: Final = (MoneySum, MoneyAggregate)
_SUMMING: Final = frozenset({"sum", "avg", "min", "max"})
_MEETING: Final = frozenset(
    {
        *(operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge, operators.add, operators.sub),
        *(operators.is_distinct_from, operators.is_not_distinct_from, operators.in_op, operators.not_in_op),
        *(operators.between_op, operators.not_between_op),
    }
)
_DIVIDING: Final = frozenset({operators.truediv, operators.floordiv, operators.mod})
# Their results are the scaled integer of a decimal on SQLite just as they are the decimal on PostgreSQL.
_KEEPING: Final = frozenset({"abs", "sum", "min", "max", "coalesce", "nullif", "lag", "lead", "first_value", "last_value", "nth_value"})
_CONVERTED_TYPES: Final = (DecimalType, EnumType, IdType, InstantType, ListType, MoneyType, RefType)
# What stands in these belongs to another select. (A function is a FromClause too, so those are named one by one.)
_SCOPES: Final = (selectable.SelectBase, selectable.AliasedReturnsRows, selectable.Join, selectable.TableClause, selectable.ScalarSelect)


def check_select(statement: Select[Any] | CompoundSelect[Any]) -> None:
    """Check one select: where its money aggregates stand, each currency is grouped or fixed; bare money is only listed.

    Raises:
        MixedCurrency: ``mixed_currency`` names the field of a sum, ``money_does_not_sort`` bare money out of place.
    """
    columns: Sequence[Any] = statement._raw_columns if isinstance(statement, Select) else ()
    having: Sequence[Any] = statement._having_criteria if isinstance(statement, Select) else ()
    group_by, order_by = _flat(statement._group_by_clauses), _flat(statement._order_by_clauses)
    listed = {id(_unlabelled(c)) for c in columns}
    fixed = [*group_by, *(_fixed(statement._where_criteria) if isinstance(statement, Select) else ())]
    for element in _within([*columns, *having, *order_by, *group_by]):
        if type(element) in _AGGREGATES:
            amount, currency = element.clauses
            if not any(currency is known for known in fixed):
                raise MixedCurrency(field=_field_name(amount))
        elif type(element) is MoneyPair and id(element) not in listed:
            raise MixedCurrency("money_does_not_sort", field=_field_name(next(iter(element.clauses))))
    money_labels = {c.name for c in columns if type(c) is elements.Label and type(c.type) is MoneyType}
    for element in _within([*order_by, *group_by]):
        if type(getattr(element, "type", None)) is MoneyType or getattr(element, "element", None) in money_labels:
            raise MixedCurrency("money_does_not_sort", field=str(getattr(element, "name", "")))
    if isinstance(statement, Select):
        _check_elsewhere(statement)


def _check_elsewhere(statement: Select[Any]) -> None:
    joined = [part[1] for part in statement._setup_joins if part[1] is not None]
    for element in _within([*statement._where_criteria, *joined]):
        if type(element) in (*_AGGREGATES, MoneyPair):
            raise MixedCurrency("money_does_not_sort", field=_field_name(next(iter(element.clauses))))


def _flat(clauses: Iterable[Any]) -> list[Any]:
    """Return what is grouped or ordered by, with lists and the references that labels are wrapped in taken off."""
    found: list[Any] = []
    for clause in clauses:
        if isinstance(clause, elements.ClauseList | elements.OrderByList):
            found += _flat(clause.clauses)
        elif isinstance(clause, elements._label_reference | elements.Grouping):
            found += _flat([clause.element])
        else:
            found.append(clause)
    return found


def _unlabelled(element: Any) -> Any:
    return element._element if type(element) is elements.Label else element


def _fixed(criteria: Iterable[Any]) -> Iterator[Any]:
    """Yield the columns that a WHERE holds at one value: ``currency == "EUR"`` at its top level."""
    for criterion in criteria:
        if isinstance(criterion, elements.Grouping):
            yield from _fixed([criterion.element])
        elif isinstance(criterion, elements.BooleanClauseList) and criterion.operator is operators.and_:
            yield from _fixed(criterion.clauses)
        elif isinstance(criterion, elements.BinaryExpression) and criterion.operator is operators.eq:
            left, right = criterion.left, criterion.right
            if isinstance(right, elements.BindParameter):
                yield left
            elif isinstance(left, elements.BindParameter):
                yield right


def _within(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield all elements of expressions, without what belongs to selects inside them."""
    todo, seen = list(roots), set()
    for element in _grow(todo):
        if isinstance(element, _SCOPES) or id(element) in seen:
            continue
        seen.add(id(element))
        yield element
        todo.extend(element.get_children())


def _grow(todo: list[Any]) -> Iterator[Any]:
    at = 0
    while at < len(todo):
        yield todo[at]
        at += 1


def amounts(element: ClauseElement) -> Iterator[EntityColumn]:
    """Yield the money amounts that an expression is made of, through derived tables too; not those converted to one currency."""
    todo: list[Any] = [element]
    seen: set[int] = set()
    for part in _grow(todo):
        if id(part) in seen or type(part) is Converted:
            continue
        seen.add(id(part))
        if isinstance(part, selectable.ScalarSelect):
            part = part.element
        if isinstance(part, Select):
            todo.extend(part._raw_columns)
        elif isinstance(part, elements.ColumnClause):
            field = getattr(part, "field", None)
            if field is not None and field.kind == "money" and part.name == field.columns[0]:
                yield part  # type: ignore[misc]  # only an entity's column has a field
            todo.extend(part._proxies)
        else:
            todo.extend(part._proxies if isinstance(part, elements.Label) else part.get_children())


def _field_name(amount: ClauseElement) -> str:
    return next((c.field.name for c in amounts(amount)), getattr(amount, "name", ""))


def check_amounts(binary: elements.BinaryExpression[Any]) -> None:
    """Refuse what makes two amounts meet: their currencies may differ.

    Raises:
        MixedCurrency: naming the first of them.
    """
    if MoneyType in (type(binary.left.type), type(binary.right.type)):
        raise MixedCurrency("money_does_not_sort", field=_field_name(binary.left))
    if binary.operator in _MEETING:
        left = next(amounts(binary.left), None)
        if left is not None and next(amounts(binary.right), None) is not None:
            raise MixedCurrency("amounts_meet", field=left.field.name)


def check_decimals(element: Any) -> None:
    """Refuse arithmetic that differs between the databases: SQLite keeps decimals as integers of a declared scale.

    Raises:
        Refused: ``decimal_arithmetic``, ``untyped_function``, ``untyped_mean``.
        MixedCurrency: an aggregate of a plain function over amounts; ``Opportunity.amount.sum()`` is the one that knows the currency.
    """
    if isinstance(element, elements.BinaryExpression):
        _check_operands(element)
    elif isinstance(element, elements.Case):
        results = [result for _, result in element.whens]
        _check_like([*results, *([] if element.else_ is None else [element.else_])], "case")
    else:
        _check_function(element)


def _check_operands(binary: elements.BinaryExpression[Any]) -> None:
    sides = [binary.left, binary.right]
    if not any(_is_decimal(s) for s in sides):
        return
    if binary.operator in _DIVIDING:
        raise Refused("decimal_arithmetic", operator=binary.operator.__name__)
    if binary.operator is operators.mul:
        if not all(_is_decimal(s) or isinstance(s.type, Integer | IntegerType) for s in sides) or all(_is_decimal(s) for s in sides):
            raise Refused("decimal_arithmetic", operator="mul")
    elif binary.operator in _MEETING:
        _check_like([part for side in sides for part in _operands(side)], binary.operator.__name__)


def _operands(side: Any) -> Iterable[Any]:
    side = side.element if isinstance(side, elements.Grouping | selectable.ScalarSelect) else side
    if isinstance(side, elements.ClauseList | elements.ExpressionClauseList):
        return side.clauses
    return side._raw_columns if isinstance(side, Select) else (side,)


def _check_like(parts: Iterable[Any], operator: str) -> None:
    """Where one is a decimal, all must be, of the same scale."""
    types = [p.type for p in parts if isinstance(p, ColumnElement) and not isinstance(p, elements.Null)]
    scales = {t.scale for t in types if isinstance(t, DecimalType)}
    if scales and (len(scales) > 1 or not all(isinstance(t, DecimalType) for t in types)):
        raise Refused("decimal_arithmetic", operator=operator)


def _check_function(function: Any) -> None:
    parts = list(function.clauses)
    types = [getattr(p, "type", None) for p in parts]
    if function.name in _SUMMING:
        amount = next(amounts(function.clauses), None)
        if amount is not None:
            raise MixedCurrency(field=amount.field.name)
    if any(isinstance(t, MoneyType) for t in types):
        raise MixedCurrency("money_does_not_sort", field=_field_name(parts[0]))
    if type(function) is funcs.count:
        return
    if any(isinstance(t, DecimalType) for t in types):
        if function.name not in _KEEPING:
            raise Refused("decimal_arithmetic", operator=function.name)
        if function.name in ("coalesce", "nullif"):
            _check_like(parts, function.name)
    if function.name == "avg" and isinstance(function.type, NullType):
        raise Refused("untyped_mean")
    if isinstance(function.type, NullType) and any(isinstance(t, _CONVERTED_TYPES) for t in types):
        raise Refused("untyped_function", function=function.name)


def _is_decimal(element: Any) -> bool:
    return isinstance(getattr(element, "type", None), DecimalType)
