"""Query: a read of one entity, built step by step, run through the session's lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .arguments import check, check_expressions
from .custom_fields.paging import steps
from .entities.custom import CustomSpec
from .entities.entity import Entity
from .entities.meta import logical_table, spec
from .errors import Invalid, NotFound, Refused
from .filters import OPERATORS, criterion
from .paging import Order, Page, check_size, cursor, read_cursor, spans
from .permissions.predicates import Custom, Rule
from .rules import criterion as criterion_of
from .storage.kept import Asked

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from .entities.codec import Loader
    from .entities.fields import FieldSpec
    from .session import Session

E = TypeVar("E", bound=Entity)
MOST_ORDERS = 64
RESERVED = frozenset({"after", "limit", "size", "expand", "fields"})


class Query(Asked, Generic[E]):
    """A read of one entity. Each step returns a new query; nothing runs before ``all``, ``first``, ``one``, ``count`` or ``page``."""

    def __init__(self, session: Session, entity: type[E]) -> None:
        self._session = session
        self.entity = entity
        self._criteria: tuple[Any, ...] = ()
        self._orders: tuple[Order, ...] = ()
        self._free_orders: tuple[Any, ...] = ()
        self._preloads: tuple[FieldSpec, ...] = ()

    def _with(self, **changes: Any) -> Self:
        other = type(self)(self._session, self.entity)
        other.__dict__.update(self.__dict__ | changes)
        return other

    # -- building -----------------------------------------------------------------------------------------------------------------

    def where(self, *criteria: ColumnElement[bool] | Rule) -> Self:
        """Keep what fulfils all *criteria*: SQLAlchemy expressions over entities, or rules (``custom("region") == "EU"``); text is neither.

        Raises:
            Invalid: a rule names a field that is not there or not readable, or compares it with what it cannot be.
        """
        check_expressions([c for c in criteria if not isinstance(c, Rule)])
        made = [criterion_of(c, self.entity, self._session) if isinstance(c, Rule) else c for c in criteria]
        return self._with(_criteria=(*self._criteria, *made))

    def matching(self, params: Mapping[str, str], *, allow: Sequence[str]) -> Self:
        """Filter and sort by a query string: ``stage=won&amount__gte=EUR:1000&sort=-created_at,name``.

        Operators: eq (none written), ne, lt, lte, gt, gte, in (comma-separated), isnull (true/false), startswith. The names ``after``,
        ``limit``, ``size``, ``expand`` and ``fields`` are the host's and skipped. Sorting takes allowed and system fields.

        Raises:
            Invalid: ``unknown_filter`` names what is not allowed, not readable or not a field; ``bad_filter`` what cannot be read.
        """
        check(params, Mapping, "a mapping from names to texts")
        query: Self = self
        readable = self._session.reader.readable(self.entity)
        for key, text in params.items():
            if key in RESERVED:
                continue
            if not isinstance(text, str):
                raise Invalid("bad_filter", filter=str(key)[:60], given=type(text).__name__)
            if key == "sort":
                query = query._sorted(text, {*allow} & readable)
                continue
            name, mark, operator = key.partition("__")
            field = self._field(name) if name in allow and name in readable else None
            if field is None or (operator or ("" if mark else "eq")) not in OPERATORS:
                raise Invalid("unknown_filter", filter=key[:60], allowed=sorted({*allow} & readable))
            query = query.where(criterion(self.entity, field, operator or "eq", text))
        return query

    def order_by(self, *keys: Any) -> Self:
        """Sort by at most 64 columns (``Opportunity.created_at.desc()``). NULL sorts last; ties are broken by id."""
        _check_orders(len(keys))
        keys = tuple(self._of_custom(key) for key in keys)
        check_expressions(keys)
        orders, free = list(self._orders), list(self._free_orders)
        for key in keys:
            order = self._as_order(key)
            if order is None:
                free.append(key)
            else:
                orders.append(order)
        return self._ordered(tuple(orders), tuple(free))

    def preload(self, *refs: Any) -> Self:
        """Read the records that these references point at in one statement each; ``session.related`` and ``expand`` then have them."""
        fields = []
        for ref in refs:
            field = getattr(ref, "field", None)
            if field is None or field.kind != "ref" or spec(self.entity).fields.get(field.name) is not field:
                raise Invalid("not_a_reference", entity=spec(self.entity).name, given=str(ref)[:60])
            fields.append(field)
        return self._with(_preloads=(*self._preloads, *fields))

    # -- running ------------------------------------------------------------------------------------------------------------------

    def all(self) -> list[E]:
        """Return all records."""
        return self._load(self._select().order_by(*self._order_clauses()))

    def first(self) -> E | None:
        """Return the first record, or None."""
        if not self._free_orders:
            return next(iter(self._walk(self._keys(), None, 1)), None)
        return next(iter(self._load(self._select().order_by(*self._order_clauses()).limit(1))), None)

    def one(self) -> E:
        """Return the only record.

        Raises:
            NotFound: there is none.
            Refused: there are several.
        """
        found = self._load(self._select().order_by(*self._order_clauses()).limit(2))
        if not found:
            raise NotFound(entity=spec(self.entity).name)
        if len(found) > 1:
            raise Refused("several_found", entity=spec(self.entity).name)
        return found[0]

    def count(self, *, limit: int | None = None) -> int:
        """Count the records, up to *limit* where a number beyond it does not matter."""
        from sqlalchemy import func, select

        table = logical_table(self.entity)
        if limit is None:
            statement = select(func.count()).select_from(table).where(*self._criteria)
        else:
            statement = select(func.count()).select_from(select(table.c.id).where(*self._criteria).limit(limit).subquery())
        return int(self._session.execute(statement).scalar_one())

    def ids(self) -> list[str]:
        """Return the ids of all records, in order, each once."""
        from sqlalchemy import select

        table = logical_table(self.entity)
        found = self._session.execute(select(table.c.id).where(*self._criteria).order_by(*self._order_clauses())).scalars()
        return list(dict.fromkeys(found))

    def described(self) -> list[Any]:
        """Return what is asked for, with its values, to tell one query from another."""
        compiled = self._select().order_by(*self._order_clauses()).compile()
        return [str(compiled), compiled.params]

    def page(self, size: int = 50, *, after: str | None = None) -> Page[E]:
        """Return up to *size* records (at most 1,000) after a cursor. The cost does not grow with the depth.

        Raises:
            Invalid: the cursor is not one of this query's; the size is out of range.
        """
        check_size(size)
        if self._free_orders:
            raise Refused("page_needs_fields", order=str(self._free_orders[0])[:80])
        keys = self._keys()
        last = None if after is None else read_cursor(self.entity, keys, after)
        found = self._walk(keys, last, size + 1)
        more = len(found) > size
        codec = self._session.codec(self.entity)
        return Page(found[:size], cursor(codec, self.entity, keys, found[size - 1]) if more else None)

    def stream(self, batch: int = 500) -> Iterator[E]:
        """Yield all records in batches, in bounded memory, each batch a statement of its own."""
        after: str | None = None
        while True:
            page = self.page(batch, after=after)
            yield from page
            after = page.next
            if after is None:
                return

    def _walk(self, keys: Sequence[Order], last: Sequence[Any] | None, limit: int) -> list[E]:
        """Return the first records behind *last*, a list of what it sorts by."""
        found: list[E] = []
        policy = self._session.policy
        walked = policy.is_everything(policy.rule("read", self.entity)) and not self._is_narrow()
        for step in steps(keys, self._criteria, logical_table(self.entity), last, walked=walked):
            statement = self._reading()[0].where(*step.criteria)
            if step.source is not None:
                statement = statement.select_from(step.source)
            for span in spans(step.keys, step.last):
                if len(found) < limit:
                    found += self._load(statement.where(*span.criteria).order_by(*span.orders).limit(limit - len(found)))
        return found

    # -- pieces -------------------------------------------------------------------------------------------------------------------

    def _reading(self) -> tuple[Select[Any], Loader]:
        return self._session.shape.reading(self._session, self.entity)

    def _select(self) -> Select[Any]:
        return self._reading()[0].where(*self._criteria)

    def _load(self, statement: Select[Any]) -> list[E]:
        _, load = self._reading()
        found: list[E] = list(map(load, self._session.reader.rows(statement, self.entity)))
        self._session.reader.given(self.entity, found)
        for field in self._preloads:
            self._session.reader.attach(found, field)
        return found

    def _field(self, name: str) -> FieldSpec | None:
        return self._session.codec(self.entity).fields.get(name)

    def _column(self, field: FieldSpec) -> Any:
        from .entities.columns import columns_of

        return columns_of(field, logical_table(self.entity))[0]

    def _keys(self) -> list[Order]:
        identity = spec(self.entity).fields["id"]
        keys = list(self._orders)
        if not any(k.field is identity for k in keys):
            indexed = bool(keys) or self._session.crm.bound.kind != "sqlite" or not self._is_narrow()
            keys.append(Order(self._column(identity), identity, keys[-1].descending if keys else False, indexed))
        return keys

    def _is_narrow(self) -> bool:
        """Say whether a criterion finds the records by an index of its own.

        SQLite without statistics, which an embedded database seldom has, would rather read the whole tenant in the order of the ids.
        """
        from .permissions.plans import chosen_columns, found_by_value, is_key

        if any(True for c in self._criteria for _ in found_by_value(c)):
            return True
        return any(is_key(column) or column.field.options.index for c in self._criteria for column in chosen_columns(c))

    def _order_clauses(self) -> list[Any]:
        if self._free_orders:
            return [*(c for k in self._orders for c in k.clauses), *self._free_orders]
        return [c for k in self._keys() for c in k.clauses]

    def _of_custom(self, key: Any) -> Any:
        """Return the column behind ``custom("region")``, or behind its ``desc()``."""
        if not isinstance(key, Custom):
            return key
        field = self._session.readable_custom(self.entity).get(key.field)
        if field is None:
            raise Invalid("unknown_field", field=key.field[:60])
        column = self._column(field)
        return column.desc() if key.descending else column

    def _as_order(self, key: Any) -> Order | None:
        from sqlalchemy import UnaryExpression
        from sqlalchemy.sql import operators

        from .entities.columns import EntityColumn, MoneyColumn
        from .entities.custom_columns import CustomColumn

        if isinstance(key, MoneyColumn):
            key.asc()
        descending = False
        if isinstance(key, UnaryExpression) and key.modifier in (operators.desc_op, operators.asc_op):
            descending, key = key.modifier is operators.desc_op, key.element
        if isinstance(key, CustomColumn) and key.id is logical_table(self.entity).c.id:
            return Order(key.sortable(), key.field, descending)
        if isinstance(key, EntityColumn) and key.field.options.sealed:
            raise Invalid("sealed_operator", field=key.field.name)
        if not isinstance(key, EntityColumn) or key.table is not logical_table(self.entity) or key.field.kind in ("json", "list"):
            return None
        return Order(key, key.field, descending)

    def _sorted(self, text: str, allowed: set[str]) -> Self:
        parts = text.split(",")
        _check_orders(len(self._orders) + len(parts))
        keys = []
        for part in parts:
            name = part.removeprefix("-")
            field = self._field(name)
            if field is None or not (name in allowed or field.system) or not _has_order(field):
                known = [n for n in allowed if (each := self._field(n)) is not None and _has_order(each)]
                raise Invalid("unknown_sort", sort=part[:60], allowed=sorted(known))
            column = self._column(field)
            keys.append(Order(column if field.columns else column.sortable(), field, part.startswith("-")))
        return self._ordered((*self._orders, *keys), self._free_orders)

    def _ordered(self, orders: tuple[Order, ...], free: tuple[Any, ...]) -> Self:
        _check_orders(len(orders) + len(free))
        return self._with(_orders=orders, _free_orders=free)


def _check_orders(count: int) -> None:
    if count > MOST_ORDERS:
        raise Invalid("too_long", field="sort", length=count, limit=MOST_ORDERS)


def _has_order(field: FieldSpec) -> bool:
    """Say whether a field's values have an order of their own; amounts have one in one currency alone."""
    return isinstance(field, CustomSpec) or (field.kind not in ("money", "json", "list") and not field.options.sealed)
