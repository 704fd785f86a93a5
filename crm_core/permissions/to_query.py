"""The query reading of rules: a condition on an entity's logical table, which the lens of a session then renders.

Where everything can be read it agrees with ``to_sql`` row for row. A rule that speaks of the actor has no such reading: a stored query
must find the same whoever runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, FromClause, and_, false, or_, select, true

from ..entities.columns import columns_by_name, columns_of
from ..entities.fields import FieldSpec
from ..entities.meta import logical_table
from ..errors import Invalid
from .predicates import (
    ActorValue,
    And,
    Compare,
    Everything,
    Not,
    Nothing,
    Or,
    Owned,
    Related,
    Rule,
    SameTeam,
    Seen,
    Shared,
    Subordinate,
    Within,
)
from .to_sql import of_field

Fields: TypeAlias = Callable[[type[Any]], Mapping[str, FieldSpec]]


def to_query(rule: Rule, entity: type[Any], fields: Fields, table: FromClause | None = None) -> ColumnElement[bool]:
    """Return a bound rule as a condition on *table*, by default the entity's logical table, or an alias of it.

    Args:
        fields: the fields of an entity in this CRM, extensions' included, by their columns' names.

    Raises:
        Invalid: ``rule_of_actor``.
    """
    table = logical_table(entity) if table is None else table
    match rule:
        case Everything():
            return true()
        case Nothing():
            return false()
        case And(rules):
            return and_(*(to_query(r, entity, fields, table) for r in rules))
        case Or(rules):
            return or_(*(to_query(r, entity, fields, table) for r in rules))
        case Not(inner):
            return to_query(inner, entity, fields, table).self_group().is_not(true())
        case Related(ref, inner, _):
            return _related(ref, inner, entity, fields, table)
        case Owned() | SameTeam() | Subordinate() | Shared() | Seen() | Compare(value=ActorValue()) | Within(values=ActorValue()):
            raise Invalid("rule_of_actor", rule=str(rule))
        case _:
            return of_field(rule, columns_by_name(fields(entity).values(), table))


def _related(ref: str, inner: Rule, entity: type[Any], fields: Fields, table: FromClause) -> ColumnElement[bool]:
    target: Any = fields(entity)[ref].target  # which a bound rule's reference has
    other = logical_table(target).alias()
    [pointer] = columns_of(fields(entity)[ref], table)
    found = select(other.c.id).where(other.c.id == pointer, to_query(inner, target, fields, other))
    return found.correlate(table).exists()
