"""Taking a custom field's values out of all records, each a change like any other but that nobody may refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from ..entities.custom_kind import PREFIX
from ..entities.tenant_codec import TenantCodec
from ..hooks.core_specs import Change
from .defined import spec_of

if TYPE_CHECKING:
    from ..entities.custom_field import CustomField
    from ..session import Session

BATCH = 500


def emptied(core: Session, definition: CustomField, *, dry: bool) -> int:
    """Empty a field in all records that have a value, and return in how many; *dry* only counts."""
    table, connection = core.crm.tables.system.custom_value, core._unit.connection
    of_field = table.c.field == definition.id
    count = int(connection.execute(select(func.count()).select_from(table).where(of_field)).scalar_one())
    entity = core.crm.named_entity(definition.entity)
    if dry or not count:
        return count
    if entity is not None:
        _journalled(core, definition, entity)
    # What deleted records have is in no history that goes on.
    connection.execute(delete(table).where(of_field))
    return count


def _journalled(core: Session, definition: CustomField, entity: type[Any]) -> None:
    table, connection = core.crm.tables.system.custom_value, core._unit.connection
    target = core.crm.named_entity(definition.target) if definition.target else None
    field = spec_of(definition, target)
    codec, name = TenantCodec(core.crm.codec(entity), {field.name: field}), f"{PREFIX}{definition.name}"
    wanted, last = select(table.c.record).where(table.c.field == definition.id).order_by(table.c.record).limit(BATCH), None
    while ids := list(connection.execute(wanted if last is None else wanted.where(table.c.record > last)).scalars()):
        last = ids[-1]
        olds = core.reader.whole(codec, ids)
        changes = []
        for old in olds:
            new = codec.copy(old)
            codec.set(new, name, None)
            changes.append(Change(record=new, old=old, fields=frozenset({name})))
        if changes:
            core.pipeline.rewrite(codec, changes)
