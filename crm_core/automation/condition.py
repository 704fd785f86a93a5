"""Conditions on a record before and after: the rules of ``crm_core.rules``, in which ``old.stage`` is the value before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.meta import EntitySpec, spec
from ..errors import Invalid
from ..permissions.binding import bind, check_size
from ..permissions.codec import from_json
from ..permissions.predicates import And, Not, Or, Owned, Related, Rule, SameTeam, Subordinate
from ..permissions.to_python import Facts, Values, holds

if TYPE_CHECKING:
    from ..permissions.actor import Actor
    from ..permissions.to_python import People
    from ..session import Session

_OLD, _NEW = "old.", "new."


@attrs.frozen
class Before(Rule):
    """*rule* holds for the values before the change."""

    rule: Rule


class LensFacts:
    """What a condition may ask beyond the record's values: as the rule's author sees the world, so that no condition tells more."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def actor(self) -> Actor:
        """The rule's author."""
        return self._session.actor

    @property
    def people(self) -> People:
        """The directory of the tenant."""
        return self._session.facts.people

    def related(self, entity: str, id: str) -> Values | None:
        """Return what the author may read of a related record, or None where it does not exist for the author."""
        cls = self._session.crm.entity(entity)
        found = self._session.find(cls, id)
        return None if found is None else self._session.codec(cls).values(found)

    def shared(self, entity: str, id: str, action: str) -> bool:
        """Say whether a record is shared with the author."""
        return self._session.facts.shared(entity, id, action)


def read_condition(session: Session, entity: type[Any], data: Any) -> Rule:
    """Read a condition from JSON that may come from anywhere, ready for :func:`fulfilled`.

    Raises:
        Invalid: ``unknown_field``, for what does not exist and for what the session's actor may not read alike; or what is wrong
            with the rule.
    """
    rule = from_json(data)
    check_size(rule)
    return _Reader(session, spec(entity)).read(rule)


def fulfilled(condition: Rule, old: Values, new: Values, facts: Facts) -> bool:
    """Say whether a condition holds for a record that was *old* and is *new*."""
    match condition:
        case And(rules):
            return all(fulfilled(r, old, new, facts) for r in rules)
        case Or(rules):
            return any(fulfilled(r, old, new, facts) for r in rules)
        case Not(inner):
            return not fulfilled(inner, old, new, facts)
        case Before(inner):
            return holds(inner, old, facts)
        case _:
            return holds(condition, new, facts)


def asks_old(condition: Rule) -> bool:
    """Say whether a condition looks at values before a change."""
    match condition:
        case And(rules) | Or(rules):
            return any(map(asks_old, rules))
        case Not(inner):
            return asks_old(inner)
        case _:
            return isinstance(condition, Before)


def is_readable(session: Session, entity: EntitySpec, name: str) -> bool:
    """Say whether an entity has a field of this name that the session's actor may read, unmasked."""
    codec, levels = session.codec(entity.entity), session.levels(entity.entity)
    return name in codec.fields and name != "tenant" and levels.get(name, "write") in ("read", "write")


@attrs.frozen
class _Reader:
    session: Session
    entity: EntitySpec

    def read(self, rule: Rule) -> Rule:
        match rule:
            case And(rules):
                return And(tuple(self.read(r) for r in rules))
            case Or(rules):
                return Or(tuple(self.read(r) for r in rules))
            case Not(inner):
                return Not(self.read(inner))
        part = "ref" if isinstance(rule, Related) else "field"
        name: str = getattr(rule, part, "")
        plain = name.removeprefix(_OLD if name.startswith(_OLD) else _NEW)
        if plain != name:
            leaf: Any = rule
            rule = attrs.evolve(leaf, **{part: plain})
        self._check(rule, self.entity)
        bound = bind(rule, self.entity, error=Invalid, extensions=self.session.crm.registry.extensions, custom=self.session.readable_custom)
        return Before(bound) if name.startswith(_OLD) else bound

    def _check(self, rule: Rule, entity: EntitySpec) -> None:
        """Refuse names that are not there for the actor, before anything else could tell them from others."""
        for name in _names(rule):
            if not is_readable(self.session, entity, name):
                raise Invalid("unknown_field", field=name[:60])
        if isinstance(rule, Related):
            field = self.session.codec(entity.entity).fields[rule.ref]
            if field.target is not None:
                for inner in _leaves(rule.rule):
                    self._check(inner, spec(field.target))


def _leaves(rule: Rule) -> Iterator[Rule]:
    if isinstance(rule, And | Or):
        for each in rule.rules:
            yield from _leaves(each)
    elif isinstance(rule, Not):
        yield from _leaves(rule.rule)
    else:
        yield rule


def _names(leaf: Rule) -> Mapping[str, None]:
    """Return the fields that one node asks for."""
    if isinstance(leaf, Owned | SameTeam | Subordinate):
        return {"owner": None}
    names = (getattr(leaf, part, None) for part in ("field", "ref"))
    return {n: None for n in names if isinstance(n, str)}
