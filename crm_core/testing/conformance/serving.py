"""Services, which no permission guards by itself: each method is called as somebody who may read all records and do nothing to them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...entities.entity import Entity
from ...errors import CRMError, Denied
from ...permissions.actor import Actor
from ...permissions.roles import Role
from ..state import state_of
from .exercise import SETUP

if TYPE_CHECKING:
    from ...crm import CRM
    from .subject import Subject

READER = "conformance_reader"


def open_to_readers(subject: Subject, entities: Iterable[type[Entity]]) -> Iterator[str]:
    """Yield the methods that change something for a reader; those of which nothing was learned are noted."""
    if not subject.plugin.definitions.services:
        return
    reader, factory, untried = Role(READER), subject.factory(), []
    for entity in entities:
        reader.allow(entity, "read")
    with subject.crm(roles=[reader]) as crm:
        for service, name in _methods(subject):
            called = f"{service.__name__}.{name}"
            try:
                with crm.session(SETUP) as session:
                    given = factory.arguments(session, getattr(service, name))
            except Exception:
                untried.append(called)
                continue
            before = _kept(crm)
            error = _call(crm, service, name, given, Actor("reader", roles={READER}))
            changed = [table for table, rows in _kept(crm).items() if rows != before.get(table)]
            if changed:
                what = ", ".join(table for table in changed if table != crm.tables.system.journal.name) or "the journal"
                yield f"{called} changes {what} for who may only read: ask session.can(...) before elevated(...) writes"
            elif error is not None and not isinstance(error, Denied):
                if _call(crm, service, name, given, SETUP, undo=True) is not None:
                    untried.append(called)
                elif not isinstance(error, CRMError):
                    yield f"{called} for who may only read is answered by {type(error).__name__} instead of Denied"
    if untried:
        subject.note(f"not tried, for lack of good arguments: {', '.join(untried)}; give them with @example({untried[0]})")


def _methods(subject: Subject) -> Iterator[tuple[type[Any], str]]:
    for service in subject.plugin.definitions.services:
        yield from ((service, name) for name, _ in inspect.getmembers(service, inspect.isfunction) if not name.startswith("_"))


def _call(crm: CRM, service: type[Any], name: str, given: Mapping[str, Any], actor: Actor, *, undo: bool = False) -> Exception | None:
    """Call a method in a session of its own, and return what it raised; *undo* leaves nothing of it."""
    try:
        with crm.session(actor) as session:
            found = getattr(session.use(service), name)(**given)
            if inspect.isgenerator(found):
                list(found)
            if undo:
                raise _Undone
    except _Undone:
        return None
    except Exception as e:
        return e
    return None


def _kept(crm: CRM) -> dict[str, list[str]]:
    """Return every row, without what tells that a plugin worked with its own grants."""
    return {table: [row for row in rows if "core.elevated.v1" not in row] for table, rows in state_of(crm).items()}


class _Undone(Exception):
    """What was done is to be undone."""
