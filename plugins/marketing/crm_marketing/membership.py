"""Who is in a segment: found in the database, kept as the differences since the last look, each told once [C27]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs
from sqlalchemy import ColumnElement, String, cast, false

from crm_core import Denied, Entity, Query, Ref, Refused, Session
from crm_core.rules import sees_all

from .members import BATCH, batches
from .people import Given, Task, as_id, as_link, ask, there
from .plugin import plugin
from .segments import Segment, SegmentKind, SegmentMember, condition

Operation = Literal["union", "intersection", "difference"]


@attrs.frozen
class Refreshed:
    """How many records came into a segment and left it."""

    entered: int
    left: int


@attrs.frozen
class Overlap:
    """How many records are in one segment alone, in both, and in the other alone."""

    first: int
    both: int
    second: int


@plugin.job(every="*/15 * * * *", per_tenant=True)
def refresh_segments(session: Session) -> None:
    """Bring every dynamic segment up to date."""
    for segment in session.query(Segment).where(Segment.kind == SegmentKind.DYNAMIC).order_by(Segment.id).all():
        refresh(session, segment.ref)


def refresh(session: Session, segment: Ref[Segment]) -> Refreshed:
    """Bring a dynamic segment up to date; it sees all records, whoever asks. Of two at the same time the second waits and finds no more.

    What is returned counts the records that the actor sees.

    Raises:
        Denied: the actor may not change the segment.
        Refused: ``marketing.segment_static``.
    """
    current = _changeable(session, segment)
    if current.kind is not SegmentKind.DYNAMIC:
        raise Refused("marketing.segment_static")

    begun = session.crm.runtime.clock.now()

    def work(reader: Session, entity: type[Any]) -> Refreshed:
        locked = reader.lock(Segment, segment.id)
        holds = condition(reader, entity, locked.rule, locked.behaviour)
        left = _leave(reader, locked, ~there(entity, entity.id == as_id(entity, SegmentMember.record), holds))
        entered = sum(_enter(reader, locked, page) for page in _pages(reader.query(entity).where(holds, ~_inside(entity, [segment]))))
        reader.update(Segment, segment.id, {"refreshed_at": reader.crm.runtime.clock.now()})
        return Refreshed(entered, left)

    result: Refreshed = ask(session, Task(current.entity, work, reason=f"refresh of segment {current.name}"))
    return ask(session, Task(current.entity, lambda s, entity: _seen_of(s, entity, segment, begun, result)))  # type: ignore[no-any-return]


def _seen_of(session: Session, entity: type[Any], segment: Ref[Segment], begun: datetime, moved: Refreshed) -> Refreshed:
    """Count those that came and left as the actor sees them: the number of hidden ones would tell what they are."""
    if sees_all(entity, session):
        return moved
    mine = (SegmentMember.segment == segment.id, SegmentMember.record == cast(entity.id, String(36)))
    came = there(SegmentMember, *mine, SegmentMember.entered_at >= begun, SegmentMember.left_at.is_(None))
    left = there(SegmentMember, *mine, SegmentMember.left_at >= begun)
    return Refreshed(session.query(entity).where(came).count(), session.query(entity).where(left).count())


def put(session: Session, segment: Ref[Segment], records: Iterable[Given], *, inside: bool) -> int:
    """Add records that the actor sees to a static segment, or take them out; return how many moved.

    Raises:
        Denied: the actor may not change the segment.
        Refused: ``marketing.segment_dynamic``, ``marketing.not_in_entity``.
    """
    current = _changeable(session, segment)
    if current.kind is not SegmentKind.STATIC:
        raise Refused("marketing.segment_dynamic")
    moved = 0
    with session.savepoint():
        for batch in batches(records):
            links = [as_link(r) for r in batch]
            strange = sorted({link.entity for link in links} - {current.entity})
            if strange:
                raise Refused("marketing.not_in_entity", entity=current.entity, given=strange[0])
            visible = _visible(session, current.entity, [link.record for link in links])
            moved += _moved(session, current, visible, inside=inside)
    return moved


def _visible(session: Session, entity: str, ids: list[str]) -> list[str]:
    found: list[str] = ask(session, Task(entity, lambda s, known: [r.id for r in s.get_many(known, ids)]))
    return found


def _moved(session: Session, segment: Segment, ids: list[str], *, inside: bool) -> int:
    def work(writer: Session, entity: type[Any]) -> int:
        locked = writer.lock(Segment, segment.id)
        if not inside:
            return _leave(writer, locked, SegmentMember.record.in_(ids))
        within = SegmentMember.key.in_([_member_key(locked, i) for i in ids])
        known = {m.record for m in _living(writer, locked).where(within).all()}
        return _enter(writer, locked, [i for i in ids if i not in known])

    done: int = ask(session, Task(segment.entity, work, reason=f"members of segment {segment.name}"))
    return done


def _changeable(session: Session, segment: Ref[Segment]) -> Segment:
    current = session.get(Segment, segment)
    if not session.can("update", current):
        raise Denied(action="update", entity="marketing.segment")
    return current


def _enter(session: Session, segment: Segment, ids: list[str]) -> int:
    """Let records in, of which none is inside; one that was there before is the same member."""
    if not ids:
        return 0
    now = session.crm.runtime.clock.now()
    keys = {_member_key(segment, i): i for i in ids}
    back = session.query(SegmentMember).where(SegmentMember.key.in_(list(keys)))
    known = {m.key for m in back.all()}
    if known:
        session.update_where(back, {"left_at": None, "entered_at": now})
    new = {key: id_ for key, id_ in keys.items() if key not in known}
    session.create_many(
        SegmentMember(segment=segment.ref, entity=segment.entity, record=id_, entered_at=now, key=key) for key, id_ in new.items()
    )
    return len(keys)


def _leave(session: Session, segment: Segment, which: ColumnElement[bool]) -> int:
    return session.update_where(_living(session, segment).where(which), {"left_at": session.crm.runtime.clock.now()})


def _living(session: Session, segment: Segment) -> Query[SegmentMember]:
    return session.query(SegmentMember).where(SegmentMember.segment == segment.ref, SegmentMember.left_at.is_(None))


def _member_key(segment: Segment, record: str) -> str:
    return f"{segment.id}:{record}"


def _pages(query: Query[Any]) -> Iterator[list[str]]:
    """Yield ids in batches; what was let in meanwhile no longer matches, so each page starts after the last."""
    after = None
    while True:
        page = query.page(BATCH, after=after)
        yield [record.id for record in page]
        after = page.next
        if after is None:
            return


def _inside(entity: Any, segments: Iterable[Ref[Segment]]) -> ColumnElement[bool]:
    """Match records of *entity* that are in one of the segments."""
    within = (SegmentMember.segment.in_([s.id for s in segments]), SegmentMember.left_at.is_(None))
    return there(SegmentMember, *within, SegmentMember.record == cast(entity.id, String(36)))


# What the actor sees of them


def preview(session: Session, entity: str, rule: dict[str, Any], behaviour: Sequence[Any]) -> int:
    """Count the records that a rule, and what people did, finds and the actor sees; nothing is stored.

    Raises:
        Invalid: the rule cannot be a query of the entity.
    """
    counted: int = ask(session, Task(entity, lambda s, found: s.query(found).where(condition(s, found, rule, behaviour)).count()))
    return counted


def members(session: Session, segment: Ref[Segment]) -> Query[Any]:
    """Return the query of the records in a segment that the actor sees."""
    current = session.get(Segment, segment)
    found: Query[Any] = ask(session, Task(current.entity, lambda s, entity: s.query(entity).where(_inside(entity, [segment]))))
    return found


def combined(session: Session, operation: Operation, first: Ref[Segment], second: Ref[Segment]) -> Query[Any]:
    """Return the query of the records in either, in both, or in the first and not the second, as far as the actor sees them.

    Raises:
        Refused: ``marketing.not_in_entity``: they are of unlike entities.
    """
    entity = _common(session, first, second)

    def work(s: Session, found: type[Any]) -> Query[Entity]:
        one, other = _inside(found, [first]), _inside(found, [second])
        match operation:
            case "union":
                return s.query(found).where(_inside(found, [first, second]))
            case "intersection":
                return s.query(found).where(one, other)
            case "difference":
                return s.query(found).where(one, ~other)
            case _:
                return s.query(found).where(false())

    query: Query[Any] = ask(session, Task(entity, work))
    return query


def overlap(session: Session, first: Ref[Segment], second: Ref[Segment]) -> Overlap:
    """Count how two segments overlap, among the records that the actor sees.

    Raises:
        Refused: ``marketing.not_in_entity``.
    """
    alone = combined(session, "difference", first, second).count()
    both = combined(session, "intersection", first, second).count()
    return Overlap(alone, both, combined(session, "difference", second, first).count())


def _common(session: Session, first: Ref[Segment], second: Ref[Segment]) -> str:
    one, other = session.get(Segment, first), session.get(Segment, second)
    if one.entity != other.entity:
        raise Refused("marketing.not_in_entity", entity=one.entity, given=other.entity)
    return one.entity
