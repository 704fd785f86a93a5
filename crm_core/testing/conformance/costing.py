"""The rule of what hooks cost: statements a batch, whatever its size, and the time for a thousand records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import StaticPool, create_engine

from ...entities.entity import Entity
from ...entities.meta import spec
from ...errors import CRMError
from ...storage.writer import LISTED
from .exercise import SETUP, entities_of
from .rule import Unproved, rule
from .subject import Subject

if TYPE_CHECKING:
    from ...crm import CRM
    from ...session import Session

SMALL = 10
SLOWEST = 0.02  # seconds for each record: a hundred times what the core takes, so that no busy machine is blamed on a plugin
CHANGED = 400  # records: what one batch of update_where takes
SLACK = 3  # statements that come with the size of a batch, whatever a hook does


@rule("CK16", "hook-budget")
def hook_budget(subject: Subject) -> Iterator[str]:
    """Hooks on writes ask the database once a batch, not once a record, when records come and when they change, and do not dawdle."""
    impls = [i for i in subject.plugin.definitions.impls if i.hook.by_entity]
    if not impls:
        return
    entities = entities_of(subject.plugin) if any(i.on is None for i in impls) else list(dict.fromkeys(i.on for i in impls if i.on))
    tried = 0
    unmade: list[str] = []
    counter = Counter()
    with subject.crm(url=counter.engine) as crm:
        for entity in entities:
            name = spec(entity).name
            try:
                small, _ = _cost(subject, crm, counter, entity, SMALL)
                large, seconds = _cost(subject, crm, counter, entity, subject.batch)
            except CRMError as e:
                unmade.append(_unmade(entity, e))
                continue
            tried += 1
            subject.note(f"{name}: {seconds * 1e6 / subject.batch:.0f} ms for 1,000 records; {large} statements for {subject.batch}")
            names = ", ".join(dict.fromkeys(i.name for i in impls if i.on in (entity, None)))
            # A bulk read takes a statement for each LISTED ids.
            if large > small * -(-subject.batch // LISTED) + SLACK:
                both = f"{SMALL} records of {name} take {small} statements and {subject.batch} take {large}"
                yield f"{both}: one of {names} asks for each record; ask once for all of the batch"
            if seconds > SLOWEST * subject.batch:
                each = seconds * 1e3 / subject.batch
                yield f"a batch of {name} takes {each:.0f} ms for each record: one of {names} dawdles; do in a job what takes long"
    counter.engine.dispose()
    if not tried:
        raise Unproved("; ".join(unmade) or "its hooks are on all records, and it has no entity of its own")
    subject.notes.extend(unmade)


def _unmade(entity: type[Entity], error: CRMError) -> str:
    """Say why a batch could not be made: the error's code, and what its details blame."""
    blamed = ", ".join(dict.fromkeys(f"{d.code} of {d.field}" if d.field else d.code for d in error.details))
    said = f"{error.code} ({blamed})" if blamed else error.code
    return f"a batch of made-up {spec(entity).name} is answered by {said}; give @example({entity.__name__}) in tests/conformance.py"


def _cost(subject: Subject, crm: CRM, counter: Counter, entity: type[Entity], count: int) -> tuple[int, float]:
    """Return how many statements the creation of a batch and its change take, and how long the creation; nothing of it stays."""
    factory = subject.factory()

    def work(session: Session) -> tuple[int, float]:
        factory.make(session, entity)
        records = [factory.build(session, entity) for _ in range(count)]
        before, started = counter.statements, perf_counter()
        session.create_many(records)
        seconds = perf_counter() - started
        change = _change_of(session, entity, records[-1])
        if change:
            session.update_where(session.query(entity).where(entity.id.in_([r.id for r in records[:CHANGED]])), change)
        return counter.statements - before, seconds

    found: list[tuple[int, float]] = []
    try:
        with crm.session(SETUP) as session:
            found.append(work(session))
            raise _Undone
    except _Undone:
        return found[0]


def _change_of(session: Session, entity: type[Entity], like: Entity) -> dict[str, Any]:
    """Return a change that all records of an entity may have: of a text that is theirs to write and not to tell them apart."""
    codec = session.crm.codec(entity)
    free = (f for f in codec.writable if f.kind in ("str", "text") and f.extension is None)
    field = next((f for f in free if not (f.options.unique or f.options.read_only or f.options.format) and codec.get(like, f.name)), None)
    return {} if field is None or codec.facts.append_only else {field.name: f"{codec.get(like, field.name)}'"[: field.length]}


class _Undone(Exception):
    """Takes back what was written."""


class Counter:
    """An engine in memory that counts the calls of its driver: one for a batch of rows as for a row."""

    def __init__(self) -> None:
        self.statements = 0
        counter = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, *args: Any) -> Any:
                counter.statements += not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK"))
                return super().execute(sql, *args)

            def executemany(self, sql: str, *args: Any) -> Any:
                counter.statements += 1
                return super().executemany(sql, *args)

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"factory": Connection, "check_same_thread": False})
