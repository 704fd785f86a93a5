"""What an erasure will do, before it is done: to how many records of each entity, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
from sqlalchemy import select

from ..entities.meta import spec
from ..errors import Refused
from ..storage.writer import chunks
from .subject import Subject, as_officer, roots
from .traces import Traces, Why, trace

if TYPE_CHECKING:
    from ..session import Session

Fate = Literal["delete", "empty", "keep"]


@attrs.frozen
class Step:
    """What is done to some records of one entity.

    Attributes:
        action: ``delete``: their personal fields are emptied, and they are deleted; ``empty``: only emptied; ``keep``: left as they are.
        why: ``person``, ``part``, ``about``, ``mentions`` or ``points``, see :data:`crm_core.privacy.traces.Why`; ``needed`` for the
            person's own record that others must go on pointing at, and for a plugin's record with their address, which may be no person.
        count: how many records.
    """

    entity: str
    action: Fate
    why: str
    count: int


@attrs.frozen
class Held:
    """A record that a legal hold keeps as it is."""

    entity: str
    record: str
    reason: str


@attrs.frozen
class Plan:
    """What an erasure will do.

    Attributes:
        subjects: the records that are the person, as ``contact:ID``.
        steps: what is done, by entity.
        held: the legal holds that keep it from being done; it is refused while there is one.
    """

    subjects: tuple[str, ...]
    steps: tuple[Step, ...]
    held: tuple[Held, ...]


@attrs.frozen
class Work:
    """A plan, with the records."""

    plan: Plan
    traces: Traces
    empty: dict[type[Any], list[str]]
    delete: dict[type[Any], list[str]]


def plan(session: Session, subject: Subject) -> Plan:
    """Say what :func:`erase` will do; nothing is changed.

    Args:
        subject: ``contact:ID``, a record or a reference, or an e-mail address, which is all people who have it.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: ``bad_subject_of_request``.
        NotFound: there is no such person.
    """
    with as_officer(session, "privacy") as core:
        return prepared(core, subject).plan


def prepared(core: Session, subject: Subject) -> Work:
    """Find the records and decide what is done to each."""
    found = roots(core, subject)
    traces = trace(core, found)
    by_address = isinstance(subject, str) and "@" in subject
    counted: Counter[tuple[str, Fate, str]] = Counter()
    empty: dict[type[Any], list[str]] = {}
    delete: dict[type[Any], list[str]] = {}
    for entity, whys in traces.records.items():
        people = [i for i, why in whys.items() if why == "person"]
        protected = set(people) if by_address and _may_name_one(entity) else needed(core, entity, people)
        for id_, why in whys.items():
            fate = _fate(entity, why, id_ in protected, core.codec(entity).personal)
            counted[spec(entity).name, fate, "needed" if id_ in protected else why] += 1
            if fate != "keep":
                empty.setdefault(entity, []).append(id_)
            if fate == "delete":
                delete.setdefault(entity, []).append(id_)
    steps = tuple(Step(*key, count) for key, count in sorted(counted.items()))
    return Work(Plan(traces.subjects, steps, tuple(_held(core, empty))), traces, empty, delete)


def _may_name_one(entity: type[Any]) -> bool:
    """Whether a plugin's record that has somebody's address may be a contract that names them, and not themselves."""
    said = "__subject__" in vars(entity) or vars(entity).get("__erased__") == "delete"
    return bool(spec(entity).plugin) and not said


def _fate(entity: type[Any], why: Why, needed: bool, personal: bool) -> Fate:
    if why in ("person", "part"):
        return "empty" if needed else "delete"
    if entity.__dict__.get("__erased__") == "delete":
        return "delete"
    return "empty" if personal and why != "points" else "keep"


def needed(core: Session, entity: type[Any], ids: Sequence[str]) -> set[str]:
    """Return which of *ids* living records point at that protect them, such as documents that the law wants kept."""
    found: set[str] = set()
    for child, field in core.crm.references(entity):
        if field.options.on_delete != "protect":
            continue
        table = core.crm.tables.entities[child]
        for part in chunks(list(ids)):
            column = table.c[field.column]
            wanted = select(column).where(table.c.tenant == core.actor.tenant, column.in_(part), table.c.deleted_at.is_(None))
            found.update(ref.id for ref in core._unit.connection.execute(wanted.distinct()).scalars())
    return found


def _held(core: Session, records: dict[type[Any], list[str]]) -> list[Held]:
    table = core.crm.tables.system.person_mark
    found: list[Held] = []
    for part in chunks([i for ids in records.values() for i in ids]):
        mine = (table.c.tenant == core.actor.tenant, table.c.mark == "held", table.c.record.in_(part))
        wanted = select(table.c.entity, table.c.record, table.c.reason).where(*mine).order_by(table.c.record)
        found += [Held(entity, str(record), reason) for entity, record, reason in core._unit.connection.execute(wanted)]
    return found


def refuse_held(plan: Plan) -> None:
    """Refuse an erasure that a legal hold forbids.

    Raises:
        Refused: ``erasure_held``.
    """
    if plan.held:
        first = plan.held[0]
        raise Refused("erasure_held", entity=first.entity, record=first.record, reason=first.reason, count=len(plan.held))
