"""Filters: what a query string asks of a field, as a criterion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .entities.entity import Entity
from .entities.meta import logical_table, spec
from .entities.sealing import MASK
from .entities.validate import problems, structure
from .errors import Invalid

if TYPE_CHECKING:
    from .entities.fields import FieldSpec

MAX_LISTED = 1_000
OPERATORS = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "isnull", "startswith")
_INTEGER = re.compile("-?[0-9]{1,19}")


def criterion(entity: type[Entity], field: FieldSpec, operator: str, text: str) -> Any:
    """Return a field's criterion, written as ``field__operator=text``.

    Raises:
        Invalid: ``bad_filter``: the text is no value of the field, or the operator none of its kind's.
    """
    from .entities.columns import MoneyColumn, columns_of

    column, *currency = columns_of(field, logical_table(entity))
    shown = MASK if field.apart else text[:60]
    if operator == "isnull":
        if text not in ("true", "false"):
            raise Invalid("bad_filter", filter=field.name, given=shown)
        return column.is_(None) if text == "true" else column.is_not(None)
    if field.kind in ("json", "list"):
        raise Invalid("bad_filter", filter=field.name, given=shown)
    if operator == "startswith":
        if field.kind not in ("str", "text"):
            raise Invalid("bad_filter", filter=field.name, given=shown)
        return column.startswith(_value(entity, field, text), autoescape=True)
    if operator == "in":
        parts = text.split(",", MAX_LISTED)
        if len(parts) > MAX_LISTED:
            raise Invalid("bad_filter", filter=field.name, given=f"a list of more than {MAX_LISTED}")
        return column.in_([_value(entity, field, part) for part in parts])
    value = _value(entity, field, text)
    if currency:
        column = MoneyColumn(column, currency[0], field)
    match operator:
        case "eq":
            return column == value
        case "ne":
            return column != value
        case "lt":
            return column < value
        case "lte":
            return column <= value
        case "gt":
            return column > value
        case _:
            return column >= value


def _value(entity: type[Entity], field: FieldSpec, text: str) -> Any:
    from .entities.money import Money

    value: Any = text
    name = spec(entity).name
    shown = MASK if field.apart else text[:60]
    if field.kind == "money":
        currency, colon, amount = text.partition(":")
        if not colon:
            raise Invalid("bad_filter", filter=field.name, given=shown)
        value = Money(amount, currency)
    elif field.kind == "int":
        value = int(text) if _INTEGER.fullmatch(text) else text
    elif field.kind == "bool":
        value = {"true": True, "false": False}.get(text, text)
    elif field.kind != "id":
        value = structure(name, field, text)
    wrong = [] if field.kind == "id" else list(problems(name, field, value))
    if wrong:
        raise Invalid("bad_filter", filter=field.name, given=shown, details=wrong)
    return value
