"""Whether what is to be written fits the host's columns, asked before: a database would not name the field, or would not refuse."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Connection, Dialect, Enum, Integer, SmallInteger, String, select
from sqlalchemy.exc import NoReferenceError

from ..errors import Conflict, CRMError, Detail, Refused

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from .adopted import Adoption
    from .changeset import Changeset

ASKED = 500
Misfit = tuple[str, dict[str, Any]]


def admit(adoption: Adoption, tenant: str, dialect: Dialect) -> None:
    """Let a tenant make records where the host's table can say that they are its own.

    Raises:
        Refused: ``adopted_tenant``: they would be another's, or nobody's.
    """
    column = adoption.mapped.get("tenant")
    fits = tenant == adoption.adopted.tenant if column is None else misfit(column, tenant, dialect) is None
    if not fits:
        raise Refused("adopted_tenant", entity=adoption.name, table=adoption.table.name, tenant=tenant[:63])


def misfits(
    adoption: Adoption, codec: Codec, record: Any, dialect: Dialect, row: int | None = None, names: Collection[str] | None = None
) -> Iterator[Detail]:
    """Yield which of a record's values (or of the *names* among them) the host's columns cannot hold."""
    for name, column in adoption.mapped.items():
        if name != "tenant" and (names is None or name in names):
            value = codec.get(record, name)
            wrong = None if value is None else misfit(column, getattr(value, "value", value), dialect)
            if wrong is not None:
                yield Detail(codec.facts.name, name, wrong[0], "", wrong[1], row)


def misfit(column: Column[Any], value: Any, dialect: Dialect) -> Misfit | None:
    """Say why a column of the host's cannot hold a value, by code and parameters; None: it can."""
    match column.type.dialect_impl(dialect):
        case Enum() as kind if isinstance(value, str) and value not in kind.enums:
            return "adopted_value", {"given": value[:60], "expected": ", ".join(kind.enums)[:200]}
        case String(length=int() as limit) if isinstance(value, str) and len(value) > limit:
            return "too_long", {"length": len(value), "limit": limit}
        case Integer() as kind if isinstance(value, int | str):
            number = exact(value)
            if number is None:
                return "adopted_value", {"given": str(value)[:60], "expected": "int"}
            bits = 64 if isinstance(kind, BigInteger) or dialect.name == "sqlite" else 16 if isinstance(kind, SmallInteger) else 32
            if not -(1 << bits - 1) <= number < 1 << bits - 1:
                return "too_big", {"limit": str((1 << bits - 1) - 1)}
    return None


def exact(value: int | str) -> int | None:
    """Return the number that a text is; None where it would be read back as another text: ``007`` is not 7, and may be another's."""
    try:
        number = int(value)
    except ValueError:
        return None
    return number if isinstance(value, int) or str(number) == value else None


def dangling(adoption: Adoption, codec: Codec, work: Changeset, connection: Connection) -> dict[int, CRMError]:
    """Find changes that would let a column of the host's point at nothing, such as an owner that is no user."""
    errors: dict[int, CRMError] = {}
    for name, column in adoption.mapped.items():
        target = None if codec.fields[name].kind == "ref" else _target(column)
        if target is None:
            continue
        given = {i: codec.get(c.record, name) for i, c in enumerate(work.changes) if c.old is None or name in c.fields}
        keys = {i: int(v) if isinstance(column.type, Integer) else v for i, v in given.items() if v is not None}
        known = _known(connection, target, sorted(set(keys.values())))
        for i, key in keys.items():
            if key not in known:
                detail = Detail(codec.facts.name, name, "reference_broken", "", {"target": target.table.name}, work.rows[i])
                errors[i] = Conflict("reference_broken", details=[*(errors[i].details if i in errors else ()), detail])
    return errors


def _target(column: Column[Any]) -> Column[Any] | None:
    """Return what a column of the host's points at by itself, as far as its table says so."""
    try:
        return next((key.column for key in column.foreign_keys if key.constraint is None or len(key.constraint.elements) == 1), None)
    except NoReferenceError:  # a table that is not in its MetaData
        return None


def _known(connection: Connection, target: Column[Any], keys: list[Any]) -> set[Any]:
    parts: Iterable[list[Any]] = (keys[start : start + ASKED] for start in range(0, len(keys), ASKED))
    return {key for part in parts for key in connection.execute(select(target).where(target.in_(part))).scalars()}
