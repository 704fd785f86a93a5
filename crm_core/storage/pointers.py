"""Pointers to records of any entity, by its name and an id: the links of a note, what a tag is on. They are no references to the
database, so what they point at is looked for here; whoever sets one must see the record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from ..entities.activity import Link
from ..errors import Detail, Invalid
from ..messages import redact

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..hooks.core_specs import Change
    from ..session import Session
    from .changeset import Changeset


def pointing_at_unseen(session: Session, codec: Codec, work: Changeset) -> dict[int, Invalid]:
    """Return the error of each change that points anew at what is not there for the session's actor: one statement for each entity.

    What a record pointed at before stays, whoever saves it.
    """
    if not (codec.links or codec.points) or work.op not in ("create", "update"):
        return {}
    new = [(i, name, link) for i, change in enumerate(work.changes) for name, link in _new(codec, change)]
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for _, _, link in new:
        wanted[link.entity].add(link.record)
    seen = {name: _there(session, name, ids) for name, ids in wanted.items()}
    wrong: defaultdict[int, list[Detail]] = defaultdict(list)
    for i, name, link in new:
        if link.record not in seen[link.entity]:
            target = {"target": link.entity[:60]}
            wrong[i].append(Detail(codec.facts.name, name, "bad_ref", redact(link.record), target, work.rows[i]))
    return {i: Invalid(details=details) for i, details in wrong.items()}


def _new(codec: Codec, change: Change) -> Iterator[tuple[str, Link]]:
    """Yield what a change points at and its record did not point at before, by field."""
    for name in codec.links:
        if change.old is None or name in change.fields:
            known = () if change.old is None else codec.get(change.old, name)
            yield from ((name, link) for link in codec.get(change.record, name) if link not in known)
    for name, entity in codec.points.items():
        if (change.old is None or {name, entity} & change.fields) and codec.get(change.record, name) is not None:
            yield name, Link(codec.get(change.record, entity), codec.get(change.record, name))


def _there(session: Session, name: str, ids: Iterable[str]) -> Collection[str]:
    """Return which of *ids* are records of an entity that the actor sees; of an entity that this CRM does not have, none."""
    try:
        entity = session.crm.entity(name)
    except Invalid:
        return ()
    return session.reader.there(entity, sorted(ids))
