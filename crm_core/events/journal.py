"""Reading the journal: by position for delivery, by record for audit and for how a record once was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Select, and_, func, literal, select

from ..entities.sealing import ERASED
from ..errors import Unreadable
from ..permissions.plans import as_filter

if TYPE_CHECKING:
    from ..storage.keys.sealer import Sealer
    from ..storage.tables import Tables

VERBS = frozenset({"created", "updated", "deleted", "restored"})
_DIGITS = "0123456789"


@lru_cache(maxsize=4_096)
def _parts(kind: str) -> tuple[str, int, str, str]:
    """Return the name and the version of a kind, and what its name is made of where it is a change's: the entity and the verb."""
    name, _, version = kind.rpartition(".v")
    entity, _, verb = name.rpartition(".")
    return name, int(version), entity, verb


@attrs.frozen
class Entry:
    """One row of the journal: a change of a record, or a domain event.

    Attributes:
        position: where subscribers find it; None on PostgreSQL until the sequencer has passed.
        id: the row's own number, in the order of one record's changes.
        on_behalf_of: for whom a system or plugin's actor worked.
        version: the record's version after it.
        kind: the name and version of the event: ``account.updated.v1``.
        payload: plain JSON: ``id`` (the event's), and ``data`` of a domain event, else ``new``, ``changes`` or ``old``; ``chain``
            where another event caused it. Personal fields, which the table keeps apart, are in their places; where the keys of whom
            they are about were destroyed, their values are ``[erased]``.
    """

    position: int | None
    id: int
    tenant: str
    at: datetime
    actor: str
    on_behalf_of: str | None
    plugin: str
    reason: str | None
    request: str | None
    entity: str
    record: str
    version: int
    kind: str
    format: int
    payload: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The kind without its version."""
        return _parts(self.kind)[0]

    @property
    def kind_version(self) -> int:
        """The version of the payload's shape."""
        return _parts(self.kind)[1]

    @property
    def verb(self) -> str:
        """What a change did: the last word of the name."""
        return _parts(self.kind)[3]

    @property
    def is_automatic(self) -> bool:
        """Whether the pipeline wrote it of itself, for a change of the record."""
        _, _, entity, verb = _parts(self.kind)
        return entity == self.entity and verb in VERBS

    @property
    def event_id(self) -> str:
        """The event's id, the same at every delivery."""
        return str(self.payload["id"])

    @property
    def chain(self) -> tuple[str, ...]:
        """The events and subscriptions that led to it, the first one first."""
        return tuple(self.payload.get("chain", ()))

    @property
    def changes(self) -> Mapping[str, list[Any]]:
        """What changed, as [old, new] by field, in plain JSON."""
        found: Mapping[str, list[Any]] = self.payload.get("changes", {})
        return found


_COLUMNS = tuple(a.name for a in attrs.fields(Entry))[1:]


def _entry(row: Iterable[Any], tables: Tables) -> Entry:
    *rest, payload, personal = row if tables.sealer is None else _opened(row, tables.sealer)
    if personal:
        if "fields" in personal:
            raise Unreadable("key_missing")  # it is sealed, and this CRM has no keys
        payload = {**payload, **{part: {**payload.get(part, {}), **values} for part, values in personal.items()}}
    make: Callable[..., Entry] = Entry
    return make(*rest, payload)


def _opened(row: Iterable[Any], sealer: Sealer) -> Sequence[Any]:
    *rest, payload, kept, wrapped, parent = row
    if not kept or "fields" not in kept:  # written before the CRM had keys
        return (*rest, payload, kept)
    named = dict(zip(_COLUMNS, rest[1:], strict=False))
    place = (named["entity"], named["record"], named["kind"], payload["id"])
    personal = sealer.vault.open_entry(named["tenant"], place, kept, wrapped, parent)
    return (*rest, payload, _erased(kept["fields"]) if personal is None else personal)


