"""A host's own table that stands for an entity: which column is which field, and how the values of one become the other's.

The host's columns are never changed. What the table lacks are columns of ours, nullable and without a default, so that adding them
touches no row; what is NULL there or invalid reads as the field's default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import singledispatch
from typing import Any

import attrs
from sqlalchemy import Boolean, Column, Date, DateTime, Dialect, Enum, Integer, String, Table, TextClause, Uuid, text

from ..entities.fields import FieldSpec
from ..entities.meta import spec
from ..entities.money import Money
from ..errors import LoadError
from .adopted_keys import Key
from .adopted_values import as_instant, as_number, literal, neutral, quoted, sqlite_instant

TENANT = 63  # characters of a tenant's name
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@singledispatch
def table_of(given: Any) -> Table:
    """Return the table that is given, or that a class of an ORM stands for. An ORM registers how, by the type of its classes.

    Raises:
        LoadError: ``adopted_no_table``.
    """
    found = getattr(given, "__table__", given)
    if not isinstance(found, Table):
        raise LoadError("adopted_no_table", given=repr(given)[:60])
    return found


def _as_table(given: Any) -> Table:
    return table_of(given)  # mypy does not read what a singledispatch function takes


@attrs.frozen(eq=False)
class Adopted:
    """A table of the host that is an entity's own: ``CRM(engine, adopt={Account: Adopted(Customer, {"name": "company_name"})})``.

    Args:
        table: the host's table, or a class that its ORM maps to one, or a Django model where
            ``crm_core.ext.django`` is installed. Its primary key is one column, an integer or a ``Uuid``.
        columns: the host's column for each field that it has, by the field's name. Fields that are missing here become columns of ours
            in the same table.
        tenant: whose records its rows are, where no column says so.
        fill: values for columns of the host that are never NULL and that we do not know, for the rows that the CRM makes.
        since: when rows were made that do not say it, and how far back their history goes.
        observed: False says that no ORM of yours writes to it, or that its writes need no journal; else a process that reads the table
            and observes no ORM (:meth:`crm.adoption.observe`) warns once.

    Raises:
        LoadError: ``adopted_no_table``.
    """

    table: Table = attrs.field(converter=_as_table)
    columns: Mapping[str, str] = attrs.field(factory=dict)
    tenant: str = attrs.field(default="main", kw_only=True)
    fill: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    since: datetime = attrs.field(default=EPOCH, kw_only=True)
    observed: bool = attrs.field(default=True, kw_only=True)


@attrs.frozen(eq=False)
class Place:
    """Where one column of the entity is in the host's table.

    Attributes:
        name: the host's column, or ours in its table.
        ours: whether we added it.
        sql: how it is read, in each dialect.
        write: what becomes of a driver's value on its way there; None: nothing.
        plain: whether it is read as it stands, so that an index over it serves.
    """

    name: str
    ours: bool
    sql: Callable[[Dialect], str]
    write: Callable[[Any, str], Any] | None = None
    plain: bool = False


class Adoption:
    """One entity in a host's table, as one CRM knows it.

    Attributes:
        places: where each column of the entity is, by its name.
        mapped: the host's column of each field that has one, by the field's name.
        key: how ids and the host's primary key become each other.
        id_column: our generated column that holds the id, for references and look-ups.

    Raises:
        LoadError: the table, its key or a column does not fit: the message says which.
    """

    def __init__(
        self, entity: type[Any], adopted: Adopted, fields: Mapping[str, FieldSpec], targets: Mapping[type[Any], Adopted], prefix: str
    ) -> None:
        self.entity = entity
        self.adopted = adopted
        self.table = adopted.table
        self.name = spec(entity).name
        self._targets = targets
        self._prefix = prefix
        self.key = key_of(entity, adopted)
        self.id_column = f"{prefix}id"
        unknown = sorted(set(adopted.columns) - set(fields)) + sorted(n for n in adopted.columns if n in ("id", "version"))
        if unknown:
            raise LoadError("adopted_field_unknown", entity=self.name, field=unknown[0])
        self.places: dict[str, Place] = {}
        self.mapped: dict[str, Column[Any]] = {}
        for name, field in fields.items():
            self._put(name, field)
        self._check_fill()

    def _put(self, name: str, field: FieldSpec) -> None:
        if field.options.sealed:
            raise LoadError("adopted_sealed", entity=self.name, field=name)
        if name in self.adopted.columns:
            self.places[field.column] = self._mapped(name, field)
            return
        if name == "tenant":
            self.places["tenant"] = Place("", True, lambda _: quoted(self.adopted.tenant))
            return
        if name == "id":
            self.places["id"] = Place(self.id_column, True, lambda d: d.identifier_preparer.quote(self.id_column), plain=True)
            return
        if field.required and not field.nullable:
            raise LoadError("adopted_field_missing", entity=self.name, field=name)
        for column in field.columns:
            own = f"{self._prefix}{column}"
            self.places[column] = Place(own, True, self._read(own, field, None), plain=field.nullable or name == "deleted_at")

    def _mapped(self, name: str, field: FieldSpec) -> Place:
        column = self.table.c.get(self.adopted.columns[name])
        if column is None:
            raise LoadError(
                "adopted_column_unknown", entity=self.name, field=name, column=self.adopted.columns[name], table=self.table.name
            )
        self.mapped[name] = column
        kind, write, plain = column.type, None, True
        match field.kind:
            case "str" | "text" if isinstance(kind, String) and not isinstance(kind, Enum):
                pass
            case "str" | "text" if isinstance(kind, Integer):
                write, plain = as_number(self.name, field), False
            case "str" | "text" | "enum" if isinstance(kind, Enum | String):
                plain = False
            case "bool" if isinstance(kind, Boolean):
                pass
            case "int" if isinstance(kind, Integer):
                pass
            case "date" if isinstance(kind, Date):
                plain = False
            case "datetime" if isinstance(kind, DateTime):
                write, plain = as_instant(kind.timezone), False
            case "ref" if field.nullable and (target := self._target(field)) is not None and target.holds(kind):
                write, plain = target.value, False
            case _:
                raise LoadError("adopted_column_type", entity=self.name, field=name, column=column.name, type=str(kind))
        return Place(column.name, False, self._read(column.name, field, column), write, plain and (field.nullable or not column.nullable))

    def _target(self, field: FieldSpec) -> Key | None:
        """Return the key of what a reference points at, where that is the host's own too."""
        adopted = None if field.target is None else self._targets.get(field.target)
        return None if adopted is None or field.target is None else key_of(field.target, adopted)

    def _read(self, name: str, field: FieldSpec, host: Column[Any] | None) -> Callable[[Dialect], str]:
        def sql(dialect: Dialect) -> str:
            column = dialect.identifier_preparer.quote(name)
            found = column if host is None else self._converted(column, field, host, dialect)
            if field.nullable or field.name == "deleted_at":
                return found
            if field.name == "updated_at":  # of a row that nobody changed before us
                return f"coalesce({found}, {self.places['created_at'].sql(dialect)})"
            value = neutral(field, self.adopted.since)
            if isinstance(value, Money):
                value = value.currency if name.endswith("_currency") else value.amount
            return f"coalesce({found}, {literal(field, value, dialect)})"

        return sql

    def _converted(self, column: str, field: FieldSpec, host: Column[Any], dialect: Dialect) -> str:
        sqlite = dialect.name == "sqlite"
        match field.kind:
            case "str" | "text" if isinstance(host.type, Integer | Enum):
                return f"CAST({column} AS {'TEXT' if sqlite else 'VARCHAR'})"
            case "enum":
                text = column if sqlite else f"CAST({column} AS VARCHAR)"
                known = ", ".join(quoted(str(member.value)) for member in field.type)
                return f"CASE WHEN {text} IN ({known}) THEN {text} END"
            case "date" if sqlite:
                return f"CASE WHEN strftime('%Y', {column}) > '0000' THEN strftime('%Y-%m-%d', {column}) END"
            case "datetime" if sqlite:
                return sqlite_instant(column)
            case "date" | "datetime":  # Python knows neither infinity nor years before 1 or after 9999
                zone = " AT TIME ZONE 'UTC'" if isinstance(host.type, DateTime) and not host.type.timezone else ""
                return f"CASE WHEN {column} BETWEEN '0001-01-02' AND '9999-12-30' THEN {column}{zone} END"
            case "ref":
                target = self._target(field)
                assert target is not None  # else it would not be mapped
                formula = target.sql(column, dialect.name)
                return f"CASE WHEN {column} IS NOT NULL THEN {formula} END"
        return column

    def _check_fill(self) -> None:
        for name in self.adopted.fill:
            if name not in self.table.c:
                raise LoadError("adopted_fill_unknown", entity=self.name, column=str(name)[:60], table=self.table.name)
        written = {p.name for p in self.places.values()} | {self.key.column.name}
        for column in self.table.c:
            given = column.nullable or column.server_default is not None or column.computed is not None or self._filling(column) is not None
            if column.name not in written and not given:
                raise LoadError("adopted_column_unfilled", entity=self.name, column=column.name, table=self.table.name)

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def source(self, dialect: Dialect) -> str:
        """Write the select that stands for the entity's table."""
        quote = dialect.identifier_preparer
        columns = ", ".join(f"{place.sql(dialect)} AS {quote.quote(name)}" for name, place in self.places.items())
        return f"SELECT {columns} FROM {quote.format_table(self.table)}"

    def unseen(self, dialect: Dialect) -> TextClause:
        """Write the condition that a row of the host's table is one that the journal does not know."""
        quote = dialect.identifier_preparer
        return text(f"{quote.format_table(self.table)}.{quote.quote(self.places['version'].name)} IS NULL")

    def owned(self, dialect: Dialect) -> TextClause:
        """Write the condition that a row of the host's table says whose it is; where it does not, it is no tenant's record."""
        return text(f"length({self.places['tenant'].sql(dialect)}) BETWEEN 1 AND {TENANT}")

    # -- writing ------------------------------------------------------------------------------------------------------------------

    def writes(
        self, columns: Sequence[str], dialect: Dialect, *, new: bool
    ) -> tuple[tuple[str, ...], Callable[[Sequence[Any]], tuple[Any, ...]]]:
        """Return the columns to write for the entity's *columns*, and the function that makes their row of the entity's."""
        names: list[str] = []
        steps: list[tuple[int, Callable[[Any, str], Any] | None]] = []
        for i, column in enumerate(columns):
            place = self.places[column]
            if column == "id" and new:
                names.append(self.key.column.name)
                steps.append((i, lambda value, kind: self.key.value(value, kind)))
            elif place.name and column != "id":
                names.append(place.name)
                steps.append((i, place.write))
        filled = self._filled(set(names), dialect) if new else {}

        def row(values: Sequence[Any]) -> tuple[Any, ...]:
            kept = (v if write is None or v is None else write(v, dialect.name) for v, write in ((values[i], write) for i, write in steps))
            return (*kept, *(make() for make in filled.values()))

        return (*names, *filled), row

    def _filled(self, known: set[str], dialect: Dialect) -> dict[str, Callable[[], Any]]:
        """Say what goes into the host's columns that we do not know: what ``fill`` says, else what its table's own default would."""
        made: dict[str, Callable[[], Any]] = {}
        for column in self.table.c:
            if column.name not in known and column.name != self.key.column.name and (make := self._filling(column)) is not None:
                convert = column.type.dialect_impl(dialect).bind_processor(dialect)
                made[column.name] = make if convert is None else _through(convert, make)
        return made

    def _filling(self, column: Column[Any]) -> Callable[[], Any] | None:
        if column.name in self.adopted.fill:
            value = self.adopted.fill[column.name]
            return value if callable(value) else lambda: value
        default: Any = column.default
        if default is None or not (default.is_scalar or default.is_callable):
            return None
        return (lambda: default.arg) if default.is_scalar else (lambda: default.arg(None))


def _through(convert: Callable[[Any], Any], make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: convert(make())


def key_of(entity: type[Any], adopted: Adopted) -> Key:
    """Return how a table's primary key and an entity's ids become each other.

    Raises:
        LoadError: ``adopted_key``: it is not one column that is an integer or a ``Uuid``.
    """
    columns = list(adopted.table.primary_key.columns)
    if len(columns) != 1 or not isinstance(columns[0].type, Integer | Uuid):
        raise LoadError("adopted_key", entity=spec(entity).name, table=adopted.table.name)
    return Key(entity, columns[0])
