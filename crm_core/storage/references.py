"""References of records that are about to be written: what they point at exists, and nothing stands above itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..entities.fields import FieldSpec, Ref
from ..entities.meta import spec
from ..errors import CRMError, Detail, Invalid
from ..messages import redact
from . import adopted_fits
from .pointers import pointing_at_unseen

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..session import Session
    from .changeset import Changeset

ATTACHED = 100


def broken(session: Session, codec: Codec, work: Changeset) -> dict[int, CRMError]:
    """Return the error of each change that points at what does not exist for its actor: an id in a body goes through the lens like any
    other. What a small changeset points at is attached to its records."""
    if work.op == "delete":
        return {}
    errors: dict[int, CRMError] = {**pointing_at_unseen(session, codec, work)}
    if (adoption := session.crm.tables.adopted.get(codec.entity)) is not None:
        for i, error in adopted_fits.dangling(adoption, codec, work, session._unit.connection).items():
            errors[i] = type(error)(error.code, details=[*error.details, *_details(errors, i)])
    restored = work.op == "restore"
    for name in codec.references:
        field = codec.fields[name]
        wanted: dict[int, Ref[Any]] = {
            i: ref
            for i, c in enumerate(work.changes)
            if (c.old is None or restored or name in c.fields) and (ref := codec.get(c.record, name)) is not None
        }
        if not wanted:
            continue
        found = _targets(session, field, sorted({r.id for r in wanted.values()}), attach=len(work.changes) <= ATTACHED, core=restored)
        changes = work.changes
        for i, ref in wanted.items():
            if restored and ref.id not in found and field.options.on_delete == "set_null":
                codec.set(changes[i].record, name, None)
                changes[i].fields |= {name}
            elif ref.id not in found:
                detail = Detail(codec.facts.name, name, "bad_ref", redact(ref.id), {"target": spec(ref.entity).name}, work.rows[i])
                errors[i] = Invalid(details=[detail, *_details(errors, i)])
            elif field.options.tree and changes[i].old is not None and _is_above(session, codec, field, ref.id, changes[i].record.id):
                detail = Detail(codec.facts.name, name, "cyclic_reference", "", {}, work.rows[i])
                errors[i] = Invalid(details=[detail, *_details(errors, i)])
            elif found[ref.id] is not None:
                record = changes[i].record
                record._related = {**(record._related or {}), name: found[ref.id]}
    return errors


def _details(errors: Mapping[int, CRMError], i: int) -> Sequence[Detail]:
    return errors[i].details if i in errors else ()


def _targets(session: Session, field: FieldSpec, ids: Sequence[str], *, attach: bool, core: bool) -> Mapping[str, Any]:
    """Return which of *ids* exist; a read-only reference was set by a plugin, which may point at what the actor does not see."""
    if not (field.options.read_only or core):
        return session.reader.targets(field.target, ids, attach=attach)
    with session._elevated_core("references that plugins set") as system:
        return system.reader.targets(field.target, ids, attach=False)


def _is_above(session: Session, codec: Codec, field: FieldSpec, id_: str | None, wanted: str) -> bool:
    """Say whether *wanted* is *id_* or stands above it."""
    seen: set[str] = set()
    while id_ is not None and id_ not in seen:
        if id_ == wanted:
            return True
        seen.add(id_)
        record = session.reader.locked(codec.entity, [id_]).get(id_)
        above = None if record is None else codec.get(record, field.column if field.extension else field.name)
        id_ = above.id if above is not None else None
    return False
