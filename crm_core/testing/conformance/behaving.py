"""Rules of behaviour: events, redelivery, denied permissions, replay, and the cost of hooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...entities.entity import Entity
from ...entities.meta import spec
from ...errors import CRMError, Denied
from ...events.event import Event, event_kind, event_name
from ...events.journal import Entry
from ...hooks.commands import command_fields
from ...hooks.core_specs import CORE
from ...permissions.actor import Actor
from ...permissions.predicates import F
from ...permissions.roles import Role
from ..kit import START
from ..state import state_of
from .exercise import ANSWERS, SETUP, entities_of
from .promises import payloads_kept, promises_kept
from .rule import rule
from .serving import open_to_readers
from .subject import Subject

if TYPE_CHECKING:
    from ...crm import CRM
    from ...hooks.actions import ActionDef
    from ...hooks.parts import Panel


@rule("CK10", "events-round-trip")
def events_round_trip(subject: Subject) -> Iterator[str]:
    """Each event comes back from the journal's plain JSON as it was, old versions of it can be read, and plugin.json says what is there."""
    yield from promises_kept(subject)
    events = subject.plugin.definitions.events
    if not events:
        return
    factory, kept = subject.factory(), payloads_kept(subject)
    with subject.crm() as crm:
        for cls in events:
            for version in range(1, cls.__event_version__):
                if version not in cls.__event_upcasts__:
                    newest, add = cls.__event_version__, f"{cls.__name__}.upcast({version})"
                    yield f"{event_name(cls)} is at version {newest} and cannot read version {version}: add {add}"
            try:
                with crm.session(SETUP) as session:
                    made = factory.event(session, cls)
                back = _there_and_back(crm, made)
            except (CRMError, TypeError, ValueError) as e:
                yield f"{event_name(cls)} does not go to JSON and back: {type(e).__name__}: {e}"
                continue
            yield from _old_ones(crm, made, kept.get(event_name(cls), {}))
            wrong = [n for n in vars(made) if n not in ("id", "at", "actor") and getattr(made, n) != getattr(back, n)]
            yield from (f"{event_name(cls)}.{n} was {getattr(made, n)!r} and came back as {getattr(back, n)!r}" for n in wrong)


def _old_ones(crm: CRM, event: Event[Any], kept: Mapping[str, Any]) -> Iterator[str]:
    """Read a payload of each older version: the one that plugin.json keeps, through all upcasts to the newest.

    Of a version that it does not know, the newest payload has to do; an upcast that looks for what only the old ones had is beyond us then.
    """
    cls = type(event)
    for version in sorted(cls.__event_upcasts__):
        old = kept.get(str(version))
        try:
            _there_and_back(crm, event, version, old)
        except Exception as e:  # an upcast is the plugin's code, and may raise anything
            if old is not None:
                yield f"{event_name(cls)} cannot read the payload of version {version} that plugin.json keeps: {type(e).__name__}: {e}"
            elif not isinstance(e, LookupError):
                yield f"{event_name(cls)}.upcast({version}) makes of a payload what is no {cls.__name__}: {type(e).__name__}: {e}"


def _there_and_back(crm: CRM, event: Event[Any], version: int = 0, old: Any = None) -> Event[Any]:
    data = json.loads(json.dumps(crm.events.encode(event))) if old is None else old
    kind = f"{event_name(type(event))}.v{version}" if version else event_kind(type(event))
    entry = Entry(
        position=1, id=1, tenant="main", at=START, actor=SETUP.id, on_behalf_of=None, plugin="", reason=None, request=None,
        entity=spec(event.record.entity).name, record=event.record.id, version=0, kind=kind, format=1,
        payload={"id": event.record.id, "data": data},
    )  # fmt: skip
    return crm.events.decode(entry)


@rule("CK11", "idempotent")
def idempotent(subject: Subject) -> Iterator[str]:
    """An event that is delivered to its subscribers a second time changes nothing more."""
    for what in subject.exercise.redelivered:
        yield f"after a second delivery of the same events, {what}; use event.id as a unique key, or look before you write"


# -- denied -----------------------------------------------------------------------------------------------------------------------

OUTSIDER = "conformance_outsider"
ONLOOKER = "conformance_onlooker"
INSIDER = "conformance_insider"


