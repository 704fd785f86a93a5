"""The query reading of rules: a condition on an entity's logical table, which the lens of a session then renders.

Where everything can be read it agrees with ``to_sql`` row for row. A rule that speaks of the actor has no such reading: a stored query
must find the same whoever runs it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, false, or_, select, true

from ..entities.meta import EntitySpec, logical_table, spec
from ..errors import Invalid
from .predicates import ActorValue, And, Compare, Everything, Not, Nothing, Or, Owned, Related, Rule, SameTeam, Shared, Subordinate, Within
from .to_sql import of_field


def to_query(rule: Rule, entity: EntitySpec, table: FromClause) -> ColumnElement[bool]:
    """Return a bound rule as a condition on *table*, the entity's logical table or an alias of it.

    Raises:
        Invalid: ``rule_of_actor``.
    """
    match rule:
        case Everything():
            return true()
        case Nothing():
            return false()
        case And(rules):
            return and_(*(to_query(r, entity, table) for r in rules))
        case Or(rules):
            return or_(*(to_query(r, entity, table) for r in rules))
        case Not(inner):
            return to_query(inner, entity, table).self_group().is_not(true())
        case Related(ref, inner, _):
            return _related(ref, inner, entity, table)
        case Owned() | SameTeam() | Subordinate() | Shared() | Compare(value=ActorValue()) | Within(values=ActorValue()):
            raise Invalid("rule_of_actor", rule=str(rule))
        case _:
            return of_field(rule, table)


def _related(ref: str, inner: Rule, entity: EntitySpec, table: FromClause) -> ColumnElement[bool]:
    target: Any = getattr(entity.field(ref), "target", None)  # which a bound rule's reference has
    other = logical_table(target).alias()
    found = select(other.c.id).where(other.c.id == table.c[ref], to_query(inner, spec(target), other))
    return found.correlate(table).exists()
