"""An import taken back: what it created is deleted, what it changed is put back, and what was changed since is left and listed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ..entities.imports import ImportRun
from ..entities.meta import spec
from ..entities.sealing import ERASED
from ..errors import Conflict, CRMError, Invalid
from ..events.journal import Entry, histories, of_request
from ..storage.failures import retryable
from .logbook import find, request_of, undone

if TYPE_CHECKING:
    from ..crm import CRM
    from ..permissions.actor import Actor
    from ..session import Session

T = TypeVar("T")
BATCH = 500
KEPT = 100


@attrs.frozen
class Left:
    """A record that stays as it is, and why."""

    entity: str
    record: str
    error: CRMError


@attrs.define
class Undone:
    """What taking an import back did; in a dry run, what it would do.

    Attributes:
        deleted: how many records are gone that the import had created.
        restored: how many have the values again that they had before it.
        left: how many stay as they are; ``listed`` has the first hundred, each with its reason.
    """

    run: str
    file: str
    dry_run: bool = False
    deleted: int = 0
    restored: int = 0
    left: int = 0
    listed: list[Left] = attrs.Factory(list)


@attrs.frozen
class _Trace:
    """What the import did to one record: created it, or changed fields that had these values before."""

    record: str
    created: bool
    before: dict[str, Any]
    changed_since: bool


class _Undo(Exception):
    """Nothing of this is to stay."""


def undo(crm: CRM, actor: Actor, run: str, *, dry_run: bool = False) -> Undone:
    """Take an import back, as one actor. A second time there is nothing left to do, but for what was left.

    Everything goes through the session's verbs, batch by batch, the last change first: who may not delete a record does not delete it so.

    Args:
        run: the id of the import, or ``last`` for the actor's latest.

    Raises:
        NotFound: there is no such import for this actor.
    """
    with crm.session(actor, write=False) as session:
        record = find(session, run)
    found = Undone(record.id, record.file, dry_run)
    work = _Work(crm, actor, record, found)
    if not dry_run:
        with work.session() as session:
            undone(session, record)
        while work.more:
            with work.session() as session:
                work.page(session)
        return found
    try:
        with work.session() as session:
            while work.more:
                work.page(session)
            raise _Undo
    except _Undo:
        return found


class _Work:
    """The import's rows in the journal, from the last one back to the first."""

    def __init__(self, crm: CRM, actor: Actor, run: ImportRun, found: Undone) -> None:
        self._crm = crm
        self._actor = actor
        self._run = run
        self._found = found
        self._request = request_of(run.id)
        self._back = f"undo:{run.id}"
        self._since = 0
        self._before: int | None = None
        self.more = True

    def session(self) -> AbstractContextManager[Session]:
        """Open a session whose changes the journal has as the undoing of this import."""
        return self._crm.session(self._actor, reason=f"undo import {self._run.file}"[:255], request=self._back)

    def page(self, session: Session) -> None:
        """Take the next changes back."""
        connection, tables, tenant = session._unit.connection, self._crm.tables, self._actor.tenant
        if not self._since:
            [own] = histories(connection, tables, tenant, [self._run.id]).values()
            self._since, self._before = own[0].id, own[-1].id
        entries = of_request(connection, tables, tenant, self._request, since=self._since, before=self._before, limit=BATCH)
        self.more = len(entries) == BATCH
        self._before = entries[-1].id if entries else self._before
        for name, group in groupby(filter(self._is_ours, entries), key=lambda e: e.entity):
            self._take_back(session, name, list(group))

    def _is_ours(self, entry: Entry) -> bool:
        """Whether the import itself wrote it; what plugins did of their own goes with the record, as its references say."""
        return entry.is_automatic and entry.request == self._request and entry.actor == self._run.actor and not entry.plugin

    def _take_back(self, session: Session, name: str, entries: Sequence[Entry]) -> None:
        ids = list(dict.fromkeys(e.record for e in entries))
        try:
            entity = self._crm.entity(name)
        except Invalid as e:  # its plugin is not there any more
            self._leave(name, ids, e)
            return
        session.reader.locked(entity, ids)  # nobody changes them between our look and our change
        told = histories(session._unit.connection, self._crm.tables, self._actor.tenant, ids)
        here = {e.id for e in entries}
        traces = [t for i in ids if (t := self._trace(i, [e for e in told[i] if e.is_automatic], here)) is not None]
        self._leave(name, [t.record for t in traces if t.changed_since], Conflict("import_changed_since", entity=name))
        good = [t for t in traces if not t.changed_since]
        self._delete(session, entity, [t.record for t in good if t.created])
        self._restore(session, entity, [t for t in good if not t.created])

    def _trace(self, record: str, changes: Sequence[Entry], here: Collection[int]) -> _Trace | None:
        """Say what the import did to a record; None where that is undone, or is dealt with where the import's last change stands."""
        if [e.id for e in changes if self._is_ours(e)][-1] not in here:
            return None
        mine = [e for e in changes if e.request == self._request]
        after = [e for e in changes if e.id > mine[-1].id]
        if after and after[0].request == self._back:
            return None
        between = [e for e in changes if mine[0].id < e.id < mine[-1].id and e.request != self._request]
        before: dict[str, Any] = {}
        for entry in reversed(mine):
            before |= {name: old for name, (old, _) in entry.changes.items()}
        return _Trace(record, mine[0].name.endswith(".created"), before, bool(after or between))

    def _delete(self, session: Session, entity: type[Any], ids: Sequence[str]) -> None:
        """Delete records, all at once or those that can be."""

        def delete(part: Sequence[str]) -> None:
            session.pipeline.delete(entity, part)
            self._found.deleted += len(part)

        self._each(session, spec(entity).name, ids, delete, str)

    def _restore(self, session: Session, entity: type[Any], traces: Sequence[_Trace]) -> None:
        """Put records back, all at once or those that can be."""
        fields = session.codec(entity).fields
        settable = {n for n, f in fields.items() if not f.system and (self._actor.is_system or not f.options.read_only)}

        def restore(part: Sequence[_Trace]) -> None:
            # What was erased meanwhile is gone, and its marker is no value.
            known = [(t.record, {n: v for n, v in t.before.items() if n in settable and v != ERASED}) for t in part]
            session.pipeline.update(entity, known)
            self._found.restored += len(part)

        self._each(session, spec(entity).name, traces, restore, lambda trace: trace.record)

    def _each(
        self, session: Session, name: str, items: Sequence[T], work: Callable[[Sequence[T]], None], record: Callable[[T], str]
    ) -> None:
        """Work on all items; where that fails, on either half, until what cannot be done is alone."""
        if not items:
            return
        try:
            with session.savepoint():
                work(items)
        except CRMError as e:
            if retryable(e):
                raise
            if len(items) == 1:
                self._leave(name, [record(items[0])], e)
                return
            middle = len(items) // 2
            self._each(session, name, items[:middle], work, record)
            self._each(session, name, items[middle:], work, record)

    def _leave(self, name: str, records: Sequence[str], error: CRMError) -> None:
        self._found.left += len(records)
        self._found.listed += [Left(name, record, error) for record in records[: KEPT - len(self._found.listed)]]
