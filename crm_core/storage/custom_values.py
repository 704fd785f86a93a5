"""The values of custom fields: a row for each that a record has, written with the record and read behind its lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, Text, cast, delete, func, select, update

from ..entities.custom import CustomSpec, CustomValues
from ..entities.custom_field import CustomField
from ..entities.tenant_codec import TenantCodec
from ..errors import Conflict, CRMError, Detail, Invalid
from .writer import chunks

if TYPE_CHECKING:
    from sqlalchemy import Table

    from ..session import Session
    from .changeset import Changeset
    from .tables import Tables
    from .writer import Writer

COLUMNS = ("record", "field", "tenant", "text", "number", "key")  # as the table has them
Errors = dict[int, CRMError]


def fill(connection: Connection, table: Table, codec: Any, records: Sequence[Any]) -> None:
    """Read all custom values of whole records, those of fields without a value as None."""
    if not isinstance(codec, TenantCodec) or not records:
        return
    by_id = {f.id: f for f in codec.custom.values()}
    found = {record.id: CustomValues(dict.fromkeys(f.short for f in by_id.values())) for record in records}
    for part in chunks(list(found)):
        wanted = select(table.c.record, table.c.field, table.c.text, table.c.number).where(table.c.record.in_(part))
        for record, field, text, number in connection.execute(wanted):
            spec = by_id.get(field)
            if spec is not None:
                found[record][spec.short] = spec.from_raw(number if spec.is_number else text)
    for record in records:
        record._custom = found[record.id]


def write(session: Session, writer: Writer, codec: Any, work: Changeset) -> None:
    """Write what a changeset says of custom fields; a deleted record's unique values are free for others."""
    if not isinstance(codec, TenantCodec):
        return
    connection, table = session._unit.connection, session.crm.tables.system.custom_value
    ids = [c.record.id for c in work.changes]
    if work.op == "delete":
        for part in chunks(ids):
            connection.execute(update(table).where(table.c.record.in_(part), table.c.key.is_not(None)).values(key=None))
        return
    changed = {n for c in work.changes for n in c.fields} & codec.custom.keys()
    if work.op == "restore":
        changed = {n for n, f in codec.custom.items() if f.options.unique}
    if not changed:
        return
    fields = [codec.custom[n] for n in sorted(changed)]
    if work.op != "create":
        for part in chunks(ids):
            connection.execute(delete(table).where(table.c.record.in_(part), table.c.field.in_([f.id for f in fields])))
    rows = [row for c in work.changes for row in custom_rows(codec, [c.record], fields)]
    if rows:
        writer.insert_into(connection, table, COLUMNS, rows)


def claim(connection: Connection, table: Table, records: Table, field: str, *, unique: bool) -> None:
    """Let the values of a field that living records have be theirs alone, or not any more."""
    of_field = update(table).where(table.c.field == field)
    if not unique:
        connection.execute(of_field.values(key=None))
        return
    living = select(records.c.id).where(records.c.deleted_at.is_(None))
    connection.execute(of_field.where(table.c.record.in_(living)).values(key=func.coalesce(table.c.text, cast(table.c.number, Text))))


def shared(connection: Connection, table: Table, records: Table, field: str) -> bool:
    """Say whether several living records have one value of a field."""
    living = select(records.c.id).where(records.c.deleted_at.is_(None))
    values = select(table.c.text).where(table.c.field == field, table.c.record.in_(living))
    return connection.execute(values.group_by(table.c.text, table.c.number).having(func.count() > 1).limit(1)).first() is not None


def taken_by(connection: Connection, tables: Tables, field: CustomSpec, value: Any) -> str | None:
    """Return the id of the living record that has a value of a unique field."""
    table = tables.system.custom_value
    wanted = select(table.c.record).where(table.c.field == field.id, table.c.key == str(field.to_raw(value)))
    found: str | None = connection.execute(wanted).scalar()
    return found


def pointing(tables: Tables, field: Any, ids: Sequence[str]) -> Select[Any]:
    """Select the records whose reference of a tenant points at one of *ids*."""
    value = tables.system.custom_value
    return select(value.c.record).where(value.c.field == field.id, value.c.text.in_(ids))


def forget(connection: Connection, tables: Tables, ids: Sequence[str]) -> None:
    """Take the personal values of records away, those of fields that are retired or deleted too."""
    value, definition = tables.system.custom_value, tables.entities[CustomField]
    personal = select(definition.c.id).where(definition.c.classified.not_in(("public", "internal")))
    for part in chunks(ids):
        connection.execute(delete(value).where(value.c.record.in_(part), value.c.field.in_(personal)))


def custom_rows(codec: Any, records: Iterable[Any], fields: Sequence[CustomSpec] | None = None) -> Iterable[tuple[Any, ...]]:
    """Yield the rows of records' values in *fields*, or in all, in the order of ``COLUMNS``."""
    if not isinstance(codec, TenantCodec):
        return
    for record in records:
        for field in codec.custom.values() if fields is None else fields:
            value = codec.get(record, field.name)
            if value is not None:
                raw = field.to_raw(value)
                text, number = (None, raw) if field.is_number else (raw, None)
                yield record.id, field.id, record.tenant, text, number, str(raw) if field.options.unique else None


def refused(session: Session, codec: Any, work: Changeset) -> Errors:
    """Say which changes give a value to a field that is not there any more, or one that another record has."""
    if not isinstance(codec, TenantCodec) or work.op == "delete":
        return {}
    given = {n for c in work.changes for n in c.fields} & codec.custom.keys()
    errors: Errors = {}
    gone = _gone(session, [codec.custom[n] for n in given]) if given else frozenset()
    for i, change in enumerate(work.changes):
        wrong = [Detail(codec.facts.name, n, "unknown_field", "", {}, work.rows[i]) for n in sorted(change.fields & gone)]
        if wrong:
            errors[i] = Invalid(details=wrong)
    for name, field in codec.custom.items():
        if field.options.unique and (name in given or work.op == "restore"):
            errors = _taken(session, codec, field, work) | errors
    return errors


def _gone(session: Session, fields: Sequence[CustomSpec]) -> frozenset[str]:
    """Return the names of the fields that somebody retired or deleted since we looked, and hold the others until the transaction ends."""
    table = session.crm.tables.entities[CustomField]
    wanted = select(table.c.id).where(table.c.id.in_([f.id for f in fields]), table.c.deleted_at.is_(None), ~table.c.retired)
    found = set(session._unit.connection.execute(wanted.order_by(table.c.id).with_for_update(read=True)).scalars())
    return frozenset(f.name for f in fields if f.id not in found)


def _taken(session: Session, codec: TenantCodec, field: CustomSpec, work: Changeset) -> Errors:
    wanted: dict[str, int] = {}
    errors: Errors = {}
    error = Conflict("not_unique", details=[Detail(codec.facts.name, field.name, "not_unique")], entity=codec.facts.name, field=field.name)
    for i, change in enumerate(work.changes):
        value = codec.get(change.record, field.name)
        asked = change.old is None or field.name in change.fields or work.op == "restore"
        if value is not None and asked and wanted.setdefault(str(field.to_raw(value)), i) != i:
            errors[i] = error
    own: Mapping[str, int] = {c.record.id: i for i, c in enumerate(work.changes)}
    table = session.crm.tables.system.custom_value
    for part in chunks(sorted(wanted)):
        keys = select(table.c.key, table.c.record).where(table.c.field == field.id, table.c.key.in_(part))
        for key, record in session._unit.connection.execute(keys):
            if own.get(record) != wanted[key]:
                errors[wanted[key]] = error
    return errors
