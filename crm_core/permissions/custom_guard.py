"""Custom fields in functions, cases and casts: their values are kept as texts and scaled whole numbers, and are never taken for such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy.sql import elements
from sqlalchemy.types import NullType

from ..entities.custom_columns import CustomType
from ..errors import Invalid, Refused

# What returns one of the values that it is given, or counts them.
_KEEPING: Final = frozenset({"count", "min", "max", "coalesce", "nullif", "lag", "lead", "first_value", "last_value", "nth_value"})
_ALIKE: Final = frozenset({"coalesce", "nullif"})
_OF_TEXT: Final = frozenset({"lower", "upper", "length", "trim", "ltrim", "rtrim", "replace", "substr", "aggregate_strings"})
_OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "int": frozenset({"sum", "abs", "avg", "round"}),
    "decimal": frozenset({"sum"}),
    "money": frozenset({"sum"}),
    "str": _OF_TEXT,
}
_AS_KEPT: Final = frozenset({"int", "str"})  # their values are what the database has


def check_custom(element: Any) -> None:
    """Refuse a function, case, comparison or cast that would give something else than values of the field.

    Raises:
        Refused: ``custom_function``; ``forbidden_cast``; ``untyped_function``, whose result would come back as it is kept.
        Invalid: ``custom_operator``: it meets what is no value of such a field.
    """
    if isinstance(element, elements.Cast | elements.TypeCoerce):
        _check_cast(element)
    elif isinstance(element, elements.Case):
        _check_alike([*(result for _, result in element.whens), *([] if element.else_ is None else [element.else_])])
    elif isinstance(element, elements.BinaryExpression):
        _check_alike([element.left, element.right])
    else:
        _check_function(element)


def _check_cast(cast: elements.Cast[Any] | elements.TypeCoerce[Any]) -> None:
    source, target = cast.clause.type, cast.type
    for one, other in ((source, target), (target, source)):
        if isinstance(one, CustomType) and one.field.kind not in _AS_KEPT and one is not other:
            raise Refused("forbidden_cast", source=type(source).__name__, target=type(target).__name__)


def _check_function(function: Any) -> None:
    parts = list(function.clauses)
    for part in parts:
        type_ = getattr(part, "type", None)
        if not isinstance(type_, CustomType):
            continue
        kind = type_.field.kind
        if function.name not in _KEEPING and function.name not in _OF_KIND.get(kind, ()):
            raise Refused("custom_function", function=function.name, field=type_.field.name)
        if kind not in _AS_KEPT and isinstance(function.type, NullType):
            raise Refused("untyped_function", function=function.name)
    if function.name in _ALIKE:
        _check_alike(parts)


def _check_alike(parts: Iterable[Any]) -> None:
    """Where one is of a custom field, all must be of such a one, or NULL."""
    types = [getattr(p, "type", None) for p in parts if not isinstance(p, elements.Null)]
    found = [t for t in types if isinstance(t, CustomType) and t.field.kind not in _AS_KEPT]
    if found and not all(isinstance(t, CustomType) and _form(t) == _form(found[0]) for t in types):
        raise Invalid("custom_operator", field=found[0].field.name)


def _form(type_: CustomType) -> tuple[Any, ...]:
    field = type_.field
    return field.kind, field.currency, field.options.scale if field.is_number else 0, field.target