def _erased(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """Stand in for what was sealed under a key that was destroyed: the names of the fields are known, their values gone for good."""
    return {part: {n: [ERASED, ERASED] if part == "changes" else ERASED for n in names} for part, names in fields.items()}


def _select(connection: Connection, tables: Tables, *, outer: bool = False) -> tuple[Select[Any], Any]:
    """Return the statement that reads entries, and its position column."""
    journal, positions = tables.system.journal, tables.system.journal_position
    columns = [*(journal.c[name] for name in _COLUMNS), journal.c.personal]
    source: Any = journal
    if tables.sealer is not None:
        key, parent = tables.system.key.alias("crm_key"), tables.system.key.alias("crm_parent")
        source = journal.outerjoin(key, and_(key.c.id == journal.c.key_id, key.c.tenant == journal.c.tenant))
        source = source.outerjoin(parent, parent.c.id == key.c.parent)
        columns += [key.c.wrapped, parent.c.wrapped]
    if connection.dialect.name == "sqlite":
        return select(journal.c.id, *columns).select_from(source), journal.c.id
    source = source.join(positions, positions.c.journal_id == journal.c.id, isouter=outer)
    return select(positions.c.position, *columns).select_from(source), positions.c.position


def last_position(connection: Connection, tables: Tables) -> int:
    """Return the highest position that was given, 0 in a journal that is empty or has only a tenant's history from a backup."""
    sqlite = connection.dialect.name == "sqlite"
    column = tables.system.journal.c.id if sqlite else tables.system.journal_position.c.position
    return max(int(connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()), 0)


def _filtered(statement: Select[Any], tables: Tables, tenant: str | None, names: Collection[str] | None) -> Select[Any]:
    journal = tables.system.journal
    if tenant is not None:
        statement = statement.where(journal.c.tenant == tenant)
    if names is not None:
        # The version stays out of the comparison: an event of a version that this code does not know must not be passed over.
        statement = statement.where(func.rtrim(journal.c.kind, literal(_DIGITS)).in_([f"{n}.v" for n in sorted(names)]))
    return statement


def read(
    connection: Connection,
    tables: Tables,
    *,
    tenant: str | None = None,
    after: int = 0,
    upto: int | None = None,
    limit: int = 500,
    names: Collection[str] | None = None,
) -> list[Entry]:
    """Return the entries behind position *after*, in order.

    Args:
        tenant: only this tenant's.
        upto: the last position to look at.
        names: only events of these names, of all versions.
    """
    statement, position = _select(connection, tables)
    statement = _filtered(statement, tables, tenant, names).where(position > after)
    if upto is not None:
        statement = statement.where(position <= upto)
    return [_entry(row, tables) for row in connection.execute(statement.order_by(position).limit(limit)).all()]


def at_positions(connection: Connection, tables: Tables, positions: Collection[int]) -> dict[int, Entry]:
    """Return the entries at *positions*."""
    statement, position = _select(connection, tables)
    return {row[0]: _entry(row, tables) for row in connection.execute(statement.where(position.in_(positions)))}


def history(connection: Connection, tables: Tables, tenant: str, entity: str, record: str) -> list[Entry]:
    """Return all that the journal holds of one record, the oldest first."""
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    statement = statement.where(journal.c.record == record, journal.c.tenant == tenant, journal.c.entity == entity)
    return [_entry(row, tables) for row in connection.execute(statement.order_by(journal.c.id))]


def latest(
    connection: Connection, tables: Tables, tenant: str, entity: str, record: str, *, limit: int, before: int | None = None
) -> list[Entry]:
    """Return the newest changes of one record, below the version *before*, the newest first; domain events are left out."""
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    kinds = [f"{entity}.{verb}.v1" for verb in sorted(VERBS)]
    mine = (journal.c.record == record, journal.c.tenant == tenant, journal.c.entity == entity, journal.c.kind.in_(kinds))
    statement = statement.where(*mine, *([] if before is None else [journal.c.version < before]))
    return [_entry(row, tables) for row in connection.execute(statement.order_by(journal.c.version.desc()).limit(limit))]


def histories(connection: Connection, tables: Tables, tenant: str, records: Collection[str]) -> dict[str, list[Entry]]:
    """Return all that the journal holds of some records, by record, the oldest first."""
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    statement = statement.where(journal.c.record.in_(records), journal.c.tenant == tenant)
    found: dict[str, list[Entry]] = {record: [] for record in records}
    for row in connection.execute(statement.order_by(journal.c.id)):
        entry = _entry(row, tables)
        found[entry.record].append(entry)
    return found


def since(connection: Connection, tables: Tables, tenant: str, records: Collection[str], at: datetime) -> list[Entry]:
    """Return what the journal holds of some records from behind an instant on, the oldest first."""
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    # Records choose the index, not the instant.
    statement = statement.where(journal.c.record.in_(records), journal.c.tenant == tenant, as_filter(journal.c.at > at))
    return [_entry(row, tables) for row in connection.execute(statement.order_by(journal.c.id))]


def of_request(
    connection: Connection, tables: Tables, tenant: str, request: str, *, since: int, before: int | None = None, limit: int = 500
) -> list[Entry]:
    """Return the entries of one request, the newest first.

    Args:
        since: the first row to look at.
        before: the row behind the last one to look at.
    """
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    statement = statement.where(journal.c.tenant == tenant, journal.c.request == request, journal.c.id >= since)
    if before is not None:
        statement = statement.where(journal.c.id < before)
    return [_entry(row, tables) for row in connection.execute(statement.order_by(journal.c.id.desc()).limit(limit))]


def changes(
    connection: Connection,
    tables: Tables,
    tenant: str,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int | None = None,
    limit: int = 500,
) -> list[Entry]:
    """Return the entries of one name (``account.updated``), in the order they were written.

    Args:
        after: those behind this row; None: from the first one on.
        since, until: the instants between which to look, the first included.
    """
    journal = tables.system.journal
    statement, _ = _select(connection, tables, outer=True)
    statement = _filtered(statement, tables, tenant, [name])
    if after is not None:
        statement = statement.where(journal.c.id > after)
    if since is not None:
        statement = statement.where(journal.c.at >= since)
    if until is not None:
        statement = statement.where(journal.c.at < until)
    return [_entry(row, tables) for row in connection.execute(statement.order_by(journal.c.id).limit(limit))]


def reconstruct(entries: Iterable[Entry], *, version: int | None = None, at: datetime | None = None) -> dict[str, Any] | None:
    """Return a record's fields as they were, in plain JSON, or None where it did not exist or was deleted.

    Args:
        entries: the record's history.
        version: as of this version of the record.
        at: as of this instant: up to the last change written then or earlier, in the journal's order, whatever the clock did between.
    """
    changes = [e for e in entries if e.is_automatic and (version is None or e.version <= version)]
    if at is not None:
        while changes and changes[-1].at > at:
            changes.pop()
    values: dict[str, Any] | None = None
    kept: dict[str, Any] = {}
    for entry in changes:
        match entry.verb:
            case "created":
                values = dict(entry.payload.get("new", {}))
            case "deleted":
                kept, values = dict(entry.payload.get("old", values or {})), None
            case _:
                values = {**(kept if values is None else values), **{n: new for n, (_, new) in entry.changes.items()}}
    return values
