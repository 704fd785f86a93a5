"""Segments: groups of customers, listed or found by a stored rule, which every module can use by name [C27]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, ClassVar, cast

from sqlalchemy import ColumnElement, and_

from crm_core import Change, Entity, Event, Field, Invalid, Ref, Session, WriteCtx, after_write, check_write, field
from crm_core.rules import check, criterion, from_json, nothing, to_json

from .behaviour import check_behaviour, did
from .people import Task, ask, knows
from .plugin import plugin


class SegmentKind(Enum):
    """Whether a segment follows its rule or is a list somebody keeps."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class Segment(Entity):
    """A named group of the records of one entity: ``contact``, ``account``, or what other modules open, such as ``sales.lead``.

    ``rule`` is a rule as JSON (``crm_core.rules.to_json``) that means the same for everybody: it may not speak of the actor.
    ``behaviour`` says what its people did in the last days, as JSON of :class:`Behaviour`; rule and each behaviour must hold.
    ``refreshed_at`` is kept by the module.

    Attributes:
        kind: whether its records are chosen by hand or by a rule.
    """

    name: Field[str] = field(length=100, unique=True, classified="internal")
    entity: Field[str] = field(default="contact", length=127)
    kind: Field[SegmentKind] = field(default=SegmentKind.DYNAMIC)
    rule: Field[dict[str, Any]] = field(factory=lambda: to_json(nothing))
    behaviour: Field[list[Any]] = field(factory=list)
    description: Field[str] = field(default="", text=True)
    owner: Field[str | None] = field(default=None)
    refreshed_at: Field[datetime | None] = field(default=None)


class SegmentMember(Entity):
    """That a record is, or was, in a segment. ``key`` is unique: a record that comes back is the same member. Kept by the module.

    A segment's rule is tried on all records: who does not see a record does not see either that it is a member.

    Attributes:
        segment: the segment.
        entity: the name of what the record is, as in its segment.
        entered_at: when it came in last.
        left_at: when it left; empty while it is in.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("segment", "record"),)

    __erased__: ClassVar[str] = "delete"
    __points__: ClassVar[dict[str, str]] = {"record": "entity"}
    __seen_with__: ClassVar[str] = "record"

    segment: Field[Ref[Segment]] = field(on_delete="cascade")
    entity: Field[str] = field(length=127)
    record: Field[str] = field(length=36, index=True)
    entered_at: Field[datetime]
    left_at: Field[datetime | None] = field(default=None)
    key: Field[str] = field(length=73, unique=True)


class SegmentEntered(Event[Segment], name="marketing.segment_entered", version=1):
    """A record came into a segment. ``member`` is its id, ``entity`` the name of what it is."""

    entity: str
    member: str


class SegmentLeft(Event[Segment], name="marketing.segment_left", version=1):
    """A record is no longer in a segment."""

    entity: str
    member: str


plugin.entities(Segment, SegmentMember)
plugin.events(SegmentEntered, SegmentLeft)


@plugin.hook(check_write, on=Segment)
def check_segments(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse segments of entities nobody knows, rules that cannot be a query of them, and those that become something else."""
    for change in changes if ctx.op in ("create", "update") else ():
        segment = cast(Segment, change.record)
        if "refreshed_at" in change.fields:
            _check_keeper(ctx, change, "refreshed_at")
        if change.old is not None and change.fields & {"entity", "kind"}:
            ctx.refuse(change, "marketing.segment_fixed", field="entity" if "entity" in change.fields else "kind")
        elif not knows(ctx.session, segment.entity):
            ctx.refuse(change, "marketing.no_audience", field="entity", entity=segment.entity)
        elif segment.kind is SegmentKind.DYNAMIC and (change.old is None or change.fields & {"rule", "behaviour"}):
            try:
                ask(ctx.session, Task(segment.entity, partial(_check_condition, rule=segment.rule, behaviour=segment.behaviour)))
            except Invalid as e:
                ctx.refuse(change, "marketing.bad_rule", field="rule", reason=e.message())


@plugin.hook(check_write, on=SegmentMember)
def check_members(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse members that somebody writes past the module."""
    for change in changes if ctx.op in ("create", "update") else ():
        _check_keeper(ctx, change, "segment")


def _check_keeper(ctx: WriteCtx, change: Change, name: str) -> None:
    """Of leads and the like the module that knows them keeps the members: any plugin that was granted it may."""
    if not ctx.session.actor.plugin:
        ctx.refuse(change, "marketing.kept_by_module", field=name)


def _check_condition(session: Session, entity: type[Entity], rule: dict[str, Any], behaviour: Sequence[Any]) -> bool:
    """Check that a condition asks nothing that its author does not see: it is asked of all records, with the module's rights."""
    check(from_json(rule), entity, session, stored=True)
    for each in behaviour:
        check_behaviour(session, each)
    condition(session, entity, rule, behaviour)
    return True


def condition(session: Session, entity: type[Entity], rule: dict[str, Any], behaviour: Sequence[Any] = ()) -> ColumnElement[bool]:
    """Return a stored rule, and what people did, as a condition for queries over its entity.

    Raises:
        Invalid: it cannot be one.
    """
    return and_(criterion(from_json(rule), entity, session), *(did(session, entity, each) for each in behaviour))


@plugin.hook(after_write, on=SegmentMember)
def tell_members(ctx: WriteCtx, changes: list[Change]) -> None:
    """Publish an event for each record that entered or left, whichever way."""
    moved = [c for c in changes if ctx.op == "create" or (ctx.op == "update" and "left_at" in c.fields)]
    members = [cast(SegmentMember, c.record) for c in moved]
    if not members:
        return
    with ctx.elevated("events of segments") as session:
        entities = {s.id: s.entity for s in session.get_many(Segment, {m.segment.id for m in members})}
    for member in members:
        event = SegmentEntered if member.left_at is None else SegmentLeft
        ctx.session.emit(event(record=member.segment, entity=entities[member.segment.id], member=member.record))
