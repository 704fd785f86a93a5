"""The timeline of a record: interactions and notes that are linked to it, newest first, as one actor may see them."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from .entities.activity import Interaction, Note
from .entities.meta import spec
from .entities.validate import is_id
from .errors import Invalid, NotReadable
from .paging import Part, check_size

if TYPE_CHECKING:
    from .query import Query
    from .session import Session


@attrs.frozen
class TimelineEntry:
    """Something that happened with a record.

    Attributes:
        at: when: an interaction's own instant, the one at which a note was written (UTC).
        entity: ``interaction`` or ``note``.
        record: the interaction or note, as the actor may see it.
    """

    at: datetime
    entity: str
    record: Interaction | Note


@attrs.frozen
class Timeline(Part[TimelineEntry]):
    """One page of a timeline: ``items``, the entries, newest first;
    ``next``, what to give as ``after`` for what is older, None at the end."""


_Key = tuple[datetime, str]


def timeline(session: Session, record: str, size: int, after: str | None, at: datetime | None) -> Timeline:
    """Return a page of what is linked to the record of this id; see :meth:`Session.timeline`."""
    check_size(size)
    beyond = None if after is None else _read(after)
    pages = [p for entity, column in _sources() if (p := _page(session, entity, column, record, size, beyond, at)) is not None]
    found = sorted((e for items, _ in pages for e in items), key=_key, reverse=True)
    more = len(found) > size or any(more for _, more in pages)
    return Timeline(found[:size], _written(_key(found[size - 1])) if more else None)


def _sources() -> list[tuple[type[Any], Any]]:
    return [(Interaction, Interaction.at), (Note, Note.created_at)]


def _page(
    session: Session, entity: type[Any], column: Any, record: str, size: int, beyond: _Key | None, at: datetime | None
) -> tuple[list[TimelineEntry], bool] | None:
    """Return up to *size* entries of one kind and whether there are more; None where the actor may not know what they are linked to."""
    if session.policy.is_nothing(session.policy.rule("read", entity)):
        return None
    try:
        query: Query[Any] = session.query(entity).where(entity.links.has(record)).order_by(column.desc())
        if at is not None:
            query = query.where(column <= at)
        if beyond is not None:
            query = query.where(_older(column, entity.id, beyond))
        page = query.page(size)
        name = spec(entity).name
        return [TimelineEntry(getattr(r, column.field.name), name, r) for r in page], page.has_more
    except NotReadable:
        return None


def _older(column: Any, id: Any, beyond: _Key) -> Any:
    from sqlalchemy import and_, or_

    at, last = beyond
    return and_(column <= at, or_(column < at, id < last))


def _key(entry: TimelineEntry) -> _Key:
    return entry.at, entry.record.id


def _written(key: _Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([key[0].isoformat(), key[1]]).encode()).decode().rstrip("=")


def _read(after: str) -> _Key:
    """Read a cursor, which anybody can write."""
    try:
        at, id = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        key = datetime.fromisoformat(at), id
        if key[0].utcoffset() is None or not is_id(id):
            raise ValueError(after)
        return key
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise Invalid("bad_cursor", given=str(after)[:60]) from None
