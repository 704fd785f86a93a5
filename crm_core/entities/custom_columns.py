"""Custom fields in statements. What they are written as is the lens's business: ``permissions.custom_sql``.

A value is looked up by the field's name, and which field that is stands in the actor's values, never in the statement: of a field that
the actor may not read, or another tenant has, every value is NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
from sqlalchemy import BigInteger, ColumnElement, Dialect, String, TableClause, Text, TypeDecorator, and_, bindparam, column
from sqlalchemy.sql import elements, operators
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import NullType, TypeEngine

from ..errors import Detail, Invalid
from .custom_kind import CustomKind
from .meta import spec
from .sqltypes import IdType

if TYPE_CHECKING:
    from .columns import EntityTable
    from .custom import CustomSpec

MOST_VALUES = 1_000
FEW_VALUES = frozenset({CustomKind.BOOLEAN, CustomKind.CHOICE})
COMPARED = {
    operators.eq: "=",
    operators.ne: "<>",
    operators.lt: "<",
    operators.le: "<=",
    operators.gt: ">",
    operators.ge: ">=",
}
_SORTED = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op, operators.distinct_op)


class CustomType(TypeDecorator[Any]):
    """The values of one custom field on their way to the database and back."""

    impl = String
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any]):
        """Comparisons find the records by the index of the values; with what is no plain value there are none."""

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            given = other[0] if other else None
            if op in _SORTED:
                return super().operate(op, *other, **kwargs)
            if not isinstance(self.expr, CustomColumn):
                return self._of_result(op, *other, **kwargs)
            if op in (operators.is_, operators.is_not, operators.eq, operators.ne) and _is_null(given):
                found = CustomMatch(self._field, "IS NOT NULL", ())
                return found if op in (operators.is_not, operators.ne) else ~found
            if op in COMPARED:
                return CustomMatch(self._field, COMPARED[op], [self._bound(given)])
            if op in (operators.in_op, operators.not_in_op) and isinstance(given, Sequence) and len(given) <= MOST_VALUES:
                found = CustomMatch(self._field, "IN", [self._bound(v) for v in given])
                # Like any other comparison, it does not hold of what is None.
                return found if op is operators.in_op else CustomMatch(self._field, "NOT IN", found.values)
            if op is operators.startswith_op and isinstance(given, str) and not self._field.field.is_number:
                return CustomMatch(self._field, "STARTS", [self._text(given), self._text(given + "\U0010ffff")])
            raise Invalid("custom_operator", field=self._field.field.name)

        def reverse_operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            raise Invalid("custom_operator", field=self._type.field.name)

        def _of_result(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            """Compare what a function or a derived table made of the field with values of it, as any column is."""
            if op in (operators.is_, operators.is_not) and _is_null(other[0]):
                return super().operate(op, *other, **kwargs)
            if op not in COMPARED:
                raise Invalid("custom_operator", field=self._type.field.name)
            given = other[0]
            if not isinstance(given, elements.ClauseElement) and not hasattr(given, "__clause_element__"):
                given = bindparam(None, self._type.value(given), self.type, unique=True)
            return super().operate(op, given, **kwargs)

        @property
        def _type(self) -> CustomType:
            return self.type  # type: ignore[return-value]  # it is of no other

        @property
        def _field(self) -> CustomColumn:
            return self.expr  # type: ignore[return-value]  # operate has looked

        def _bound(self, value: Any) -> Any:
            if isinstance(value, elements.BindParameter):
                value = value.effective_value
            if isinstance(value, ColumnElement) or hasattr(value, "__clause_element__") or value is None:
                raise Invalid("custom_operator", field=self._field.field.name)
            return bindparam(None, self._field.typed(value), self.type, unique=True)

        def _text(self, value: str) -> Any:
            return bindparam(None, value, String(), unique=True)

    comparator_factory: Any = Comparator

    def __init__(self, field: CustomSpec) -> None:
        super().__init__()
        self.field = field

    def value(self, given: Any, entity: str = "", *, bounded: bool = False) -> Any:
        """Return a value of the field for what was given; what was added up may lie beyond the field's bounds.

        Raises:
            Invalid: it is none.
        """
        from .validate import problems

        free = self.field if bounded else attrs.evolve(self.field, options=attrs.evolve(self.field.options, min=None, max=None))
        typed = self.field.read(entity, given)
        wrong = list(problems(entity, free, typed))
        wrong += (Detail(entity, self.field.name, code, "", params) for code, params in self.field.foreign(typed))
        if wrong:
            raise Invalid(details=wrong)
        return typed

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if self.field.is_number else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.field.to_raw(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.field.from_raw(value)


class SortedType(CustomType):
    """The same values where they stand in a table of their own, and compare as any column does."""

    cache_ok = True
    comparator_factory = TypeDecorator.Comparator


def _is_null(value: Any) -> bool:
    return value is None or isinstance(value, elements.Null)


class CustomColumn(ColumnElement[Any]):
    """A custom field of the records behind an ``id`` column, in a list of columns or an order: its value, or NULL."""

    __visit_name__ = "custom_column"
    inherit_cache = True
    _traverse_internals: Any = (
        ("id", InternalTraversal.dp_clauseelement),
        ("name", InternalTraversal.dp_string),
        ("type", InternalTraversal.dp_type),
    )

    def __init__(self, field: CustomSpec, id: ColumnElement[Any]) -> None:
        self.type = CustomType(field)
        self.field = field
        self.name = field.name
        self.id = id

    @property
    def _from_objects(self) -> Any:
        return self.id._from_objects

    def sortable(self) -> CustomColumn:
        """Return the same field as a value that compares as any column does, for an order and where a page of it goes on."""
        found = CustomColumn(self.field, self.id)
        found.type = SortedType(self.field)
        return found

    def typed(self, value: Any) -> Any:
        """Return a value of the field for what was given.

        Raises:
            Invalid: it is none.
        """
        from .columns import entity_table

        table = entity_table(getattr(self.id, "table", None))
        return CustomType(self.field).value(value, "" if table is None else spec(table.entity).name, bounded=True)


class CustomOrder(TableClause):
    """The values of a custom field as a table to join and sort by: ``record``, ``value``. Records without one are not in it."""

    __visit_name__ = "custom_order"
    inherit_cache = True
    _traverse_internals: Any = (
        *TableClause._traverse_internals,
        ("field_name", InternalTraversal.dp_string),
        ("form", InternalTraversal.dp_string),
        ("entity", InternalTraversal.dp_clauseelement),
        ("kept", InternalTraversal.dp_string),
    )

    def __init__(self, field: CustomSpec, entity: EntityTable) -> None:
        super().__init__("crm_order", column("record", IdType()), column("value", SortedType(field)))
        self.field_name = field.name
        self.form = field.form
        self.entity = entity
        self.kept = "number" if field.is_number else "text"

    def matching(self, match: CustomMatch) -> ColumnElement[bool]:
        """Return what a match demands, as a condition on these values."""
        value, given = self.c.value, [self._same(bind) for bind in match.values]
        match match.operator:
            case "IS NOT NULL":
                return value.is_not(None)
            case "STARTS":
                return and_(value >= given[0], value < given[1])
            case "IN":
                return value.in_(given)
            case "NOT IN":
                return value.not_in(given)
        compare = next(op for op, written in COMPARED.items() if written == match.operator)
        compared: ColumnElement[bool] = compare(value, given[0])
        return compared

    def _same(self, bind: Any) -> Any:
        return bindparam(None, bind.value, self.c.value.type, unique=True)


class CustomMatch(ColumnElement[bool]):
    """Whether a record's value of a custom field compares so; NULL never does."""

    __visit_name__ = "custom_match"
    inherit_cache = True
    _traverse_internals: Any = (
        ("column", InternalTraversal.dp_clauseelement),
        ("operator", InternalTraversal.dp_string),
        ("values", InternalTraversal.dp_clauseelement_tuple),
    )

    def __init__(self, column: CustomColumn, operator: str, values: Iterable[ColumnElement[Any]]) -> None:
        self.type = cast("Any", NullType())  # not Boolean: for SQLite that would be written "= 1", and no index serves it
        self.column = column
        self.operator = operator
        self.values = tuple(values)

    @property
    def narrow(self) -> bool:
        """Whether it should leave few records: it wants some values of a field that has many."""
        return self.operator not in ("<>", "NOT IN", "IS NOT NULL") and self.column.field.said not in FEW_VALUES

    @property
    def _from_objects(self) -> Any:
        return self.column._from_objects


class CustomDocument(ColumnElement[Any]):
    """All that the actor may see of a record's custom fields, as one JSON object by the definitions' ids."""

    __visit_name__ = "custom_document"
    inherit_cache = True
    _traverse_internals: Any = (("id", InternalTraversal.dp_clauseelement),)

    def __init__(self, id: ColumnElement[Any]) -> None:
        self.type = Text()
        self.id = id

    @property
    def _from_objects(self) -> Any:
        return self.id._from_objects
