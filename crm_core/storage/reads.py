"""Reads of sensitive fields: who saw which of whom, gathered while a session runs, and journalled when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Select
from sqlalchemy.sql import visitors

from ..entities.columns import EntityColumn, entity_table
from ..entities.meta import spec
from .writer import JournalRow, Origin, chunks

if TYPE_CHECKING:
    from ..crm import CRM
    from ..scope import Scope

KIND = "core.read.v1"
MOST_IDS = 10_000


@attrs.define
class _Seen:
    """What one actor read of one entity: the fields, the records, and how many rows; beyond 10,000 records their number alone."""

    origin: Origin
    fields: set[str] = attrs.field(factory=set)
    records: dict[str, None] = attrs.field(factory=dict)
    rows: int = 0


class Reads:
    """The sensitive reads of the sessions of one transaction."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Any, ...], _Seen] = {}

    def __bool__(self) -> bool:
        return bool(self._seen)

    def records(self, session: Scope, entity: type[Any], ids: Sequence[str]) -> None:
        """Note that a user was given whole records."""
        names = _shown(session, entity, session.crm.tables.sensitive.get(entity, ()))
        if names and ids:
            seen = self._of(session, entity)
            seen.fields |= names
            seen.rows += len(ids)
            if len(seen.records) < MOST_IDS:
                seen.records |= dict.fromkeys(ids)

    def statement(self, session: Scope, statement: Any, rows: int, *, whole: type[Any] | None = None) -> None:
        """Note that a user's statement used sensitive fields: showed, filtered, sorted or added them up.

        Args:
            whole: the entity whose whole records it reads, which :meth:`records` notes: of it, only filters and orders count here.
        """
        for entity, named in _used(statement, whole).items():
            names = _shown(session, entity, named)
            if names:
                seen = self._of(session, entity)
                seen.fields |= names
                seen.rows += 0 if entity is whole else rows

    def journal(self, crm: CRM, connection: Connection) -> None:
        """Write what was noted."""
        for (*_, entity), seen in self._seen.items():
            crm.writer(connection).journal(connection, seen.origin, self._rows(crm, entity, seen))

    def _rows(self, crm: CRM, entity: str, seen: _Seen) -> Iterator[JournalRow]:
        payload = {"fields": sorted(seen.fields), "count": seen.rows}
        for ids in chunks([*seen.records]) if seen.records else ([],):
            event = crm.runtime.ids.new()
            yield JournalRow(entity, event, 0, KIND, {"id": event, **payload, "records": list(ids)})

    def _of(self, session: Scope, entity: type[Any]) -> _Seen:
        origin = session.origin()
        return self._seen.setdefault((origin.actor, origin.plugin, origin.reason, spec(entity).name), _Seen(origin))


def _shown(session: Scope, entity: type[Any], names: Iterable[str]) -> set[str]:
    """Return those of some fields whose values this session's user is shown."""
    if session.actor.kind != "user":
        return set()
    levels: Mapping[str, str] = session.levels(entity)
    return {n for n in names if levels.get(n, "write") in ("read", "write")}


def _used(statement: Any, whole: type[Any] | None) -> dict[type[Any], set[str]]:
    """Return the sensitive fields that a statement names, by entity."""
    found: dict[type[Any], set[str]] = {}
    for part in visitors.iterate(statement):
        for column in (*part.selected_columns,) if isinstance(part, Select) else (part,):
            _add(column, found)
    if whole is not None:
        own: dict[type[Any], set[str]] = {}
        for clause in (*statement._where_criteria, *statement._order_by_clauses):
            for part in visitors.iterate(clause):
                _add(part, own)
        found[whole] = own.get(whole, set())
    return found


def _add(column: Any, found: dict[type[Any], set[str]]) -> None:
    table = entity_table(column.table) if isinstance(column, EntityColumn) else None
    if table is not None and column.field.options.sensitive:
        field = column.field
        found.setdefault(table.entity, set()).add(field.column if field.extension else field.name)
