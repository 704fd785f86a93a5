"""The guard: which statements may pass a lens. What is not on its lists is refused, so a new kind of SQL stays out until it is let in.

It walks every element of a statement, exact class by exact class (a subclass may render anything), and every attribute that the
compiler may read. It runs when a lens compiles a statement, before that runs. It stops mistakes and crafted statements; code that runs
in the same process can do without SQLAlchemy, and no guard changes that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy.sql import elements, operators, selectable, sqltypes
from sqlalchemy.sql import functions as funcs
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from ..entities import sqltypes as own
from ..entities.columns import Converted, EntityColumn, EntityTable, ListContains, MoneyAggregate, MoneyPair, MoneySum
from ..entities.custom_columns import CustomColumn, CustomDocument, CustomMatch, CustomOrder, CustomType, SortedType
from ..entities.sealed import BlindType, SealedMatch, SealedType
from ..errors import NotReadable, Refused
from .custom_guard import check_custom
from .money_guard import check_amounts, check_decimals
from .money_guard import check_select as check_money
from .sealed_sql import check_sealed, check_sealed_names

# Attributes that carry raw SQL, another compiler's behaviour or what differs between the databases: they must be empty.
_EMPTY: Final = frozenset(
    {
        "_annotations",
        "_compile_state_funcs",
        "_distinct_on",
        "_fetch_clause",
        "_hints",
        "_post_body_clause",
        "_post_criteria_clause",
        "_post_select_clause",
        "_pre_columns_clause",
        "_prefixes",
        "_propagate_attrs",
        "_statement_hints",
        "_suffixes",
        "_table_value_type",
        "_with_options",
        "_with_ordinality",
        "collation_schema",
        "dialect_options",
        "isoutparam",
        "literal_execute",
        "packagenames",
    }
)
# These hold no elements: a logical table's columns are the lens's business, a bind's value is the driver's.
_LEAVES: Final = frozenset({EntityTable, elements.BindParameter, selectable._OffsetLimitParam})
# Which columns a derived table's column came from: looked up when a statement is built, not when it is compiled.
_ANCESTRY: Final = "_proxies"
_OWN_DISPATCH: Final = frozenset({"_compiler_dispatch", "_compile_state_factory", "get_children"})

_FUNCTIONS: Final[Mapping[str, type[Any]]] = {
    "aggregate_strings": funcs.aggregate_strings,
    "coalesce": funcs.coalesce,
    "count": funcs.count,
    "cume_dist": funcs.cume_dist,
    "dense_rank": funcs.dense_rank,
    "max": funcs.max,
    "min": funcs.min,
    "percent_rank": funcs.percent_rank,
    "rank": funcs.rank,
    "sum": funcs.sum,
    **dict.fromkeys(
        (
            *("abs", "avg", "round", "nullif"),
            *("lower", "upper", "length", "trim", "ltrim", "rtrim", "replace", "substr"),
            *("row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value"),
        ),
        funcs.Function,
    ),
}
# By identity: an object of a stranger may claim to equal any of them.
_OPERATORS: Final = {
    id(known): known
    for known in (
        *(operators.and_, operators.or_, operators.inv, operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge),
        *(operators.add, operators.sub, operators.mul, operators.truediv, operators.floordiv, operators.mod, operators.neg),
        *(operators.is_, operators.is_not, operators.is_distinct_from, operators.is_not_distinct_from),
        *(operators.in_op, operators.not_in_op, operators.between_op, operators.not_between_op, operators.concat_op),
        *(operators.like_op, operators.not_like_op, operators.ilike_op, operators.not_ilike_op),
        *(operators.startswith_op, operators.not_startswith_op, operators.istartswith_op, operators.not_istartswith_op),
        *(operators.endswith_op, operators.not_endswith_op, operators.iendswith_op, operators.not_iendswith_op),
        *(operators.contains_op, operators.not_contains_op, operators.icontains_op, operators.not_icontains_op),
        *(operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op),
        *(operators.distinct_op, operators.exists, operators.comma_op, operators.filter_op),
        *(operators.is_true, operators.is_false, operators.json_getitem_op, operators.json_path_getitem_op, operators.collate),
    )
}
_TYPES: Final = frozenset(
    {
        *(own.DecimalType, own.EnumType, own.IdType, own.InstantType, own.IntegerType, own.ListType, own.MoneyType, own.RefType),
        *(BlindType, CustomType, SealedType, SortedType),
        *(sqltypes.BigInteger, sqltypes.Boolean, sqltypes.CHAR, sqltypes.Date, sqltypes.Float, sqltypes.Integer, sqltypes.NullType),
        *(sqltypes.Numeric, sqltypes.SmallInteger, sqltypes.String, sqltypes.Text, sqltypes.TupleType, sqltypes.Unicode),
        *(sqltypes.JSON, own.JsonType),
        *(sqltypes.JSON.JSONElementType, sqltypes.JSON.JSONIntIndexType, sqltypes.JSON.JSONStrIndexType, sqltypes.JSON.JSONPathType),
    }
)
_COLLATIONS: Final = frozenset({None, "C", "BINARY"})
_EXTRACTED: Final = frozenset({"year", "month", "day", "hour", "minute", "dow", "doy", "week", "quarter"})
_DERIVED: Final = frozenset({selectable.Alias, selectable.Subquery, selectable.CTE, selectable.Lateral})
_TABLES: Final = _DERIVED | {CustomOrder}
_BIND_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
# The options an operator may have, and which values of them are no raw SQL and known to both databases.
_OPTIONS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "escape": lambda value: value is None or (type(value) is str and len(value) == 1),
    "autoescape": lambda value: type(value) is bool,
    "symmetric": lambda value: not value,
    "_python_is_types": lambda _: True,
}

IsMasked = Callable[[EntityColumn], bool]
_Check = Callable[[Any], None]


def guard(statement: Any, is_masked: IsMasked) -> None:
    """Let a select pass, or say why not.

    Raises:
        Refused: ``forbidden_element``, ``forbidden_function``, ``forbidden_type``, ... name what does not belong in it.
        NotReadable: a masked field stands outside the list of columns, where its value would show by what is found.
        MixedCurrency: amounts of unlike currencies would meet.
    """
    seen: set[tuple[int, bool]] = set()
    # Kept alive until the end, since what is seen is told by id.
    todo: list[tuple[Any, bool]] = [(statement, False)]
    for element, listed in _grow(todo):
        if (id(element), listed) in seen:
            continue
        seen.add((id(element), listed))
        kind = type(element)
        if kind not in _CHECKS:
            raise Refused("forbidden_element", element=kind.__name__)
        _check_attributes(element)
        _CHECKS[kind](element)
        if kind is EntityColumn and not listed and is_masked(element):
            raise NotReadable("masked_only_listed", field=element.name)
        if kind not in _LEAVES:
            todo.extend(_children(element, listed))


def _grow(todo: list[tuple[Any, bool]]) -> Iterator[tuple[Any, bool]]:
    at = 0
    while at < len(todo):
        yield todo[at]
        at += 1


def _children(element: Any, listed: bool) -> Iterator[tuple[Any, bool]]:
    """Yield the elements an element holds, and whether each stands in a list of columns."""
    is_select = isinstance(element, selectable.Select)
    names = {name for name, _ in type(element)._traverse_internals} - {"_params"}
    for name in names:
        for child in _elements(getattr(element, name, None)):
            check_sealed(element, child, name)
            yield child, name == "_raw_columns" if is_select else listed
    # What was worked out before (its columns, its label, a cast's type) is read by the compiler too, and anybody can set it.
    # Columns are shared: another thread may work something out meanwhile.
    for name, value in list(getattr(element, "__dict__", {}).items()):
        if name not in names and name != _ANCESTRY:
            for child in _elements(value):
                yield child, True


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, ClauseElement):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _elements(item)
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from _elements(item)
    elif isinstance(value, str):
        _check_name(value)


def _check_name(name: str) -> None:
    """Refuse a name that asks to be written without quotes; all others the compiler quotes where needed."""
    if isinstance(name, elements.quoted_name) and name.quote is False:
        raise Refused("forbidden_name", name=str(name)[:60])


def _check_attributes(element: Any) -> None:
    given = getattr(element, "__dict__", {})
    for name in _EMPTY & given.keys():
        if not _is_empty(element.dialect_kwargs if name == "dialect_options" else given[name]):
            raise Refused("forbidden_option", element=type(element).__name__, option=name.strip("_"))
    if _OWN_DISPATCH & given.keys():
        raise Refused("forbidden_element", element=type(element).__name__)
    type_ = getattr(element, "type", None)
    if isinstance(type_, TypeEngine):
        check_type(type_)


def _is_empty(value: Any) -> bool:
    return value is None or (not isinstance(value, ClauseElement) and not value)


def check_type(type_: TypeEngine[Any]) -> None:
    """Refuse a type that is not known: it could write SQL of its own around its values."""
    if type(type_) not in _TYPES:
        raise Refused("forbidden_type", type=type(type_).__name__)
    if getattr(type_, "collation", None) not in _COLLATIONS:
        raise Refused("forbidden_collation", collation=str(type_.collation)[:60])  # type: ignore[attr-defined]  # text types have it
    for name in ("length", "precision", "scale"):
        if not isinstance(getattr(type_, name, None), int | None):
            raise Refused("forbidden_type", type=type(type_).__name__)
    for variant in type_._variant_mapping.values():
        check_type(variant)
    for part in getattr(type_, "types", ()):
        check_type(part)


def _pass(_: Any) -> None:
    """Nothing more to check than its class, attributes and children."""


def _bind(bind: elements.BindParameter[Any]) -> None:
    if isinstance(bind.key, elements._anonymous_label):
        return
    if not _BIND_NAME.match(bind.key):
        raise Refused("forbidden_name", name=str(bind.key)[:60])
    if bind.key.startswith("crm_") and not (bind.key == "crm_now" and type(bind.type) is own.InstantType and bind.value is None):
        raise Refused("reserved_parameter", name=bind.key[:60])


def _column(column: elements.ColumnClause[Any]) -> None:
    """Let the columns of derived tables pass, and ``*`` of count and exists."""
    if column.is_literal:
        if column.name != "*" or column.table is not None:
            raise Refused("forbidden_element", element="literal_column")
    elif type(column.table) not in _TABLES:
        raise Refused("forbidden_element", element="column without an entity")
    _check_name(column.name)


def _entity_column(column: EntityColumn) -> None:
    if type(column.table) is not EntityTable and type(column.table) not in _DERIVED:
        raise Refused("forbidden_element", element="column without an entity")
    _check_name(column.name)


def _function(function: Any) -> None:
    name = function.name
    if type(name) is not str or _FUNCTIONS.get(name) is not type(function):
        raise Refused("forbidden_function", function=str(name)[:60])
    check_decimals(function)
    check_custom(function)


def _binary(binary: elements.BinaryExpression[Any]) -> None:
    _operator(binary.operator)
    _operator(binary.negate)
    for option, value in binary.modifiers.items():
        if option not in _OPTIONS or not _OPTIONS[option](value):
            raise Refused("forbidden_option", element="operator", option=str(option)[:60])
    check_decimals(binary)
    check_amounts(binary)
    check_custom(binary)


def _unary(unary: elements.UnaryExpression[Any]) -> None:
    _operator(unary.operator)
    _operator(unary.modifier)


def _clauses(clauses: Any) -> None:
    _operator(clauses.operator)


def _operator(used: Any) -> None:
    if used is not None and id(used) not in _OPERATORS:
        raise Refused("forbidden_operator", operator=str(getattr(used, "opstring", used))[:60])


def _case(case: elements.Case[Any]) -> None:
    check_decimals(case)
    check_custom(case)


def _cast(cast: elements.Cast[Any] | elements.TypeCoerce[Any]) -> None:
    """Let casts pass whose result is the same on both databases: not those of decimals and instants."""
    check_type(cast.type)
    check_custom(cast)
    source = cast.clause.type
    if type(source) in (own.DecimalType, own.InstantType, own.MoneyType) and not isinstance(source, type(cast.type)):
        raise Refused("forbidden_cast", source=type(source).__name__, target=type(cast.type).__name__)
    if type(cast.type) in (own.DecimalType, own.InstantType, own.MoneyType) and type(source) is not type(cast.type):
        raise Refused("forbidden_cast", source=type(source).__name__, target=type(cast.type).__name__)


def _extract(extract: elements.Extract) -> None:
    if extract.field not in _EXTRACTED:
        raise Refused("forbidden_function", function=f"extract {extract.field}"[:60])


def _collation(clause: elements.CollationClause) -> None:
    if clause.collation not in _COLLATIONS:
        raise Refused("forbidden_collation", collation=str(clause.collation)[:60])


def _label_text(reference: elements._textual_label_reference) -> None:
    if not _BIND_NAME.match(reference.element):
        raise Refused("forbidden_element", element="text in ORDER BY or GROUP BY")


def _select(statement: Any) -> None:
    check_money(statement)
    check_sealed_names(statement)


def _windowed(element: Any) -> None:
    """Let plain functions have windows and filters; a money aggregate is written as more than one call."""
    if type(getattr(element, "element", getattr(element, "func", None))) in (MoneySum, MoneyAggregate):
        raise Refused("money_window")


_CHECKS: Final[Mapping[type[Any], _Check]] = {
    **dict.fromkeys(_FUNCTIONS.values(), _function),
    **dict.fromkeys((MoneyPair, MoneySum, MoneyAggregate, Converted, ListContains, SealedMatch, EntityTable), _pass),
    **dict.fromkeys((CustomColumn, CustomDocument, CustomMatch, CustomOrder), _pass),
    **dict.fromkeys((elements.True_, elements.False_, elements.Null, elements.Grouping, elements.Label, elements.TypeClause), _pass),
    **dict.fromkeys((elements._label_reference, elements.FrameClause, selectable.ScalarSelect, selectable.Exists), _pass),
    **dict.fromkeys((selectable.SelectStatementGrouping, selectable.FromGrouping, selectable.ForUpdateArg, selectable.Join), _pass),
    **dict.fromkeys((selectable._MemoizedSelectEntities, elements.OrderByList), _pass),
    **dict.fromkeys(_DERIVED, _pass),
    selectable.Select: _select,
    selectable.CompoundSelect: _select,
    EntityColumn: _entity_column,
    elements.ColumnClause: _column,
    elements.BindParameter: _bind,
    selectable._OffsetLimitParam: _bind,
    elements.BinaryExpression: _binary,
    elements.UnaryExpression: _unary,
    elements.AsBoolean: _unary,
    elements.BooleanClauseList: _clauses,
    elements.ExpressionClauseList: _clauses,
    elements.ClauseList: _clauses,
    elements.Tuple: _clauses,
    elements.Case: _case,
    elements.Cast: _cast,
    elements.TypeCoerce: _cast,
    elements.Extract: _extract,
    elements.CollationClause: _collation,
    elements._textual_label_reference: _label_text,
    elements.Over: _windowed,
    elements.FunctionFilter: _windowed,
}
