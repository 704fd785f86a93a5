"""The Python reading of rules: does one hold for these values? It agrees with ``to_sql`` row for row."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ..entities.money import Money
from .actor import Actor
from .predicates import (
    ActorValue,
    And,
    Compare,
    Everything,
    IsNull,
    Not,
    Nothing,
    Or,
    Owned,
    Related,
    Rule,
    SameTeam,
    Seen,
    Shared,
    StartsWith,
    Subordinate,
    Within,
    plain,
)

Values = Mapping[str, Any]
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


class People(Protocol):
    """Who has which team and which managers, in one tenant; ``members.Members`` is one."""

    def teams_of(self, user: str) -> frozenset[str]:
        """Return the teams of a user, none for an unknown one."""
        ...

    def reports_to(self, user: str, manager: str) -> bool:
        """Say whether the chain of managers of *user* reaches *manager*; whoever it is, one reports to oneself."""
        ...


class Facts(Protocol):
    """What a rule may ask beyond the record's own values."""

    @property
    def actor(self) -> Actor:
        """Who acts."""
        ...

    @property
    def people(self) -> People:
        """The actor's tenant's directory."""
        ...

    def related(self, entity: str, id: str) -> Values | None:
        """Return the values of a living record of the tenant, or None."""
        ...

    def shared(self, entity: str, id: str, action: str) -> bool:
        """Say whether a record was shared with the actor or one of the actor's teams for *action*."""
        ...


def holds(rule: Rule, values: Values, facts: Facts) -> bool:
    """Say whether a bound rule holds for a record's *values*, given by column: ``id``, ``owner``, ``amount`` (a Money), ...

    Fields that are missing in *values* are NULL.
    """
    match rule:
        case Everything():
            return True
        case Nothing():
            return False
        case And(rules):
            return all(holds(r, values, facts) for r in rules)
        case Or(rules):
            return any(holds(r, values, facts) for r in rules)
        case Not(inner):
            return not holds(inner, values, facts)
        case Owned() | SameTeam() | Subordinate():
            return _of_owner(rule, values.get("owner"), facts)
        case Shared(action, entity):
            return facts.shared(entity, str(values.get("id")), action)
        case Related(ref, inner, target):
            id = plain(values.get(ref))
            found = None if id is None else facts.related(target, id)
            return found is not None and holds(inner, found, facts)
        case Seen(record, entity):
            return _seen(rule.rule(values.get(entity)), values.get(entity), values.get(record), facts)
        case IsNull(field):
            return values.get(field) is None
        case _:
            return _of_field(rule, values, facts)


def _of_owner(rule: Rule, owner: str | None, facts: Facts) -> bool:
    if owner is None:
        return False
    actor = facts.actor
    match rule:
        case Owned():
            return owner == actor.id
        case Subordinate():
            return facts.people.reports_to(owner, actor.id)
        case _:
            return bool(actor.teams) and (owner == actor.id or not actor.teams.isdisjoint(facts.people.teams_of(owner)))


def _seen(rule: Rule, entity: Any, id: Any, facts: Facts) -> bool:
    if isinstance(rule, Everything | Nothing):
        return isinstance(rule, Everything)
    found = facts.related(entity, id)
    return found is not None and holds(rule, found, facts)


def _of_field(rule: Rule, values: Values, facts: Facts) -> bool:
    match rule:
        case Compare(field, op, wanted):
            return _compare(op, plain(values.get(field)), _resolve(wanted, facts))
        case Within(field, wanted):
            among = _resolve(wanted, facts)
            return among is not None and plain(values.get(field)) in among
        case StartsWith(field, prefix):
            value = plain(values.get(field))
            return isinstance(value, str) and value.startswith(prefix)
        case _:
            raise TypeError(f"{type(rule).__name__} is no rule")


def _resolve(wanted: Any, facts: Facts) -> Any:
    if not isinstance(wanted, ActorValue):
        return wanted
    if wanted.kind is None:
        raise TypeError(f"{wanted!r} is not bound to an entity")
    return facts.actor.attribute(wanted.attribute, wanted.kind)


def _compare(op: str, value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return False
    if isinstance(wanted, Money) and op not in ("eq", "ne") and value.currency != wanted.currency:
        return False
    return _COMPARE[op](value, wanted)
