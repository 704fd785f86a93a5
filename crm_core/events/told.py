"""What delivery tells the log: who failed at what, who was too late, who left the process other than it was."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from ..entities.meta import spec
from ..errors import CRMError
from ..logs import facts
from ..masking import masked, personal, texts
from ..messages import wordless

if TYPE_CHECKING:
    from ..storage.tables import Tables
    from .event import Event
    from .journal import Entry
    from .subscribers import Subscriber

_log = logging.getLogger(__name__)


def fit(connection: Connection, tables: Tables, event: Event[Any] | None, error: BaseException) -> BaseException:
    """Return an error as logs and the parking table may have it: without what is personal in an event and, as it is now, its record."""
    if tables.sealer is not None or event is None or isinstance(error, CRMError):
        return error  # with keys, none of its words are told
    table, fields = tables.entities[event.record.entity], spec(event.record.entity).fields.values()
    about_nobody = {column for field in fields if not field.apart for column in field.columns}
    columns = [column for column in table.c if column.name not in about_nobody]
    row = connection.execute(select(*columns).where(table.c.id == event.record.id)).first() if columns else None
    return masked(error, personal(event) | texts(row))


def failed(s: Subscriber, entry: Entry, error: BaseException, attempt: int, *, words: bool) -> None:
    """Say that an event failed; with the error's stack, and its own *words* unless they may hold what is sealed."""
    where = {"event": entry.kind, "entity": entry.entity, "record": entry.record, "tenant": entry.tenant, "position": entry.position}
    extra = facts("subscriber_failed", plugin=s.plugin, function=s.name, attempt=attempt, error=type(error).__name__, **where)
    what = (s.name, entry.kind, entry.entity, entry.record, attempt, "" if words else f": {wordless(error)}")
    _log.warning("%s: %s of %s %s failed, try %d%s", *what, exc_info=error if words else masked(error, None), extra=extra)


def fenced(s: Subscriber) -> None:
    """Say that another worker took a subscription over."""
    _log.warning("%s: another worker took over", s.name, extra=facts("worker_fenced", plugin=s.plugin, function=s.name))


def changed(s: Subscriber, what: str) -> None:
    """Say that a subscriber left something of the process other than it was."""
    extra = facts("surroundings_changed", plugin=s.plugin, function=s.name, what=what)
    _log.warning("while %s ran, the %s of the process changed", s.name, what.replace("_", " "), extra=extra)
