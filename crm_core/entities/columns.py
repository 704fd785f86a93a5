"""Logical tables and columns: what ``Opportunity.stage`` is in a statement.

They know no prefix, schema or database. The lens (``permissions.lens``) decides at compile time what they render to; outside a
session they do not execute. They know no plugin either: an extension's columns point at the table, but it does not list them, since
two CRMs of one process may extend an entity by columns of one name and different types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from sqlalchemy import Column, ColumnElement, Integer, MetaData, String, Table, and_, bindparam, extract, func, literal
from sqlalchemy import cast as cast_to
from sqlalchemy.sql.functions import FunctionElement, coalesce
from sqlalchemy.sql.selectable import AliasedReturnsRows
from sqlalchemy.sql.visitors import InternalTraversal

from ..errors import MixedCurrency
from .fields import FieldSpec
from .meta import EntitySpec, logical_table, snake, spec
from .money import Money
from .sealed import SealedType
from .sqltypes import DecimalType, InstantType, MoneyType, type_of

if TYPE_CHECKING:
    from .custom import CustomSpec
    from .entity import Entity

E = TypeVar("E", bound="Entity")


class EntityTable(Table):
    """The logical table of an entity. ``entity`` is its class."""

    inherit_cache = True
    entity: type[Any]


class EntityColumn(Column[Any]):
    """A column of a logical table. ``field`` is the field it belongs to, ``extension`` whose that is where it is not the entity's own."""

    inherit_cache = True
    field: FieldSpec
    extension: type[Any] | None = None

    def _make_proxy(self, selectable: Any, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        key, column = super()._make_proxy(selectable, *args, **kwargs)
        if entity_table(selectable) is not None and isinstance(column, EntityColumn):
            column.field = self.field
        return key, column


def logical(entity: type[Any], facts: EntitySpec) -> EntityTable:
    """Build the logical table of an entity; its name is unique in the process, since it comes from the module's path."""
    name = f"{entity.__module__.replace('.', '_')}_{snake(entity.__qualname__.replace('.<locals>.', '_'))}"
    table = EntityTable(name[-63:], MetaData())
    table.entity = entity
    for field in facts.fields.values():
        for column in _made(field, entity):
            table.append_column(column)
    return table


def _made(field: FieldSpec, entity: type[Any]) -> Iterator[EntityColumn]:
    first: Any = SealedType(entity, field) if field.options.sealed else type_of(field)
    for name, type_ in zip(field.columns, (first, String(3)), strict=False):
        column = EntityColumn(name, type_)
        column.field, column.extension = field, field.extension
        yield column


def columns_of(field: FieldSpec, table: Any) -> list[Any]:
    """Return the columns of a field, of the entity's own, an extension's or custom, on its logical *table* or an alias of it."""
    if not field.columns:
        from .custom_columns import CustomColumn

        return [CustomColumn(cast("CustomSpec", field), table.c["id"])]
    if field.extension is None:
        return [table.c[name] for name in field.columns]
    added = list(_made(field, field.extension.__crm_extends__[0]))
    for column in added:
        column.table = table
    return added


def columns_by_name(fields: Iterable[FieldSpec], table: Any) -> dict[str, Any]:
    """Return the columns of *fields*, those of one entity in one CRM, by their names."""
    return {column.name: column for field in fields for column in columns_of(field, table)}


def attributes(table: Any, fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """Return what class-level access answers for each field, on *table* or an alias of it."""
    columns = columns_by_name(fields.values(), table)

    def attribute(field: FieldSpec) -> Any:
        first = columns[field.column]
        if field.kind == "money":
            base = f"{field.column}_base"
            frozen = [columns[c] for c in (base, f"{base}_currency") if c in columns]
            return MoneyColumn(first, columns[field.columns[1]], field, frozen)
        return ListColumn(first, table.c["id"], field) if field.kind == "list" else first

    return {name: attribute(field) for name, field in fields.items()}


def entity_table(selectable: Any) -> EntityTable | None:
    """Return the logical table under aliases, or None."""
    while isinstance(selectable, AliasedReturnsRows):
        selectable = selectable.element
    return selectable if isinstance(selectable, EntityTable) else None


def days_between(start: Any, end: Any) -> ColumnElement[int]:
    """Return the days from one date column to another, as a whole number, the same on every database; NULL where one is NULL."""
    return _day_number(end) - _day_number(start)


def _day_number(column: Any) -> ColumnElement[int]:
    """Number the days of the Gregorian calendar from 0001-01-01 on, as ``date.toordinal`` does."""
    before = cast_to(extract("year", column), Integer()) - 1
    leap_days = before // 4 - before // 100 + before // 400
    return before * 365 + leap_days + cast_to(extract("doy", column), Integer())


class _Alias:
    """An alias of an entity in a statement; its attributes are the alias's columns."""

    def __init__(self, entity: type[Any], name: str | None) -> None:
        self._entity = entity
        self._alias = logical_table(entity).alias(name)
        self._columns = attributes(self._alias, spec(entity).fields)

    def __clause_element__(self) -> Any:
        return self._alias

    def __getattr__(self, name: str) -> Any:
        if name in self._columns:
            return self._columns[name]
        raise AttributeError(f"{self._entity.__name__} has no field {name!r}")


def alias(entity: type[E], name: str | None = None) -> type[E]:
    """Return a second name for an entity in one statement, for joining it with itself."""
    return cast("type[E]", _Alias(entity, name))


class MoneyPair(FunctionElement[Money]):
    """An amount with its currency as one result column."""

    inherit_cache = True
    name = "money"

    def __init__(self, amount: ColumnElement[Any], currency: ColumnElement[Any], scale: int) -> None:
        self.type = MoneyType(scale)
        super().__init__(amount, currency)


class MoneySum(FunctionElement[Money]):
    """A sum of amounts in one currency. The guard refuses it where the currency is neither grouped nor fixed."""

    inherit_cache = True
    name = "money_sum"

    def __init__(self, amount: ColumnElement[Any], currency: ColumnElement[Any], scale: int) -> None:
        self.type = MoneyType(scale)
        super().__init__(amount, currency)


class MoneyAggregate(FunctionElement[Any]):
    """sum, min, max or avg of the bare amounts, in one currency, as a Decimal that sorts. Guarded like :class:`MoneySum`."""

    inherit_cache = True
    name = "money_aggregate"

    # The function decides how it is written, so compiled statements are told apart by it.
    _traverse_internals: Any = (*FunctionElement._traverse_internals, ("function", InternalTraversal.dp_string))

    def __init__(self, function: str, amount: ColumnElement[Any], currency: ColumnElement[Any], scale: int) -> None:
        self.type = DecimalType(scale)
        self.scale = scale
        self.function = function
        super().__init__(amount, currency)


class Converted(FunctionElement[Any]):
    """An amount in another currency, at a dated rate, rounded half-up to its minor unit. A missing rate is an error, never NULL.

    *target* is a currency, *places* the digits of its minor unit, *frozen* an amount and its currency that go before any rate.
    """

    inherit_cache = True
    name = "money_to"

    def __init__(self, amount: Any, currency: Any, target: Any, places: Any, at: Any, scale: int, *frozen: Any) -> None:
        self.type = DecimalType(scale)
        self.scale = scale
        super().__init__(amount, currency, target, places, at, *frozen)


class ListContains(FunctionElement[bool]):
    """Whether an embedded list has an entry with this value (a normalised address or number)."""

    inherit_cache = True
    name = "list_contains"

    def __init__(self, column: ColumnElement[Any], id: ColumnElement[Any], value: Any) -> None:
        from sqlalchemy import Boolean

        self.type = Boolean()
        super().__init__(column, id, value)


class MoneyColumn:
    """A MoneyField at class level.

    ``amount`` and ``currency`` are its columns. Comparing with a Money compares amounts of that currency only; ordering by it is
    refused, since unlike currencies do not sort: fix the currency and order by ``.amount``.
    """

    def __init__(self, amount: Any, currency: Any, field: FieldSpec, frozen: Sequence[Any] = ()) -> None:
        self.amount: ColumnElement[Any] = amount
        self.currency: ColumnElement[str] = currency
        self.field = field
        self._frozen = frozen
        self._scale = field.options.scale

    def __clause_element__(self) -> ColumnElement[Money]:
        return MoneyPair(self.amount, self.currency, self._scale)

    def __abs__(self) -> MoneyColumn:
        """Take each amount without its sign, as ``abs(Order.total).sum()`` does before it adds up."""
        amount, *frozen = (func.abs(column, type_=column.type) for column in (self.amount, *self._frozen[:1]))
        return MoneyColumn(amount, self.currency, self.field, [*frozen, *self._frozen[1:]])

    def sum(self) -> ColumnElement[Any]:
        """Sum the amounts as Money.

        Raises:
            MixedCurrency: when executed, if the currency is neither in GROUP BY nor fixed by ``currency == ...``.
        """
        return MoneySum(self.amount, self.currency, self._scale)

    def total(self, function: Literal["sum", "min", "max", "avg"] = "sum") -> ColumnElement[Any]:
        """Aggregate the bare amounts as a Decimal, for HAVING and ORDER BY. Guarded like :meth:`sum`."""
        return MoneyAggregate(function, self.amount, self.currency, self._scale)

    def to(self, currency: str, at: Literal["frozen", "today"] | datetime | ColumnElement[Any] = "frozen") -> ColumnElement[Any]:
        """Convert to *currency* at the rate of a day (UTC date of *at*), as a Decimal that may be summed.

        *at* may be a date or datetime column of the record, too; where that is NULL, today counts.
        ``frozen`` takes the amount frozen on the document (its field ``<name>_base``) where there is one in that currency, and the
        rate of today where not. Rates are ``ExchangeRate`` records; the newest on or before the day counts.

        Raises:
            Invalid: when executed, ``missing_rate`` names the pair and the day.
        """
        from .currencies import minor_units

        places = minor_units(currency)
        frozen = self._frozen if isinstance(at, str) and at == "frozen" else ()
        today: Any = bindparam("crm_now", type_=InstantType())
        day: Any = today if isinstance(at, str) else literal(at, InstantType()) if isinstance(at, datetime) else coalesce(at, today)
        return Converted(self.amount, self.currency, literal(currency, String(3)), literal(places, Integer()), day, self._scale, *frozen)

    def is_(self, other: None) -> ColumnElement[bool]:
        return self.amount.is_(other)

    def is_not(self, other: None) -> ColumnElement[bool]:
        return self.amount.is_not(other)

    def __eq__(self, other: object) -> ColumnElement[bool]:  # type: ignore[override]
        if other is None:
            return self.amount.is_(None)
        money = self._money(other)
        return and_(self.currency == money.currency, self.amount == money.amount)

    def __ne__(self, other: object) -> ColumnElement[bool]:  # type: ignore[override]
        return self.amount.is_not(None) if other is None else ~(self == other)

    def __lt__(self, other: Money) -> ColumnElement[bool]:
        return and_(self.currency == self._money(other).currency, self.amount < other.amount)

    def __le__(self, other: Money) -> ColumnElement[bool]:
        return and_(self.currency == self._money(other).currency, self.amount <= other.amount)

    def __gt__(self, other: Money) -> ColumnElement[bool]:
        return and_(self.currency == self._money(other).currency, self.amount > other.amount)

    def __ge__(self, other: Money) -> ColumnElement[bool]:
        return and_(self.currency == self._money(other).currency, self.amount >= other.amount)

    __hash__ = object.__hash__

    def asc(self) -> Any:
        raise MixedCurrency("money_does_not_sort", field=self.field.name)

    desc = asc

    def _money(self, other: object) -> Money:
        if not isinstance(other, Money):
            raise MixedCurrency("compare_with_money", field=self.field.name, given=type(other).__name__)
        return other


class ListColumn:
    """A ListField at class level: readable as a column, searchable with :meth:`has`."""

    def __init__(self, column: Any, id: Any, field: FieldSpec) -> None:
        self.column: ColumnElement[Any] = column
        self.field = field
        self._id = id

    def __clause_element__(self) -> ColumnElement[Any]:
        return self.column

    def has(self, value: str) -> ColumnElement[bool]:
        """Find records whose list has an entry of this value, as normalised."""
        return ListContains(self.column, self._id, literal(value, String(320)))
