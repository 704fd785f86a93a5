"""Sealed fields in statements: a column that only comes out, opened, and is found by its blind index alone.

Columns belong to classes and know no CRM, while keys belong to a CRM: who runs a statement says for its duration whose keys it is for,
in a context variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy import Boolean, ColumnElement, Dialect, String, Text, TypeDecorator, and_, bindparam
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import InternalTraversal

from ..errors import Invalid, Refused
from .fields import FieldSpec
from .meta import spec
from .sealing import MASK
from .validate import plain, problems, structure

MOST_VALUES = 1_000


class Opener(Protocol):
    """What opens the cells of one CRM and finds values in one tenant."""

    def open(self, cell: str, kind: str) -> str | None:
        """Return a cell's text; None where its key was destroyed."""
        ...

    def blind(self, where: str, text: str, *, old: bool) -> str:
        """Return a value's blind index under the current key, or under the one before while it is replaced."""
        ...


_opener: ContextVar[Opener] = ContextVar("crm_opener")


@contextmanager
def opening(opener: Opener) -> Iterator[None]:
    """Let statements inside the block use the keys behind *opener*."""
    token = _opener.set(opener)
    try:
        yield
    finally:
        _opener.reset(token)


def _current(what: str) -> Opener:
    found = _opener.get(None)
    if found is None:
        raise Refused("outside_session", what=what)
    return found


def sealed_text(field: FieldSpec, value: Any) -> str:
    """Write a value as the text that is sealed."""
    return value if field.kind in ("str", "text") else json.dumps(plain(field, value))


def opened_value(entity: str, field: FieldSpec, text: str) -> Any:
    """Read a value from the text that was sealed."""
    return text if field.kind in ("str", "text") else structure(entity, field, json.loads(text))


def place_name(entity: type[Any], field: FieldSpec) -> str:
    """Name a field for its seal and its blind index: ``patient.iban``."""
    return f"{spec(entity).name}.{field.column}"


class SealedType(TypeDecorator[Any]):
    """A value that is encrypted in the database. What the lens gives for it is a cell: the ciphertext with its place and its keys."""

    impl = Text
    cache_ok = True

    def __init__(self, entity: type[Any], field: FieldSpec) -> None:
        super().__init__()
        self.entity = entity
        self.field = field

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or value == MASK:
            return value
        text = _current(self.field.name).open(value, self.field.kind)
        return None if text is None else opened_value(spec(self.entity).name, self.field, text)

    class Comparator(TypeDecorator.Comparator[Any]):
        """Equality by the blind index; everything else is refused."""

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            given = other[0] if other else None
            if op in (operators.is_, operators.is_not) and given is None:
                return super().operate(op, *other, **kwargs)
            if op in (operators.eq, operators.ne) and given is None:
                return super().operate(operators.is_ if op is operators.eq else operators.is_not, None)
            if op in (operators.eq, operators.in_op):
                return self._matches([given] if op is operators.eq else given)
            if op in (operators.ne, operators.not_in_op):
                # Like any other comparison, it does not hold of what is None.
                found = self._matches([given] if op is operators.ne else given)
                return and_(super().operate(operators.is_not, None), ~found)
            raise self._refused()

        def reverse_operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            raise self._refused()

        def _refused(self) -> Invalid:
            return Invalid("sealed_operator", field=self._sealed.field.name)

        @property
        def _sealed(self) -> SealedType:
            return self.expr.type  # type: ignore[return-value]  # this is its comparator

        def _matches(self, values: Any) -> ColumnElement[bool]:
            from .columns import entity_table

            entity, field = self._sealed.entity, self._sealed.field
            table = getattr(self.expr, "table", None)
            if table is None or entity_table(table) is None or not isinstance(values, Sequence) or isinstance(values, str):
                raise self._refused()
            if not field.options.searchable:
                raise Invalid("sealed_not_searchable", field=field.name)
            if any(isinstance(v, ColumnElement) or hasattr(v, "__clause_element__") for v in values) or len(values) > MOST_VALUES:
                raise self._refused()
            name = spec(entity).name
            read = [structure(name, field, v) for v in values if v is not None]
            wrong = [detail for value in read for detail in problems(name, field, value)]
            if wrong:
                raise Invalid(details=wrong)
            binds = [bindparam(None, v, BlindType(entity, field, old), unique=True) for v in read for old in (False, True)]
            return SealedMatch(self.expr, table.c["id"], binds)

    comparator_factory = Comparator


class BlindType(TypeDecorator[Any]):
    """A value on its way to the database as its blind index."""

    impl = String
    cache_ok = True

    def __init__(self, entity: type[Any], field: FieldSpec, old: bool) -> None:
        super().__init__()
        self.entity = entity
        self.field = field
        self.old = old

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        opener = _current(self.field.name)
        return opener.blind(place_name(self.entity, self.field), sealed_text(self.field, value), old=self.old)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:
        raise Refused("outside_session", what=self.field.name)


class SealedMatch(ColumnElement[bool]):
    """Whether a sealed field has one of some values: its column, the record's id, and the blind indexes."""

    __visit_name__ = "sealed_match"
    inherit_cache = True
    _traverse_internals: Any = (
        ("column", InternalTraversal.dp_clauseelement),
        ("id", InternalTraversal.dp_clauseelement),
        ("values", InternalTraversal.dp_clauseelement_tuple),
    )

    def __init__(self, column: ColumnElement[Any], id: ColumnElement[Any], values: Iterable[ColumnElement[Any]]) -> None:
        self.type = Boolean()
        self.column = column
        self.id = id
        self.values = tuple(values)

    @property
    def _from_objects(self) -> Any:
        return [*self.column._from_objects, *self.id._from_objects]