@rule("CK12", "fails-closed")
def fails_closed(subject: Subject) -> Iterator[str]:
    """Who lacks an action's permission, or does not see a record that it names, is denied; no panel or service goes further."""
    d = subject.plugin.definitions
    if not d.actions and not d.panels and not d.services:
        return
    every = dict.fromkeys((*CORE.definitions.entities, *(e for p in (*subject.required, subject.plugin) for e in p.definitions.entities)))
    outsider, onlooker = Role(OUTSIDER), Role(ONLOOKER)
    for entity in every:
        outsider.allow(entity, "read", "create", "update", "delete", "export", "assign")
    for entity in dict.fromkeys(p.entity for p in d.panels):
        onlooker.allow(entity, "read")
    factory = subject.factory()
    with subject.crm(roles=[outsider, onlooker]) as crm:
        for action in d.actions:
            try:
                with crm.session(SETUP) as session:
                    command = factory.command(session, action.command)
            except Exception:  # what cannot be made is the rule of works' to tell
                continue
            before = state_of(crm)
            try:
                with crm.session(Actor("outsider", roles={OUTSIDER})) as session:
                    session.perform(command)
                yield f"the action {action.name} can be performed without the permission {action.permission!r}"
            except Denied:
                pass
            except CRMError as e:
                yield f"the action {action.name} without its permission is answered by {type(e).__name__} instead of Denied"
            if state_of(crm) != before:
                yield f"the action {action.name} was denied and left something behind"
        yield from _unseen(subject, every)
        for panel in d.panels:
            yield from _leaks(subject, crm, panel)
    yield from open_to_readers(subject, every)


def _unseen(subject: Subject, entities: Iterable[type[Entity]]) -> Iterator[str]:
    """Perform the actions on records as somebody who has their permissions and all other rights, but sees only records of their own."""
    d = subject.plugin.definitions
    insider, factory = Role(INSIDER), subject.factory()
    for entity in entities:
        insider.allow(entity, "read", "create", "update", "delete", "export", "assign", where=(F("created_by") == INSIDER))
    for action in d.actions:
        insider.permit(action.permission)
    with subject.crm(roles=[insider]) as crm:
        for action in filter(_names_records, d.actions):
            try:
                with crm.session(SETUP) as session:
                    command = factory.command(session, action.command)
            except Exception:  # the rule of works tells
                continue
            before = state_of(crm)
            try:
                with crm.session(Actor(INSIDER, roles={INSIDER})) as session:
                    session.perform(command)
                yield f"the action {action.name} works on a record that its caller may not see: read it with the caller's session first"
            except (CRMError, *ANSWERS):
                if state_of(crm) != before:
                    yield f"the action {action.name} on a record that its caller may not see left something behind"


def _names_records(action: ActionDef) -> bool:
    return any(f.spec is not None and f.spec.kind == "ref" for f in command_fields(action.command).values())


def _leaks(subject: Subject, crm: CRM, panel: Panel) -> Iterator[str]:
    """Look at a panel as somebody who may read the record and nothing else; what it says then must need no more."""
    factory = subject.factory()
    try:
        with crm.session(SETUP) as session:
            for entity in entities_of(subject.plugin):
                factory.make(session, entity)
            record = factory.reference(session, panel.entity)
    except (*ANSWERS, CRMError):
        return
    journal = crm.tables.system.journal
    with crm.session(Actor("onlooker", roles={ONLOOKER})) as session:
        view = next((p for p in session.view360(record).panels if p.name == panel.name and not p.error), None)
    if view is None or not view.data:
        return
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(journal.select().where(journal.c.kind == "core.elevated.v1", journal.c.on_behalf_of == "onlooker"))
        raised = any(row.plugin == panel.plugin or (row.payload or {}).get("plugin") == panel.plugin for row in rows)
    if raised:
        yield f"the panel {panel.name} shows what it read with the plugin's own grants to somebody who may read none of it: name reads="


# -- replay -----------------------------------------------------------------------------------------------------------------------

_OWN_CLOCKS = {
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "time.time", "time.time_ns"),
    *("uuid.uuid1", "uuid.uuid4", "os.urandom", "time.localtime", "time.gmtime"),
}
_HARMLESS = {"random.Random"}


@rule("CK15", "deterministic")
def deterministic(subject: Subject) -> Iterator[str]:
    """Time, ids and chance come from the CRM's runtime: the same calls with the same seed leave the same rows."""
    seen: set[tuple[str, str]] = set()
    for call in subject.source.calls():
        own = call.name in _OWN_CLOCKS or call.name.startswith("secrets.")
        own = own or (call.name.startswith("random.") and call.name not in _HARMLESS)
        own = own or call.name == "hash"
        if own and (call.name, call.where) not in seen:
            seen.add((call.name, call.where))
            yield f"{call.where} asks {call.name}: use session.crm.runtime (clock, ids, random)"
    first, second = subject.exercise.state, subject.second.exercise.state
    for table in first.keys() & second.keys():
        if len(first[table]) == len(second[table]) and first[table] != second[table]:
            yield f"two runs with one seed left different rows in {table}"
