"""Page: some records and where to go on; the sort keys and the cursor of keyset paging, whose cost does not grow with the depth."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from .entities.entity import Entity
from .entities.meta import spec
from .entities.validate import is_id, plain, problems, structure
from .errors import Invalid
from .messages import redact

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from .entities.codec import Codec
    from .entities.fields import FieldSpec

T = TypeVar("T")
E = TypeVar("E", bound=Entity)
MAX_PAGE = 1_000


@attrs.frozen
class Part(Generic[T]):
    """Some of what was asked for, in order, and where to go on.

    Attributes:
        items: what there is, in order.
        next: what to give as ``after`` for what comes then; None at the end.
    """

    items: list[T]
    next: str | None

    @property
    def has_more(self) -> bool:
        """Whether there is a next page."""
        return self.next is not None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


@attrs.frozen
class Page(Part[E]):
    """Some records and where to go on: ``items`` in order, and ``next``, what to give as ``after`` for the next page; None at the end."""


def check_size(size: int) -> None:
    """Check how many a page is to hold.

    Raises:
        Invalid: ``bad_page_size``.
    """
    if type(size) is not int or not 1 <= size <= MAX_PAGE:
        raise Invalid("bad_page_size", size=redact(size), limit=MAX_PAGE)


@attrs.frozen
class Order:
    """One sort key: a field's column, and which way."""

    column: Any
    field: FieldSpec
    descending: bool
    indexed: bool = True

    @property
    def clause(self) -> Any:
        """Sort by the values, wherever NULL stands."""
        from sqlalchemy import String, literal

        column = self.column if self.indexed else self.column.concat(literal("", String()))
        return column.desc() if self.descending else column.asc()

    @property
    def clauses(self) -> list[Any]:
        """NULL sorts last either way, on both databases."""
        return [self.column.is_(None), self.clause] if self.field.nullable else [self.clause]

    def later(self, value: Any) -> ColumnElement[bool]:
        """Match the values that sort strictly after *value*, NULL not among them."""
        return self.column < value if self.descending else self.column > value  # type: ignore[no-any-return]  # a column is untyped here

    def from_(self, value: Any) -> ColumnElement[bool]:
        """Match the values that are *value* or sort after it, as a range that an index can begin at."""
        return self.column <= value if self.descending else self.column >= value  # type: ignore[no-any-return]  # a column is untyped here

    def after(self, value: Any) -> ColumnElement[bool]:
        """Match what sorts strictly after *value*."""
        from sqlalchemy import false, or_

        if value is None:
            return false()
        return or_(self.later(value), self.column.is_(None)) if self.field.nullable else self.later(value)

    def same(self, value: Any) -> ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value  # type: ignore[no-any-return]  # a column is untyped here


def cursor(codec: Codec, entity: type[Entity], keys: Sequence[Order], last: Entity) -> str:
    """Return where to go on after *last*: what it sorts by, and of which sorting that is."""
    values = [plain(k.field, codec.get(last, k.field.column if k.field.extension else k.field.name)) for k in keys]
    return base64.urlsafe_b64encode(json.dumps([_digest(entity, keys), *values]).encode()).decode().rstrip("=")


@attrs.frozen
class Span:
    """A part of a sorting that an index can serve from its begin: what it holds, and how that is sorted."""

    criteria: list[Any]
    orders: list[Any]


def spans(keys: Sequence[Order], last: Sequence[Any] | None) -> Iterator[Span]:
    """Cut a sorting, from the record that sorts by *last* on, into parts that follow each other: the values of the first key, then
    those who have none in it.

    No index is sorted by whether a value is there; in each part it is one and the same.
    """
    from sqlalchemy import and_, or_

    first, rest = keys[0], keys[1:]
    orders = [c for k in rest for c in k.clauses]
    if last is None or last[0] is not None:
        criteria = [first.column.is_not(None)] if first.field.nullable else []
        if last is not None:
            criteria += [first.from_(last[0]), or_(first.later(last[0]), and_(first.same(last[0]), _beyond(rest, last[1:])))]
        yield Span(criteria, [first.clause, *orders])
    if first.field.nullable:
        beyond = [_beyond(rest, last[1:])] if last is not None and last[0] is None else []
        yield Span([first.column.is_(None), *beyond], orders)


def _beyond(keys: Sequence[Order], values: Sequence[Any]) -> ColumnElement[bool]:
    """Match what sorts strictly after *values*."""
    from sqlalchemy import and_, false, or_

    later = (and_(*(k.same(v) for k, v in zip(keys[:i], values[:i], strict=True)), keys[i].after(values[i])) for i in range(len(keys)))
    return or_(false(), *later)


def read_cursor(entity: type[Entity], keys: Sequence[Order], after: str) -> list[Any]:
    """Return by what the last record of a page sorted, key by key.

    Raises:
        Invalid: ``bad_cursor``: it is none of this sorting.
    """
    try:
        digest, *values = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        if digest != _digest(entity, keys) or len(values) != len(keys):
            raise ValueError(after)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise Invalid("bad_cursor", given=str(after)[:60]) from None
    return [_value(entity, k.field, v, after) for k, v in zip(keys, values, strict=True)]


def _digest(entity: type[Entity], keys: Sequence[Order]) -> str:
    described = [(k.field.name, k.descending) for k in keys]
    return hashlib.sha256(json.dumps([spec(entity).name, described]).encode()).hexdigest()[:8]


def _value(entity: type[Entity], field: FieldSpec, value: Any, after: str) -> Any:
    """Read a value of a cursor, which anybody can write."""
    name = spec(entity).name
    typed = structure(name, field, value)
    good = is_id(typed) if field.kind == "id" else typed is None or not any(problems(name, field, typed))
    if not good:
        raise Invalid("bad_cursor", given=str(after)[:60])
    return typed
