"""What a session reads: through the actor's lens for callers, physically (tenant only) for the pipeline's own checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, select

from ..entities.entity import Entity
from ..entities.fields import FieldSpec
from ..entities.meta import logical_table
from ..entities.validate import is_id
from ..events.journal import history

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..session import Session

E = TypeVar("E", bound=Entity)
CHUNK = 500


def chunks(items: Sequence[Any], size: int = CHUNK) -> Iterable[Sequence[Any]]:
    """Cut a sequence into parts that fit a statement's parameters."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Reader:
    """The reads of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._crm = session.crm

    # -- for the pipeline: tenant only, never handed out as they are --------------------------------------------------------------

    def locked(self, entity: type[E], ids: Sequence[str], *, deleted: bool = False) -> dict[str, E]:
        """Read whole records for a write, locked until the transaction ends."""
        codec = self._crm.codec(entity)
        columns, load = codec.loader(frozenset(codec.fields), raw=False)
        table = self._crm.tables.entities[entity]
        found: dict[str, E] = {}
        for part in chunks([i for i in ids if is_id(i)]):
            dead = table.c.deleted_at.is_not(None) if deleted else table.c.deleted_at.is_(None)
            statement = (
                select(*(table.c[c] for c in columns))
                .where(table.c.tenant == self._session.actor.tenant, table.c.id.in_(part), dead)
                .order_by(table.c.id)
                .with_for_update()
            )
            for row in self._session.unit.connection.execute(statement):
                record = load(row)
                found[record.id] = record
        return found

    def pointing(self, child: type[Any], field: FieldSpec, ids: Sequence[str]) -> list[str]:
        """Return the ids of living records whose *field* points at one of *ids*."""
        table = self._crm.tables.entities[child]
        found: list[str] = []
        for part in chunks(ids):
            statement = select(table.c.id).where(
                table.c.tenant == self._session.actor.tenant, table.c[field.column].in_(part), table.c.deleted_at.is_(None)
            )
            found += self._session.unit.connection.execute(statement).scalars()
        return found

    def base(self, codec: Codec, current: Any, version: int, theirs: dict[str, Any]) -> dict[str, Any]:
        """Return the values that the fields of *theirs* had at *version*, undoing the journal's changes from the newest back."""
        base = dict(theirs)
        entries = history(self._session.unit.connection, self._crm.tables, self._session.actor.tenant, codec.facts.name, current.id)
        for entry in sorted(entries, key=lambda e: -e.version):
            if entry.version > version:
                base |= {n: pair[0] for n, pair in entry.changes.items() if n in base}
        return base

    # -- for callers: through the lens --------------------------------------------------------------------------------------------

    def readable(self, entity: type[Any]) -> frozenset[str]:
        """Return the names of the fields that the actor may read, masked ones included."""
        levels = self._session.policy.fields(entity)
        return frozenset(n for n in self._crm.codec(entity).fields if levels.get(n, "write") != "none")

    def one(self, entity: type[E], id_: str) -> E | None:
        """Read one record by id."""
        if not is_id(id_):
            return None
        found: E | None = self._session.shape.get(self._session, entity, id_)
        return found

    def many(self, entity: type[E], ids: Sequence[str]) -> dict[str, E]:
        """Read records by id; those hidden or gone are missing."""
        table = logical_table(entity)
        columns, load = self._crm.codec(entity).loader(self.readable(entity), raw=False)
        found: dict[str, E] = {}
        for part in chunks([i for i in dict.fromkeys(ids) if is_id(i)]):
            for row in self._session.execute(select(*(table.c[c] for c in columns)).where(table.c.id.in_(part))):
                record = load(row)
                found[record.id] = record
        return found

    def targets(self, entity: Any, ids: Sequence[str], *, attach: bool) -> dict[str, Any]:
        """Return which of *ids* exist for the actor: with their records where *attach*, else with None."""
        if attach:
            return dict(self.many(entity, ids))
        table = logical_table(entity)
        found: dict[str, Any] = {}
        for part in chunks([i for i in ids if is_id(i)]):
            found |= dict.fromkeys(self._session.execute(select(table.c.id).where(table.c.id.in_(part))).scalars())
        return found

    def taken(self, entity: type[Any], name: str, value: Any) -> str | None:
        """Return the id of the living record that has a unique value, whoever may see it."""
        table = self._crm.tables.entities[entity]
        column = self._crm.codec(entity).fields[name].column
        statement = select(table.c.id).where(
            table.c.tenant == self._session.actor.tenant,
            table.c[column] == bindparam("value", value, table.c[column].type),
            table.c.deleted_at.is_(None),
        )
        return self._session.unit.connection.execute(statement).scalar()

    def revealed(self, record: E) -> E:
        """Return a record, just written, as the actor may see it: hidden fields unset, masked ones masked."""
        entity = type(record)
        levels = self._session.policy.fields(entity)
        if all(level in ("read", "write") for level in levels.values()):
            record._origin = True
            return record
        codec = self._crm.codec(entity)
        seen = codec.copy(record)
        seen._origin = True
        for name, level in levels.items():
            field = codec.fields[name]
            holder = seen if field.extension is None else seen[field.extension]
            holder._origin = True
            if level == "none":
                delattr(holder, field.name)
            elif level == "masked" and codec.get(record, name) is not None:
                setattr(holder, field.name, "***")
        return seen  # type: ignore[no-any-return]  # a copy of the record given
