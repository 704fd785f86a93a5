"""Why may, or may not, an actor do something to a record? The chain of rules, in words, for whoever supports the users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..arguments import check, check_entity, check_text
from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from .actor import Actor
from .policy import SHAREABLE, BoundGrant, BoundRole, Policy
from .predicates import (
    And,
    Compare,
    IsNull,
    Not,
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
    everything,
    nothing,
    plain,
)
from .to_python import Facts, Values, holds

if TYPE_CHECKING:
    from ..crm import CRM


@attrs.frozen
class Explanation:
    """The answer.

    Attributes:
        allowed: whether the actor may.
        rule: the role and rule that decided: the one that allows, or the restriction that forbids, or ``""`` where no role allows.
        chain: each step in words. It names owners and managers, but no other value of the record.
    """

    allowed: bool
    rule: str
    chain: list[str]

    def __str__(self) -> str:
        return "\n".join(["allowed" if self.allowed else "not allowed", *(f"  {step}" for step in self.chain)])


def explain(policy: Policy, facts: Facts, action: str, entity: str, values: Values) -> Explanation:
    """Tell how the policy comes to its answer for one record's values."""
    if policy.off and policy.off.forbids(action, entity):
        return Explanation(False, "", ["the plugin that this belongs to is off, so nobody may"])
    if policy.sees_all:
        return Explanation(True, "system", ["a system actor may do everything in its tenant"])
    widening, chain = _widening(policy, facts, action, entity, values)
    if not widening:
        return Explanation(False, "", chain)
    for role, restriction in _rules(policy, "restrictions", action, entity):
        good, why = _judged(restriction.rule, values, facts)
        chain.append(f"{role.name} restricts: {restriction.rule} -> {why}")
        if not good:
            return Explanation(False, f"{role.name}: {restriction.rule}", chain)
    pointed = policy.pointed(action, entity)
    good, why = _judged(pointed, values, facts)
    if not policy.is_everything(pointed):
        chain.append(f"{entity} is seen with what it points at: {why}")
    return Explanation(good, widening if good else str(pointed), chain)


def _rules(policy: Policy, kind: str, action: str, entity: str) -> list[tuple[BoundRole, BoundGrant]]:
    return [(role, grant) for role in policy.roles for grant in getattr(role, kind) if grant.covers(action, entity)]


def _widening(policy: Policy, facts: Facts, action: str, entity: str, values: Values) -> tuple[str, list[str]]:
    """Find the first grant or share that allows; its name, or nothing with all that failed."""
    grants = _rules(policy, "grants", action, entity)
    if not grants:
        names = ", ".join(role.name for role in policy.roles)
        return "", [f"no role allows {action} on {entity}: the actor has {names or 'no role that is known here'}"]
    failed = []
    for role, grant in grants:
        good, why = _judged(grant.rule, values, facts)
        step = f"{role.name}: {grant.rule} -> {why}"
        if good:
            return f"{role.name}: {grant.rule}", [step]
        failed.append(step)
    if action not in SHAREABLE:
        return "", failed
    shared = Shared(action, entity)
    good, why = _judged(shared, values, facts)
    return (str(shared), [why]) if good else ("", [*failed, why])


def _judged(rule: Rule, values: Values, facts: Facts) -> tuple[bool, str]:
    """Return whether a rule holds, and the leaf that decided it in words."""
    good = holds(rule, values, facts)
    match rule:
        case And(rules):
            parts = [_judged(r, values, facts) for r in rules]
            return good, " and ".join(why for part, why in parts) if good else next(why for part, why in parts if not part)
        case Or(rules):
            parts = [_judged(r, values, facts) for r in rules]
            return good, next(why for part, why in parts if part) if good else " and ".join(why for _, why in parts)
        case Not(inner):
            return good, _judged(inner, values, facts)[1]
        case Related(ref, inner, target):
            return good, _of_related(ref, inner, target, values, facts)
        case Seen(record, entity) if (inner := rule.rule(values.get(entity))) not in (everything, nothing):
            return good, _of_related(record, inner, values[entity], values, facts)
        case Seen(record, entity):
            return good, f"{record} points at a {values.get(entity)}, of which the actor sees {'all' if good else 'none'}"
        case _:
            return good, _leaf(rule, good, values, facts)


def _of_related(ref: str, inner: Rule, target: str, values: Values, facts: Facts) -> str:
    pointed = values.get(ref)
    found = None if pointed is None else facts.related(target, str(plain(pointed)))
    if found is None:
        return f"{ref} points at no living {target}"
    return f"of {ref}: {_judged(inner, found, facts)[1]}"


def _leaf(rule: Rule, good: bool, values: Values, facts: Facts) -> str:
    owner, me = values.get("owner"), facts.actor.id
    not_ = "" if good else "not "
    match rule:
        case Owned() | SameTeam() | Subordinate() if owner is None:
            return "the record has no owner"
        case Owned():
            return f"owner {owner!r} is {not_}{me!r}"
        case Subordinate():
            if owner == me:
                return f"owner {owner!r} is the actor"
            return f"owner {owner!r} {'reports' if good else 'does not report'} to {me!r}"
        case SameTeam():
            return f"owner {owner!r} {'shares' if good else 'does not share'} a team with {me!r}"
        case Shared(action, _):
            return f"the record is {not_}shared with {me!r} for {action}"
        case Compare(field) | Within(field) | StartsWith(field) if values.get(field) is None:
            return f"{field} has no value"
        case Compare() | Within() | StartsWith() | IsNull():
            return f"{rule} is {'true' if good else 'false'}"
        case _:
            return str(rule)


def explain_record(crm: CRM, actor: Actor, action: str, asked: Any, id: str | None) -> Explanation:
    """Explain an action on a stored record, also on one that the actor cannot see; for support, not for the actor's own screen."""
    check(actor, Actor, "an Actor")
    if isinstance(asked, Entity | Ref):
        ref = asked if isinstance(asked, Ref) else asked.ref
        asked, id = ref.entity, ref.id
    entity, id = asked, str(id)
    check_entity(entity)
    check_text(action)
    name = spec(entity).name
    with crm.session(actor, write=False) as session:
        values = session.facts.related(name, id)
        if values is None:
            return Explanation(False, "", [f"there is no living {name} with this id in the tenant {actor.tenant!r}"])
        return explain(session.policy, session.facts, action, name, values)
