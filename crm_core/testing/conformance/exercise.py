"""Exercise: everything that a plugin declares, used once in one CRM: entities, actions, events, subscribers, panels, jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import delete, update

from ...entities.entity import Entity
from ...entities.meta import spec
from ...errors import Conflict, CRMError, NotFound, Refused
from ...events.event import Event, event_name
from ...events.journal import read
from ...permissions.actor import Actor
from ..factory import Factory
from ..jobs import rehearse
from ..state import state_of
from .using import Used

if TYPE_CHECKING:
    from ...crm import CRM
    from ...hooks.plugin import Plugin
    from ...session import Session
    from .subject import Subject

SETUP = Actor.system("conformance", tenant="main")
# A plugin may well say no to what was made up; what it may not is fail.
ANSWERS = (Refused, NotFound, Conflict)


@attrs.frozen
class Trouble:
    """What did not work.

    Attributes:
        text: what was used and what it raised; no exception, which would hold the CRM.
        denied: whether a right was missing.
    """

    text: str
    denied: bool

    @classmethod
    def of(cls, part: str, error: BaseException | str, needs: type[Any] | None = None) -> Trouble:
        """Describe an error of *part*; *needs* is the class of which an example might help."""
        said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        hint = f"; if what the kit made up cannot be right, give an example: @example({needs.__name__})" if needs else ""
        return cls(f"{part} failed: {said}{hint}", said.startswith("Denied"))

    def __str__(self) -> str:
        return self.text


@attrs.define
class Exercise:
    """What happened.

    Attributes:
        plugin: whose use.
        troubles: what did not work.
        state: every row at the end.
        records: a record of each entity that could be made.
        redelivered: what changed when all events were delivered to the plugin's subscribers a second time.
        used: what of its declarations was seen in use.
    """

    plugin: str
    troubles: list[Trouble] = attrs.field(factory=list)
    state: dict[str, list[str]] = attrs.field(factory=dict)
    records: dict[type[Entity], Entity] = attrs.field(factory=dict)
    redelivered: list[str] = attrs.field(factory=list)
    used: Used = attrs.field(factory=Used)

    def try_(self, part: str, work: Callable[[], Any], needs: type[Any] | None = None) -> Any:
        """Do something and keep what goes wrong."""
        try:
            return work()
        except ANSWERS:
            return None
        except Exception as e:
            if isinstance(e, CRMError) and e.code.startswith(f"{self.plugin}."):  # its own words
                return None
            self.troubles.append(Trouble.of(part, e, needs))
            return None


def exercised(subject: Subject, crm: CRM, called: set[str] | None = None) -> Exercise:
    """Use everything once, deliver, and deliver a second time.

    Args:
        called: the hooks of the plugin that a listener heard until now.
    """
    done = Exercise(subject.plugin.name)
    factory = subject.factory()
    emitted: Counter[str] = Counter()
    for entity in entities_of(subject.plugin):
        record = done.try_(f"entity {spec(entity).name}", partial(_in_session, crm, partial(_made, factory=factory, entity=entity)), entity)
        if record is not None:
            done.records[entity] = record
    for record in list(done.records.values()):
        done.try_(f"change of {spec(type(record)).name}", partial(_in_session, crm, partial(_changed, record=record)))
    crm.run_pending()
    for action in subject.plugin.definitions.actions:
        work = partial(_in_session, crm, partial(_performed, factory=factory, command=action.command))
        done.try_(f"action {action.name}", work, action.command)
    for event in _unheard(subject.plugin, _heard(crm)):
        done.try_(f"event {event_name(event)}", partial(_emit, crm, factory, event), event)
        emitted[event_name(event)] += 1
    for panel in subject.plugin.definitions.panels:
        record = done.records.get(panel.entity)
        if record is not None:
            done.troubles += _shown(crm, record, panel.name)
    for job in subject.plugin.definitions.jobs:
        done.try_(f"job {job.name}", partial(_rehearsed, crm, job.name))
    crm.run_pending()
    done.troubles += _parked(crm)
    done.state = state_of(crm)
    heard = _heard(crm)
    _redeliver(subject, crm, done)
    for record in list(done.records.values())[::-1]:
        done.try_(f"deletion of {spec(type(record)).name}", partial(_in_session, crm, partial(_deleted, record=record)))
    crm.run_pending()
    done.used = Used.of(crm, subject.plugin, SETUP, called or set(), heard, emitted)
    known = set(map(str, done.troubles))
    done.troubles += [trouble for trouble in _parked(crm) if str(trouble) not in known]
    return done


def entities_of(plugin: Plugin) -> list[type[Entity]]:
    """Return the entities that a plugin has to do with: its own, those it extends, and those it shows, acts on or hooks into."""
    d = plugin.definitions
    near = (*d.entities, *(e for e, _ in d.extensions), *(p.entity for p in d.panels))
    return list(dict.fromkeys((*near, *(a.on for a in d.actions if a.on), *(i.on for i in d.impls if i.on))))


def _in_session(crm: CRM, work: Callable[[Session], Any], actor: Actor = SETUP) -> Any:
    with crm.session(actor) as session:
        return work(session)


def _rehearsed(crm: CRM, job: str) -> None:
    with crm.bound.begin() as connection:
        rehearse(crm, job, connection)


def _made(session: Session, factory: Factory, entity: type[Entity]) -> Entity:
    """Make a record; one that plugins write themselves is taken where it already is."""
    found = session.query(entity).first()
    return found if found is not None else factory.make(session, entity)


def _performed(session: Session, factory: Factory, command: type[Any]) -> Any:
    return session.perform(factory.command(session, command))


def _changed(session: Session, record: Entity) -> None:
    codec = session.crm.codec(type(record))
    if codec.facts.append_only:
        return
    texts = (f for f in codec.writable if f.kind in ("str", "text") and not f.options.read_only and not f.options.format)
    field = next((f for f in texts if f.required), None)
    if field is not None:
        session.update(type(record), record.id, {field.name: f"{codec.get(record, field.name)}'"[: field.length]})


def _deleted(session: Session, record: Entity) -> None:
    if not session.crm.codec(type(record)).facts.append_only and session.find(type(record), record.id) is not None:
        session.delete(record)
        session.restore(type(record), record.id)


def _unheard(plugin: Plugin, heard: Collection[str]) -> Iterator[type[Event[Any]]]:
    """Yield the events that the plugin publishes or waits for, and that nobody published yet."""
    d = plugin.definitions
    for event in dict.fromkeys((*d.events, *(s.event for s in d.subscriptions))):
        if isinstance(event, type) and event_name(event) not in heard:
            yield event


def _emit(crm: CRM, factory: Factory, event: type[Event[Any]]) -> None:
    owner = crm.registry.owner(event) or ""
    with crm.session(SETUP) as session:
        made = factory.event(session, event)
        session.derive(plugin=owner).emit(made)


def _shown(crm: CRM, record: Entity, panel: str) -> Iterator[Trouble]:
    with crm.session(SETUP) as session:
        if session.find(type(record), record.id) is None:
            return
        view = session.view360(record)
    yield from (Trouble.of(f"panel {p.name}", p.error) for p in view.panels if p.error and p.name == panel)


def _parked(crm: CRM) -> Iterator[Trouble]:
    for line in crm.delivery.parked():
        yield Trouble.of(f"subscriber {line.subscription}", str(line.error))


def _heard(crm: CRM) -> Counter[str]:
    """Count the events in the journal by name."""
    found: Counter[str] = Counter()
    position = 0
    with crm.bound.begin(write=False) as connection:
        while entries := read(connection, crm.tables, after=position):
            found.update(e.name for e in entries)
            position = entries[-1].position or 0
    return found


def _redeliver(subject: Subject, crm: CRM, done: Exercise) -> None:
    """Deliver every event to the plugin's subscribers once more, and note where that changed what is kept."""
    mine = [s.name for s in crm.subscribers if s.plugin == subject.plugin.name and not s.external]
    if not mine:
        return
    before, heard = content_of(crm), _heard(crm)
    table, parking = crm.tables.system.subscription, crm.tables.system.parking
    with crm.bound.begin() as connection:
        connection.execute(delete(parking))
        connection.execute(update(table).where(table.c.name.in_(mine)).values(position=0))
    crm.run_pending()
    after = content_of(crm)
    for entity, rows in after.items():
        if rows != before[entity]:
            done.redelivered.append(_difference(entity, before[entity], rows))
    again = _heard(crm)
    for name in sorted(event_name(e) for e in subject.plugin.definitions.events):
        if again[name] > heard[name]:
            done.redelivered.append(f"{name} was published {again[name]} times instead of {heard[name]}")


def _difference(entity: str, before: list[str], after: list[str]) -> str:
    if len(before) != len(after):
        return f"{entity} had {len(before)} records and then {len(after)}"
    return f"a record of {entity} changed"


IGNORED = ("version", "updated_at", "updated_by")


def content_of(crm: CRM) -> dict[str, list[str]]:
    """Return what all records say, by entity: without what a write of equal values changes."""
    found: dict[str, list[str]] = {}
    with crm.bound.begin(write=False) as connection:
        for entity, table in crm.tables.entities.items():
            columns = [c for c in table.c if c.name not in IGNORED]
            found[spec(entity).name] = sorted(map(repr, connection.execute(table.select().with_only_columns(*columns))))
    return found
