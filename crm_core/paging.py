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

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from .entities.codec import Codec
    from .entities.fields import FieldSpec

E = TypeVar("E", bound=Entity)
MAX_PAGE = 1_000


@attrs.frozen
class Page(Generic[E]):
    """Some records and where to go on.

    Attributes:
        items: the records, in order.
        next: what to give as ``after`` for the next page; None at the end.
    """

    items: list[E]
    next: str | None

    @property
    def has_more(self) -> bool:
        """Whether there is a next page."""
        return self.next is not None

    def __iter__(self) -> Iterator[E]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> E:
        return self.items[index]


@attrs.frozen
class Order:
    """One sort key: a field's column, and which way."""

    column: Any
    field: FieldSpec
    descending: bool
    indexed: bool = True

    @property
    def clauses(self) -> list[Any]:
        """NULL sorts last either way, on both databases."""
        from sqlalchemy import String, literal

        column = self.column if self.indexed else self.column.concat(literal("", String()))
        clause = column.desc() if self.descending else column.asc()
        return [self.column.is_(None), clause] if self.field.nullable else [clause]

    def from_(self, value: Any) -> ColumnElement[bool]:
        """Match what sorts like *value* or after it, as a range that an index can begin at."""
        from sqlalchemy import true

        if self.field.nullable:
            return true()
        return self.column <= value if self.descending else self.column >= value  # type: ignore[no-any-return]  # a column is untyped here

    def after(self, value: Any) -> ColumnElement[bool]:
        """Match what sorts strictly after *value*."""
        from sqlalchemy import false, or_

        if value is None:
            return false()
        later = self.column < value if self.descending else self.column > value
        return or_(later, self.column.is_(None)) if self.field.nullable else later

    def same(self, value: Any) -> ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value  # type: ignore[no-any-return]  # a column is untyped here


def cursor(codec: Codec, entity: type[Entity], keys: Sequence[Order], last: Entity) -> str:
    """Return where to go on after *last*: what it sorts by, and of which sorting that is."""
    values = [plain(k.field, codec.get(last, k.field.column if k.field.extension else k.field.name)) for k in keys]
    return base64.urlsafe_b64encode(json.dumps([_digest(entity, keys), *values]).encode()).decode().rstrip("=")


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


def beyond(keys: Sequence[Order], typed: Sequence[Any]) -> ColumnElement[bool]:
    """Match what sorts after the record whose values are *typed*."""
    from sqlalchemy import and_, or_

    later = or_(*(and_(*(k.same(v) for k, v in zip(keys[:i], typed[:i], strict=True)), keys[i].after(typed[i])) for i in range(len(keys))))
    return and_(keys[0].from_(typed[0]), later)


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
