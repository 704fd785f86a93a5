"""Removal: personal content taken out of records, of what the journal and derived stores keep of them, and of reach of their keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ..audit.kinds import ERASED
from ..entities.meta import spec
from ..hooks.core_specs import Change
from ..storage.idempotency import outcome
from ..storage.writer import JournalRow, chunks
from .emptying import emptied
from .traces import SHORTEST

if TYPE_CHECKING:
    from ..session import Session

BATCH = 500
Ids = Mapping[type[Any], Sequence[str]]


def remove(core: Session, empty: Ids, delete: Ids, request: str, words: Iterable[str] = ()) -> None:
    """Empty records, deleted ones too, and delete some of them.

    Args:
        empty: by entity; those of *delete* are among them.
        request: why, by which the journal names it for each record.
        words: what else must not stand in the kept results of idempotency keys.
    """
    gone = set(words)
    for entity, ids in empty.items():
        for part in chunks(list(ids), BATCH):
            gone.update(_empty(core, entity, part))
    for entity, ids in delete.items():
        for part in chunks(list(ids), BATCH):
            living = core.reader.locked(entity, part)
            core.pipeline.delete(entity, [i for i in part if i in living])
    records = [(spec(entity).name, i) for entity, ids in empty.items() for i in ids]
    _history(core, records, request)
    _idempotency(core, {*(i for _, i in records), *(text for text in gone if len(text) >= SHORTEST)})


def _empty(core: Session, entity: type[Any], ids: Sequence[str]) -> Iterator[str]:
    """Empty the personal fields of records, deleted ones too, and yield the texts that stood there."""
    codec, writer, connection = core.crm.codec(entity), core.crm.writer, core._unit.connection
    if not codec.personal:
        return
    for deleted in (False, True):
        changes = []
        for old in core.reader.locked(entity, ids, deleted=deleted).values():
            new, names, gone = emptied(codec, old)
            yield from gone
            if names:
                changes.append(Change(record=new, old=old, fields=names))
        if changes and not deleted:
            core.pipeline.rewrite(codec, changes)
        elif changes:  # what is deleted has no history to go on with, nor is anybody told of it
            records: list[Any] = [c.record for c in changes]
            for record in records:
                record.version, record.updated_at, record.updated_by = record.version + 1, core.crm.runtime.clock.now(), core.actor.id
            names = frozenset().union(*(c.fields for c in changes))
            writer.update(connection, codec, records, names, writer.keys(connection, codec, records, fresh=False))


def _history(core: Session, records: Sequence[tuple[str, str]], request: str) -> None:
    """Take the personal part out of the journal rows of records, destroy their keys, and say so for each."""
    system, connection, tenant = core.crm.tables.system, core._unit.connection, core.actor.tenant
    if core.crm.tables.sealer is not None:
        core.crm.tables.sealer.keyring.shred(connection, tenant, (f"{entity}/{id_}" for entity, id_ in records))
    for part in chunks(list(records)):
        ids = [id_ for _, id_ in part]
        mine = (system.journal.c.tenant == tenant, system.journal.c.record.in_(ids))
        connection.execute(update(system.journal).where(*mine).values(personal=None))
        connection.execute(update(system.parking).where(system.parking.c.record.in_(ids)).values(error=None))
        new = core.crm.runtime.ids.many(len(part))
        rows = [JournalRow(entity, i, 0, ERASED, {"id": n, "subject": request}) for (entity, i), n in zip(part, new, strict=True)]
        core.crm.writer.journal(connection, core.origin(), rows)


def _idempotency(core: Session, words: Iterable[str]) -> None:
    """Empty the kept results that name the records or what stood in them; who asks under such a key again is refused."""
    table, connection, tenant = core.crm.tables.system.idempotency, core._unit.connection, core.actor.tenant
    words, last = sorted(words), ""
    while True:
        wanted = select(table.c.key).where(table.c.tenant == tenant, table.c.key > last).order_by(table.c.key).limit(BATCH)
        keys = list(connection.execute(wanted).scalars())
        for key in keys:
            kept = outcome(connection, core.crm.tables, tenant, key)
            said = json.dumps(kept and kept["calls"], ensure_ascii=False)
            if any(word in said for word in words):
                connection.execute(update(table).where(table.c.tenant == tenant, table.c.key == key).values(result=None))
        if len(keys) < BATCH:
            return
        last = keys[-1]
