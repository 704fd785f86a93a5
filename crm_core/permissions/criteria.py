"""Rules as conditions for statements: of a segment, a report's filter, a search. They go through the lens like all of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import ColumnElement, and_, false, or_, select, true

from ..entities.meta import logical_table, spec
from ..errors import Invalid
from .predicates import ActorValue, And, Compare, Everything, Not, Nothing, Or, Owned, Related, Rule, SameTeam, Shared, Subordinate, Within
from .to_sql import of_field

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from ..session import Session


def criterion(rule: Rule, entity: type[Entity], session: Session) -> ColumnElement[bool]:
    """Return a checked rule as a condition: see :func:`crm_core.rules.criterion`."""
    match rule:
        case Everything():
            return true()
        case Nothing():
            return false()
        case And(rules):
            return and_(*(criterion(r, entity, session) for r in rules))
        case Or(rules):
            return or_(*(criterion(r, entity, session) for r in rules))
        case Not(inner):
            return criterion(inner, entity, session).self_group().is_not(true())
        case Owned():
            return logical_table(entity).c.owner == session.actor.id
        case SameTeam() | Subordinate() | Shared():
            raise Invalid("rule_needs_directory", rule=str(rule))
        case Related(ref, inner, _):
            return _related(ref, inner, entity, session)
        case _:
            return _of_field(rule, entity, session)


def _related(ref: str, inner: Rule, entity: type[Entity], session: Session) -> ColumnElement[bool]:
    target = spec(entity).fields[ref].target
    assert target is not None
    other = logical_table(target)
    return logical_table(entity).c[ref].in_(select(other.c.id).where(criterion(inner, target, session)).correlate(None))


def _of_field(rule: Rule, entity: type[Entity], session: Session) -> ColumnElement[bool]:
    """Give attributes of the actor their values; one that is missing compares with nothing."""
    known: Any = None
    match rule:
        case Compare(_, _, ActorValue() as wanted):
            known = session.actor.attribute(wanted.attribute, wanted.kind or "text")
            rule = attrs.evolve(rule, value=known)
        case Within(_, ActorValue() as wanted):
            known = session.actor.attribute(wanted.attribute, wanted.kind or "list")
            rule = attrs.evolve(rule, values=tuple(known or ()))
        case _:
            return of_field(rule, logical_table(entity))
    return false() if known is None else of_field(rule, logical_table(entity))
